"""Bias correction: the mean error that rounded weights make on a layer's output, taken back in its bias (Nagel et al.
2019, Data-Free Quantization, section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tinygen.calibrate.floatrun import Progress, quiet
from tinygen.calibrate.graph import observe
from tinygen.compress.network import layers
from tinygen.ir.types import Const, Graph
from tinygen.numerics import Array
from tinygen.ops.weighted import Weighted
from tinygen.passes.quantise import weighted_inputs


def channel_means(graph: Graph, inputs: Sequence[Array], progress: Progress = quiet) -> Mapping[str, Array]:
    """Mean over samples (n, *tensor shape) and positions of every channel that a layer reads."""
    return observe(graph, inputs, (), "minmax", means=weighted_inputs(graph), progress=progress).means


def corrected(graph: Graph, before: Mapping[str, Array], means: Mapping[str, Array]) -> Graph:
    """The graph with biases that take back what its weights, which were `before` (by node name), shift their outputs by
    on average. `means`: of the channels that layers read.

    A tap on the zeros around an image counts as one inside it.
    """
    tensors = []
    for node in layers(graph):
        w = graph.tensors[node.inputs[1]].array
        error = before[node.name].astype(np.float64) - w
        if not error.any() or node.inputs[0] not in means:  # no means for weights that were given quantised
            continue
        mean = means[node.inputs[0]]
        assert isinstance(node.op, Weighted)
        shift = node.op.mean_shift(error, mean)
        bias = graph.tensors[node.inputs[2]]
        tensors.append(replace(bias, const=Const((bias.array + shift).astype(np.float32))))
    return graph.with_(tensors=tensors)
