"""Attention as an operator of its own, against onnxruntime; and the same written out, as exporters do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from tests.frontend.support import check, import_model, one_node, parse, run_original, run_ours
from tinygen.calibrate.floatrun import FloatModel
from tinygen.errors import ModelError
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Graph
from tinygen.ops import Attention, Softmax
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import wide_tensors

RNG = np.random.default_rng(5)
CAUSAL = np.where(np.tri(5, dtype=bool), 0.0, -np.inf).astype(np.float32)


def _kinds(graph: Graph) -> list[str]:
    return [type(n.op).__name__ for n in graph.nodes]


def _tidied(model: ModelProto, tmp_path: Path) -> Graph:
    """The graph tidied; it computes the same."""
    graph = check(tmp_path, model).graph
    tidied = tidy(graph)
    outside = [RNG.normal(size=(2, *p.shape)).astype(np.float32) for p in graph.in_ports]
    got, want = (
        g.out_ports[0].to_onnx(
            FloatModel(to_onnx(g)).run_many([p.to_tensor(x) for p, x in zip(g.in_ports, outside, strict=True)])[0]
        )
        for g in (tidied, graph)
    )
    assert np.abs(got - want).max() < 1e-5 * max(1.0, float(np.abs(want).max()))
    return tidied


@pytest.mark.parametrize(
    ("shapes", "mask", "kw", "fused"),
    [
        ([(1, 2, 5, 4)] * 3, None, {}, True),
        ([(1, 5, 8), (1, 7, 8), (1, 7, 6)], None, {"q_num_heads": 2, "kv_num_heads": 2, "scale": 0.3}, True),
        ([(1, 5, 8), (1, 5, 4), (1, 5, 4)], None, {"q_num_heads": 4, "kv_num_heads": 2, "is_causal": 1}, True),
        ([(1, 2, 5, 4)] * 3, CAUSAL, {}, True),
        ([(1, 2, 5, 4)] * 3, np.tri(5, dtype=bool), {}, True),
        ([(1, 2, 5, 4)] * 3, RNG.normal(size=(1, 2, 5, 5)).astype(np.float32), {}, True),
        ([(2, 2, 5, 4)] * 3, RNG.normal(size=(2, 1, 5, 5)).astype(np.float32), {}, True),
        ([(1, 2, 3, 4)] * 3, np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1]], bool), {}, True),  # a query without a key
        ([(1, 2, 5, 4)] * 3, None, {"softcap": 2.0, "is_causal": 1}, False),
    ],
)
def test_operator(shapes: Any, mask: np.ndarray | None, kw: dict[str, Any], fused: bool, tmp_path: Path) -> None:
    model = one_node("Attention", shapes, [] if mask is None else [mask], opset=23, **kw)
    graph = check(tmp_path, model, input_shapes={f"x{i}": s for i, s in enumerate(shapes)}).graph
    assert ("Attention" in _kinds(graph)) == fused


@pytest.mark.parametrize("x", ["1,2,3,8", "1,3,16"])
def test_rotary_embedding_at_positions_that_come_in(x: str, tmp_path: Path) -> None:
    angles = RNG.uniform(0, 3, (9, 4))
    weights = {"c": np.cos(angles).astype(np.float32), "s": np.sin(angles).astype(np.float32)}
    model = parse(
        f"""g (float[{x}] x, int64[1,3] at) => (float y)
        {{ y = RotaryEmbedding<num_heads = 2>(x, c, s, at) }}""",
        opset=23, ir=10, weights=weights,
    )  # fmt: skip
    imported = import_model(tmp_path, model)
    assert imported.graph.in_ports[1].largest == 8
    at, given = np.array([[3, 8, 0]]), RNG.normal(size=imported.graph.in_ports[0].shape).astype(np.float32)
    (want,) = run_original(imported, {"x": given, "at": at})
    (got,) = run_ours(imported, {"x": given, "at": at.astype(np.float32)})
    np.testing.assert_allclose(got, want, atol=1e-5)


#: Inputs behind the mask as ONNX text, outputs, attributes.
CACHES = {
    "past": ("pk, pv", "y, nk, nv", "is_causal = 1"),
    "scores": ("pk, pv", "y, nk, nv, s", "qk_matmul_output_mode = 0"),
    "capped": ("pk, pv", "y, nk, nv, s", "qk_matmul_output_mode = 1, softcap = 0.5"),
    "weights": (", , ", "y, , , s", "qk_matmul_output_mode = 3, is_causal = 1"),
    "valid": (", , valid", "y", "is_causal = 0"),
    "valid_causal": (", , valid", "y", "is_causal = 1"),
}


@pytest.mark.parametrize("form", CACHES)
def test_earlier_keys_and_valid_ones(form: str, tmp_path: Path) -> None:
    """What ONNX joins in front, hides behind and hands out; each of a batch has as many valid keys as it says."""
    more, outs, attributes = CACHES[form]
    past = ", float[2,2,3,4] pk, float[2,2,3,4] pv" if "pk" in more else ""
    given = ", ".join(f"float {o}" for o in outs.replace(" ", "").split(",") if o)
    model = parse(
        f"""g (float[2,4,5,4] q, float[2,2,6,4] k, float[2,2,6,4] v{past}) => ({given})
        {{ {outs} = Attention<{attributes}>(q, k, v, , {more}) }}""",
        opset=24, weights={"valid": np.array([5, 6])} if "valid" in more else {}, ir=10,
    )  # fmt: skip
    shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in model.graph.input}
    graph = check(tmp_path, model, input_shapes=shapes).graph
    assert ("Attention" in _kinds(graph)) == (form != "capped")


@pytest.mark.parametrize("window", [{"left_window_size": 1, "is_causal": 1}, {"right_window_size": 2}])
def test_a_window(window: dict[str, int], tmp_path: Path) -> None:
    shapes = [(1, 2, 5, 4)] * 3
    graph = check(tmp_path, one_node("Attention", shapes, opset=25, **window)).graph
    assert _kinds(tidy(graph)).count("Attention") == 1


def test_masks_for_each_of_a_batch(tmp_path: Path) -> None:
    """Slices and a Concat of whole rows, which cost nothing; who else reads the scores has them computed apart."""
    bias = RNG.normal(size=(2, 1, 5, 5)).astype(np.float32)
    model = parse(
        """g (float[2,2,5,4] q, float[2,2,4,5] k, float[2,2,5,4] v) => (float y, float s)
        { s = MatMul(q, k) t = Add(s, bias) w = Softmax<axis = -1>(t) y = MatMul(w, v) }""",
        weights={"bias": bias},
    )
    shapes = {"q": (2, 2, 5, 4), "k": (2, 2, 4, 5), "v": (2, 2, 5, 4)}
    graph = check(tmp_path, model, input_shapes=shapes).graph
    kinds = _kinds(tidy(graph))
    assert (kinds.count("Attention"), kinds.count("MatMul"), kinds.count("Softmax")) == (2, 1, 0)


def test_weights_of_a_product_are_int16(tmp_path: Path) -> None:
    """An attention that is not fused: 50 weights of 1/50, of which int8 would make 5 or 6 steps each."""
    model = one_node("Attention", [(1, 1, 3, 8), (1, 1, 50, 8), (1, 1, 50, 8)], opset=23, softcap=1.0)
    graph = tidy(import_model(tmp_path, model).graph)
    (node,) = (n for n in graph.nodes if isinstance(n.op, Softmax))
    assert wide_tensors(graph) == {node.outputs[0]}


def test_a_mask_that_is_computed(tmp_path: Path) -> None:
    shapes = [*[(1, 2, 5, 4)] * 3, (5, 5)]
    model = one_node("Attention", shapes, opset=23)
    graph = check(tmp_path, model, input_shapes={f"x{i}": s for i, s in enumerate(shapes)}).graph
    assert _kinds(graph).count("MatMul") == 2


@pytest.mark.parametrize("bias", [False, True])
def test_multi_head_attention_of_onnxruntime(bias: bool, tmp_path: Path) -> None:
    weights = [RNG.normal(size=24).astype(np.float32) if bias else None]
    weights += [None, RNG.normal(size=(1, 2, 5, 6)).astype(np.float32)] if bias else []
    shapes = [(1, 5, 8), (1, 6, 8), (1, 6, 8)]
    model = one_node("MultiHeadAttention", shapes, weights, domain="com.microsoft", num_heads=2)
    check(tmp_path, model, input_shapes={f"x{i}": s for i, s in enumerate(shapes)})


def test_packed_attention_of_onnxruntime(tmp_path: Path) -> None:
    weights = [RNG.normal(size=(8, 24)).astype(np.float32), RNG.normal(size=24).astype(np.float32)]
    model = one_node("Attention", (1, 5, 8), weights, domain="com.microsoft", num_heads=2, unidirectional=1)
    assert _kinds(tidy(check(tmp_path, model).graph)) == ["Dense", "Dense", "Dense", "Attention"]


@pytest.mark.parametrize(
    ("x", "kw"),
    [
        ((1, 2, 5, 8), {}),
        ((1, 2, 5, 8), {"interleaved": 1}),
        ((1, 5, 16), {"num_heads": 2, "rotary_embedding_dim": 4}),
    ],
)
def test_rotary_embedding(x: tuple[int, ...], kw: dict[str, Any], tmp_path: Path) -> None:
    angles = RNG.uniform(0, 3, (9, kw.get("rotary_embedding_dim", 8) // 2))
    weights = [np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32), np.array([[3, 1, 4, 0, 8]])]
    check(tmp_path, one_node("RotaryEmbedding", x, weights, opset=23, **kw))


def test_what_is_refused(tmp_path: Path) -> None:
    masks = np.zeros((1, 1, 3, 4), np.float32)
    with pytest.raises(ModelError, match="a mask of"):
        import_model(tmp_path, one_node("Attention", [(1, 2, 5, 4)] * 3, [masks], opset=23))
    shapes = [(1, 5, 8), (1, 6, 8), (1, 6, 8)]
    model = one_node(
        "MultiHeadAttention",
        shapes,
        [None, None, None, np.zeros((1, 2, 3, 4), np.float32)],
        domain="com.microsoft",
        num_heads=2,
    )
    with pytest.raises(ModelError, match="given whole"):
        import_model(tmp_path, model)


_WEIGHTS = {
    "w": RNG.normal(size=(8, 24)), "b": RNG.normal(size=24), "o": RNG.normal(size=(8, 8)), "c": RNG.normal(size=8),
    "wk": RNG.normal(size=(8, 8)), "scale": 0.5, "root": 0.7, "causal": CAUSAL, "low": np.maximum(CAUSAL, -1e9),
    "heads_bias": RNG.normal(size=(2, 5, 5)),
}  # fmt: skip
_CONSTANTS = """int64[4] split4 = {1, 5, 2, 4}, int64[3] joined = {1, 5, 8}, int64[5] three = {1, 5, 3, 2, 4},
    int64[3] merged = {5, 2, 4}, int64[2] flat = {5, 8}, int64[3] cut = {8, 8, 8}, int64[1] zero = {0},
    int64 i0 = {0}, int64 i1 = {1}, int64 i2 = {2}"""
#: Name: nodes from x (1, 5, 8) to y.
FORMS = {
    # nn.Linear for all three, split; transposes; scaled scores.
    "split": """p = MatMul(x, w) a = Add(p, b) q0, k0, v0 = Split<axis = -1>(a, cut)
        q1 = Reshape(q0, split4) k1 = Reshape(k0, split4) v1 = Reshape(v0, split4)
        q = Transpose<perm = [0, 2, 1, 3]>(q1) k = Transpose<perm = [0, 2, 3, 1]>(k1)
        v = Transpose<perm = [0, 2, 1, 3]>(v1) s0 = MatMul(q, k) s = Mul(s0, scale)
        z = Softmax<axis = -1>(s) h = MatMul(z, v) t = Transpose<perm = [0, 2, 1, 3]>(h)
        r = Reshape(t, joined) y = MatMul(r, o)""",
    # qkv as one more axis, picked; queries and keys scaled by the root; a causal mask.
    "picked": """p = MatMul(x, w) a = Add(b, p) r3 = Reshape(a, three) t3 = Transpose<perm = [2, 0, 3, 1, 4]>(r3)
        q0 = Gather<axis = 0>(t3, i0) k0 = Gather<axis = 0>(t3, i1) v = Gather<axis = 0>(t3, i2) q = Mul(q0, root)
        k1 = Transpose<perm = [0, 1, 3, 2]>(k0) k = Mul(k1, root) s0 = MatMul(q, k) s = Add(s0, causal)
        z = Softmax<axis = -1>(s) h = MatMul(z, v) t = Transpose<perm = [0, 2, 1, 3]>(h)
        r = Reshape(t, joined) y = MatMul(r, o)""",
    # time first and batch and heads as one axis, as nn.MultiheadAttention; a mask of -1e9.
    "time_first": """x1 = Transpose<perm = [1, 0, 2]>(x) p = MatMul(x1, w) a = Add(p, b)
        q0, k0, v0 = Split<axis = -1>(a, cut) q1 = Reshape(q0, merged) k1 = Reshape(k0, merged) v1 = Reshape(v0, merged)
        q2 = Transpose<perm = [1, 0, 2]>(q1) k = Transpose<perm = [1, 2, 0]>(k1) v = Transpose<perm = [1, 0, 2]>(v1)
        q = Div(q2, scale) s0 = MatMul(q, k) s = Add(low, s0) z = Softmax<axis = -1>(s) h = MatMul(z, v)
        t = Transpose<perm = [1, 0, 2]>(h) r = Reshape(t, flat) g = Gemm(r, o, c) y = Unsqueeze(g, zero)""",
    # layers of their own, and a bias for each head.
    "layers": """q0 = MatMul(x, o) k0 = MatMul(x, wk) v0 = MatMul(x, o)
        q1 = Reshape(q0, split4) k1 = Reshape(k0, split4) v1 = Reshape(v0, split4)
        q = Transpose<perm = [0, 2, 1, 3]>(q1) k = Transpose<perm = [0, 2, 3, 1]>(k1)
        v = Transpose<perm = [0, 2, 1, 3]>(v1) s0 = MatMul(q, k) s1 = Div(s0, scale)
        s = Add(s1, heads_bias) z = Softmax<axis = -1>(s) h = MatMul(z, v)
        t = Transpose<perm = [0, 2, 1, 3]>(h) r = Reshape(t, joined) y = MatMul(r, o)""",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_written_out(form: str, tmp_path: Path) -> None:
    """Three layers, attention, the layer behind it, and what says shapes: no transpose, slice or copy."""
    floats = {k: np.asarray(v, np.float32) for k, v in _WEIGHTS.items()}
    model = parse(f"g (float[1,5,8] x) => (float y) <{_CONSTANTS}> {{ {FORMS[form]} }}", weights=floats)
    tidied = _tidied(model, tmp_path)
    kinds = [k for k in _kinds(tidied) if k != "Reshape"]
    assert kinds == ["Dense"] * 3 + ["Attention", "Dense"]
    (op,) = (n.op for n in tidied.nodes if isinstance(n.op, Attention))
    assert op.heads == 2
    assert op.causal == (form in ("picked", "time_first"))
    parts = [] if form == "layers" else ["queries", "keys", "values"]  # those have names of their own
    assert [n.label for n in tidied.nodes if n.label] == [*parts, "attention"]


def test_products_read_in_any_order(tmp_path: Path) -> None:
    """What is no attention keeps no transpose in front of its products, and none behind."""
    model = parse(
        """g (float[1,5,2,4] a, float[1,5,2,4] b) => (float y)
        { p = Transpose<perm = [0, 2, 1, 3]>(a) q = Transpose<perm = [0, 2, 3, 1]>(b) s = MatMul(p, q) t = Relu(s)
          r = MatMul(t, p) y = Transpose<perm = [0, 2, 1, 3]>(r) }"""
    )
    assert _kinds(_tidied(model, tmp_path)) == ["MatMul", "MatMul"]
