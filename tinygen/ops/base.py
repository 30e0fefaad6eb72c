"""What an operator is: frozen attributes plus the methods below. One file per operator holds its whole meaning.

Arrays at run time carry a leading sample axis: an activation of tensor shape S is an array of shape (samples, *S).
Constants do not.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import DType, Op, Quant, Tensor
from tinygen.numerics import Array, choose_multipliers, dequantise, quantise
from tinygen.ops import access
from tinygen.ops.access import Access, Labels, Region
from tinygen.ops.access import Shape as Shape
from tinygen.ops.interval import Interval, full

#: Fields of a kernel's config struct, in order: a number, an array, or the C name of a function.
Config = tuple[tuple[str, int | tuple[int, ...] | str], ...]


#: So many int16 can be added in int32.
LONGEST_SUM16 = 65535


class ScanStep(Protocol):
    """One turn of a loop: adds nodes to `inner`; returns the new states, and the values that are stacked."""

    def __call__(
        self, inner: OnnxBuilder, states: Sequence[str], row: str, /
    ) -> tuple[Sequence[str], Sequence[str]]: ...


class OnnxBuilder(Protocol):
    """What `to_onnx` needs to write its float meaning as ONNX nodes (implemented by frontend/onnx_writer.py)."""

    def op(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node with one output; returns the name of that output."""

    def scan(
        self, step: ScanStep, states: Sequence[str], state: Shape, rows: str, row: Shape, reverse: bool
    ) -> tuple[str, ...]:
        """A loop over the first axis of `rows`, from its end where `reverse`: `step` adds the nodes of one turn from
        the states, of shape `state` each, and a row, of shape `row`; it returns the new states and what to stack.
        Returns the names of the stacks."""

    def ops(self, op_type: str, inputs: Sequence[str], count: int, **attributes: Any) -> tuple[str, ...]:
        """Add a node with `count` outputs; returns their names."""

    def const(self, array: Array) -> str:
        """Add an initialiser; returns its name."""


@dataclass(frozen=True, slots=True)
class Epilogue:
    """Integer end of a layer with an accumulator: shift of the requantisation, clamp bounds. NUMERICS section 1."""

    shift: int
    lo: int = -128
    hi: int = 127


@dataclass(frozen=True, slots=True)
class Alias:
    """Tensor `inner` may live inside tensor `outer`, `offset` elements from its start: a view instead of a copy."""

    inner: str
    outer: str
    offset: int


@dataclass(frozen=True, slots=True)
class ConstArg:
    """A constant array of a call: C name suffix and the values in the layout the kernel reads."""

    suffix: str
    array: Array

    def __hash__(self) -> int:
        return hash((self.suffix, self.array.tobytes()))

    @property
    def content(self) -> str:
        """A digest that is equal for arrays of which the C keeps one."""
        a = np.ascontiguousarray(self.array)
        return hashlib.blake2b(a.dtype.str.encode() + a.tobytes(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Generated:
    """A kernel made for one shape: files `name`.h and .c from the templates kernels/`template`.{h,c}.j2.

    `view` is what they print, as `k`; kernels of one name have equal views. `code` is about how many bytes they take,
    `hot` about how many their innermost loop does. `family`: kernels whose costs have the same coefficients.
    """

    name: str
    template: str
    view: Hashable
    code: int
    hot: int
    family: str


@dataclass(frozen=True, slots=True)
class Planes:
    """How an activation [rows][cols][channels] lies in memory when it is not dense and channels last: one plane after
    the other, for a depthwise layer.

    Element (row, col, channel) is `lead + channel * plane + row * stride + col` bytes from the start, row and col
    exchanged when `swap`. Bytes that are no element hold the zero point: those behind a row pad its right end and the
    left end of the next. `size` counts three more behind the last, which kernels read as part of a word.
    """

    rows: int
    cols: int
    channels: int
    stride: int
    lead: int
    swap: bool

    @property
    def plane(self) -> int:
        """Bytes from channel to channel."""
        return self.rows * self.stride

    @property
    def size(self) -> int:
        """Bytes of the buffer."""
        return self.lead + self.channels * self.plane + 3

    def place(self, dense: Array) -> Array:
        """Where each element of a dense [..., cols, channels] array lies: byte offsets of the same shape."""
        size = (self.cols, self.rows) if self.swap else (self.rows, self.cols)
        y, x, channel = np.indices((*size, self.channels))
        row, col = (x, y) if self.swap else (y, x)
        offsets: Array = self.lead + channel * self.plane + row * self.stride + col
        return offsets.reshape(dense.shape)


@dataclass(frozen=True)
class Call:
    """One kernel call. C argument order: config, inputs, constants, scratch if any, output, further outputs.

    `inputs`, `output` and `also` are tensor names; an input may be a constant tensor of the graph (an operand of Add,
    say).
    """

    kernel: str
    config: Config
    inputs: tuple[str, ...]
    consts: tuple[ConstArg, ...]
    output: str
    scratch: int = 0
    #: C type of the config where it is not named after the kernel.
    cfg_type: str = ""
    #: Inputs whose buffer the output may take over.
    in_place: tuple[str, ...] = ()
    #: Why this kernel and no other: filled by plan/select.py.
    why: str = ""
    #: Kernels made for this call, which its config names; and kernels of the library, likewise.
    generated: tuple[Generated, ...] = ()
    uses: tuple[str, ...] = ()
    #: Its kernel uses the stack pointer as a pointer to data (all live data above it).
    points_with_sp: bool = False
    #: Bytes of stack that its kernel takes beyond the usual.
    stack: int = 0
    #: What kernels shared by several layers must have room for: filled by plan/planner.py from all its calls.
    limits: tuple[tuple[str, int], ...] = ()
    #: Layout of the input and of the output where it is not dense.
    x_planes: Planes | None = None
    y_planes: Planes | None = None
    #: Kernel and config of the reference call that this is a variant of, filled by plan/select.py: what the cost model
    #: (plan/cost.py) reads, unless `features` says itself what to multiply with the coefficients of `family`.
    reference: str = ""
    geometry: Config = ()
    family: str = ""
    features: tuple[tuple[str, float], ...] = ()
    #: It reads weights in a form that is smaller than int8: filled by plan/select.py.
    compressed: bool = False
    #: Outputs behind the first.
    also: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """All that it writes."""
        return (self.output, *self.also)

    @property
    def library(self) -> tuple[str, ...]:
        """Kernels of the library that it calls."""
        made = {g.name for g in self.generated}
        return tuple(k for k in (self.kernel, *self.uses) if k not in made)

    @property
    def struct(self) -> str:
        """C type of the config: a core's variant (tg_conv_s8_dsp) takes the reference's."""
        if self.cfg_type:
            return self.cfg_type
        stem, _, end = self.kernel.rpartition("_")
        return f"{self.kernel if end in ('s8', 's16', 's32') else stem}_cfg_t"


@dataclass(frozen=True, slots=True)
class Lowered:
    """A FIXED operator and its inputs: names of activations, or new constant tensors."""

    op: Op
    inputs: tuple[str | Tensor, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A named example of an operator, run by every generic test. `inputs`: a shape (activation) or a constant."""

    name: str
    op: Operator
    inputs: tuple[Shape | Array, ...]


@dataclass(frozen=True)
class Operator(Op):
    """Base class. The defaults suit operators with one output and no weights."""

    #: All activations in and out share scale and zero point: the operator only moves or compares integers.
    same_quant: ClassVar[bool] = False
    #: It only copies elements, of whatever width: cells of 24 bits too.
    copies: ClassVar[bool] = False
    #: Its inputs share one quantisation while its output has another: where pins differ they are converted to one.
    aligns: ClassVar[bool] = False
    #: It has a form with int16 activations in and out.
    int16: ClassVar[bool] = False
    #: Its int16 form writes int8 as well.
    narrows: ClassVar[bool] = False
    #: Its int16 form writes int16 (ArgMax: always int8).
    writes_int16: ClassVar[bool] = True
    #: It reads and writes each activation in the width that it has: nothing is widened or narrowed for it.
    any_width: ClassVar[bool] = False
    #: It computes in the width of its first output, and so reads all that it does not keep (`keeps`).
    by_output: ClassVar[bool] = False

    #: What its outputs are called, where there are several.
    roles: ClassVar[tuple[str, ...]] = ()

    def role(self, output: int) -> str:
        """What an output is called beside others; "" where there is no word for it."""
        return self.roles[output] if output < len(self.roles) else ""

    def takes_int16(self) -> bool:
        """Can these attributes be computed on int16 activations?"""
        return self.int16

    @property
    def title(self) -> str:
        """Word for reports and C comments."""
        return type(self).__name__.lower()

    def describe(self, ins: Sequence[Tensor]) -> str:
        """`title`, made more precise by what the inputs tell."""
        return self.title

    @property
    def watched(self) -> int:
        """How many outputs, the last ones, a FLOAT node has for calibration alone: the FIXED one has none of them."""
        return 0

    @property
    def told(self) -> tuple[str, ...]:
        """A name for each output of a FLOAT node whose quantisations QuantizeLinear behind it cannot all say (a cell of
        24 bits; what is for calibration alone): a QDQ file tells them beside the graph. Empty: it can."""
        return ()

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Output shapes from input shapes. Raises ValueError when they do not fit."""
        raise NotImplementedError

    def types(self, *types: DType) -> tuple[DType, ...]:
        """Element types of the outputs from those of the inputs, in a FLOAT graph: FLOAT32, or one whose numbers mean
        themselves. Raises ValueError for inputs it cannot take. Default: one real output of real inputs; one that only
        moves values gives what it takes."""
        kinds = set(types)
        if self.same_quant and len(kinds) == 1:
            return (types[0],)
        if kinds - {DType.FLOAT32}:
            raise ValueError(
                f"{self.title} of {' and '.join(sorted(t.value for t in kinds))} values; it takes real ones"
            )
        return (DType.FLOAT32,)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        """Write the float meaning; `names` are the ONNX names of the inputs. Returns the output names."""
        raise NotImplementedError

    def ties(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[tuple[str, ...], ...]:
        """Names of the activations that must share one quantisation, by groups."""
        return (tuple(t.name for t in (*ins, *outs)),) if self.same_quant else ()

    def fixed_quant(self, bits: int = 8, output: int = 0) -> Quant | None:
        """The quantisation this operator dictates for an output (softmax: 1/256, in int16 1/32768), or None to
        calibrate."""
        return None

    def lawful_quant(self, lo: float, hi: float, bits: int = 8, output: int = 0) -> Quant | None:
        """The quantisation of an output, and of all that is tied to it, by a law of the operator's own from the range
        that calibration found and the bits asked for (a cell: 24 bits, a power of two); None: as any other's."""
        return None

    def obeys(self, q: Quant, output: int = 0) -> bool:
        """Can an output have this quantisation? What a model pins otherwise is converted behind the operator."""
        return True

    def keeps(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> frozenset[str]:
        """Activations that it reads and writes in the width they have, whatever it computes in: states."""
        return frozenset(t.name for t in (*ins, *outs)) if self.any_width else frozenset()

    def index_inputs(self, ins: Sequence[Tensor]) -> frozenset[str]:
        """Activations that say where, not what: int8 of their own scale, whatever the operator computes in."""
        return frozenset()

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        """The FIXED form; activations in `ins` and `out` carry their Quant. Default: same operator, same inputs."""
        return Lowered(self, tuple(t.name for t in ins))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        """The definition of the bits: integers in, integers out."""
        raise NotImplementedError

    def macs(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> int:
        """Multiply-accumulates of one inference."""
        return 0

    def weights(self, ins: Sequence[Tensor]) -> int:
        """FIXED: how many weights it multiplies its inputs with."""
        return 0

    def aliases(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Alias, ...]:
        """Views that make the calls of `lower` unnecessary; one for each activation moved."""
        return ()

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        """The calls of reference kernels that compute the node. FIXED only."""
        raise NotImplementedError

    # -- the algebra: what passes ask instead of which operator it is. The defaults suit everybody: nothing is gained.

    #: It takes any number of inputs, and does without those of which no channel is left.
    drops_inputs: ClassVar[bool] = False
    #: Its constants behind the first input are weights, which training may change.
    learns: ClassVar[bool] = False
    #: Of those the inputs that are matrices, with a scale for each row; how many leading axes count rows; and the input
    #: that is added to the sums of the first matrix, None: none.
    matrices: ClassVar[tuple[int, ...]] = ()
    row_axes: ClassVar[int] = 1
    bias: ClassVar[int | None] = None
    #: Its weights have one form only, int8 and all of them: why.
    one_form: ClassVar[str] = ""
    #: Its output has the elements of its input, in another order or shape.
    rearranges: ClassVar[bool] = False

    @property
    def picks(self) -> bool:
        """Each integer of its outputs is one of its inputs', or one of its own (padding): nothing is rounded."""
        return self.same_quant

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        """For each output, how the axes of each input go along with it (ops/access.py). None: weights, or a table.
        Default: every output element depends on everything."""
        return (access.mixed(ins),) * len(outs)

    def reads(
        self, ins: Sequence[Tensor], outs: Sequence[Tensor], regions: Sequence[Region | None]
    ) -> tuple[Region | None, ...]:
        """For each input the region that the regions of the outputs need; None: nothing."""
        needed: list[Region | None] = [None] * len(ins)
        for along, region in zip(self.access(ins, outs), regions, strict=True):
            if region is not None:
                found = access.reads(along, ins, region)
                needed = [access.union(a, b) for a, b in zip(needed, found, strict=True)]
        return tuple(needed)

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        """The operator for inputs with their axes in another order, `x.transpose(order)`, which then gives the same
        output with its axes in another order; None where there is none. Default: none."""
        return None

    def channels(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Labels, ...]:
        """For each input, then each output, labels of its channels (-1, the last axis), of weights those of the axes
        that go along with channels. Default: as `access` says; of several outputs all channels stay."""
        if len(outs) == 1:
            return access.channels(self.access(ins, outs)[0], ins, outs[0])
        return tuple({} if t.const is not None else access.stays(t) for t in (*ins, *outs))

    def cut(self, ins: Sequence[Tensor], outs: Sequence[Tensor], kept: Sequence[Array]) -> Operator | None:
        """The operator for fewer channels, as `channels` allows: for each input, then each output, `kept` has the
        indices that stay, in their new order. None where that order cannot be had. Default: it needs no change."""
        return self

    def weighed(self, ins: Sequence[Tensor], written: Array) -> Array | None:
        """FIXED: for each channel of the first input whether one of the output channels `written` (a mask) has a weight
        other than 0 for it; None: it has no weights of its own for them, so that what `channels` ties is read."""
        return None

    @property
    def is_identity(self) -> bool:
        """The real values are those of its input, in whatever integers."""
        return False

    @property
    def clamps(self) -> tuple[float, float] | None:
        """(lo, hi) where its output is its one input clamped to these and no more; None where it is anything else."""
        return None

    def clamped(self, lo: float, hi: float) -> Operator | None:
        """The operator whose output is clamped to [lo, hi] as well, at no cost; None where it cannot. FLOAT only."""
        return None

    def padded(self, pads: Shape) -> Operator | None:
        """The operator that puts zeros around its first input itself: before every axis, then behind every axis; None
        where it cannot. FLOAT only."""
        return None

    def own_values(self, ins: Sequence[Tensor], output: int = 0) -> tuple[float, ...]:
        """Values that an output may take whatever calibration has seen: what it pads with, the ends of a table, a first
        state."""
        return ()

    def error(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> float:
        """FIXED: steps by which an output may be off, inputs taken as exact; saturation is none."""
        return 0.0 if self.picks else 0.5

    def hands_on(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> int | None:
        """FIXED: which input the output always equals, integer for integer; None: none that is known."""
        return None

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        """FIXED: the integers that each channel of each output can take, from those of the inputs. No run may ever
        leave them. Default: all of the type."""
        return tuple(full(t) for t in outs)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        """Named examples."""
        return ()


def need_quant(tensor: Tensor) -> tuple[float, int]:
    """Scale and zero point of an activation."""
    if tensor.quant is None:
        raise ModelError(f'tensor "{tensor.name}" has no quantisation')
    return tensor.quant.s, tensor.quant.zero_point


def bits_of(tensor: Tensor) -> int:
    """8, 16 or 32: the bits in which each integer of an activation lies."""
    if tensor.quant is not None:
        return 8 * np.dtype(tensor.quant.dtype.value).itemsize
    return 8 if tensor.dtype is DType.FLOAT32 else 8 * np.dtype(tensor.dtype.value).itemsize


def is_wide(tensor: Tensor) -> bool:
    """An activation whose integers lie in int16."""
    return bits_of(tensor) == 16


def int_range(tensor: Tensor) -> tuple[int, int]:
    """The smallest and the largest integer of an activation."""
    return (-128, 127) if tensor.quant is None else (tensor.quant.low, tensor.quant.high)


def step_of(x: Tensor) -> int | None:
    """What multipliers are multiples of: those of layers with int16 inputs need no common factor."""
    return 1 if is_wide(x) else None


def kernel_of(stem: str, x: Tensor) -> str:
    """Name of the reference kernel for x's width: tg_conv_s8, tg_conv_s16."""
    return f"{stem}_s{bits_of(x)}"


def zero_points(**of: Tensor) -> dict[str, int]:
    """Config fields for the zero points of int8 activations; those of int16 are 0 and no fields."""
    return {name: need_quant(t)[1] for name, t in of.items() if not is_wide(t)}


def output_width(x: Tensor, out: Tensor) -> dict[str, int]:
    """The config field with which a kernel for int16 inputs learns whether to write int16."""
    return {"wide": int(is_wide(out))} if is_wide(x) else {}


def keeps_scale(x: Tensor, out: Tensor) -> bool:
    """int8 to int8 of one scale: a mean of n values is a multiple of 1 / n, and may lie half-way between integers."""
    return not is_wide(x) and not is_wide(out) and need_quant(x)[0] == need_quant(out)[0]


def quantise_as(tensor: Tensor, x: Array) -> Array:
    """Real values in the integers of an activation."""
    scale, zero_point = need_quant(tensor)
    return quantise(x, scale, zero_point, 8 if tensor.quant is None else tensor.quant.bits)


def real_of(tensor: Tensor, q: Array) -> Array:
    """Integers of an activation, (..., *tensor shape), as real values."""
    if tensor.quant is None:
        raise ModelError(f'tensor "{tensor.name}" has no quantisation')
    return dequantise(q, *tensor.quant.along(len(tensor.shape)))


def config(**fields: int | tuple[int, ...] | str) -> Config:
    """Fields of a kernel's config struct, in order."""
    return tuple(fields.items())


def clamp_bounds(lo: float, hi: float, out: Tensor) -> tuple[int, int]:
    """Real clamp bounds (-inf, inf: none) as integers of the output's quantisation."""
    scale, zp = need_quant(out)
    low, high = int_range(out)
    ends = ((low, lo, -math.inf), (high, hi, math.inf))
    bounds = [end if v == none else int(np.clip(np.rint(v / scale) + zp, low, high)) for end, v, none in ends]
    return bounds[0], bounds[1]


def narrowed(clamp: tuple[float, float], lo: float, hi: float) -> tuple[float, float]:
    """A fused clamp with another to [lo, hi] behind it."""
    return min(max(clamp[0], lo), hi), min(max(clamp[1], lo), hi)


def off(m: int, shift: int, ratio: float, reach: float) -> float:
    """By how many steps m / 2^shift in place of a ratio moves a product, of numbers up to `reach`."""
    return abs(m / 2.0**shift - ratio) * reach


def clamp_to_onnx(b: OnnxBuilder, name: str, lo: float, hi: float) -> str:
    """ONNX nodes for a fused clamp."""
    if lo == -math.inf and hi == math.inf:
        return name
    if lo == 0.0 and hi == math.inf:
        return b.op("Relu", [name])
    low = "" if lo == -math.inf else b.const(np.array(lo, np.float32))
    high = "" if hi == math.inf else b.const(np.array(hi, np.float32))
    return b.op("Clip", [name, low, high])


def quantise_weights(
    name: str, x: Tensor, w: Tensor, bias: Array, out: Tensor, lo: float, hi: float
) -> tuple[Tensor, Tensor, Tensor, Epilogue]:
    """int8 weights (first axis: output channels), int32 bias, multipliers and epilogue of a layer with weights.

    Pinned weights (pre-quantised models) keep their integers, -128 among them. Otherwise a channel's scale is
    max|w| / 127. It is enlarged where the bias, or many weights on int16 inputs, would not leave the accumulator below
    2^31 (NUMERICS sections 1 and 8).
    """
    s_x, _ = need_quant(x)
    reach = 2.0 ** bits_of(x) if bits_of(x) == 8 else 2.0**15  # of |x - zero point|
    s_y, _ = need_quant(out)
    wf = w.array.astype(np.float64)
    flat = wf.reshape(wf.shape[0], -1)
    if w.quant is not None:
        s_w = np.asarray(w.quant.scale, np.float64)
        beyond = np.rint(flat / s_w[:, None])
        if beyond.size and (beyond.min() < -128 or beyond.max() > 127):
            raise ModelError(f'"{name}": weights from {beyond.min():.0f} to {beyond.max():.0f} at their pinned scale')
        # A channel that training has switched off: its weights move no output by 1/2048 of a step, and at their scale
        # the multiplier would have few bits left for the bias. It is a constant, at a scale that has both.
        off = reach * np.abs(flat).sum(axis=1) * s_x / s_y < 2.0**-11
        flat = np.where(off[:, None], 0.0, flat)
        s_w = np.where(off, np.maximum(s_w, float(s_w.max(initial=0.0)) / 16.0), s_w)
    else:
        s_w = np.abs(flat).max(axis=1) / 127.0
        s_w = np.where(s_w == 0.0, float(s_w.max(initial=0.0)) / 16.0, s_w)  # a constant: likewise
    # 2^30 leaves room for 256 * sum|w| beside the bias; a channel of zeros gets a scale that holds its bias.
    room = 2.0**30
    s_w = np.maximum(s_w, np.abs(bias.astype(np.float64)) / (s_x * room))
    # No channel far below the others: its multiplier would keep too few bits, and its weights are noise beside them.
    s_w = np.maximum(s_w, max(float(s_w.max(initial=0.0)) * 2.0**-18, 1e-12))
    wq, bq, sums = _integers(flat, bias, s_x, s_w, reach)
    if is_wide(x) and sums.max(initial=0.0) >= 2**31:
        # Rounding anew adds half a step for each weight, at most, and one for the bias.
        room = 2.0**31 - 2.0 - reach * flat.shape[1] / 2.0
        s_w = np.where(sums >= 2**31, s_w * sums / max(room, 2.0**20) * (1.0 + 2.0**-20), s_w)
        wq, bq, sums = _integers(flat, bias, s_x, s_w, reach)
    worst = float(sums.max(initial=0.0))
    if worst >= 2**31:
        raise ModelError(
            f'"{name}": an accumulator may reach {worst:.3g}, above 2^31; '
            f"found {flat.shape[1]} weights per output. Split the layer."
        )
    try:
        m, shift = choose_multipliers(s_x * s_w / s_y, step_of(x))
    except ValueError as e:
        raise ModelError(f'"{name}": {e}') from e
    low, high = clamp_bounds(lo, hi, out)
    w_quant = Quant(tuple(float(s) for s in s_w), 0, 0, pin=w.quant.pin if w.quant is not None else "")
    return (
        Tensor.constant(f"{name}_w", wq.reshape(wf.shape).astype(np.int8), w_quant),
        Tensor.constant(f"{name}_b", bq.astype(np.int32)),
        Tensor.constant(f"{name}_m", m),
        Epilogue(shift, low, high),
    )


def _integers(flat: Array, bias: Array, s_x: float, s_w: Array, reach: float) -> tuple[Array, Array, Array]:
    """Weights and biases as integers (float64), and what no partial sum of an accumulator exceeds."""
    wq = np.rint(flat / s_w[:, None])
    bq = np.rint(bias.astype(np.float64) / (s_x * s_w))
    return wq, bq, np.abs(bq) + reach * np.abs(wq).sum(axis=1)


def contiguous_strides(shape: Shape) -> Shape:
    """Row-major strides in elements."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return tuple(strides)


def is_whole_copy(call: Call) -> bool:
    """A call of `strided_copy` that hands everything on in its order."""
    fields = dict(call.config)
    ends = (fields.get("x_offset"), fields.get("y_offset"), fields.get("x_stride"), fields.get("y_stride"))
    row = (0, 0, 0, 0, 0, 1)
    return call.kernel.startswith("tg_copy_s") and ends == (0, 0, row, row)


def strided_copy(
    source: Tensor, out: Tensor, dims: Shape, x_strides: Shape, y_strides: Shape, x_offset: int = 0, y_offset: int = 0
) -> Call:
    """A `tg_copy_s8` or `tg_copy_s16` call, strides and offsets in elements; dimensions of size 1 are dropped,
    neighbours merged, six remain at the most."""
    kept = [(d, x, y) for d, x, y in zip(dims, x_strides, y_strides, strict=True) if d != 1]
    merged: list[tuple[int, int, int]] = []
    for d, x, y in kept:
        if merged and merged[-1][1] == x * d and merged[-1][2] == y * d:
            merged[-1] = (merged[-1][0] * d, x, y)
        else:
            merged.append((d, x, y))
    if len(merged) > 6:
        raise ModelError(f'copy into "{out.name}": {len(merged)} dimensions, tinygen moves at most 6')
    padded = [(1, 0, 0)] * (6 - len(merged)) + merged
    return Call(
        kernel_of("tg_copy", out),
        config(
            dims=tuple(p[0] for p in padded),
            x_stride=tuple(p[1] for p in padded),
            y_stride=tuple(p[2] for p in padded),
            x_offset=x_offset,
            y_offset=y_offset,
        ),
        (source.name,),
        (),
        out.name,
    )
