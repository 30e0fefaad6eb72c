"""The Plan: numbers and names only, all that templates may see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinygen.ir.types import DType, Port, Quant
from tinygen.ops.base import Call, ConstArg, Generated, Planes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value lives while the network runs: `space` is "input", "output", "arena", or "state", the front of the
    arena, which is kept from call to call. `index` counts inputs or outputs; `offset` and `size` are bytes, `dtype` the
    type of its elements."""

    space: str
    index: int
    offset: int
    size: int
    dtype: DType = DType.INT8

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return int(np.dtype(self.dtype.value).itemsize)

    @property
    def ctype(self) -> str:
        """Type of an element in C; a boolean is a byte of 0 or 1."""
        return "uint8_t" if self.dtype is DType.BOOL else f"{self.dtype.value}_t"


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
    outputs: tuple[Place, ...]
    scratch: Place | None


@dataclass(frozen=True, slots=True)
class Written:
    """An output of a layer: the graph's name of the tensor (of a copy into a state, of what is copied), its shape and
    place; its layout where that is not dense; what the operator calls it."""

    tensor: str
    shape: tuple[int, ...]
    place: Place
    planes: Planes | None = None
    role: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One layer: `name` is unique and a C identifier."""

    name: str
    title: str
    origin: tuple[str, ...]
    in_shapes: tuple[tuple[int, ...], ...]
    outputs: tuple[Written, ...]
    macs: int
    calls: tuple[PlannedCall, ...]

    @property
    def out_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the outputs."""
        return tuple(w.shape for w in self.outputs)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A network input or output: element count, quantisation, and the way between ONNX's layout and the tensor's."""

    name: str
    length: int
    shape: tuple[int, ...]
    quant: Quant
    port: Port

    @property
    def dtype(self) -> DType:
        """Type of its elements."""
        return self.quant.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the buffer."""
        return self.length * int(np.dtype(self.dtype.value).itemsize)


@dataclass(frozen=True, slots=True)
class Kept:
    """A state at the front of the arena: `offset` bytes from its start; `initial`: the integers after a reset."""

    name: str
    shape: tuple[int, ...]
    quant: Quant
    offset: int
    initial: ConstArg

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return int(self.initial.array.nbytes)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the C needs. `states` lie in the first `state_len` bytes of the arena; kernels and
    contents of constants `in_ram` are to lie in RAM."""

    name: str
    core: str
    steps: tuple[Step, ...]
    inputs: tuple[Endpoint, ...]
    outputs: tuple[Endpoint, ...]
    arena_len: int
    buffers: tuple[Buffer, ...]
    states: tuple[Kept, ...] = ()
    in_ram: tuple[str, ...] = ()

    @property
    def state_len(self) -> int:
        """Bytes at the front of the arena that are kept from call to call."""
        return max((-(-(s.offset + s.nbytes) // 4) * 4 for s in self.states), default=0)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(s.macs for s in self.steps)

    @property
    def kernels_in_ram(self) -> tuple[str, ...]:
        """Kernels whose code is to lie in RAM, sorted."""
        return tuple(k for k in self.in_ram if k in {*self.kernels, *(g.name for g in self.generated)})

    @property
    def kernels(self) -> tuple[str, ...]:
        """Kernels of the library in use, each once, sorted."""
        return tuple(sorted({k for s in self.steps for c in s.calls for k in c.call.library}))

    @property
    def generated(self) -> tuple[Generated, ...]:
        """Kernels made for this network, each once, by name. RuntimeError for two that share one."""
        found: dict[str, Generated] = {}
        for made in (g for s in self.steps for c in s.calls for g in c.call.generated):
            if found.setdefault(made.name, made) != made:
                raise RuntimeError(f"two kernels are called {made.name}")
        return tuple(found[name] for name in sorted(found))
