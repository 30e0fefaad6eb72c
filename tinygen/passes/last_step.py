"""Of a recurrent layer whose steps nobody reads only the last is kept, and who wants the last step reads that: y in the
width of outputs, while h is the state, which may be finer (NUMERICS section 9).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tinygen.ir.types import Graph, Node, Tensor
from tinygen.ops import Recurrent, Reshape, Slice
from tinygen.passes.base import Pass, Promise, fresh, replace_nodes


def _run(graph: Graph) -> Graph:
    for node in graph.nodes:
        if isinstance(node.op, Recurrent) and node.op.sequence:
            graph = _last_only(graph, node, node.op)
    return graph


def _last_only(graph: Graph, node: Node, op: Recurrent) -> Graph:
    y, h = graph.outs(node)[:2]
    x = graph.ins(node)[0].shape
    if x[0] > 1:
        return graph  # several sequences: no network has them
    if (y.quant is None) != (h.quant is None) or (y.quant and y.quant.pin):
        return graph  # pinned, and not by a file that tells all of it (frontend/told.py)
    views, states = dict(_views(graph, y.name)), dict(_views(graph, h.name))
    readers = [(n, t) for t in views for n in graph.consumers[t] if not isinstance(n.op, Reshape)]
    picks = [n for n, t in readers if _picks_last(graph, n, op, y, t, _last(op, x))]
    alone = len(picks) == len(readers) and not set(views).intersection(graph.outputs)
    readers_of_h = [(n, t) for t in states for n in graph.consumers[t] if not isinstance(n.op, Reshape)]
    wanting = [(n, t) for n, t in readers_of_h if not _keeps(n, t) and not _is_finer(graph, n, y, h)]
    if not alone and (not wanting or op.directions > 1):
        return graph
    pin, more = y.quant, list[Tensor]()
    if wanting and h.quant is not None and h.quant == pin and h.quant.pin:
        if len(wanting) < len(readers_of_h) or set(states).intersection(graph.results):
            return graph
        pin = h.quant  # whoever reads that value reads another tensor
        more.append(replace(h, quant=y.quant))
    added: list[Node] = []

    def add(stem: str, of: Reshape | Slice, source: str, shape: tuple[int, ...], name: str = "") -> str:
        out = name or fresh(graph, f"{stem}_{len(added)}")
        more.append(Tensor(out, shape, quant=pin))
        added.append(Node(fresh(graph, f"{node.name}_{stem}_{len(added)}"), of, (source,), (out,), node.origin))
        return out

    changes: dict[str, tuple[Node, ...]] = {}
    if alone:
        last = fresh(graph, f"{y.name}_last")
        more.append(Tensor(last, (1, op.width), quant=pin))
        one = replace(op, sequence=False)
        shapes = one.infer(*(t.shape for t in graph.ins(node)))
        kept = (last, *node.outputs[1 : 1 + op.STATES])
        known = {name: t.quant for name, t in zip(op.told, graph.outs(node), strict=True)} | {"steps": y.quant}
        seen = [fresh(graph, f"{last}_seen{k}") for k in range(len(shapes) - len(kept))]  # for calibration
        for told, name, shape in zip(one.told[len(kept) :], seen, shapes[len(kept) :], strict=True):
            more.append(Tensor(name, shape, quant=known[told]))
        made = replace(node, op=one, outputs=(*kept, *seen))
        for n in picks:
            out = graph.outs(n)[0]
            changes[n.name] = (replace(n, op=Reshape(out.shape), inputs=(last,)),)
    else:
        at = _last(op, x)
        made = node
        row = add("last", Slice((0, at, 0), (1, 1, 1), (1, 1, op.width)), y.name, (1, 1, op.width))
        last = add("last", Reshape((1, op.width)), row, (1, op.width))
    for t in dict.fromkeys(t for _, t in wanting):
        shape = graph.tensors[t].shape
        source = last if shape == (1, op.width) else add("state", Reshape(shape), last, shape)
        for n in [n for n, of in wanting if of == t]:
            (now,) = changes.get(n.name, (n,))
            changes[n.name] = (replace(now, inputs=tuple(source if i == t else i for i in now.inputs)),)
    if alone and made.op == op and not changes:
        return graph
    dead = {n.name: () for t in views if alone for n in graph.consumers[t] if isinstance(n.op, Reshape)}
    return replace_nodes(graph, {**dead, **changes, node.name: (made, *added)}, more)


def _last(op: Recurrent, x: tuple[int, ...]) -> int:
    """The step of y that is the last of the only direction."""
    return 0 if op.reverse[0] else op.steps(x)[0] - 1


def _views(graph: Graph, tensor: str) -> Iterator[tuple[str, None]]:
    """A tensor and all reshapes of it."""
    yield tensor, None
    for n in graph.consumers[tensor]:
        if isinstance(n.op, Reshape):
            yield from _views(graph, n.outputs[0])


def _keeps(node: Node, tensor: str) -> bool:
    """Does it read the tensor as a state?"""
    return isinstance(node.op, Recurrent) and tensor not in node.inputs[:1]


def _is_finer(graph: Graph, node: Node, y: Tensor, h: Tensor) -> bool:
    """Is what it makes pinned to the steps of the state, which are others than those of y?"""
    return h.quant is not None and y.quant != h.quant == graph.outs(node)[0].quant


def _picks_last(graph: Graph, node: Node, op: Recurrent, y: Tensor, tensor: str, at: int) -> bool:
    """Is it the last step, and no more, that a node takes from a reshape of y?"""
    if not isinstance(node.op, Slice) or op.directions > 1:
        return False
    index = np.arange(y.size).reshape(graph.tensors[tensor].shape)
    ends = zip(node.op.starts, node.op.steps, node.op.counts, strict=True)
    taken = index[tuple(slice(s, s + step * count if step > 0 else None, step) for s, step, count in ends)]
    return np.array_equal(taken.reshape(-1), at * op.width + np.arange(op.width))


PASS = Pass("last_step", _run, Promise.CLOSE)
