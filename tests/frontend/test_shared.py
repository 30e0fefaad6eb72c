"""Every model of ../shared/models: read, written back, and equal to the original in onnxruntime."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.frontend.support import random_feeds, run_original, run_ours, with_rounding
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.ir import invariants

pytestmark = pytest.mark.shared

FOLDER = Path(os.environ.get("TINYGEN_SHARED") or Path(__file__).parents[2] / ".." / "shared").resolve() / "models"
FILES = sorted(FOLDER.glob("*.onnx"))


def names() -> list[object]:
    return [pytest.param(p, id=p.stem) for p in FILES] or [
        pytest.param(None, marks=pytest.mark.skip(reason=f"no models in {FOLDER} ($TINYGEN_SHARED, or ../shared)"))
    ]


@pytest.mark.parametrize("path", names())
def test_same_as_the_original(path: Path) -> None:
    imported = read_onnx(path)
    invariants.check(imported.graph)
    # A tie that float32 sums break the other way travels on; ic_resnet8's softmax amplifies it (see models/README.md).
    model = with_rounding(imported) if imported.quantised else None
    for seed in range(3):
        feeds = random_feeds(imported, seed)
        originals = run_original(imported, feeds, optimise=not imported.quantised)
        for want, got, name in zip(originals, run_ours(imported, feeds, model), imported.graph.outputs, strict=True):
            quant = imported.graph.tensors[name].quant
            steps = 20 if path.stem.startswith("ic_resnet8") else 1.01
            limit = 1e-4 * max(float(np.ptp(want)), 1e-6) if quant is None else steps * quant.s
            np.testing.assert_allclose(got, want, rtol=0, atol=limit)


def test_quantised_weights_keep_their_scale() -> None:
    path = FOLDER / "kws_dscnn_tf_int8_qdq.onnx"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    g = read_onnx(path).graph
    from tinygen.ops import Conv, Dense

    layers = [n for n in g.nodes if isinstance(n.op, Conv | Dense)]
    assert len(layers) == 10
    for n in layers:
        w = g.tensors[n.inputs[1]]
        assert w.quant is not None
        assert w.quant.axis == 0
        codes = w.array.reshape(w.shape[0], -1) / np.array(w.quant.scale)[:, None]
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-3)
        assert np.abs(codes).max() <= 128
