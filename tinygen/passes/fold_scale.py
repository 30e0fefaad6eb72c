"""Fold a constant scale or offset (BatchNorm, a bias as a separate Add) into the layer with weights before it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from tinygen.ir.types import Node, Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops import Add, Mul
from tinygen.ops.weighted import Weighted
from tinygen.passes.base import Pass, Promise, fresh, merge_origin, until_stable
from tinygen.passes.draft import Draft


def channel_constant(graph: Draft, node: Node) -> Array | None:
    """The constant operand of a two-operand node as one value for each channel (last axis), or None."""
    consts = [t for t in graph.ins(node) if t.const is not None]
    if len(consts) != 1:
        return None
    shape, out = consts[0].shape, graph.outs(node)[0].shape
    if not out:
        return None
    channels = out[-1]
    if len(shape) > len(out) or any(d != 1 for d in shape[:-1]):
        return None
    if shape and shape[-1] not in (1, channels):
        return None
    return np.broadcast_to(consts[0].array.reshape(-1).astype(np.float64), (channels,)).copy()


def _scaled(w: Tensor, factor: Array) -> Quant | None:
    """The quantisation of pinned weights times a factor for each output: the same integers, some with their signs
    changed. None where they have none, or where that is no int8."""
    q = w.quant
    if q is None or not factor.all():
        return None
    codes = np.rint(w.array.reshape(len(factor), -1).astype(np.float64) / np.reshape(q.scale, (-1, 1)))
    if (codes * np.sign(factor)[:, None]).max(initial=0.0) > 127:
        return None
    return replace(q, scale=tuple((np.asarray(q.scale) * np.abs(factor)).tolist()))


def _step(graph: Draft, node: Node) -> bool:
    if not isinstance(node.op, Add | Mul):
        return False
    k = channel_constant(graph, node)
    if k is None:
        return False
    activation = next(i for i in node.inputs if graph.tensors[i].const is None)
    layer = graph.producer.get(activation)
    if layer is None or not isinstance(layer.op, Weighted):
        return False
    if graph.sole_consumer(activation) is None or graph.tensors[activation].quant is not None:
        return False
    if graph.tensors[activation].shape != graph.outs(node)[0].shape:
        return False
    if (layer.op.lo, layer.op.hi) != (-math.inf, math.inf):
        return False
    w, b = graph.tensors[layer.inputs[1]], graph.tensors[layer.inputs[2]]
    weights, bias = w.array.astype(np.float64), b.array.astype(np.float64)
    factor = np.ones_like(k)
    if isinstance(node.op, Mul):
        factor, bias = k, bias * k
    elif node.op.sign > 0:
        bias = bias + k
    elif node.inputs[0] == activation:
        bias = bias - k
    else:  # constant - layer
        factor, bias = -factor, k - bias
    quant = _scaled(w, factor)
    if quant is None and w.quant is not None:
        return False
    weights = weights * factor.reshape(-1, *(1,) * (weights.ndim - 1))
    stem = layer.outputs[0]
    stays = quant is not None and bool(np.all(factor == 1.0))
    new_w = w if stays else Tensor.constant(fresh(graph, f"{stem}_w"), weights.astype(np.float32), quant)
    new_b = Tensor.constant(fresh(graph, f"{stem}_b"), bias.astype(np.float32))
    folded = replace(
        layer,
        op=layer.op.clamped(node.op.lo, node.op.hi),
        inputs=(layer.inputs[0], new_w.name, new_b.name),
        outputs=node.outputs,
        origin=merge_origin(layer, node),
    )
    return graph.replace({layer.name: (folded,), node.name: ()}, (new_w, new_b))


PASS = Pass("fold_scale", until_stable(_step), Promise.CLOSE)
