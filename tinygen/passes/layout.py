"""Choose channels-last without leaving a transpose behind.

The reader wraps every spatial operator in transposes from and to the ONNX layout. Here each transpose sinks towards the
outputs, through whatever can be had with its axes in another order (`Operator.permuted`), until it meets its inverse,
becomes a mere reshape, is absorbed in the weights of a dense layer, or reaches the edge of the graph, where the input
and output helpers do it.

Transposes and reshapes carry no pin here (`pins.settle`): that of an operator's output goes with the value, in front of
the transpose behind it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tinygen.ir.types import Const, Graph, Node, Tensor
from tinygen.numerics import Array
from tinygen.ops import Reshape, Transpose, Unary
from tinygen.ops.access import STAYS, Along, Axis, Kind, Shape, width
from tinygen.ops.base import Operator
from tinygen.passes.base import Pass, Promise, Whole, fresh, merge_origin, until_stable
from tinygen.passes.draft import Draft
from tinygen.passes.pins import settle


def _inverse(perm: Shape) -> Shape:
    return tuple(sorted(range(len(perm)), key=perm.__getitem__))


def is_view(shape: Shape, perm: Shape) -> bool:
    """The permutation only moves axes of length 1: the elements keep their order."""
    return [p for p in perm if shape[p] != 1] == sorted(p for p in perm if shape[p] != 1)


def _transpose_of(graph: Draft, tensor: str) -> Node | None:
    node = graph.producer.get(tensor)
    return node if node is not None and isinstance(node.op, Transpose) else None


def _perm(node: Node) -> Shape:
    """Of a transpose."""
    assert isinstance(node.op, Transpose)
    return node.op.perm


def _simplify(graph: Draft, node: Node) -> bool:
    """Transpose of a transpose; the transpose that changes nothing."""
    perm = _perm(node)
    x, y = graph.ins(node)[0], graph.outs(node)[0]
    if perm == tuple(range(len(perm))):
        if y.name not in graph.results:
            return graph.bypass(node, x.name)
        # What stays is a second name for a network output or a state.
        return graph.replace({node.name: (replace(node, op=Unary("x", "requantise")),)})
    above = _transpose_of(graph, x.name)
    if above is not None:
        both = Transpose(tuple(_perm(above)[p] for p in perm))
        merged = replace(node, op=both, inputs=above.inputs, origin=merge_origin(above, node))
        return graph.replace({node.name: (merged,)})
    return _meet(graph, node)


def _meet(graph: Draft, node: Node) -> bool:
    """Transpose, Reshape that only merges axes, Transpose: the lower one rises, to make one of the two."""
    reshape, y = graph.producer.get(node.inputs[0]), graph.outs(node)[0]
    if reshape is None or not isinstance(reshape.op, Reshape) or graph.sole_consumer(node.inputs[0]) is None:
        return False
    if _transpose_of(graph, reshape.inputs[0]) is None or is_view(graph.ins(node)[0].shape, _perm(node)):
        return False
    ((_, axes),) = _operands(graph, reshape)
    if any(a.kind not in (Kind.SAME, Kind.MOVE, Kind.REPEAT) for a in axes):
        return False
    x = graph.ins(reshape)[0]
    places = [-1 if a.out is None else _perm(node).index(a.out) for a in axes]
    order = tuple(sorted(range(len(axes)), key=places.__getitem__))
    turned = Tensor(fresh(graph, f"{x.name}_last"), tuple(x.shape[i] for i in order), x.dtype)
    above = replace(node, op=Transpose(order), inputs=(x.name,), outputs=(turned.name,))
    below = replace(reshape, op=Reshape(y.shape), inputs=(turned.name,), outputs=(y.name,))
    return graph.replace({reshape.name: (), node.name: (above, below)}, (turned,))


def _raise_to_input(graph: Draft) -> bool:
    """A transpose behind a padded (sliced, scaled) network input: let the input arrive in the order wanted.

    The input's port takes the permutation over and a transpose back is put behind it, which then sinks and meets this
    one.
    """
    found = [(i, node) for i in range(len(graph.inputs)) if (node := _transpose_below(graph, i)) is not None]
    if not found:
        return False
    i, node = min(found, key=lambda f: graph.place(f[1].name))
    perm, name = _perm(node), graph.inputs[i]
    x = graph.tensors[name]
    moved = replace(x, name=fresh(graph, f"{name}_last"), shape=tuple(x.shape[p] for p in perm))
    back = Node(fresh(graph, f"{name}_back"), Transpose(_inverse(perm)), (moved.name,), (name,), node.origin)
    _set_input(graph, i, moved, perm)
    graph.put_first(back)
    return graph.replace({}, (replace(x, quant=None),))


def _transpose_below(graph: Draft, index: int) -> Node | None:
    """The transpose that an input reaches through one operator or more that let it pass, read no other activation, and
    make each element of one, from where it is or from a shifted place."""
    name = graph.inputs[index]
    above: list[Node] = []
    while (node := graph.sole_consumer(name)) is not None:
        if isinstance(node.op, Transpose):
            order = node.op.perm
            passes = (_operator(n).permuted(graph.ins(n), order) is not None for n in above)
            return node if above and all(passes) else None
        operands, rank = _operands(graph, node), len(graph.tensors[name].shape)
        if sum(t.const is None for t, _ in operands) != 1 or [len(t.shape) for t in graph.outs(node)] != [rank]:
            return None
        for _, axes in operands:
            if any(not _shifts(a) or a.out != i for i, a in enumerate(axes, rank - len(axes))):
                return None
        above.append(node)
        name = node.outputs[0]
    return None


def _shifts(axis: Axis) -> bool:
    """Each output position depends on one position at the most, all of them in an even row: what is picked here and
    there costs more along some axes than along others."""
    if axis.kind is not Kind.MOVE:
        return axis.kind in (Kind.SAME, Kind.REPEAT)
    assert axis.first is not None
    assert axis.last is not None
    return len(np.unique(np.diff(axis.first[axis.first <= axis.last]))) <= 1


def _operator(node: Node) -> Operator:
    assert isinstance(node.op, Operator)
    return node.op


def _operands(graph: Draft, node: Node) -> list[tuple[Tensor, tuple[Axis, ...]]]:
    """The inputs that lie along the output of a node, with how they do: no weights, and no index."""
    op, ins = _operator(node), graph.ins(node)
    along, indices = op.access(ins, graph.outs(node))[0], op.index_inputs(ins)
    return [(t, a) for t, a in zip(ins, along, strict=True) if a is not None and t.name not in indices]


def _set_input(graph: Draft, index: int, moved: Tensor, perm: Shape) -> None:
    """Let a network input be the tensor `moved`: the old one permuted."""
    graph.set_input(index, moved, graph.in_ports[index].permuted(perm))


def _view(graph: Draft, node: Node) -> bool:
    """A transpose that only moves axes of length 1 is a reshape."""
    if not isinstance(node.op, Transpose) or not is_view(graph.ins(node)[0].shape, node.op.perm):
        return False
    return graph.replace({node.name: (replace(node, op=Reshape(graph.outs(node)[0].shape)),)})


def _absorb_edges(graph: Draft) -> bool:
    """A transpose of a graph input, or into a graph output, becomes the port's business."""
    for i, name in enumerate(graph.inputs):
        readers = graph.readers(name)
        perms = {n.op.perm for n in readers if isinstance(n.op, Transpose)}
        if name in graph.results or len(perms) != 1 or not all(isinstance(n.op, Transpose) for n in readers):
            continue
        if any(n.outputs[0] in graph.results for n in readers):
            continue
        (perm,) = perms
        x = graph.tensors[name]
        moved = replace(x, name=fresh(graph, f"{name}_last"), shape=tuple(x.shape[p] for p in perm))
        _set_input(graph, i, moved, perm)
        for n in readers:
            graph.rewire(n.outputs[0], moved.name)
        return graph.replace({n.name: () for n in readers})
    for i, name in enumerate(graph.outputs):
        node = graph.producer.get(name)
        if node is None or not isinstance(node.op, Transpose) or graph.readers(name):
            continue
        source, port = node.inputs[0], graph.out_ports[i]
        if source in graph.results or source in graph.sources or graph.results.count(name) != 1:
            continue
        # tensor = onnx.transpose(port.perm) was for the output; its source is one inverse permutation earlier.
        graph.set_output(i, graph.tensors[source], port.permuted(_inverse(node.op.perm)))
        return graph.replace({node.name: ()})
    return any(_absorb_state(graph, i) for i in range(len(graph.states)))


def _absorb_state(graph: Draft, index: int) -> bool:
    """A state that is written through a transpose and read through its inverse is kept in the order in between."""
    state = graph.states[index]
    node = _transpose_of(graph, state.writes)
    if node is None:
        return False
    assert isinstance(node.op, Transpose)
    perm, source = node.op.perm, node.inputs[0]
    readers = graph.readers(state.reads)
    if source in graph.sources or not any(isinstance(n.op, Transpose) and n.op.perm == _inverse(perm) for n in readers):
        return False
    x = graph.tensors[state.reads]
    moved = replace(graph.tensors[source], name=fresh(graph, f"{x.name}_last"), quant=x.quant)
    initial = None if state.initial is None else Const(state.initial.array.transpose(_inverse(perm)))
    back = Node(fresh(graph, f"{x.name}_back"), Transpose(perm), (moved.name,), (x.name,), node.origin)
    graph.set_state(index, replace(state, reads=moved.name, writes=source, initial=initial), moved)
    graph.put_first(back)
    return graph.replace({}, (replace(x, quant=None),))


def _is_free(graph: Draft, name: str, perm: Shape) -> bool:
    """Can `name` be had in the order `perm` (the inverse of a sinking transpose) at no cost?"""
    t = graph.tensors[name]
    if t.const is not None or is_view(t.shape, perm):
        return True
    if name in graph.inputs:
        return len(graph.readers(name)) == 1
    node = _transpose_of(graph, name)
    return node is not None and tuple(_perm(node)[p] for p in perm) == tuple(range(len(perm)))


def _sink(graph: Draft, node: Node) -> bool:
    """Move the transposes that feed `node` behind it."""
    above = [t for name in dict.fromkeys(node.inputs) if (t := _transpose_of(graph, name)) is not None]
    if not above or len(node.outputs) != 1:
        return False
    by_order: dict[Shape, Node] = {}
    for t in above:
        by_order.setdefault(_perm(t), t)
    return any(_sink_one(graph, node, t) for t in by_order.values()) or _sink_flattened(graph, node, above[0])


def _sink_one(graph: Draft, node: Node, above: Node) -> bool:
    """All operands of a node in the order of what the transpose `above` reads, each at no cost, and a transpose behind
    the node."""
    op, order, y = _operator(node), _inverse(_perm(above)), graph.outs(node)[0]
    operands = [t for t, _ in _operands(graph, node)]
    for t in operands:
        fits = len(t.shape) == len(order) if t.const is None else len(t.shape) <= len(order)
        if not fits or not _is_free(graph, t.name, order):
            return False
    if len(operands) > 1 and len(y.shape) != len(order):
        return False
    after = op.permuted(graph.ins(node), order)
    if after is None:
        return False
    # Of one operand the transpose moves, of several each gets one.
    origin = above.origin if len(operands) == 1 else node.origin
    moved: dict[str, Tensor] = {}
    before: list[Node] = []
    for t in operands:
        if t.name in moved:
            continue
        name = fresh(graph, f"{t.name}_{node.name}_last")
        inverse = _transpose_of(graph, t.name)
        if t.const is not None:
            array = t.array.reshape((1,) * (len(order) - len(t.shape)) + t.shape)
            moved[t.name] = Tensor.constant(name, array.transpose(order), t.quant)
        elif inverse is not None and _perm(inverse) == _perm(above):
            moved[t.name] = graph.tensors[inverse.inputs[0]]
        else:
            moved[t.name] = Tensor(name, tuple(t.shape[i] for i in order), t.dtype)
            # Where none is there to meet, a view becomes a reshape at once: as a transpose it would sink in turn.
            view = is_view(t.shape, order) and inverse is None
            step = Reshape(moved[t.name].shape) if view else Transpose(order)
            before.append(Node(fresh(graph, f"{name}_t"), step, (t.name,), (name,), node.origin))
    ins = [moved.get(name, graph.tensors[name]) for name in node.inputs]
    middle = Tensor(fresh(graph, f"{y.name}_last"), after.infer(*(t.shape for t in ins))[0], y.dtype, y.quant)
    back = output_order(op.access(graph.ins(node), (y,))[0], after.access(ins, (middle,))[0], order, middle)
    first = replace(node, op=after, inputs=tuple(t.name for t in ins), outputs=(middle.name,))
    second = Node(fresh(graph, f"{node.name}_t"), Transpose(_inverse(back)), (middle.name,), (y.name,), origin)
    return graph.replace({node.name: (*before, first, second)}, (*moved.values(), middle, replace(y, quant=None)))


def output_order(was: Sequence[Along], now: Sequence[Along], order: Shape, middle: Tensor) -> Shape:
    """Which axis of an operator's output each axis of `middle` is, its output when the operands come in `order`: that
    of the operand's axis that goes along with it. Axes that none goes along with keep their places."""
    pairs = ((a, b) for a, b in zip(was, now, strict=True) if a is not None and b is not None)
    a, b = next((a, b) for a, b in pairs if len(a) == len(order))
    found = {new.out: a[i].out for i, new in zip(order, b, strict=True)}
    rank = range(len(middle.shape))
    rest = iter(i for i in rank if i not in found.values())
    return tuple(old if (old := found.get(i)) is not None else next(rest) for i in rank)


def _sink_flattened(graph: Draft, node: Node, above: Node) -> bool:
    """Transpose, then Reshape of its last axes to one: what reads it takes each row in the order it has without the
    transpose (the weights of dense and recurrent layers, a choice of values)."""
    if not isinstance(node.op, Reshape):
        return False
    source, t, y = graph.tensors[above.inputs[0]], graph.outs(above)[0], graph.outs(node)[0]
    first = max((k for k in range(len(t.shape)) if math.prod(t.shape[k:]) == width(y)), default=None)
    if first is None or y.name in graph.results:
        return False
    perm = _perm(above)
    inner = sorted(perm[first:])
    row = np.arange(width(y)).reshape([source.shape[i] for i in inner])
    places = row.transpose([inner.index(i) for i in perm[first:]]).ravel()
    if np.array_equal(places, np.arange(width(y))):
        return False
    readers = graph.readers(y.name)
    if len(readers) == 1 and _by_element(graph, readers[0]):  # reshape last, so that the transpose may pass
        (after,) = readers
        end = graph.outs(after)[0]
        moved = Tensor(fresh(graph, f"{y.name}_{_operator(after).title}"), t.shape, end.dtype, end.quant)
        higher = replace(after, inputs=(t.name,), outputs=(moved.name,))
        lower = replace(node, inputs=(moved.name,), outputs=after.outputs)
        return graph.replace({node.name: (), after.name: (higher, lower)}, (moved, replace(end, quant=None)))
    order = (*perm[:first], *inner)
    turned = Tensor(fresh(graph, f"{t.name}_last"), tuple(source.shape[i] for i in order), t.dtype)
    flat = Tensor(fresh(graph, f"{y.name}_last"), y.shape, y.dtype)
    rest = replace(above, name=fresh(graph, f"{above.name}_rows"), op=Transpose(order), outputs=(turned.name,))
    below = replace(node, inputs=(turned.name,), outputs=(flat.name,), origin=merge_origin(above, node))
    changes: dict[str, tuple[Node, ...]] = {node.name: (rest, below)}
    tensors = [turned, flat]
    for after in readers:
        reader = _reading(graph, after, flat, np.argsort(places))
        if reader is None:
            return False
        changes[after.name] = (reader[0],)
        tensors += reader[1]
    return graph.replace(changes, tensors)


def _by_element(graph: Draft, node: Node) -> bool:
    """Each element of the output is made of the one in its place, by the same rule everywhere and in every shape."""
    if len(node.inputs) != 1 or len(node.outputs) != 1:
        return False
    op, ins = _operator(node), graph.ins(node)
    if op.permuted(ins, tuple(reversed(range(len(ins[0].shape))))) is not op:
        return False
    return all(a.kind is Kind.SAME and a.out == i for _, axes in _operands(graph, node) for i, a in enumerate(axes))


def _reading(graph: Draft, node: Node, flat: Tensor, order: Array) -> tuple[Node, list[Tensor]] | None:
    """A node that gives the same from `flat`, which is its first input with the channels in another order, and the
    constants that are new."""
    op, ins, outs = _operator(node), graph.ins(node), graph.outs(node)
    operands = _operands(graph, node)
    if not operands or operands[0][0] is not ins[0] or node.inputs.count(ins[0].name) > 1:
        return None
    kind = operands[0][1][-1].kind
    if kind is Kind.MOVE and len(operands) == len(outs) == 1 and ins[0].shape[:-1] == outs[0].shape[:-1]:
        whole = (np.arange(width(t)) for t in (*ins[1:], *outs))
        picked = op.cut(ins, outs, (order, *whole))
        return None if picked is None else (replace(node, op=picked, inputs=(flat.name, *node.inputs[1:])), [])
    constants = _reordered(graph, node, 0, order) if kind is Kind.REDUCE else None
    if constants is None:
        return None
    inputs = (flat.name, *(constants[i].name if i in constants else i for i in node.inputs[1:]))
    return replace(node, inputs=inputs), list(constants.values())


def _reordered(graph: Draft, node: Node, which: int, order: Array) -> dict[str, Tensor] | None:
    """The constants of a node for channels of its tensor `which` (inputs, then outputs) in another order; None where
    more than constants goes along with them."""
    tensors = (*graph.ins(node), *graph.outs(node))
    labels = _operator(node).channels(graph.ins(node), graph.outs(node))
    mine = labels[which][-1]
    if STAYS in mine or len(np.unique(mine)) < len(mine):
        return None
    found = {}
    for i, (t, of) in enumerate(zip(tensors, labels, strict=True)):
        axes = [axis for axis, of_axis in of.items() if np.isin(of_axis, mine).any()]
        if i == which or not axes:
            continue
        if t.const is None or not all(np.array_equal(of[axis], mine) for axis in axes):
            return None
        array, quant = t.array, t.quant
        for axis in axes:
            array = np.take(array, order, axis)
            if quant is not None and len(quant.scale) > 1 and (quant.axis or 0) == axis % array.ndim:
                quant = replace(quant, scale=tuple(quant.scale[k] for k in order))
        found[t.name] = Tensor.constant(fresh(graph, f"{t.name}_last"), array, quant)
    return found or None


def _absorb_above(graph: Draft, node: Node) -> bool:
    """A dense layer, Reshape, Transpose: the layer writes its outputs in the order wanted (decoders)."""
    reshape = graph.producer.get(node.inputs[0])
    if reshape is None or not isinstance(reshape.op, Reshape) or graph.sole_consumer(node.inputs[0]) is None:
        return False
    below = reshape.inputs[0]
    layer = graph.producer.get(below)
    while layer is not None and _by_element(graph, layer) and graph.sole_consumer(below) is not None:
        below = layer.inputs[0]
        layer = graph.producer.get(below)
    if layer is None or len(layer.outputs) != 1 or graph.sole_consumer(below) is None:
        return False
    if graph.tensors[below].shape[-1] != graph.tensors[below].size:
        return False
    x, y = graph.ins(node)[0], graph.outs(node)[0]
    where = np.arange(x.size).reshape(x.shape).transpose(_perm(node)).ravel()
    constants = _reordered(graph, layer, len(layer.inputs), where)
    if constants is None:
        return False
    inputs = tuple(constants[i].name if i in constants else i for i in layer.inputs)
    shaped = replace(reshape, op=Reshape(y.shape), outputs=(y.name,), origin=merge_origin(reshape, node))
    changes = {layer.name: (replace(layer, inputs=inputs),), reshape.name: (shaped,), node.name: ()}
    return graph.replace(changes, constants.values())


def _step(graph: Draft, node: Node) -> bool:
    if isinstance(node.op, Transpose):
        return _simplify(graph, node) or _absorb_above(graph, node)
    return _sink(graph, node)


# Only where nothing sinks any more: a transpose that became a reshape stops there.
_sink_all = until_stable(_step, Whole(_raise_to_input), _view, Whole(_absorb_edges))


def _run(graph: Graph) -> Graph:
    return _sink_all(settle(graph))


PASS = Pass("layout", _run, Promise.CLOSE)
