"""Random ONNX networks: `generate(seed)` always gives the same one (for the same onnx and onnxruntime)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper

from tests.random.choices import CHOICES
from tests.random.layers import FUNCTIONS, LAYERS, QLINEAR, QUANTISED, Layer, function, qlinear
from tests.random.net import Array, Net, Refused, Shape, draw
from tests.random.sequences import SEQUENCES

#: What onnxruntime executes; tinygen reads from 11.
OPSETS = tuple(range(11, 27))
TRIES = 60
#: Seeds from here on draw recurrent layers, attention and what came with them too. Those before do not: tests keep some
#: of them for what they once found.
LATER = 10_000
#: A later seed begins with one of these, in turn.
NEWEST: tuple[tuple[Layer, float], ...] = (*SEQUENCES, *CHOICES)
#: The share of layers that a later seed draws from NEWEST.
SHARE = 0.5


def generate(seed: int) -> ModelProto:
    """A network of 1 to 12 layers with 1 to 3 inputs and 1 to 4 outputs."""
    rng = np.random.default_rng([2, seed])
    if seed >= LATER:
        return _later(rng, seed)
    # Rare kinds in turn, as the first layers.
    rare = list(FUNCTIONS)[seed // 2 % len(FUNCTIONS)] if seed % 2 == 0 else None
    least = FUNCTIONS[rare][0] if rare is not None else OPSETS[0]
    most = 24 if rare == "Swish" else OPSETS[-1]  # onnxruntime 1.31 has it for this opset only
    net = Net(rng, int(rng.choice([v for v in OPSETS if least <= v <= most])))
    for i in range(net.pick([1, 1, 1, 1, 2, 2, 3])):
        net.add_input(_input_shape(net), net.pick([f"x{i}", f"input.{i}", f"serving_default_x{i}:0"]))
    quantised = seed % 4 == 1
    layers = list(LAYERS) + (list(QUANTISED) if quantised else [])
    if quantised:
        _try(net, lambda n: qlinear(n, QLINEAR[seed // 4 % len(QLINEAR)]))
    if rare is not None:
        _try(net, lambda n: function(n, rare))
    _add(net, layers)
    return net.model(_outputs(net))


def _later(rng: np.random.Generator, seed: int) -> ModelProto:
    """The same from all tables, the first layer one of the newest in turn; some with an input of whole numbers."""
    first, _ = NEWEST[seed % len(NEWEST)]
    net = Net(rng, int(rng.choice(OPSETS[-6:] if rng.random() < 0.6 else OPSETS)))
    for i in range(net.pick([1, 1, 1, 2])):
        net.add_input(_input_shape(net) if net.chance(0.5) else (1, net.between(2, 20), net.between(1, 24)), f"x{i}")
    if net.chance(0.15):
        net.add_input((1, net.between(1, 12)), "tokens", f"index {net.between(2, 60)}")
    for _ in range(TRIES):
        if _try(net, first):
            break
    parts = [(LAYERS, 1 - SHARE), (NEWEST, SHARE), *([(QUANTISED, 0.3)] if seed % 5 == 1 else [])]
    _add(net, [(layer, w * share / sum(v for _, v in table)) for table, share in parts for layer, w in table])
    return net.model(_outputs(net))


def _add(net: Net, layers: Sequence[tuple[Layer, float]]) -> None:
    """1 to 12 layers, drawn by their weights."""
    odds = np.array([w for _, w in layers]) / sum(w for _, w in layers)
    wanted, done = net.between(1, 12), 0
    for _ in range(TRIES):
        if done == wanted:
            break
        layer, _ = layers[int(net.rng.choice(len(layers), p=odds))]
        done += _try(net, layer)


def _try(net: Net, layer: Layer) -> bool:
    """Add a layer; False when it did not fit."""
    try:
        net.begin()
        net.commit(layer(net))
    except Refused:
        return False
    return True


def _input_shape(net: Net) -> Shape:
    """Mostly images and signals; every rank from 1 to 5."""
    c = net.pick([1, 2, 3, 3, 4, 5, 8, 16])
    match net.between(0, 11):
        case 0:
            return (1, net.between(1, 40))
        case 1:
            return (1, net.between(1, 8), net.between(1, 12))
        case 2 | 3:
            return (1, c, net.between(1, 40))
        case 4:
            return (1, net.between(1, 4), net.between(1, 5), net.between(1, 4), net.between(1, 5))
        case 5:
            return (1, net.between(1, 12), net.between(1, 12), c)  # channels last, as tf2onnx leaves it
        case 6:
            return (1,) if net.chance(0.3) else (1, 1)
        case _:
            return (1, c, net.between(1, 14), net.between(1, 14))


def _outputs(net: Net) -> list[Any]:
    """What nobody reads (some of it dropped: results nobody asked for), sometimes a value inside, rarely an input."""
    made = {o for n in net.nodes for o in n.output}
    loose = [v for v in net.values if v.name in net.opened and v.name in made]
    if not loose:  # nothing fitted: a network that only hands on
        net.begin()
        loose = net.commit(net.op("Identity", [net.values[0]]))
    order = [loose[i] for i in net.rng.permutation(len(loose))][:4]
    inner = [v for v in net.values if v.name in made and v not in order]
    if inner and len(order) < 4 and net.chance(0.25):
        order.append(net.pick(inner))
    if net.chance(0.03) and len(order) < 4:
        order.append(net.inputs[0][0])
    return order


def batch_first(model: ModelProto, seed: int) -> ModelProto:
    """The same network with some recurrent layers in layout 1, which onnxruntime does not execute."""
    rng = np.random.default_rng([6, seed])
    turned = ModelProto.FromString(model.SerializeToString())
    nodes: list[NodeProto] = []

    def moved(source: str, target: str, perm: Sequence[int]) -> None:
        nodes.append(helper.make_node("Transpose", [source], [target], name=f"{target}_turned", perm=perm))

    for node in turned.graph.node:
        if node.op_type not in ("LSTM", "GRU", "RNN") or model.opset_import[0].version < 14 or rng.random() < 0.6:
            nodes.append(node)
            continue
        one = NodeProto.FromString(node.SerializeToString())
        one.attribute.append(helper.make_attribute("layout", 1))
        for i in (0, 5, 6):  # x, and the initial states
            if len(node.input) > i and node.input[i]:
                one.input[i] = f"{node.output[0]}_in{i}"
                moved(node.input[i], one.input[i], [1, 0, 2])
        nodes.append(one)
        for i, name in enumerate(node.output):
            if name:
                one.output[i] = f"{name}_first"
                moved(one.output[i], name, [1, 0, 2] if i else [1, 2, 0, 3])
    del turned.graph.node[:]
    turned.graph.node.extend(nodes)
    return turned


def samples(model: ModelProto, count: int, seed: int) -> dict[str, Array]:
    """(count, *shape) of every input, drawn from the distribution its doc_string names."""
    rng = np.random.default_rng([3, seed])
    found = {}
    for v in model.graph.input:
        shape = tuple(d.dim_value or 1 for d in v.type.tensor_type.shape.dim)
        found[v.name] = draw(v.doc_string, (count, *shape), rng)
    return found


def operators(model: ModelProto) -> list[str]:
    """ONNX operators of the nodes that some output needs, in the form `domain:Name`."""
    needed = {o.name for o in model.graph.output}
    kinds = []
    for n in reversed(model.graph.node):
        if needed.intersection(n.output):
            needed.update(n.input)
            kinds.append(_kind(n))
    return kinds


def _kind(n: NodeProto) -> str:
    return f"{n.domain}:{n.op_type}" if n.domain else n.op_type


def newest_opset() -> int:
    """Of the installed onnx package."""
    return int(onnx.defs.onnx_opset_version())
