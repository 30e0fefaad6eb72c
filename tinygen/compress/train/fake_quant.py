"""Activations in the loop: the ranges they have, and int8 as the chip will have it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tinygen.calibrate.ranges import Histogram, estimate
from tinygen.compress.train.module import Change, GraphModule
from tinygen.ir.types import Graph, Node, Quant
from tinygen.ops import Operator
from tinygen.ops.broadcast import constant_quant
from tinygen.passes.quantise import choose_quants, constant_operands, range_tensors, wide_tensors

#: How ranges are found: least square error over the values seen.
METHOD = "mse"


def observe(
    model: GraphModule,
    inputs: Sequence[Tensor],
    constants: Mapping[str, Tensor],
    given: Mapping[str, Quant],
    wide: Collection[str],
) -> dict[str, Quant]:
    """Quantisation of every activation, from the values that `inputs` bring about; those `given` are kept, those in
    `wide` have int16."""
    graph = _pinned(model.graph, given)
    names = range_tensors(graph)
    values = model.run(inputs, names, constants)
    ranges = {}
    for name, value in zip(names, values, strict=True):
        histogram = Histogram()
        histogram.add(value.cpu().numpy())
        ranges[name] = estimate(histogram, METHOD)
    return dict(choose_quants(graph, ranges, wide_tensors(graph, wide)))


def _pinned(graph: Graph, given: Mapping[str, Quant]) -> Graph:
    return graph.with_(tensors=[replace(graph.tensors[n], quant=q) for n, q in given.items() if n in graph.tensors])


def fake_quants(graph: Graph, quants: Mapping[str, Quant]) -> dict[str, Change]:
    """What rounds each activation to its grid. Copies of values that lie on their grid already stay as they are."""
    changes: dict[str, Change] = {}
    for name, quant in quants.items():
        node = graph.producer.get(name)
        if node is not None and _copies(node) and all(quants.get(t) == quant for t in node.inputs):
            continue
        if not quant.zero_points:  # else joined from parts on grids of their own
            changes[name] = _rounding(quant)
    return changes


def _copies(node: Node) -> bool:
    """It moves or compares values, and makes none between them."""
    return isinstance(node.op, Operator) and node.op.picks


def _rounding(quant: Quant) -> Change:
    scale, zero_point, half = quant.s, quant.zero_point, 1 << quant.bits >> 1
    return lambda x: torch.fake_quantize_per_tensor_affine(x, scale, zero_point, -half, half - 1)


def quantised_constants(model: GraphModule) -> dict[str, Tensor]:
    """Constant operands, of sums and products say, at the values their int8 codes stand for."""
    values = {}
    for node in model.graph.nodes:
        for name in constant_operands(model.graph, node):
            t = model.graph.tensors[name]
            quant = t.quant or constant_quant(t.array)
            codes = np.clip(np.rint(t.array / quant.s) + quant.zero_point, -128, 127)
            real = ((codes - quant.zero_point) * quant.s).astype(np.float32)
            values[name] = torch.from_numpy(real).to(next(model.parameters()).device)
    return values
