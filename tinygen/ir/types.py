"""Graph, Node, Tensor and their parts. Everything is frozen: a pass returns a new graph.

Layout: operators with a spatial meaning (Conv, pools, Resize) are channels-last, (1, [H,] W, C); a batch is always 1.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt


class DType(enum.Enum):
    """Element types; the value is numpy's name. Activations of a FLOAT graph are FLOAT32, real values, or *plain*:
    numbers that mean themselves (BOOL and whole numbers), which have no `Quant` in the FIXED graph either."""

    FLOAT32 = "float32"
    BOOL = "bool"
    INT8 = "int8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    INT64 = "int64"


class Stage(enum.Enum):
    """FLOAT graphs have real-valued tensors, FIXED graphs integers with a `Quant`."""

    FLOAT = "float"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Quant:
    """real = scale * (q - zero_point); one scale, or one for each slice along `axis`, of activations (outputs in parts,
    passes/slices.py) with one of `zero_points` each. `bits` of an activation: 8, or 12, 16 or 24 with zero point 0; 12
    lie in 16, 24 in 32.

    `pin`: the ONNX value that a pre-quantised model quantised so. It goes wherever the quantisation goes, says
    where it came from, and does not count in comparisons.
    """

    scale: tuple[float, ...]
    zero_point: int = 0
    axis: int | None = None
    bits: int = 8
    pin: str = field(default="", compare=False)
    zero_points: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.bits not in (8, 12, 16, 24) or (self.bits != 8 and self.zero_point != 0):
            raise ValueError(
                f"{self.bits} bits with zero point {self.zero_point}: activations have 8, or 12, 16 or 24 and 0"
            )

    @staticmethod
    def per_tensor(scale: float, zero_point: int, bits: int = 8, pin: str = "") -> Quant:
        return Quant((float(scale),), int(zero_point), None, bits, pin)

    @property
    def s(self) -> float:
        """The scale of a per-tensor quantisation."""
        if len(self.scale) != 1:
            raise ValueError("per-channel quantisation has no single scale")
        return self.scale[0]

    def along(self, rank: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Scales and zero points as they broadcast against a tensor of `rank` axes."""
        if not self.zero_points:
            return np.asarray(self.s, np.float32), np.asarray(self.zero_point, np.int32)
        shape = (-1, *(1,) * (rank - 1 - (self.axis or 0)))
        return np.asarray(self.scale, np.float32).reshape(shape), np.asarray(self.zero_points, np.int32).reshape(shape)

    @property
    def low(self) -> int:
        """The smallest integer."""
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        """The largest integer."""
        return (1 << (self.bits - 1)) - 1

    @property
    def dtype(self) -> DType:
        """What an activation is stored as."""
        return {8: DType.INT8, 12: DType.INT16, 16: DType.INT16, 24: DType.INT32}[self.bits]


class Const:
    """A read-only array that compares and hashes by content."""

    __slots__ = ("array", "sha256")

    def __init__(self, array: npt.ArrayLike) -> None:
        a = np.array(array, copy=True, order="C")
        a.setflags(write=False)
        self.array: npt.NDArray[Any] = a
        self.sha256 = hashlib.sha256(f"{a.dtype.str}{a.shape}".encode() + a.tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return f"Const({self.array.dtype}{list(self.array.shape)} {self.sha256[:8]})"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value: `shape` includes the batch of 1; `const` is set for weights. In a FLOAT graph, `quant` on a tensor
    without `const` is a pin: the value is rounded and saturated as a pre-quantised model asked for."""

    name: str
    shape: tuple[int, ...]
    dtype: DType = DType.FLOAT32
    quant: Quant | None = None
    const: Const | None = None

    @property
    def is_plain(self) -> bool:
        """Its numbers mean themselves: it has no scale, before `quantise` or behind it."""
        return self.dtype is not DType.FLOAT32 and self.quant is None

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes it takes, dense."""
        return self.size * np.dtype(self.dtype.value).itemsize

    @property
    def array(self) -> npt.NDArray[Any]:
        """The constant's values; TypeError on a tensor that is computed."""
        if self.const is None:
            raise TypeError(f"tensor {self.name} is not constant")
        return self.const.array

    @staticmethod
    def constant(name: str, array: npt.ArrayLike, quant: Quant | None = None) -> Tensor:
        const = Const(array)
        return Tensor(name, const.array.shape, DType(const.array.dtype.name), quant, const)


@dataclass(frozen=True)
class Op:
    """Base of all operators (tinygen/ops): frozen attributes plus the operator's meaning as methods."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operator applied to named tensors. `origin` holds the ONNX node names it came from; `label` is what its layer
    is called where the first of those says little, a path as they are."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    origin: tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True, slots=True)
class Affine:
    """A normalisation at an input: tensor = (outside - mean) * gain, one of each, or one for each slice along `axis`
    of the tensor. Values of float32, gains other than 0."""

    mean: tuple[float, ...]
    gain: tuple[float, ...]
    axis: int = 0

    def along(self, values: Iterable[float], rank: int) -> npt.NDArray[np.float32]:
        """One value, or one for each slice, as float32 that broadcasts against a tensor of `rank` axes."""
        a = np.asarray(tuple(values), np.float32)
        return a.reshape(()) if a.size == 1 else a.reshape(-1, *(1,) * (rank - 1 - self.axis))

    def steps(self, scale: float) -> tuple[float, ...]:
        """What quantising divides by, for a tensor of that scale: a step of its integers as the outside counts it."""
        return tuple(float(np.float32(float(np.float32(scale)) / g)) for g in self.gain)


@dataclass(frozen=True, slots=True)
class Port:
    """How the outside sees a graph input or output: the ONNX name and shape, and the permutation that
    leads from the ONNX layout to the tensor's own (`tensor = onnx.transpose(perm)`, then `affine`, of inputs only).

    `codes`: "int8", "uint8" or "int16" where an input's numbers come in as such integers and mean themselves; `largest`
    the largest of them that makes sense, where it is not the type's (the last row of a table)."""

    name: str
    shape: tuple[int, ...]
    perm: tuple[int, ...]
    affine: Affine | None = None
    codes: str = ""
    largest: int | None = None

    @staticmethod
    def plain(name: str, shape: tuple[int, ...], codes: str = "", largest: int | None = None) -> Port:
        return Port(name, shape, tuple(range(len(shape))), None, codes, largest)

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest number that comes in, where there are `codes`."""
        info = np.iinfo(self.codes)
        return int(info.min), int(info.max) if self.largest is None else self.largest

    def permuted(self, perm: tuple[int, ...]) -> Port:
        """The port of the same input when its tensor is `tensor.transpose(perm)`."""
        a = self.affine
        affine = None if a is None else replace(a, axis=perm.index(a.axis) if len(a.mean) > 1 else 0)
        return replace(self, perm=tuple(self.perm[p] for p in perm), affine=affine)

    def moved(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(..., *onnx shape) to (..., *tensor shape), the values as the outside has them."""
        return self._ordered(x, self.perm)

    def to_tensor(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(..., *onnx shape) to (..., *tensor shape), normalised where there is an `affine`."""
        moved, a = self.moved(x), self.affine
        if a is None:
            return moved
        rank = len(self.shape)
        real: npt.NDArray[Any] = (moved.astype(np.float32) - a.along(a.mean, rank)) * a.along(a.gain, rank)
        return real

    def to_outside(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The inverse of `to_tensor`, to float32 rounding."""
        a = self.affine
        if a is not None:
            x = x / a.along(a.gain, len(self.shape)) + a.along(a.mean, len(self.shape))
        return self.to_onnx(x)

    def whole(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Outside values as the input can have them: numbers of its type, where it takes integers."""
        if not self.codes:
            return x
        real: npt.NDArray[Any] = np.clip(np.rint(x), *self.ends).astype(np.float32)
        return real

    def to_onnx(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(..., *tensor shape) to (..., *onnx shape)."""
        return self._ordered(x, np.argsort(self.perm).tolist())

    def _ordered(self, x: npt.NDArray[Any], perm: Iterable[int]) -> npt.NDArray[Any]:
        """The last axes in another order; those before them count samples, or sequences and steps."""
        lead = x.ndim - len(self.shape)
        return x.transpose(*range(lead), *(p + lead for p in perm))


@dataclass(frozen=True, slots=True)
class State:
    """What is kept from one call to the next: tensor `reads` begins a call as tensor `writes` ended the one before; at
    the first call, and after a reset, as `initial`. `name`: of the ONNX input; `initial`: real values in the shape of
    `reads`, None for zeros. In a FIXED graph both tensors have one `Quant`.
    """

    name: str
    reads: str
    writes: str
    initial: Const | None = None

    def start(self, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """`initial` as an array of that shape."""
        real = np.zeros(shape, np.float32) if self.initial is None else self.initial.array.reshape(shape)
        return np.asarray(real, np.float32)


@dataclass(frozen=True)
class Graph:
    """Nodes in execution order; `ir/invariants.py` proves it. `in_ports` describe `inputs`, `out_ports` `outputs`."""

    name: str
    stage: Stage
    tensors: Mapping[str, Tensor]
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    in_ports: tuple[Port, ...]
    out_ports: tuple[Port, ...]
    notes: tuple[str, ...] = field(default=())
    states: tuple[State, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy, which cannot take the proxy."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return Graph, tuple({**given, "tensors": dict(self.tensors)}.values())

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Tensors that are there before the first node runs: inputs, and what states read."""
        return (*self.inputs, *(s.reads for s in self.states))

    @cached_property
    def results(self) -> tuple[str, ...]:
        """Tensors that are wanted: outputs, and what states write."""
        return (*self.outputs, *(s.writes for s in self.states))

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """The nodes."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def producer(self) -> Mapping[str, Node]:
        """Tensor name to the node that writes it."""
        return {out: node for node in self.nodes for out in node.outputs}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        """Tensor name to the nodes that read it, each once; graph outputs and states do not count."""
        found: dict[str, list[Node]] = {name: [] for name in self.tensors}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found[name].append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    def opened(self) -> Graph:
        """The graph of one call, with states as further inputs and outputs, behind the others."""
        reads = (Port.plain(s.name, self.tensors[s.reads].shape) for s in self.states)
        writes = (Port.plain(f"{s.name} next", self.tensors[s.writes].shape) for s in self.states)
        return replace(
            self, inputs=self.sources, outputs=self.results, in_ports=(*self.in_ports, *reads),
            out_ports=(*self.out_ports, *writes), states=(),
        )  # fmt: skip

    def sole_consumer(self, tensor: str) -> Node | None:
        """The one node that reads `tensor`, or None when several do, or the outside or a state does."""
        nodes = self.consumers[tensor]
        return nodes[0] if len(nodes) == 1 and tensor not in self.results else None

    def ins(self, node: Node) -> tuple[Tensor, ...]:
        return tuple(self.tensors[name] for name in node.inputs)

    def outs(self, node: Node) -> tuple[Tensor, ...]:
        return tuple(self.tensors[name] for name in node.outputs)

    def with_(
        self,
        *,
        nodes: Iterable[Node] | None = None,
        tensors: Iterable[Tensor] = (),
        **changes: Any,
    ) -> Graph:
        """A copy with other nodes and with `tensors` added or replaced; tensors nothing refers to are dropped."""
        new_nodes = self.nodes if nodes is None else tuple(nodes)
        merged = dict(self.tensors) | {t.name: t for t in tensors}
        graph = replace(self, nodes=new_nodes, tensors=merged, **changes)
        used = dict.fromkeys(graph.sources + graph.results)
        for node in new_nodes:
            used.update(dict.fromkeys(node.inputs + node.outputs))
        return replace(graph, tensors={name: merged[name] for name in merged if name in used})
