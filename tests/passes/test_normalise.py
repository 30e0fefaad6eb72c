"""Normalisations written out, in the forms that exporters and function bodies have, are one operator and the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.frontend.support import check, import_model, parse
from tinygen.calibrate.floatrun import FloatModel
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Graph
from tinygen.ops import Norm
from tinygen.passes.pipeline import tidy

_RNG = np.random.default_rng(3)
_W = {
    "g": _RNG.normal(1, 0.3, 6).astype(np.float32), "b": _RNG.normal(size=6).astype(np.float32),
    "eps": np.float32(1e-3), "two": np.float32(2), "half": np.float32(0.5), "mhalf": np.float32(-0.5),
    "last": np.array([-1], np.int64), "one": np.float32(1), "small": np.float32(1e-12),
    "n1": np.float32(6 / 5), "full": np.array([1, 5, 6], np.int64),
}  # fmt: skip
_MEAN = "m = ReduceMean(x, last) d = Sub(x, m)"
_TORCH = f"{_MEAN} s = Pow(d, two) v = ReduceMean(s, last) e = Add(v, eps) r = Sqrt(e) z = Div(d, r)"
#: Name: nodes from x (1, 5, 6) to y.
FORMS = {
    "torch": f"{_TORCH} t = Mul(z, g) y = Add(t, b)",
    "no_affine": f"{_MEAN} s = Mul(d, d) v = ReduceMean(s, last) e = Add(v, eps) r = Sqrt(e) y = Div(d, r)",
    "reciprocal": f"{_MEAN} s = Mul(d, d) v = ReduceMean(s, last) e = Add(v, eps) r = Sqrt(e) i = Reciprocal(r) "
    "k = Mul(i, g) z = Mul(d, k) y = Add(z, b)",
    "power": f"{_MEAN} s = Mul(d, d) v = ReduceMean(s, last) e = Add(v, eps) r = Pow(e, mhalf) y = Mul(d, r)",
    "keras": f"{_MEAN} s = Mul(d, d) v = ReduceMean(s, last) e = Add(v, eps) r = Sqrt(e) i = Reciprocal(r) "
    "k = Mul(i, g) p = Mul(x, k) q = Mul(m, k) o = Sub(b, q) y = Add(p, o)",
    "keras_plain": f"{_MEAN} s = Mul(d, d) v = ReduceMean(s, last) e = Add(v, eps) r = Sqrt(e) i = Reciprocal(r) "
    "p = Mul(x, i) q = Mul(m, i) y = Sub(p, q)",
    "function_body": "m = ReduceMean(x, last) s = Mul(x, x) a = ReduceMean(s, last) c = Mul(m, m) v = Sub(a, c) "
    "e = Add(v, eps) r = Sqrt(e) d = Sub(x, m) z = Div(d, r) t = Mul(z, g) y = Add(t, b)",
    "mean_variance": "m = ReduceMean(x, last) c = Pow(m, two) s = Pow(x, two) a = ReduceMean(s, last) v = Sub(a, c) "
    "r = Sqrt(v) e = Add(r, small) d = Sub(x, m) y = Div(d, e)",
    "unbiased": f"{_MEAN} s = Mul(d, d) u = ReduceMean(s, last) v = Mul(u, n1) r = Sqrt(v) e = Add(r, small) "
    "k = Mul(d, g) y = Div(k, e)",
    "rms": "s = Pow(x, two) v = ReduceMean(s, last) e = Add(v, eps) r = Sqrt(e) i = Reciprocal(r) z = Mul(x, i) "
    "y = Mul(g, z)",
    "l2": "r = ReduceL2(x, last) c = Clip(r, small) w = Expand(c, full) y = Div(x, w)",
    "l2_limit": "r = ReduceL2(x, last) c = Max(r, half) y = Div(x, c)",
}  # fmt: skip


def _tidied(text: str, tmp_path: Path, shape: str = "1,5,6") -> Graph:
    model = parse(f"g (float[{shape}] x) => (float y) {{ {text} }}", weights=_W)
    graph = check(tmp_path, model).graph
    tidied = tidy(graph)
    x = [4 * _RNG.normal(size=(3, *graph.in_ports[0].shape)).astype(np.float32)]
    moved = [tidied.in_ports[0].to_tensor(x[0])]
    (want,) = FloatModel(to_onnx(graph)).run_many([graph.in_ports[0].to_tensor(x[0])])
    (got,) = FloatModel(to_onnx(tidied)).run_many(moved)
    want, got = graph.out_ports[0].to_onnx(want), tidied.out_ports[0].to_onnx(got)
    assert np.abs(want - got).max() < 2e-5 * np.abs(want).max()
    return tidied


@pytest.mark.parametrize("form", FORMS)
def test_is_one_operator(form: str, tmp_path: Path) -> None:
    tidied = _tidied(FORMS[form], tmp_path)
    (node,) = tidied.nodes
    assert isinstance(node.op, Norm)
    assert node.op.floor == (form == "l2_limit")


#: Nearly one: the mean stays above, an eps for each channel, no root, no square.
OTHERS = {
    "not_centred": f"{_MEAN} s = Mul(d, d) v = ReduceMean(s, last) e = Add(v, eps) r = Sqrt(e) y = Div(x, r)",
    "no_root": f"{_MEAN} s = Mul(d, d) v = ReduceMean(s, last) e = Add(v, eps) y = Div(d, e)",
    "eps_of_channels": f"{_MEAN} s = Mul(d, d) v = ReduceMean(s, last) e = Add(v, n1) f = Abs(g) h = Add(e, f) "
    "r = Sqrt(h) y = Div(d, r)",
    "cubes": f"{_MEAN} a = Abs(d) s = Mul(a, d) t = Mul(s, d) q = Abs(t) v = ReduceMean(q, last) e = Add(v, eps) "
    "r = Sqrt(e) y = Div(d, r)",
}  # fmt: skip


@pytest.mark.parametrize("form", OTHERS)
def test_others_stay(form: str, tmp_path: Path) -> None:
    tidied = _tidied(OTHERS[form], tmp_path)
    assert not [n for n in tidied.nodes if isinstance(n.op, Norm)]


def test_groups_of_torch(tmp_path: Path) -> None:
    """torch writes GroupNorm as InstanceNormalization of a reshaped tensor: no transpose stays between layers."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(size=(8, 3, 3)), "k": rng.normal(size=(4, 8, 3)), "ones": np.ones(4), "zeros": np.zeros(4),
        "g": rng.normal(size=(8, 1)), "b": rng.normal(size=(8, 1)),
    }  # fmt: skip
    floats = {k: v.astype(np.float32) for k, v in weights.items()}
    model = parse(
        """g (float[1,3,20] x) => (float y) <int64[3] cut = {0, 4, -1}, int64[3] back = {1, 8, 18}>
        { c = Conv(x, w) r = Reshape(c, cut) n = InstanceNormalization(r, ones, zeros) s = Reshape(n, back)
          t = Mul(s, g) u = Add(t, b) v = Relu(u) y = Conv(v, k) }""",
        weights=floats,
    )
    check(tmp_path, model)
    tidied = tidy(import_model(tmp_path, model).graph)
    assert [type(n.op).__name__ for n in tidied.nodes] == ["Conv", "Norm", "Conv"]
    (norm,) = (n for n in tidied.nodes if isinstance(n.op, Norm))
    assert isinstance(norm.op, Norm)
    assert (norm.op.groups, norm.op.lo) == (4, 0.0)
    assert tidied.tensors[norm.inputs[1]].shape == (8,)
