"""Choose channels-last without leaving a transpose behind.

The reader wraps every spatial operator in transposes from and to the ONNX layout. Here each transpose sinks towards the
outputs, through whatever does not care about the order of axes, until it meets its inverse, becomes a mere reshape, is
absorbed in the weights of a dense layer, or reaches the edge of the graph, where the input and output helpers do it.

Transposes and reshapes carry no pin here (`pins.settle`): that of an operator's output goes with the value, in front of
the transpose behind it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygen.ir.types import Graph, Node, Tensor
from tinygen.ops import (
    Add,
    Concat,
    Dense,
    Expand,
    Extreme,
    Gather,
    LogSoftmax,
    LogSumExp,
    Mul,
    Operator,
    Pad,
    PRelu,
    ReduceExtreme,
    ReduceSum,
    Reshape,
    Slice,
    Softmax,
    Transpose,
    Unary,
)
from tinygen.ops.base import Shape
from tinygen.ops.reduce import block
from tinygen.passes.base import Pass, Promise, Whole, fresh, merge_origin, until_stable
from tinygen.passes.draft import Draft
from tinygen.passes.pins import settle


def _inverse(perm: Shape) -> Shape:
    return tuple(int(i) for i in np.argsort(perm))


def is_view(shape: Shape, perm: Shape) -> bool:
    """The permutation only moves axes of length 1: the elements keep their order."""
    return [p for p in perm if shape[p] != 1] == sorted(p for p in perm if shape[p] != 1)


def _transpose_of(graph: Draft, tensor: str) -> Node | None:
    node = graph.producer.get(tensor)
    return node if node is not None and isinstance(node.op, Transpose) else None


def _simplify(graph: Draft, node: Node) -> bool:
    """Transpose of a transpose; the transpose that changes nothing."""
    assert isinstance(node.op, Transpose)
    perm = node.op.perm
    x, y = graph.ins(node)[0], graph.outs(node)[0]
    if perm == tuple(range(len(perm))):
        if y.name not in graph.outputs:
            return graph.bypass(node, x.name)
        # What stays is a second name for a network output.
        return graph.replace({node.name: (replace(node, op=Unary("x", "requantise")),)})
    above = _transpose_of(graph, x.name)
    if above is not None:
        assert isinstance(above.op, Transpose)
        both = Transpose(tuple(above.op.perm[p] for p in perm))
        merged = replace(node, op=both, inputs=above.inputs, origin=merge_origin(above, node))
        return graph.replace({node.name: (merged,)})
    return False


def _raise_to_input(graph: Draft) -> bool:
    """A transpose behind a padded (sliced, scaled) network input: let the input arrive in the order wanted.

    The input's port takes the permutation over and a transpose back is put behind it, which then sinks and meets this
    one.
    """
    found = [(i, node) for i in range(len(graph.inputs)) if (node := _transpose_below(graph, i)) is not None]
    if not found:
        return False
    i, node = min(found, key=lambda f: graph.place(f[1].name))
    assert isinstance(node.op, Transpose)
    perm, name = node.op.perm, graph.inputs[i]
    x = graph.tensors[name]
    moved = replace(x, name=fresh(graph, f"{name}_last"), shape=tuple(x.shape[p] for p in perm))
    back = Node(fresh(graph, f"{name}_back"), Transpose(_inverse(perm)), (moved.name,), (name,), node.origin)
    _set_input(graph, i, moved, perm)
    graph.put_first(back)
    return graph.replace({}, (replace(x, quant=None),))


def _transpose_below(graph: Draft, index: int) -> Node | None:
    """The transpose that an input reaches through one operator or more that act on each element, and on no other
    activation."""
    name = graph.inputs[index]
    rank, steps = len(graph.tensors[name].shape), 0
    while (node := graph.sole_consumer(name)) is not None:
        if isinstance(node.op, Transpose):
            return node if steps else None
        sources = [i for i in node.inputs if graph.tensors[i].const is None]
        if not isinstance(node.op, Unary | Pad | Slice | Add | Mul | Concat) or len(sources) != 1:
            return None
        name, steps = node.outputs[0], steps + 1
        if len(graph.tensors[name].shape) != rank:
            return None
    return None


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
        if name in graph.outputs or len(perms) != 1 or not all(isinstance(n.op, Transpose) for n in readers):
            continue
        if any(n.outputs[0] in graph.outputs for n in readers):
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
        if source in graph.outputs or source in graph.inputs or graph.outputs.count(name) != 1:
            continue
        # tensor = onnx.transpose(port.perm) was for the output; its source is one inverse permutation earlier.
        graph.set_output(i, graph.tensors[source], port.permuted(_inverse(node.op.perm)))
        return graph.replace({node.name: ()})
    return False


def _is_free(graph: Draft, name: str, perm: Shape) -> bool:
    """Can `name` be had in the order `perm` (the inverse of a sinking transpose) at no cost?"""
    t = graph.tensors[name]
    if t.const is not None or is_view(t.shape, perm):
        return True
    if name in graph.inputs:
        return len(graph.readers(name)) == 1
    node = _transpose_of(graph, name)
    return (
        node is not None
        and isinstance(node.op, Transpose)
        and tuple(node.op.perm[p] for p in perm) == tuple(range(len(perm)))
    )


def _sink(graph: Draft, node: Node) -> bool:
    """Move the transposes that feed `node` behind it."""
    op = node.op
    tried: set[Shape] = set()
    for name in node.inputs:
        above = _transpose_of(graph, name)
        if above is None or len(node.outputs) != 1:
            continue
        assert isinstance(above.op, Transpose)
        perm, source = above.op.perm, graph.tensors[above.inputs[0]]
        back = _inverse(perm)
        y = graph.outs(node)[0]
        if isinstance(op, Add | Mul | Extreme | Concat):
            if perm not in tried and _sink_many(graph, node, perm, back):
                return True
            tried.add(perm)
            continue
        moved: Operator | None = None
        extra = node.inputs[1:]
        after = perm  # the transpose behind the operator
        if isinstance(op, Unary) or (
            isinstance(op, Softmax | LogSoftmax | LogSumExp | PRelu | Dense) and perm[-1] == len(perm) - 1
        ):
            moved = op
        elif isinstance(op, Pad):
            n = len(perm)
            moved = replace(
                op, pads=tuple(op.pads[back[i]] for i in range(n)) + tuple(op.pads[n + back[i]] for i in range(n))
            )
        elif isinstance(op, Slice):
            moved = Slice(*(tuple(v[b] for b in back) for v in (op.starts, op.steps, op.counts)))
        elif isinstance(op, Gather):
            moved = replace(op, axis=perm[op.axis])
        elif isinstance(op, Expand) and len(op.shape) == len(perm):
            moved = Expand(tuple(op.shape[b] for b in back))
        elif isinstance(op, ReduceSum | ReduceExtreme):
            axes = tuple(sorted(perm[a] for a in op.axes))
            if block(source.shape, axes) is not None:
                moved = replace(op, axes=axes)
                if not op.keepdims:
                    left = [p for p in perm if p not in axes]
                    after = tuple(sorted(left).index(p) for p in left)
        elif isinstance(op, Reshape) and _sink_reshape(graph, node, above):
            return True
        if moved is None:
            continue
        shapes = (source.shape, *(graph.tensors[e].shape for e in extra))
        middle = Tensor(fresh(graph, f"{y.name}_last"), moved.infer(*shapes)[0], quant=y.quant)
        first = replace(node, op=moved, inputs=(source.name, *extra), outputs=(middle.name,))
        second = Node(fresh(graph, f"{node.name}_t"), Transpose(after), (middle.name,), (y.name,), above.origin)
        return graph.replace({node.name: (first, second)}, (middle, replace(y, quant=None)))
    return False


def _sink_many(graph: Draft, node: Node, perm: Shape, back: Shape) -> bool:
    """Add, Mul, Extreme, Concat: all operands move together, each at no cost."""
    y = graph.outs(node)[0]
    if len(y.shape) != len(perm):
        return False
    tensors: list[Tensor] = []
    before: list[Node] = []
    inputs: list[str] = []
    for name in node.inputs:
        t = graph.tensors[name]
        if len(t.shape) != len(perm):
            if t.const is None:
                return False
            padded = t.array.reshape((1,) * (len(perm) - len(t.shape)) + t.shape)
        elif not _is_free(graph, name, back):
            return False
        elif t.const is not None:
            padded = t.array
        else:
            moved = Tensor(fresh(graph, f"{name}_{node.name}_last"), tuple(t.shape[b] for b in back))
            if moved.name not in {m.name for m in tensors}:
                tensors.append(moved)
                # Where no transpose is there to meet, a view becomes a reshape at once: as a transpose it would sink in
                # turn.
                view = is_view(t.shape, back) and _transpose_of(graph, name) is None
                step = Reshape(moved.shape) if view else Transpose(back)
                before.append(Node(fresh(graph, f"{moved.name}_t"), step, (name,), (moved.name,), node.origin))
            inputs.append(moved.name)
            continue
        const = Tensor.constant(fresh(graph, f"{name}_{node.name}_last"), padded.transpose(back), t.quant)
        tensors.append(const)
        inputs.append(const.name)
    op = replace(node.op, axis=perm[node.op.axis]) if isinstance(node.op, Concat) else node.op
    middle = Tensor(fresh(graph, f"{y.name}_last"), tuple(y.shape[b] for b in back), quant=y.quant)
    first = replace(node, op=op, inputs=tuple(inputs), outputs=(middle.name,))
    second = Node(fresh(graph, f"{node.name}_t"), Transpose(perm), (middle.name,), (y.name,), node.origin)
    return graph.replace({node.name: (*before, first, second)}, (*tensors, middle, replace(y, quant=None)))


def _sink_reshape(graph: Draft, node: Node, above: Node) -> bool:
    """Transpose, then Reshape: commute when only axes of length 1 come or go, or flatten into a dense layer or a
    choice of values."""
    assert isinstance(above.op, Transpose)
    assert isinstance(node.op, Reshape)
    perm, source = above.op.perm, graph.tensors[above.inputs[0]]
    t, y = graph.outs(above)[0], graph.outs(node)[0]
    if [d for d in t.shape if d != 1] == [d for d in y.shape if d != 1]:
        # Number the axes that matter in t's order; the source has them in its own order.
        real = [p for p in perm if source.shape[p] != 1]
        order = sorted(real)
        squeezed = tuple(source.shape[p] for p in order)
        places = [i for i, d in enumerate(y.shape) if d != 1]
        new_perm = list(range(len(y.shape)))
        shape = [1] * len(y.shape)
        for slot, axis in zip(places, order, strict=True):
            shape[slot] = source.shape[axis]
        for slot, p in zip(places, real, strict=True):
            new_perm[slot] = places[order.index(p)]
        assert sorted(squeezed) == sorted(d for d in shape if d != 1)
        middle = Tensor(fresh(graph, f"{y.name}_last"), tuple(shape))
        first = replace(node, op=Reshape(tuple(shape)), inputs=(source.name,), outputs=(middle.name,))
        second = Node(
            fresh(graph, f"{node.name}_t"), Transpose(tuple(new_perm)), (middle.name,), (y.name,), above.origin
        )
        return graph.replace({node.name: (first, second)}, (middle,))
    after = graph.sole_consumer(y.name)
    if after is None or y.shape[-1] != y.size:
        return False
    if isinstance(after.op, Unary):  # reshape last, so that the transpose may pass
        end = graph.outs(after)[0]
        moved = Tensor(fresh(graph, f"{y.name}_{after.op.label}"), t.shape, quant=end.quant)
        first = replace(after, inputs=(t.name,), outputs=(moved.name,))
        second = replace(node, inputs=(moved.name,), outputs=after.outputs)
        return graph.replace({node.name: (), after.name: (first, second)}, (moved, replace(end, quant=None)))
    where = np.arange(source.size).reshape(source.shape).transpose(perm).ravel()
    flat = Tensor(fresh(graph, f"{y.name}_last"), y.shape)
    first = replace(node, inputs=(source.name,), outputs=(flat.name,), origin=merge_origin(above, node))
    if isinstance(after.op, Gather):
        picked = replace(after.op, indices=tuple(int(where[i]) for i in after.op.indices))
        second = replace(after, op=picked, inputs=(flat.name,))
        return graph.replace({node.name: (first,), after.name: (second,)}, (flat,))
    if not isinstance(after.op, Dense):
        return False
    w = graph.tensors[after.inputs[1]]
    weights = np.empty_like(w.array)
    weights[:, where] = w.array
    new_w = Tensor.constant(fresh(graph, f"{w.name}_last"), weights, w.quant)
    dense = replace(after, inputs=(flat.name, new_w.name, after.inputs[2]))
    return graph.replace({node.name: (first,), after.name: (dense,)}, (new_w, flat))


def _absorb_in_dense_above(graph: Draft, node: Node) -> bool:
    """Dense, Reshape, Transpose: the dense layer writes its outputs in the order wanted (decoders)."""
    assert isinstance(node.op, Transpose)
    reshape = graph.producer.get(node.inputs[0])
    if reshape is None or not isinstance(reshape.op, Reshape) or graph.sole_consumer(node.inputs[0]) is None:
        return False
    below = reshape.inputs[0]
    layer = graph.producer.get(below)
    while layer is not None and isinstance(layer.op, Unary) and graph.sole_consumer(below) is not None:
        below = layer.inputs[0]
        layer = graph.producer.get(below)
    if layer is None or not isinstance(layer.op, Dense) or graph.sole_consumer(below) is None:
        return False
    if graph.tensors[below].shape[-1] != graph.tensors[below].size:
        return False
    w, b = graph.tensors[layer.inputs[1]], graph.tensors[layer.inputs[2]]
    x, y = graph.ins(node)[0], graph.outs(node)[0]
    where = np.arange(x.size).reshape(x.shape).transpose(node.op.perm).ravel()
    quant = w.quant and replace(w.quant, scale=tuple(w.quant.scale[i] for i in where))
    new_w = Tensor.constant(fresh(graph, f"{w.name}_last"), w.array[where], quant)
    new_b = Tensor.constant(fresh(graph, f"{b.name}_last"), b.array[where])
    dense = replace(layer, inputs=(layer.inputs[0], new_w.name, new_b.name))
    shaped = replace(reshape, op=Reshape(y.shape), outputs=(y.name,), origin=merge_origin(reshape, node))
    return graph.replace({layer.name: (dense,), reshape.name: (shaped,), node.name: ()}, (new_w, new_b))


def _step(graph: Draft, node: Node) -> bool:
    if isinstance(node.op, Transpose):
        return _simplify(graph, node) or _absorb_in_dense_above(graph, node)
    return _sink(graph, node)


# Only where nothing sinks any more: a transpose that became a reshape stops there.
_sink_all = until_stable(_step, Whole(_raise_to_input), _view, Whole(_absorb_edges))


def _run(graph: Graph) -> Graph:
    return _sink_all(settle(graph))


PASS = Pass("layout", _run, Promise.CLOSE)
