"""A network between compression techniques: its FLOAT graph, and what the stored forms of its weights allow.

Techniques that change the structure (channels, ranks, students) give a new graph; those that change how weights are
stored (bits, codebooks, zeros) say so in `forms`, which fine-tuning keeps and `snap` enforces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from tinygen.ir.types import Const, Graph, Node, Quant, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops.base import Operator
from tinygen.ops.weighted import Weighted


@dataclass(frozen=True, slots=True)
class WeightForm:
    """Which values the weights of one layer may take: real = scale[output channel] * q, q an integer.

    Without a codebook |q| <= 2^(bits-1) - 1; with one (ascending, int8) q is one of its entries. Where `mask` (bool,
    of the weights' shape) is False, q is 0, codebook or not.
    """

    bits: int = 8
    codebook: tuple[int, ...] | None = None
    mask: Const | None = None

    @property
    def top(self) -> int:
        """The largest |q|."""
        return max(abs(q) for q in self.codebook) if self.codebook else 2 ** (self.bits - 1) - 1


PLAIN = WeightForm()


@dataclass(frozen=True)
class Network:
    """`graph`: FLOAT and tidied. `forms`: by node name, int8 where there is none. `wide`: activations kept in int16.

    Only Conv and Dense nodes (`layers`) have forms.
    """

    graph: Graph
    forms: Mapping[str, WeightForm] = field(default_factory=dict)
    wide: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.graph.stage is not Stage.FLOAT:
            raise ValueError("compression works on FLOAT graphs")
        names = {n.name for n in layers(self.graph)}
        object.__setattr__(self, "forms", MappingProxyType({k: v for k, v in self.forms.items() if k in names}))
        object.__setattr__(self, "wide", self.wide & self.graph.tensors.keys())

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy, which cannot take the proxy."""
        return Network, (self.graph, dict(self.forms), self.wide)

    def form(self, node: str) -> WeightForm:
        return self.forms.get(node, PLAIN)

    def with_forms(self, forms: Mapping[str, WeightForm]) -> Network:
        """These forms in place of the ones the same layers have."""
        return replace(self, forms={**self.forms, **forms})


def layers(graph: Graph) -> tuple[Node, ...]:
    """The layers that techniques work on: convolutions (depthwise ones too) and dense layers with constant weights."""
    return tuple(n for n in graph.nodes if is_layer(n))


def is_layer(node: Node) -> bool:
    return isinstance(node.op, Weighted) and node.op.by_rows


def in_one_form(graph: Graph) -> tuple[Node, ...]:
    """Layers whose weights have no other form than int8, and all of them: recurrent ones, transposed convolutions. Only
    whole channels and training change them."""
    return tuple(n for n in graph.nodes if one_form(n))


def one_form(node: Node) -> str:
    """Why so; "" where they may have others, or there are none."""
    return node.op.one_form if isinstance(node.op, Operator) else ""


def weights(graph: Graph, node: Node) -> Tensor:
    """A layer's weights; their first axis is the output channel."""
    return graph.tensors[node.inputs[1]]


def snap(w: Array, form: WeightForm, scale: Array | None = None) -> tuple[Array, Array]:
    """Integers q (int8, of w's shape) and one scale for each output channel, so that w ~ scale * q in `form`.

    Without `scale` the largest weight of a channel becomes the largest integer.
    """
    flat = w.reshape(len(w), -1).astype(np.float64)
    if form.mask is not None:
        flat = np.where(form.mask.array.reshape(flat.shape), flat, 0.0)
    if scale is None:
        scale = np.abs(flat).max(axis=1, initial=0.0) / form.top
    scale = np.where(scale > 0.0, scale, 1.0)
    units = flat / scale[:, None]
    if form.codebook is None:
        q = np.clip(np.rint(units), -form.top, form.top)
    else:
        book = np.asarray(form.codebook, np.float64)
        q = book[np.searchsorted((book[1:] + book[:-1]) / 2.0, units)]
        if form.mask is not None:
            q = np.where(form.mask.array.reshape(flat.shape), q, 0.0)
    return q.reshape(w.shape).astype(np.int8), scale


def pin_weights(network: Network) -> Graph:
    """The graph with the weights of every layer that has a form at the values they will have on the chip, their scales
    pinned; plain layers are left to the quantiser."""
    pinned = []
    for node in layers(network.graph):
        if node.name not in network.forms:
            continue
        t = weights(network.graph, node)
        scale = None if t.quant is None else np.asarray(t.quant.scale, np.float64)
        q, s = snap(t.array, network.forms[node.name], scale)
        s = s.astype(np.float32).astype(np.float64)  # what an ONNX file can say
        real = (q * s.reshape(-1, *[1] * (q.ndim - 1))).astype(np.float32)
        pinned.append(replace(t, quant=Quant(tuple(float(v) for v in s), 0, 0), const=Const(real)))
    return network.graph.with_(tensors=pinned)
