"""Attention where it is written out, as exporters do: softmax(q k' + mask) v, with scales, transposes and slices.

Queries, keys and values are followed upwards through whatever only moves them, to a dense layer or a tensor that holds
them as rows of time with the heads side by side: a layer that makes all three is cut in three, and no transpose, slice
or copy is left. `_turn` lets the products that remain read their operands in the order they lie in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.ir.types import Node, Tensor
from tinygen.numerics import Array
from tinygen.ops import (
    Add,
    Attention,
    Concat,
    Dense,
    Expand,
    Extreme,
    Gather,
    MatMul,
    Mul,
    Operator,
    Reshape,
    Slice,
    Softmax,
    Transpose,
)
from tinygen.ops.extreme import MASKED
from tinygen.ops.matmul import turned
from tinygen.passes.base import Pass, Promise, Rule, fresh, labelled, until_stable
from tinygen.passes.draft import Draft

#: What the layers are called that make the operands.
WORDS = {"q": "queries", "k": "keys", "v": "values"}
#: So many nodes at most lie between a product and what it multiplies.
_FAR = 16


def _free(graph: Draft, tensor: str) -> Node | None:
    """The node that writes an unpinned tensor."""
    return graph.producer.get(tensor) if graph.tensors[tensor].quant is None else None


def _times(graph: Draft, node: Node) -> tuple[str, float] | None:
    """(tensor, factor) of a product with a number."""
    ins = graph.ins(node)
    if not isinstance(node.op, Mul) or (node.op.lo, node.op.hi) != (-math.inf, math.inf):
        return None
    numbers = [t for t in ins if t.const is not None and t.size == 1]
    others = [t for t in ins if t.const is None]
    if len(numbers) != 1 or len(others) != 1 or others[0].size != graph.outs(node)[0].size:
        return None
    return others[0].name, float(numbers[0].array.reshape(()))


@dataclass(frozen=True)
class _Scores:
    """scale * (product of `node`) + bias; the bias broadcasts against the scores, -inf where a key is masked."""

    node: Node
    scale: float
    bias: Array


def _scores(graph: Draft, tensor: str) -> _Scores | None:
    """What a softmax reads, seen from the product."""
    scale, bias = 1.0, np.zeros((1, 1))
    for _ in range(_FAR):
        node = _free(graph, tensor)  # who else reads the scores has them computed apart
        if node is None:
            return None
        if isinstance(node.op, MatMul):
            plain = not node.op.y_perm and (node.op.lo, node.op.hi) == (-math.inf, math.inf)
            return _Scores(node, scale, bias) if plain else None
        x, y = graph.tensors[tensor], graph.ins(node)[0]
        found = _times(graph, node)
        if found is not None:
            tensor, scale = found[0], scale * found[1]
            continue
        constants = [t for t in graph.ins(node) if t.const is not None]
        others = [t for t in graph.ins(node) if t.const is None]
        if len(others) != 1 or others[0].shape[-2:] != x.shape[-2:] or others[0].size != x.size:
            return None
        if isinstance(node.op, Reshape | Expand):
            if bias.shape[-2:] != bias.shape and bias.ndim > 2:
                return None  # a mask of heads, which now lie otherwise
        elif len(constants) == 1 and isinstance(node.op, Add) and node.op.sign > 0:
            bias = bias + scale * constants[0].array.astype(np.float64)
        elif len(constants) == 1 and isinstance(node.op, Extreme) and not node.op.largest and scale > 0.0:
            limit = constants[0].array
            if not np.all(np.abs(limit) >= MASKED):
                return None
            bias = bias + np.where(limit < 0.0, -np.inf, 0.0)
        else:
            return None
        if isinstance(node.op, Add | Extreme) and y.shape != x.shape and others[0].shape != x.shape:
            return None
        tensor = others[0].name
    return None


@dataclass(frozen=True)
class _Source:
    """Where rows of values come from: columns of a tensor, or of a dense layer's outputs (`layer`), times `factor`."""

    tensor: str
    layer: Node | None
    columns: Array
    factor: float


def _source(graph: Draft, tensor: str, where: Array) -> _Source | None:
    """`where`: (rows, width) indices of elements of `tensor`. The farthest tensor upwards, and of those a dense layer
    first, that has each of those rows as one of its own, in their order."""
    best: _Source | None = None
    factor = 1.0
    for _ in range(_FAR):
        t, node = graph.tensors[tensor], _free(graph, tensor)
        width = t.shape[-1]
        columns = where % width
        in_order = t.size == len(where) * width and np.all(where // width == np.arange(len(where))[:, None])
        if in_order and np.all(columns == columns[0]):
            if node is not None and isinstance(node.op, Dense):
                return _Source(tensor, node, columns[0], factor)
            if np.array_equal(columns[0], np.arange(width)):
                best = _Source(tensor, None, columns[0], factor)
        if node is None:
            break
        found = _times(graph, node)
        if found is not None:
            tensor, factor = found[0], factor * found[1]
            continue
        assert isinstance(node.op, Operator)
        ins = [x for x in graph.ins(node) if x.const is None]
        if not isinstance(node.op, Reshape | Transpose | Slice | Gather) or len(ins) != 1:
            break
        x = ins[0]
        places = np.arange(x.size).reshape(1, *x.shape)
        (moved,) = node.op.run_fixed([x], [places], graph.outs(node))
        where, tensor = moved.reshape(-1)[where], x.name
    return best


@dataclass
class _Building:
    """Nodes and tensors of an attention as they are made."""

    graph: Draft
    stem: str
    origin: tuple[str, ...]
    nodes: list[Node]
    tensors: list[Tensor]

    def emit(self, op: Operator, name: str, *inputs: Tensor, word: str = "", origin: tuple[str, ...] = ()) -> Tensor:
        """`word`: what the layer is, in the place of all this; `origin`: of its own."""
        t = Tensor(fresh(self.graph, f"{self.stem}_{name}"), op.infer(*(i.shape for i in inputs))[0])
        self.tensors.append(t)
        label = labelled(word, self.origin) if word else ""
        self.nodes.append(Node(t.name, op, tuple(i.name for i in inputs), (t.name,), origin or self.origin, label))
        return t

    def const(self, name: str, array: Array) -> Tensor:
        t = Tensor.constant(fresh(self.graph, f"{self.stem}_{name}"), array.astype(np.float32))
        self.tensors.append(t)
        return t

    def rows(
        self, name: str, tensor: str, perm: tuple[int, ...], shape: tuple[int, int, int, int]
    ) -> tuple[Tensor, float]:
        """(batch, time, heads * width) of an operand that is (batch, heads, time, width) when transposed by `perm`."""
        batch, heads, time, width = shape
        t = self.graph.tensors[tensor]
        slices = np.arange(t.size).reshape(t.shape).transpose(perm).reshape(shape)
        found = _source(self.graph, tensor, slices.transpose(0, 2, 1, 3).reshape(batch * time, heads * width))
        want = (batch, time, heads * width)
        if found is None:
            x = self.emit(Transpose(perm), f"{name}_t", t)
            x = self.emit(Transpose((0, 2, 1, 3)), f"{name}_rows", self.emit(Reshape(shape), f"{name}_heads", x))
            return self.emit(Reshape(want), name, x), 1.0
        x = self.graph.tensors[found.tensor]
        if found.layer is not None and not np.array_equal(found.columns, np.arange(x.shape[-1])):
            source, w, b = self.graph.ins(found.layer)
            quant = w.quant
            if quant is not None:
                scales = tuple(np.asarray(quant.scale)[found.columns].tolist()) if len(quant.scale) > 1 else quant.scale
                quant = replace(quant, scale=scales)
            part_w = Tensor.constant(fresh(self.graph, f"{self.stem}_{name}_w"), w.array[found.columns], quant)
            part_b = self.const(f"{name}_b", b.array[found.columns])
            self.tensors.append(part_w)
            assert isinstance(found.layer.op, Operator)
            of = found.layer.origin
            x = self.emit(found.layer.op, f"{name}_layer", source, part_w, part_b, word=WORDS[name], origin=of)
        return (x if x.shape == want else self.emit(Reshape(want), name, x)), found.factor


def _attention(graph: Draft, node: Node) -> bool:
    """softmax(scores) v, where the scores are q k'."""
    op = node.op
    if not isinstance(op, MatMul) or (op.lo, op.hi) != (-math.inf, math.inf) or op.a_perm:
        return False
    below = _free(graph, node.inputs[0])
    if below is None or not isinstance(below.op, Softmax):
        return False
    scores = _scores(graph, below.inputs[0])
    if scores is None or any(t.const is not None for t in (*graph.ins(scores.node), graph.ins(node)[1])):
        return False
    product = scores.node.op
    assert isinstance(product, MatMul)
    q, k, v = (graph.tensors[n] for n in (*scores.node.inputs, node.inputs[1]))
    perms = [p or tuple(range(len(t.shape))) for p, t in ((product.a_perm, q), (product.b_perm, k), (op.b_perm, v))]
    perms[1] = (*perms[1][:-2], perms[1][-1], perms[1][-2])  # keys as rows
    shapes = [turned(t.shape, p) for t, p in zip((q, k, v), perms, strict=True)]
    lead = shapes[0][:-2]
    if (
        any(s[:-2] != lead for s in shapes)
        or graph.outs(below)[0].size != math.prod(lead) * shapes[0][-2] * shapes[1][-2]
    ):
        return False
    batch = lead[0] if len(lead) == 2 and lead[0] > 1 else 1
    heads = math.prod(lead) // batch
    time, keys = shapes[0][-2], shapes[1][-2]
    biases = _biases(scores.bias, (*lead, time, keys), heads, batch)
    if any(np.isneginf(bias).all(axis=-1).any() for bias in biases):
        return False
    made = _Building(graph, graph.outs(node)[0].name, (*scores.node.origin, *below.origin, *node.origin), [], [])
    parts, scale = [], scores.scale
    for name, t, perm, s in zip("qkv", (q, k, v), perms, shapes, strict=True):
        x, factor = made.rows(name, t.name, perm, (batch, heads, s[-2], s[-1]))
        parts.append(x)
        scale, output = (scale * factor, 1.0) if name != "v" else (scale, factor)
    y = _fused(made, parts, heads, scale, biases)
    if output != 1.0:
        y = made.emit(Mul(), "scaled", y, made.const("factor", np.array(output)))
    out = graph.outs(node)[0]
    split = made.emit(Reshape((batch, time, heads, shapes[2][-1])), "split", y)
    y = made.emit(Transpose((0, 2, 1, 3)), "heads", split)
    y = made.emit(Reshape((*lead, time, shapes[2][-1])), "whole", y)
    last = Transpose(op.y_perm or tuple(range(len(out.shape))))
    end = Node(node.name, last, (y.name,), (out.name,), node.origin)
    return graph.replace({node.name: (*made.nodes, end)}, made.tensors)


def _biases(bias: Array, scores: tuple[int, ...], heads: int, batch: int) -> list[Array]:
    """The bias as (heads or 1, time or 1, keys), for all of the batch or one for each of it."""
    full = np.broadcast_to(bias, scores).reshape(batch, heads, *scores[-2:])
    full = full[:1] if np.array_equal(full, np.broadcast_to(full[:1], full.shape)) else full
    found = []
    for one in full:
        one = one[:1] if np.array_equal(one, np.broadcast_to(one[:1], one.shape)) else one
        found.append(one[:, :1] if np.array_equal(one, np.broadcast_to(one[:, :1], one.shape)) else one)
    return found


def _fused(made: _Building, parts: Sequence[Tensor], heads: int, scale: float, biases: Sequence[Array]) -> Tensor:
    """The operator, or one for each of the batch where they have masks of their own: slices and a Concat of whole
    rows, which cost nothing."""
    time, keys = parts[0].shape[1], parts[1].shape[1]
    open_ = np.where(np.tri(time, keys, dtype=bool), 0.0, -np.inf)
    found = []
    for i, bias in enumerate(biases):
        mine = parts if len(biases) == 1 else [
            made.emit(Slice((i, 0, 0), (1, 1, 1), (1, *x.shape[1:])), f"{name}{i}", x)
            for name, x in zip("qkv", parts, strict=True)
        ]  # fmt: skip
        causal = bool(bias.any()) and len(bias) == 1 and np.array_equal(bias[0], open_)
        constant = (made.const(f"bias{i}" if i else "bias", bias),) if bias.any() and not causal else ()
        op, name = Attention(heads, heads, scale, causal), f"rows{i}" if i else "rows"
        found.append(made.emit(op, name, *mine, *constant, word="attention"))
    return found[0] if len(found) == 1 else made.emit(Concat(0), "batch", *found)


def _turn(graph: Draft, node: Node) -> bool:
    """A product reads its operands in the order that a transpose in front of it has them, and writes as one behind it
    wants them."""
    op = node.op
    if not isinstance(op, MatMul):
        return False
    for i, perm in enumerate((op.a_perm, op.b_perm)):
        above = _free(graph, node.inputs[i])
        if above is not None and isinstance(above.op, Transpose):
            through = tuple(above.op.perm[p] for p in perm) if perm else above.op.perm
            moved = replace(op, a_perm=through) if i == 0 else replace(op, b_perm=through)
            inputs = tuple(above.inputs[0] if k == i else n for k, n in enumerate(node.inputs))
            return graph.replace({node.name: (replace(node, op=moved, inputs=inputs),)})
    behind = graph.sole_consumer(node.outputs[0])
    if behind is not None and isinstance(behind.op, Transpose) and graph.outs(node)[0].quant is None:
        base = op.y_perm or tuple(range(len(graph.outs(node)[0].shape)))
        moved = replace(op, y_perm=tuple(base[p] for p in behind.op.perm))
        return graph.replace({node.name: (replace(node, op=moved, outputs=behind.outputs),), behind.name: ()})
    return False


_RULES: tuple[Rule, ...] = (_attention,)
PASS = Pass("attention", until_stable(*_RULES), Promise.CLOSE)
#: Later: as long as transposes stand where they were, attentions are easier to see.
PRODUCTS = Pass("products", until_stable(_turn), Promise.CLOSE)
