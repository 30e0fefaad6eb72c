"""A normalisation in front of the network goes into the input port (`Affine`).

What exporters leave there - a mean taken off, a division, a BatchNorm - is one scale and one offset for each channel.
As a layer it would read an input quantised with one scale for all channels, in which a channel of small numbers beside
one of large numbers is lost. In the port it costs nothing and every channel has a scale of its own. Padding behind it
stays what it was: the zero of the normalised tensor.

Transposes, reshapes, slices and padding between the input and the normalisation change places with it first.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from tinygen.ir.types import Affine, Node, Port, Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops import Add, Concat, Mul, Operator, Pad, Slice, Unary
from tinygen.ops.access import Kind
from tinygen.ops.unary import clamp_of
from tinygen.passes.base import Pass, Promise, Whole, fresh, merge_origin, until_stable
from tinygen.passes.draft import Draft

#: Gains beyond come from a broken model, and a division by their like may leave the normal float32.
_LARGEST_GAIN = 2.0**60
#: So many moves at most lie between an input and a normalisation: one at the end of a chain of a thousand is none, and
#: each change of places takes its time.
_MOST_MOVES = 8


def _constant(graph: Draft, node: Node) -> tuple[Array, int] | None:
    """The constant of an Add or Mul that is one number, or one for each slice of an axis: values, and that axis of the
    output (0 for a number)."""
    if not isinstance(node.op, Add | Mul) or (node.op.lo, node.op.hi) != (-math.inf, math.inf):
        return None
    constants = [t for t in graph.ins(node) if t.const is not None]
    activations = [t for t in graph.ins(node) if t.const is None]
    y = graph.outs(node)[0]
    if len(constants) != 1 or activations[0].shape != y.shape:
        return None
    c = constants[0]
    axes = [a + len(y.shape) - len(c.shape) for a, d in enumerate(c.shape) if d != 1]
    if len(axes) > 1:
        return None
    return c.array.reshape(-1).astype(np.float64), axes[0] if axes else 0


def _source(graph: Draft, node: Node) -> str:
    return next(i for i in node.inputs if graph.tensors[i].const is None)


def _apply(graph: Draft, node: Node, x: Array) -> Array:
    """The node's function of an array that its constant broadcasts against."""
    a, b = (x if t.const is None else t.array.astype(np.float64) for t in graph.ins(node))
    assert isinstance(node.op, Add | Mul)
    return np.asarray(a * b if isinstance(node.op, Mul) else a + node.op.sign * b)


def codes_quant(port: Port) -> Quant | None:
    """The pin with which an input that comes in as 8-bit integers keeps them as they are, less 128 for uint8; None
    where the normalisation has no such form (a gain for each channel, a mean between two integers)."""
    shift = {"int8": 0, "uint8": 128}.get(port.codes)
    a = port.affine or Affine((0.0,), (1.0,))
    if shift is None or len(a.mean) > 1 or a.gain[0] < 0 or a.mean[0] != round(a.mean[0]):
        return None
    zero_point = int(a.mean[0]) - shift
    return Quant.per_tensor(a.gain[0], zero_point) if -128 <= zero_point <= 127 else None


def _is_free(tensor: Tensor, port: Port) -> bool:
    """No pin, or only the one `codes_quant` gave."""
    return tensor.quant in (None, codes_quant(port))


def _absorb(graph: Draft, i: int) -> bool:
    """The Add or Mul behind input `i` becomes the port's."""
    x, port = graph.tensors[graph.inputs[i]], graph.in_ports[i]
    node = graph.sole_consumer(x.name)
    if node is None or node.outputs[0] in graph.results or not _is_free(x, port):
        return False
    y = graph.outs(node)[0]
    if isinstance(node.op, Unary) and y.quant is not None and _says_range(node.op, y.quant):
        return _as_input(graph, i, node, port.affine)
    found = _constant(graph, node)
    if found is None:
        return False
    assert isinstance(node.op, Add | Mul)
    values, axis = found
    old = port.affine or Affine((0.0,), (1.0,))
    if values.size > 1 and len(old.mean) > 1 and axis != old.axis:
        return False
    axis = axis if values.size > 1 else old.axis
    mean, gain = np.asarray(old.mean), np.asarray(old.gain)
    if isinstance(node.op, Mul):
        mean, gain = np.broadcast_arrays(mean, gain * values)
    else:
        away = values / gain  # tensor + values = (outside - (mean - away)) * gain
        flipped = node.op.sign < 0 and graph.tensors[node.inputs[0]].const is not None
        mean = mean - away if node.op.sign > 0 else mean + away
        mean, gain = np.broadcast_arrays(mean, -gain if flipped else gain)
    with np.errstate(over="ignore"):
        mean, gain = mean.astype(np.float32), gain.astype(np.float32)
    size = np.abs(gain)
    if not (np.all(np.isfinite(mean)) and np.all(size <= _LARGEST_GAIN) and np.all(size >= 1 / _LARGEST_GAIN)):
        return False  # a gain of 0, say: nothing of the input is left in that channel
    if np.unique(mean).size == 1 and np.unique(gain).size == 1:
        mean, gain, axis = mean[:1], gain[:1], 0
    return _as_input(graph, i, node, Affine(tuple(map(float, mean)), tuple(map(float, gain)), axis))


def _as_input(graph: Draft, i: int, node: Node, affine: Affine | None) -> bool:
    """The output of `node` is input `i`; its port normalises by `affine`."""
    y, port = graph.outs(node)[0], replace(graph.in_ports[i], affine=affine)
    graph.set_input(i, y if y.quant is not None else replace(y, quant=codes_quant(port)), port)
    return graph.replace({node.name: ()})


def _says_range(op: Unary, pin: Quant) -> bool:
    """A clamp to what `pin` can say anyway: quantising saturates."""
    bounds = clamp_of(op.expr)
    half = 0.5 * pin.s
    low, high = pin.s * (pin.low - pin.zero_point) + half, pin.s * (pin.high - pin.zero_point) - half
    return bounds is not None and bounds[0] <= low and bounds[1] >= high


def _raise(graph: Draft, node: Node) -> bool:
    """An Add or Mul by a constant changes places with the operator before it, where that leads to an input."""
    found = _constant(graph, node)
    above = graph.producer.get(_source(graph, node)) if found is not None else None
    if found is None or above is None or not _leads_to_input(graph, above.outputs[0]):
        return False
    values, axis = found
    x, y = graph.tensors[_source(graph, above)], graph.outs(node)[0]
    op, rank = above.op, len(y.shape)
    if isinstance(op, Concat):
        return _raise_over_concat(graph, node, above)
    assert isinstance(op, Operator)
    if values.size > 1:  # the axis of x that goes along, whole
        along = op.access(graph.ins(above), graph.outs(above))[0][0]
        match = [i for i, a in enumerate(along or ()) if a.out == axis and a.kind is Kind.SAME]
        if not match:
            return False
        axis = match[0]
    if isinstance(op, Pad):
        shape = tuple(values.size if a == axis and values.size > 1 else 1 for a in range(rank))
        filled = _apply(graph, node, np.full(shape, op.value))
        if np.unique(filled).size > 1:
            return _blocks(graph, node, above, np.broadcast_to(filled, shape))
        op = replace(op, value=float(filled.flat[0]))
    shape = tuple(values.size if a == axis and values.size > 1 else 1 for a in range(len(x.shape)))
    const = Tensor.constant(fresh(graph, f"{node.name}_raised"), values.astype(np.float32).reshape(shape))
    early = Tensor(fresh(graph, f"{y.name}_early"), x.shape)
    inputs = tuple(const.name if graph.tensors[i].const is not None else x.name for i in node.inputs)
    first = replace(node, inputs=inputs, outputs=(early.name,))
    others = tuple(early.name if i == x.name else i for i in above.inputs)
    second = replace(above, op=op, inputs=others, outputs=node.outputs)
    return graph.replace({above.name: (first, second), node.name: ()}, (const, early))


def _blocks(graph: Draft, node: Node, above: Node, filled: Array) -> bool:
    """Padding with another value for each channel, `filled`: blocks of constants beside the tensor, axis by axis."""
    assert isinstance(above.op, Pad)
    pads, rank = above.op.pads, len(filled.shape)
    y = graph.outs(node)[0]
    x = graph.tensors[above.inputs[0]]
    middle = Tensor(fresh(graph, f"{y.name}_early"), x.shape)
    inputs = tuple(i if graph.tensors[i].const is not None else x.name for i in node.inputs)
    nodes = [replace(node, inputs=inputs, outputs=(middle.name,))]
    tensors = [middle]
    padded = [a for a in range(rank) if pads[a] or pads[rank + a]]
    for a in padded:
        shape = list(middle.shape)
        ends = []
        for k, width in enumerate((pads[a], pads[rank + a])):
            block = np.broadcast_to(filled, (*shape[:a], width, *shape[a + 1 :])).astype(np.float32)
            ends.append(Tensor.constant(f"{above.name}_axis{a}_{'after' if k else 'before'}", block))
        shape[a] += pads[a] + pads[rank + a]
        out = y if a == padded[-1] else Tensor(f"{above.name}_axis{a}", tuple(shape))
        parts = [t.name for t in (ends[0], middle, ends[1]) if t.size]
        nodes.append(Node(f"{above.name}_axis{a}", Concat(a), tuple(parts), (out.name,), above.origin))
        tensors += [*(t for t in ends if t.size), *([] if out is y else [out])]
        middle = out
    return graph.replace({above.name: nodes, node.name: ()}, tensors)


def _raise_over_concat(graph: Draft, node: Node, above: Node) -> bool:
    """Constants beside the one activation are computed through; only what `_blocks` made comes here."""
    assert isinstance(above.op, Concat)
    parts = graph.ins(above)
    activations = [t for t in parts if t.const is None]
    found = _constant(graph, node)
    assert found is not None
    if len(activations) != 1 or (found[0].size > 1 and above.op.axis == found[1]):
        return False
    x = activations[0]
    early = Tensor(fresh(graph, f"{x.name}_early"), x.shape)
    tensors, inputs = [early], []
    for t in parts:
        if t.const is None:
            inputs.append(early.name)
            continue
        changed = _apply(graph, node, t.array.astype(np.float64)).astype(np.float32)
        tensors.append(Tensor.constant(fresh(graph, f"{t.name}_scaled"), changed))
        inputs.append(tensors[-1].name)
    own = tuple(i if graph.tensors[i].const is not None else x.name for i in node.inputs)
    first = replace(node, inputs=own, outputs=(early.name,))
    second = replace(above, inputs=tuple(inputs), outputs=node.outputs, origin=merge_origin(above, node))
    return graph.replace({above.name: (first, second), node.name: ()}, tensors)


def _moves(node: Node) -> bool:
    """It only puts values in their places, or constants beside them."""
    assert isinstance(node.op, Operator)
    return node.op.rearranges or isinstance(node.op, Slice | Pad | Concat)


def _leads_to_input(graph: Draft, name: str) -> bool:
    """Nothing but moves, each read once, between an input and `name`."""
    passed = [name]
    while name not in graph.inputs:
        above = graph.producer.get(name)
        if above is None:  # a state
            return False
        sources = [i for i in above.inputs if graph.tensors[i].const is None]
        if len(passed) > _MOST_MOVES or len(sources) != 1 or not _moves(above):
            return False
        (name,) = sources
        passed.append(name)
    port = graph.in_ports[graph.inputs.index(name)]
    return all(graph.sole_consumer(t) is not None and _is_free(graph.tensors[t], port) for t in passed)


def _absorb_any(graph: Draft) -> bool:
    return any(_absorb(graph, i) for i in range(len(graph.inputs)))


PASS = Pass("input_affine", until_stable(_raise, Whole(_absorb_any)), Promise.CLOSE)
