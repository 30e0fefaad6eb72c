"""Networks with attention and normalisation: whole heads go, and every technique's file reads back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.compress.float_nets import outputs
from tests.compress.test_finish import round_trip
from tests.frontend.support import import_model, parse
from tinygen.calibrate.data import Samples
from tinygen.compress.finish import finish
from tinygen.compress.forms.bits import Bits
from tinygen.compress.forms.cluster import Cluster
from tinygen.compress.forms.sparsity import Sparsity
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network
from tinygen.compress.pipeline import compress
from tinygen.compress.recipe import Recipe
from tinygen.compress.structure.prune import Prune, prune
from tinygen.compress.structure.rank import Rank
from tinygen.compress.train import Training
from tinygen.errors import ModelError
from tinygen.frontend.onnx_writer import to_qdq
from tinygen.ir import invariants
from tinygen.ir.types import Graph, Tensor
from tinygen.numerics import Array
from tinygen.ops import Attention
from tinygen.passes.channels import couple, keep
from tinygen.passes.pipeline import tidy

T, WIDTH, D = 7, 24, 6


def network(folder: Path, *, heads: int = 4, kv: int = 4, mask: bool = False) -> Graph:
    """Attention of dense layers, with a residual and a normalisation behind it, and two dense layers."""
    rng = np.random.default_rng(0)
    shapes = {
        "wq": (WIDTH, heads * D), "wk": (WIDTH, kv * D), "wv": (WIDTH, kv * D), "wo": (heads * D, WIDTH),
        "g": (WIDTH,), "b": (WIDTH,), "w1": (WIDTH, 32), "w2": (32, WIDTH), "n": (WIDTH, 3),
    }  # fmt: skip
    weights: dict[str, Array] = {k: rng.normal(0, 0.25, s).astype(np.float32) for k, s in shapes.items()}
    weights |= {"g": np.ones(WIDTH, np.float32), "mean": np.array([1])}
    if mask:
        weights["m"] = rng.normal(0, 1, (heads, T, T)).astype(np.float32)
    body = (
        f"q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv) "
        f"a = Attention<q_num_heads={heads}, kv_num_heads={kv}>(q, k, v{', m' if mask else ''}) "
        f"o = MatMul(a, wo) r = Add(x, o) l = LayerNormalization<axis=-1>(r, g, b) "
        f"h = MatMul(l, w1) j = Relu(h) f = MatMul(j, w2) p = ReduceMean<keepdims=0>(f, mean) z = MatMul(p, n)"
    )
    text = f"g (float[1,{T},{WIDTH}] x) => (float z) {{ {body} }}"
    graph = tidy(import_model(folder, parse(text, weights=weights, opset=24)).graph)
    assert any(isinstance(n.op, Attention) for n in graph.nodes)
    return graph


def samples(count: int = 40) -> Samples:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(count, 1, 6)) @ rng.normal(size=(6, T * WIDTH)) / 2
    return Samples((x.reshape(count, 1, T, WIDTH).astype(np.float32),), None, "", "made in the test")


def attention(graph: Graph) -> Attention:
    return next(n.op for n in graph.nodes if isinstance(n.op, Attention))


@pytest.mark.parametrize(("heads", "kv", "mask"), [(4, 4, False), (4, 4, True), (6, 3, False)])
def test_a_head_goes_as_a_whole(heads: int, kv: int, mask: bool, tmp_path: Path) -> None:
    """As if nobody read it."""
    graph = network(tmp_path, heads=heads, kv=kv, mask=mask)
    node = next(n for n in graph.nodes if isinstance(n.op, Attention))
    channels = couple(graph)
    kept, (*_, last) = np.ones(len(channels.pinned), bool), channels.classes[node.outputs[0]]
    kept[last] = False
    assert not channels.pinned[last]
    small = keep(graph, channels.masks(kept))
    invariants.check(small)
    assert (attention(small).heads, attention(small).kv_heads) == (heads - heads // kv, kv - 1)
    reader = graph.sole_consumer(node.outputs[0])
    while reader is not None and len(reader.inputs) == 1:
        reader = graph.sole_consumer(reader.outputs[0])
    assert reader is not None
    w = graph.tensors[reader.inputs[1]]
    unread = Tensor.constant(w.name, w.array * kept[channels.classes[node.outputs[0]]].astype(np.float32))
    data = samples(8)
    np.testing.assert_allclose(outputs(small, data), outputs(graph.with_(tensors=[unread]), data), atol=2e-5)
    finished = finish(Network(small), data)
    if kv < heads:
        with pytest.raises(ModelError, match=r"attention whose heads share keys .* Build the model as it is"):
            to_qdq(finished)
    else:
        round_trip(finished, data, tmp_path)


def test_pruning_takes_heads_too(tmp_path: Path) -> None:
    graph, data = network(tmp_path), samples()
    log: list[LayerChange] = []
    small = prune(Network(graph), data, amount=0.5, log=log)
    assert attention(small.graph).heads < 4
    assert {c.text for c in log} >= {f"{attention(small.graph).heads * D} of 24 channels kept"}
    round_trip(finish(small, data), data, tmp_path)


@pytest.mark.parametrize(
    "recipe",
    [Recipe(Bits(4)), Recipe(Cluster(8)), Recipe(Sparsity(0.5)), Recipe(Rank(energy=0.9)),
     Recipe(Prune(0.3), Bits(4), Training(epochs=1, batch=16, quantise=True))],
    ids=["bits", "cluster", "sparsity", "rank", "all"],
)  # fmt: skip
def test_every_technique(recipe: Recipe, tmp_path: Path) -> None:
    graph, data = network(tmp_path), samples()
    done = compress(graph, data, recipe)
    assert any(c.after < c.before for c in done.changes)
    round_trip(done.graph, data, tmp_path)
