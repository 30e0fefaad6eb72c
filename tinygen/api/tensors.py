"""Inputs and outputs as the user's ONNX file has them, and in which form arrays of them are given back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinygen.frontend.onnx_reader import Imported
from tinygen.numerics import Array


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of a model as ONNX has it: a name, a shape with a batch of 1, the type of its elements."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def inputs_of(m: Imported) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(p.name, p.shape, t) for p, t in zip(m.graph.in_ports, m.input_types, strict=True))


def outputs_of(m: Imported) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(p.name, p.shape, t) for p, t in zip(m.graph.out_ports, m.output_types, strict=True))


def without_batch(y: Array, *, streams: bool = False) -> Array:
    """(n, 1, *rest) as (n, *rest), or streams (n, steps, 1, *rest) as (n, steps, *rest): the 1 is the model's batch."""
    lead = 2 if streams else 1
    return y.reshape(*y.shape[:lead], *y.shape[lead + 1 :]) if y.ndim > lead and y.shape[lead] == 1 else y


def one(arrays: Sequence[Array]) -> Array | tuple[Array, ...]:
    """The only one, or a tuple of several."""
    return arrays[0] if len(arrays) == 1 else tuple(arrays)
