"""Inputs of whole numbers that look up rows of a table: embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from tests.frontend.support import import_model, ops_of, parse, run_original, run_ours, save
from tinygen import simulate
from tinygen.calibrate.data import load_data
from tinygen.errors import DataError, ModelError
from tinygen.flow.quantised import quantised_file
from tinygen.flow.types import Calibration
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.numerics import quantise
from tinygen.passes.pipeline import tidy

F = np.float32
RNG = np.random.default_rng(4)
TABLE = RNG.normal(size=(32, 8)).astype(F)
W = RNG.normal(size=(8, 3)).astype(F)

MODELS = {
    "plain": "y = Gather(e, ids)",
    "dense": "g = Gather(e, ids) y = MatMul(g, w)",
    "mean": "g = Gather(e, ids) m = ReduceMean<keepdims=0>(g, one) y = MatMul(m, w)",
    "moved": "r = Reshape(ids, shape) g = Gather(e, r) y = MatMul(g, w)",
    "two_tables": "g = Gather(e, ids) k = Gather(e2, ids) y = Add(g, k)",
    "padding_mask": "g = Gather(e, ids) p = Equal(ids, zero) n = Not(p) f = Cast<to=1>(n) u = Unsqueeze(f, last) "
    "y = Mul(g, u)",
}


def _model(body: str, kind: str = "int64", table: np.ndarray = TABLE) -> ModelProto:
    weights = {
        "e": table, "e2": TABLE[:20], "w": W, "one": np.array([1]), "shape": np.array([2, 5]), "last": np.array([-1]),
        "zero": np.array(0, kind),
    }  # fmt: skip
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    used = {k: v for k, v in weights.items() if k in words}
    return parse(f"g ({kind}[1,10] ids) => (float y) {{ {body} }}", opset=18, weights=used)


def _ids(rows: int = 32, n: int = 1) -> np.ndarray:
    return np.random.default_rng(n).integers(0, rows, (n, 10))


@pytest.mark.parametrize("kind", ["int32", "int64"])
@pytest.mark.parametrize("name", MODELS)
def test_as_onnxruntime_has_it(name: str, kind: str, tmp_path: Path) -> None:
    imported = import_model(tmp_path, _model(MODELS[name], kind))
    assert imported.graph.in_ports[0].ends == (0, 19 if name == "two_tables" else 31)
    feeds = {"ids": _ids(20).astype(kind)}
    for want, got in zip(run_original(imported, feeds), run_ours(imported, feeds), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_integers_pick_rows(tmp_path: Path) -> None:
    """The codes of a row are those of the table, whichever rows calibration has seen; ids outside pick the ends."""
    data = tmp_path / "data.npz"
    np.savez(data, x=_ids(4, 20))
    model = quantised_file(save(tmp_path, _model("y = Gather(e, ids)")), Calibration(data))
    quant = model.fixed.tensors[model.fixed.outputs[0]].quant
    assert quant is not None
    rows = quantise(TABLE, quant.s, quant.zero_point)
    codes = np.arange(-128, 128).astype(np.int8)[:250].reshape(25, 1, 10)
    (y,) = simulate.run(model.fixed, [codes])
    expected = rows[np.clip(codes.astype(int) + 128, 0, 31)]
    np.testing.assert_array_equal(y.reshape(expected.shape), expected)


def test_the_build_checks_the_import(tmp_path: Path) -> None:
    data = tmp_path / "data.npz"
    np.savez(data, x=_ids(32, 20))
    model = quantised_file(save(tmp_path, _model(MODELS["mean"])), Calibration(data))
    assert ops_of(tidy(model.imported.graph)) == ["Lookup", "ReduceSum", "Dense"]
    assert min(layer.sqnr_db for layer in model.layers) > 25
    quantised_file(tmp_path / "model.onnx")  # made-up ids as well


@pytest.mark.parametrize("wrong", [32, -1, 0.5])
def test_data_that_is_no_id(wrong: float, tmp_path: Path) -> None:
    imported = import_model(tmp_path, _model("y = Gather(e, ids)"))
    x = _ids(32, 3).astype(F)
    x[1, 2] = wrong
    np.savez(tmp_path / "data.npz", x=x)
    with pytest.raises(DataError, match="whole numbers from 0 to 31"):
        load_data(tmp_path / "data.npz", imported.graph.in_ports, input_types=imported.input_types)


def test_refused(tmp_path: Path) -> None:
    large = np.zeros((1000, 4), F)
    for model, what in (
        (_model("y = Gather(e, ids)", table=large), "a table of 1000 rows; at most 256"),
        (_model("f = Cast<to=1>(ids) y = Relu(f)"), 'input "ids"'),
        (parse("g (float[1,4] x, int64[1,2] i) => (float y) { y = Gather<axis=1>(x, i) }", opset=18), "indices and"),
    ):
        with pytest.raises(ModelError) as e:
            read_onnx(save(tmp_path, model))
        assert what in str(e.value)


def test_codes_that_are_indices(tmp_path: Path) -> None:
    """What `tinygen quantize` writes of such a model: uint8 codes of scale 1."""
    text = """g (uint8[1,10] ids) => (float y) {
        f = Cast<to=1>(ids)
        q = QuantizeLinear(f, one, low)
        d = DequantizeLinear(q, one, low)
        i = Cast<to=7>(d)
        y = Gather(e, i)
    }"""
    weights = {"one": F(1), "low": np.int8(-128), "e": TABLE}
    imported = import_model(tmp_path, parse(text, opset=18, weights={k: np.asarray(v) for k, v in weights.items()}))
    assert imported.graph.in_ports[0].ends == (0, 31)
    assert ops_of(tidy(imported.graph)) == ["Lookup"]
