"""Plan to words: everything the model templates print, ready-made, so that they hold loops and almost no `if`."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from tinygen.emit.env import LINE_WIDTH
from tinygen.emit.kernel_sets import KernelSet, sets_of
from tinygen.ir.types import Affine, DType
from tinygen.names import identifier
from tinygen.ops.base import ConstArg, Generated
from tinygen.plan.sensor import KINDS, Sensor
from tinygen.plan.types import Endpoint, Kept, Place, Plan, Step

C_TYPES = {"int8": "int8_t", "uint16": "uint16_t", "int16": "int16_t", "int32": "int32_t"}


@dataclass(frozen=True, slots=True)
class ConstView:
    """A constant array: C type, name, length, values."""

    ctype: str
    name: str
    length: int
    values: tuple[int, ...]
    nbytes: int
    in_ram: bool = False


@dataclass(frozen=True, slots=True)
class CallView:
    """One kernel call inside a layer function."""

    struct: str
    fields: tuple[str, ...]
    cfg: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepView:
    """A layer function and the line that calls it; long texts come as lines."""

    index: int
    name: str
    comment: tuple[str, ...]
    row: str
    params: str
    calls: tuple[CallView, ...]
    call: tuple[str, ...]
    #: Where each output lies, as bytes, and how many.
    outputs: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class PointerView:
    """A named place in the arena: its C type, and the address."""

    ctype: str
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class LoopView:
    """A loop of the input or output helper: variable, count, stride in the float tensor; it goes from part to part of
    an output."""

    var: str
    count: int
    stride: int
    parts: bool = False


@dataclass(frozen=True, slots=True)
class SensorView:
    """The helper that takes a sensor's integers: suffix (u8), C type, what one is worth; `tables` of q for each code,
    from `lowest` on, or `lines`; `entry` is the C expression for which of them the element at hand takes, `channel` an
    array that it may read."""

    suffix: str
    ctype: str
    worth: str
    lowest: int
    tables: tuple[tuple[int, ...], ...]
    lines: tuple[tuple[str, ...], ...]
    channel: tuple[int, ...]
    entry: str


@dataclass(frozen=True, slots=True)
class EndpointView:
    """A network input or output: macro stem (KWS_INPUT, KWS_INPUT0), C type and its limits, function suffix, argument,
    comment.

    real = scale * (q - zero_point) + offset. Channels of an input, or parts of an output, along `axis` of the ONNX
    tensor, that have their own: `scales`, and `means` or `zero_points`; `ends` are where the parts end. `scale_of`,
    `offset_of` and `zero_point_of` are the C expressions for the element at `index`."""

    macro: str
    ctype: str
    low: int
    high: int
    suffix: str
    arg: str
    length: int
    scale: str
    zero_point: str
    offset: str
    scales: tuple[str, ...]
    means: tuple[str, ...]
    zero_points: tuple[int, ...]
    ends: tuple[int, ...]
    axis: int
    scale_of: str
    offset_of: str
    zero_point_of: str
    comment: str
    loops: tuple[LoopView, ...]
    index: str
    sensor: SensorView | None


@dataclass(frozen=True, slots=True)
class StateView:
    """What is kept from call to call, `nbytes` from `offset` on in the arena: after a reset every byte is `fill`, or,
    where that is None, they are those of the constant `start`."""

    comment: str
    offset: int
    nbytes: int
    fill: int | None
    start: str


@dataclass(frozen=True, slots=True)
class LibraryView:
    """What model.h.j2, model.c.j2 and weights.*.j2 print."""

    name: str
    prefix: str
    widths: str
    version: str
    abi: int
    numerics: int
    build_id: str
    source: str
    core: str
    arena_len: int
    state_len: int
    states: tuple[StateView, ...]
    static_arena: bool
    trace: bool
    weight_bytes: int
    macs: int
    inputs: tuple[EndpointView, ...]
    outputs: tuple[EndpointView, ...]
    steps: tuple[StepView, ...]
    pointers: tuple[PointerView, ...]
    consts: tuple[ConstView, ...]
    kernels: tuple[str, ...]
    generated: tuple[Generated, ...]
    run_lines: tuple[str, ...]
    null_checks: tuple[str, ...]
    kernel_sets: tuple[KernelSet, ...]
    in_ram: tuple[str, ...]


def float_literal(value: float) -> str:
    """A C float literal that reads back as the same float32."""
    text = np.format_float_scientific(np.float32(value), unique=True, trim="0")
    return f"{text}F"


def shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def comment_text(text: str) -> str:
    """Text that cannot end a C comment or start another, nor leave ASCII."""
    safe = "".join(c if 32 <= ord(c) < 127 else "?" for c in text)
    return safe.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")


class ConstTable:
    """Names constants as they are met; equal arrays share one. `in_ram`: contents of those that lie there."""

    def __init__(self, model: str, in_ram: Collection[str] = ()) -> None:
        self.model, self._in_ram = model, in_ram
        self.views: list[ConstView] = []
        self._known: dict[tuple[str, bytes], str] = {}

    def name(self, step: str, const: ConstArg) -> str:
        a = np.ascontiguousarray(const.array)
        key = (a.dtype.str, a.tobytes())
        if key not in self._known:
            name, taken, k = f"{self.model}_{step}_{const.suffix}", {v.name for v in self.views}, 2
            while name in taken:
                name, k = f"{self.model}_{step}_{const.suffix}{k}", k + 1
            self._known[key] = name
            values = tuple(int(v) for v in a.ravel().tolist())
            moved = bool(self._in_ram) and const.content in self._in_ram
            self.views.append(ConstView(C_TYPES[a.dtype.name], name, a.size, values, a.nbytes, moved))
        return self._known[key]


def wrap(text: str, indent: int, more: int, after: str = ",") -> tuple[str, ...]:
    """A C statement as lines of at most LINE_WIDTH, broken behind `after`; the first is indented by the template."""
    pieces = text.split(f"{after} ")
    lines: list[str] = []
    for piece in (*(f"{p}{after}" for p in pieces[:-1]), pieces[-1]):
        if lines and len(lines[-1]) + 1 + len(piece) <= LINE_WIDTH - more:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    return tuple(line if i == 0 else " " * (more - indent) + line for i, line in enumerate(lines))


def _field(name: str, value: int | tuple[int, ...] | str) -> str:
    if isinstance(value, tuple):
        return f".{name} = {{{', '.join(map(str, value))}}}"
    return f".{name} = {value}"


def _rows(fields: list[str], width: int) -> tuple[str, ...]:
    """Fields joined into lines of at most `width` characters."""
    rows: list[str] = []
    for f in fields:
        if rows and len(rows[-1]) + len(f) + 2 <= width:
            rows[-1] += f", {f}"
        else:
            rows.append(f)
    return tuple(r + "," if i < len(rows) - 1 else r for i, r in enumerate(rows))


class _Names:
    """C expressions for places."""

    def __init__(self, plan: Plan) -> None:
        places = {
            (p.offset, p.itemsize, p.ctype)
            for s in plan.steps
            for c in s.calls
            for p in (*c.inputs, *c.outputs, c.scratch)
            if isinstance(p, Place) and p.space in ("arena", "state")
        }
        self.pointers = {place: f"t{i}" for i, place in enumerate(sorted(places))}
        self.ports = {
            "input": [_argument("input", i, len(plan.inputs)) for i in range(len(plan.inputs))],
            "output": [_argument("output", i, len(plan.outputs)) for i in range(len(plan.outputs))],
        }
        self.types = {"input": [e.dtype for e in plan.inputs], "output": [e.dtype for e in plan.outputs]}

    def __call__(self, place: Place) -> str:
        if place.space in ("arena", "state"):
            return self.pointers[place.offset, place.itemsize, place.ctype]
        name = self.ports[place.space][place.index]
        dtype = self.types[place.space][place.index]
        where = f"&{name}[{place.offset // np.dtype(dtype.value).itemsize}]" if place.offset else name
        if dtype is place.dtype:
            return where
        # Layers that lie in one buffer, in programs that measure them.
        constant = "const " if place.space == "input" else ""
        return f"({constant}{place.ctype} *)({constant}void *){where}"

    def views(self) -> tuple[PointerView, ...]:
        """The pointers into the arena, in order."""
        return tuple(
            PointerView(ctype, name, f"{'' if ctype == 'int8_t' else f'({ctype} *)(void *)'}&ctx->arena[{offset}]")
            for (offset, _, ctype), name in self.pointers.items()
        )


def _argument(kind: str, index: int, count: int) -> str:
    return kind if count == 1 else f"{kind}{index}"


def _step(index: int, step: Step, names: _Names, consts: ConstTable) -> StepView:
    """A layer function takes each activation once: x, x1, x2, ... in, scratch if any, y, y1, ... out, or what the
    operator calls them."""
    params: list[tuple[str, str]] = []  # (declaration, expression in <model>_run)
    known: dict[str, str] = {}
    calls: list[CallView] = []
    scratch = next((c.scratch for c in step.calls if c.scratch is not None), None)
    outputs: dict[str, str] = {}  # expression -> parameter
    written: list[tuple[str, str]] = []
    roles = {names(w.place): w.role for w in step.outputs if w.role}
    for end in (end for planned in step.calls for end in planned.outputs):
        expression = names(end)
        if expression not in outputs:
            outputs[expression] = roles.get(expression, f"y{len(outputs) or ''}")
            written.append((f"{end.ctype} *{outputs[expression]}", expression))
    for k, planned in enumerate(step.calls):
        args: list[str] = []
        for place in planned.inputs:
            if isinstance(place, ConstArg):
                args.append(consts.name(step.name, place))
                continue
            expression = names(place)
            if expression not in known:
                known[expression] = "x" if not known else f"x{len(known)}"
                params.append((f"const {place.ctype} *{known[expression]}", expression))
            args.append(known[expression])
        args += [consts.name(step.name, c) for c in planned.call.consts]
        if planned.scratch is not None:
            args.append("scratch")
        cfg = "cfg" if len(step.calls) == 1 else f"cfg{k}"
        fields = _rows([_field(n, v) for n, v in planned.call.config], 92)
        args += [outputs[names(place)] for place in planned.outputs]
        call = f"{planned.call.kernel}({', '.join([f'&{cfg}', *args])});"
        calls.append(CallView(planned.call.struct, fields, cfg, wrap(call, 4, 8)))
    if scratch is not None:
        params.append(("int16_t *scratch", f"(int16_t *)(void *){names(scratch)}"))
    params += written
    shapes = ", ".join(shape_text(s) for s in step.in_shapes)
    results = ", ".join(f"{w.role} {shape_text(w.shape)}".lstrip() for w in step.outputs)
    origin = ", ".join(f'"{comment_text(o)}"' for o in step.origin)
    why = step.calls[0].call.why
    comment = f"{step.title}, {shapes} -> {results}; {why}." + (f" ONNX {origin}." if origin else "")
    kernel = step.calls[0].call.kernel.removeprefix("tg_")
    where = ", ".join(
        names(p) if p.space == "output" else f"[{p.offset}, {p.offset + p.size})"
        for p in (w.place for w in step.outputs)
    )
    row = f"{index:3d}  {step.name:<28.28s} {kernel:<22.22s} {shapes + ' -> ' + results:<26s} {step.macs:>8d}  {where}"
    return StepView(
        index,
        step.name,
        tuple(textwrap.wrap(comment_text(comment), LINE_WIDTH - 6, break_on_hyphens=False)),
        row.rstrip(),
        ", ".join(p[0] for p in params),
        tuple(calls),
        wrap(f"layer_{step.name}({', '.join(p[1] for p in params)});", 8, 12),
        tuple(
            (names(p) if p.dtype is DType.INT8 else f"(const int8_t *)(const void *){names(p)}", p.size)
            for p in (w.place for w in step.outputs)
        ),
    )


def _loops(e: Endpoint, split: int | None) -> tuple[tuple[LoopView, ...], str, str]:
    """Loops over the tensor in its own order, and the index of the same element in the ONNX tensor. Axis `split` of the
    tensor has a loop of its own, whose variable comes third."""
    strides = [1] * len(e.port.shape)
    for i in range(len(strides) - 2, -1, -1):
        strides[i] = strides[i + 1] * e.port.shape[i + 1]
    dims: list[tuple[int, int]] = []
    own = -1  # index in dims of the loop that must stay alone
    for i, axis in enumerate(e.port.perm):
        count, stride = e.port.shape[axis], strides[axis]
        if count == 1:
            continue
        if dims and dims[-1][1] == stride * count and i != split and own != len(dims) - 1:
            dims[-1] = (dims[-1][0] * count, stride)
        else:
            dims.append((count, stride))
        own = len(dims) - 1 if i == split else own
    loops = tuple(LoopView("ijklmn"[k], count, stride) for k, (count, stride) in enumerate(dims))
    terms = [v.var if v.stride == 1 else f"({v.var} * {v.stride}U)" for v in loops]
    return loops, " + ".join(terms) or "0U", loops[own].var if split is not None else ""


def _sensor(table: str, channel: str, s: Sensor) -> SensorView:
    lines = tuple(
        (f"INT64_C({v.m})", f"INT64_C({v.b})", *map(str, (v.first, v.last, v.tie)), f"{v.period}U", f"{v.shift}U")
        for v in s.lines
    )
    each = s.channel == tuple(range(len(s.channel)))
    single = len(s.tables or s.lines) == 1
    entry = "0" if single else channel if each else f"{table}_channel[{channel}]"
    worth = "" if s.unit == 1 else f"one is {s.unit} of the model's input"
    return SensorView(
        KINDS[s.kind], f"{s.kind}_t", worth, int(np.iinfo(s.kind).min), s.tables, lines,
        () if each or single else s.channel, entry,
    )  # fmt: skip


def _endpoint(model: str, kind: str, index: int, count: int, e: Endpoint, sensor: Sensor | None = None) -> EndpointView:
    number = "" if count == 1 else str(index)
    suffix, macro = f"{kind}{number}", f"{model.upper()}_{kind.upper()}{number}"
    table = f"{model}_{suffix}"
    bits = "" if e.dtype.value.endswith(str(e.quant.bits)) else f" of {e.quant.bits} bits"
    comment = f'{e.dtype.value}{bits}, {shape_text(e.shape)}; ONNX "{e.name}" {shape_text(e.port.shape)}'
    a = e.port.affine or Affine((0.0,), (1.0,))
    steps: tuple[float, ...] = e.quant.scale
    ends: tuple[int, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int | None = None
    if e.quant.zero_points:  # an output in parts
        axis = e.quant.axis
        own = list(zip(e.quant.scale, e.quant.zero_points, strict=True))
        ends = tuple(i + 1 for i, q in enumerate(own) if own[i + 1 : i + 2] != [q])
        steps, zero_points = tuple(own[i - 1][0] for i in ends), tuple(own[i - 1][1] for i in ends)
    elif len(a.mean) > 1:
        axis = a.axis
    if not ends:
        steps = a.steps(e.quant.s)
    loops, expression, channel = _loops(e, axis)
    if ends:
        loops, channel = tuple(replace(v, parts=v.var == channel) for v in loops), "part"
    several = axis is not None
    scales = tuple(map(float_literal, steps)) if several else ()
    return EndpointView(
        macro,
        f"{e.dtype.value}_t",
        e.quant.low,
        e.quant.high,
        suffix,
        _argument(kind, index, count),
        e.length,
        "" if several else float_literal(steps[0]),
        "" if ends else str(e.quant.zero_point),
        "" if several or not a.mean[0] else float_literal(a.mean[0]),
        scales,
        tuple(map(float_literal, a.mean)) if several and not ends else (),
        zero_points,
        ends,
        e.port.perm[axis] if axis is not None else 0,
        f"{table}_scale[{channel}]" if several else f"{macro}_SCALE",
        ("" if ends else f"{table}_offset[{channel}]") if several else f"{macro}_OFFSET" if a.mean[0] else "",
        f"{table}_zero_point[part]" if ends else f"{macro}_ZERO_POINT",
        comment_text(comment),
        loops,
        expression,
        None if sensor is None else _sensor(suffix, channel, sensor),
    )


def _state(s: Kept, consts: ConstTable) -> StateView:
    values = np.ascontiguousarray(s.initial.array)
    first = np.unique(values.view(np.uint8))
    comment = f'int{s.quant.bits}, {shape_text(s.shape)}; "{s.name}"'
    start = "" if len(first) == 1 else consts.name(identifier(s.name), s.initial)
    return StateView(comment_text(comment), s.offset, s.nbytes, int(first[0]) if not start else None, start)


def library_view(
    plan: Plan,
    *,
    version: str,
    abi: int,
    numerics: int,
    build_id: str,
    sha256: str,
    model_file: str,
    static_arena: bool = False,
    trace: bool = False,
    sensors: Mapping[int, Sensor] = MappingProxyType({}),
) -> LibraryView:
    """The words of one generated library. `sha256`: of the model's file; "": what it was made from is not said.
    `sensors`: of the inputs that have a helper for a sensor's integers."""
    names, consts = _Names(plan), ConstTable(plan.name, plan.in_ram)
    prefix = plan.name.upper()
    steps = tuple(_step(i, s, names, consts) for i, s in enumerate(plan.steps))
    ins = tuple(
        _endpoint(plan.name, "input", i, len(plan.inputs), e, sensors.get(i)) for i, e in enumerate(plan.inputs)
    )
    outs = tuple(_endpoint(plan.name, "output", i, len(plan.outputs), e) for i, e in enumerate(plan.outputs))
    params = [f"const {e.ctype} {e.arg}[{e.macro}_LEN]" for e in ins] + [
        f"{e.ctype} {e.arg}[{e.macro}_LEN]" for e in outs
    ]
    return LibraryView(
        plan.name,
        prefix,
        "int8 with int16 activations"
        if any(w.place.dtype is DType.INT16 for s in plan.steps for w in s.outputs)
        else "int8",
        version,
        abi,
        numerics,
        build_id,
        comment_text(f"{model_file} (sha256 {sha256})" if sha256 else "private"),
        plan.core,
        plan.arena_len,
        plan.state_len,
        tuple(_state(s, consts) for s in plan.states),
        static_arena,
        trace,
        sum(c.nbytes for c in consts.views),
        plan.macs,
        ins,
        outs,
        steps,
        names.views(),
        tuple(consts.views),
        plan.kernels,
        plan.generated,
        wrap(f"{plan.name}_status_t {plan.name}_run({plan.name}_ctx_t *ctx, {', '.join(params)})", 0, 4),
        wrap(" || ".join(f"({a} == NULL)" for a in ("ctx", *(e.arg for e in (*ins, *outs)))), 4, 8, " ||"),
        sets_of(plan.kernels),
        plan.kernels_in_ram,
    )
