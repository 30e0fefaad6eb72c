"""The loaders of benchmarks/datasets.py reproduce the published figures; the estimators work on real networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import datasets
from tinygen.calibrate.data import load_data
from tinygen.calibrate.floatrun import FloatModel
from tinygen.calibrate.methods import METHODS
from tinygen.calibrate.metrics import sqnr_db
from tinygen.calibrate.ranges import collect, estimate
from tinygen.ir.types import Port

pytestmark = pytest.mark.shared


@pytest.fixture(scope="session")
def models() -> Path:
    try:
        return datasets.shared_dir() / "models"
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", datasets.FAMILIES)
def test_float_figure_is_reproduced(name: str, models: Path) -> None:
    stems = [p.stem for p in sorted(models.glob("*.onnx")) if datasets.family(p.stem) == name]
    for stem in (s for s in stems if s.endswith(("_pt_legacy", "_tf_keras"))):
        data = datasets.dataset_for(stem)
        (out,) = FloatModel((models / f"{stem}.onnx").read_bytes()).run_many(data.test)
        if data.float_reference is not None:
            digits = 3 if data.metric == "mse" else 4
            assert datasets.score(data, out) == pytest.approx(data.float_reference, abs=0.6 * 10**-digits)


def test_every_model_has_data_of_its_shape(models: Path) -> None:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    for path in sorted(models.glob("*.onnx")):
        data = datasets.dataset_for(path.stem)
        session = ort.InferenceSession(path, options)
        for given in (data.calib, data.test):
            for x, wanted in zip(given, session.get_inputs(), strict=True):
                shape = [d if isinstance(d, int) else 1 for d in wanted.shape]
                assert x.shape[1:] == tuple(shape), path.stem
                assert x.dtype == np.float32
                assert np.isfinite(x).all()


def test_layouts_of_one_network_agree(models: Path) -> None:
    for name in ("ic_resnet8", "kws_dscnn", "vww_mobilenetv1_025", "sww_str_ww"):
        outs = []
        for variant in ("pt_legacy", "tf_keras"):
            data = datasets.dataset_for(f"{name}_{variant}")
            blob = (models / f"{name}_{variant}.onnx").read_bytes()
            outs.append(FloatModel(blob).run_many([data.test[0][:20]])[0])
        assert np.abs(outs[0] - outs[1]).max() < 1e-4


def test_keyword_front_end_hears_right(models: Path) -> None:
    """MLPerf's order: down go left no off on right stop up yes silence unknown."""
    data = datasets.dataset_for("kws_dscnn_pt_legacy")
    out = FloatModel((models / "kws_dscnn_pt_legacy.onnx").read_bytes()).run_many([data.test[0]])[0]
    reference, yes, no, noise, silence, *digits = out.reshape(-1, 12).argmax(axis=1).tolist()
    assert (reference, yes, no, noise, silence) == (5, 9, 3, 11, 10)
    assert digits.count(11) > 0.9 * len(digits)


def test_ranges_of_a_real_input(models: Path) -> None:
    data = datasets.dataset_for("fsdd_dscnn_pt_legacy")
    blob = FloatModel((models / "fsdd_dscnn_pt_legacy.onnx").read_bytes())
    found = collect(blob, ("input", "output"), [data.calib[0][:50]])
    for method in METHODS:
        r = estimate(found["input"], method)
        assert found["input"].minmax.lo <= r.lo < -1
        assert 1 < r.hi <= found["input"].minmax.hi


def test_user_file_and_loader_agree(models: Path, tmp_path: Path) -> None:
    data = datasets.dataset_for("ic_resnet8_tf_keras")
    samples = load_data(models.parent / "data" / "cifar10_test_a.npz", (Port.plain("input_1", (1, 32, 32, 3)),))
    assert sqnr_db(data.test[0], samples.inputs[0]) == np.inf
