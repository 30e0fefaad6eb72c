"""The Plan: numbers and names only, all that templates may see."""

from __future__ import annotations

from dataclasses import dataclass

from tinygen.ir.types import Port, Quant
from tinygen.ops.base import Call, ConstArg, Generated, Planes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value lives while the network runs: `space` is "input", "output" or "arena"; `index` counts inputs or
    outputs; `offset` and `size` are bytes. `bits` of its elements: 8 or 16."""

    space: str
    index: int
    offset: int
    size: int
    bits: int = 8


@dataclass(frozen=True, slots=True)
class Buffer:
    """A piece of the arena and the steps [first, last] between which it is in use."""

    name: str
    size: int
    first: int
    last: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A kernel call with the places of its activations and scratch; an input that is a constant has none."""

    call: Call
    inputs: tuple[Place | ConstArg, ...]
    output: Place
    scratch: Place | None


@dataclass(frozen=True, slots=True)
class Step:
    """One layer: `name` is unique and a C identifier; `tensor` is the graph's name of its output."""

    name: str
    tensor: str
    title: str
    origin: tuple[str, ...]
    in_shapes: tuple[tuple[int, ...], ...]
    out_shape: tuple[int, ...]
    output: Place
    macs: int
    calls: tuple[PlannedCall, ...]
    #: Layout of the output where it is not dense.
    planes: Planes | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A network input or output: element count, quantisation, and the way between ONNX's layout and the tensor's."""

    name: str
    length: int
    shape: tuple[int, ...]
    quant: Quant
    port: Port

    @property
    def nbytes(self) -> int:
        """Bytes of the buffer."""
        return self.length * self.quant.bits // 8


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the C needs."""

    name: str
    core: str
    steps: tuple[Step, ...]
    inputs: tuple[Endpoint, ...]
    outputs: tuple[Endpoint, ...]
    arena_len: int
    buffers: tuple[Buffer, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(s.macs for s in self.steps)

    @property
    def kernels(self) -> tuple[str, ...]:
        """Kernels of the library in use, each once, sorted."""
        return tuple(sorted({k for s in self.steps for c in s.calls for k in c.call.library}))

    @property
    def generated(self) -> tuple[Generated, ...]:
        """Kernels made for this network, each once, by name."""
        found = {g.name: g for s in self.steps for c in s.calls for g in c.call.generated}
        return tuple(found[name] for name in sorted(found))
