"""Counts kernel calls in emulation: many calls as the layers of one program, each compared with numpy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.emit.library import render_library
from tinygen.emit.view import library_view
from tinygen.ir.types import Graph, Port, Quant, Tensor
from tinygen.kernels.plane.variants import plane_layouts
from tinygen.numerics import Array
from tinygen.ops import Operator
from tinygen.ops.base import Call, ConstArg, Planes, bits_of, int_range, need_quant
from tinygen.plan.memory import align
from tinygen.plan.types import Endpoint, Place, Plan, PlannedCall, Step, Written
from tinygen.profile import Counts, profile_flashes
from tinygen.targets.arch.base import Core
from tinygen.targets.cores import get_core
from tinygen.targets.flash import Flash
from tinygen.version import ABI, NUMERICS

NAME = "layers"
#: Inputs, outputs and constants of one program stay below this.
CHUNK_BYTES = 2_000_000


@dataclass(frozen=True, eq=False)
class Case:
    """A call to be counted; `layer` is a FIXED graph of one node, checked against numpy when the call is all of it."""

    name: str
    layer: Graph
    call: Call
    whole: bool = True
    #: Values of the activations by name; random when None.
    values: Mapping[str, Array] | None = None
    #: What completes the output of `call`.
    more: tuple[Call, ...] = ()
    #: Says how far behind a word inputs and output begin, when not None.
    shift: int | None = None

    @property
    def macs(self) -> int:
        node = self.layer.nodes[0]
        assert isinstance(node.op, Operator)
        return node.op.macs(self.layer.ins(node), self.layer.outs(node))


def counting_core(name: str) -> Core:
    """The core on a machine with megabytes of memory: Cortex-M0 code runs on a Cortex-M3, where it counts the same."""
    core = get_core(name)
    return replace(core, machine=get_core("cortex-m3").machine) if name.startswith("cortex-m0") else core


def timing_core(name: str) -> Core:
    """`counting_core`, or where a core's timing is not modelled but is near the Cortex-M4's, with the M4's."""
    core = counting_core(name)
    return replace(core, timing=get_core("cortex-m4").timing) if name in ("cortex-m7", "cortex-m33") else core


def count_cases(core: str, cases: Sequence[Case], faults: list[str] | None = None) -> list[Counts]:
    """Counts of every case, in order; AssertionError naming those whose output is not numpy's, unless there is a list
    for them."""
    return [counts[0] for counts in count_on_flashes(core, cases, [None], faults)]


def count_on_flashes(
    core: str, cases: Sequence[Case], flashes: Sequence[Flash | None], faults: list[str] | None = None
) -> list[tuple[Counts, ...]]:
    """`count_cases` with code and constants in each of some flashes; of every case the counts on each."""
    counts: list[tuple[Counts, ...]] = []
    wrong: list[str] = []
    for chunk in chunks(cases):
        program = Program(core, chunk)
        measured = profile_flashes(program.plan, program.files, timing_core(core), flashes, sample=program.sample)
        counts += zip(*([layer.counts for layer in m.layers] for m in measured), strict=True)
        wrong += [f"{case.name}, {case.call.kernel}" for case in program.different(measured[0].outputs)]
    message = f"differs from numpy on {core}: {'; '.join(wrong)}"
    if wrong and faults is not None:
        faults.append(message)
    else:
        assert not wrong, message
    return counts


def chunks(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """As many cases at a time as fit a program."""
    chunk: list[Case] = []
    total = 0
    for case in cases:
        size = sum(t.nbytes for t in (*_activations(case), *_outputs(case))) + sum(
            c.array.nbytes for c in case.call.consts
        )
        if chunk and total + size > CHUNK_BYTES:
            yield chunk
            chunk, total = [], 0
        chunk.append(case)
        total += size
    if chunk:
        yield chunk


def _activations(case: Case) -> list[Tensor]:
    """Inputs that are no constants, each once."""
    return list(dict.fromkeys(t for t in case.layer.ins(case.layer.nodes[0]) if t.const is None))


def _outputs(case: Case) -> tuple[Tensor, ...]:
    return case.layer.outs(case.layer.nodes[0])


def random_values(rng: np.random.Generator, t: Tensor) -> Array:
    """Integers over all of an activation's range."""
    low, high = int_range(t)
    return rng.integers(low, high + 1, t.shape).astype(t.dtype.value)


def lay(x: Array, planes: Planes | None, zero_point: int) -> Array:
    """A tensor's bytes as they lie in memory."""
    if planes is None:
        return np.ascontiguousarray(x).ravel().view(np.int8)
    laid = np.full(planes.size, zero_point, np.int8)
    laid[planes.place(x).ravel()] = x.ravel()
    return laid


class Program:
    """Every case as a layer with input and output of its own, `at` bytes into the output.

    With a shift, bytes between outputs that nobody may write, and the scratch as near to the end of the arena as a word
    allows: what is written behind it is found.
    """

    def __init__(self, core: str, cases: Sequence[Case]) -> None:
        self.cases = cases
        rng = np.random.default_rng(0)
        self.values: list[Mapping[str, Array]] = [
            c.values or {t.name: random_values(rng, t) for t in _activations(c)} for c in cases
        ]
        self.at: list[tuple[int, ...]] = []
        steps, sample = [], []
        in_len = out_len = 16
        arena = max(16, *(align(c.call.scratch) for c in cases))
        for i, (case, values) in enumerate(zip(cases, self.values, strict=True)):
            node, outs = case.layer.nodes[0], _outputs(case)
            assert isinstance(node.op, Operator)
            shift, shifted = case.shift or 0, case.shift is not None
            in_len, out_len = in_len + shift % 4, out_len + shift // 4 % 4
            known: dict[str, Place] = {}
            for t in _activations(case):
                laid = lay(values[t.name], case.call.x_planes, need_quant(t)[1])
                in_len += -in_len % (bits_of(t) // 8)
                known[t.name] = Place("input", 0, in_len, laid.size, t.dtype)
                sample.append((in_len, laid))
                in_len = align(in_len + laid.size) + shift // 16 % 4
            in_len = align(in_len)
            targets: dict[str, Place] = {}
            for out in outs:
                size = case.call.y_planes.size if case.call.y_planes else out.nbytes
                out_len += -out_len % (bits_of(out) // 8)
                targets[out.name] = Place("output", 0, out_len, size, out.dtype)
                out_len = align(out_len + size + (4 if shifted else 0))
            self.at.append(tuple(p.offset for p in targets.values()))
            start = (arena - case.call.scratch) // 4 * 4 if shifted else 0
            scratch = Place("arena", 0, start, case.call.scratch) if case.call.scratch else None
            planned = []
            for call in (case.call, *case.more):
                places: list[Place | ConstArg] = []
                for name in call.inputs:
                    tensor = case.layer.tensors[name]
                    places.append(known[name] if tensor.const is None else ConstArg(f"k{len(places)}", tensor.array))
                made = tuple(targets[name] for name in call.outputs)
                planned.append(PlannedCall(call, tuple(places), made, scratch if call is case.call else None))
            ins = case.layer.ins(node)
            steps.append(
                Step(
                    f"l{i}", node.op.describe(ins), (case.name,), tuple(t.shape for t in _activations(case)),
                    tuple(Written(out.name, out.shape, targets[out.name]) for out in outs), case.macs, tuple(planned),
                )
            )  # fmt: skip
        ends = [
            Endpoint(n, size, (1, size), Quant.per_tensor(1.0, 0), Port.plain(n, (1, size)))
            for n, size in (("x", in_len), ("y", out_len))
        ]
        self.plan = Plan(NAME, core, tuple(steps), (ends[0],), (ends[1],), -(-arena // 16) * 16, ())
        data = np.zeros(in_len, np.int8)
        for at, laid in sample:
            data[at : at + laid.size] = laid
        self.sample = data.tobytes()

    @property
    def files(self) -> dict[str, bytes]:
        view = library_view(
            self.plan, version="0", abi=ABI, numerics=NUMERICS, build_id="00000000", sha256="0", model_file=NAME
        )
        return render_library(view)

    def different(self, outputs: bytes) -> Iterator[Case]:
        """Cases whose output is not numpy's."""
        found = np.frombuffer(outputs, np.int8)
        for case, values, at in zip(self.cases, self.values, self.at, strict=True):
            if not case.whole:
                continue
            graph, node = case.layer, case.layer.nodes[0]
            assert isinstance(node.op, Operator)
            arrays = [values[t.name][None] if t.const is None else t.array for t in graph.ins(node)]
            planes = case.call.y_planes
            equal = True
            for (y,), start in zip(node.op.run_fixed(graph.ins(node), arrays, _outputs(case)), at, strict=True):
                if planes is None:
                    equal &= found[start : start + y.nbytes].tobytes() == np.ascontiguousarray(y).tobytes()
                else:
                    equal &= np.array_equal(found[start + planes.place(y)], y)
            if not equal:
                yield case


def layouts(call: Call) -> list[Call]:
    """A depthwise call that reads planes; a convolution that writes them for a 3x3 depthwise layer behind it."""
    f = {name: value for name, value in call.config if isinstance(value, int)}
    if call.kernel == "tg_dwconv_s8":
        return [replace(call, x_planes=p) for p in plane_layouts(f)]
    if call.kernel == "tg_conv_s8":
        h, w, c = f["out_h"], f["out_w"], f["out_c"]
        return [replace(call, y_planes=p) for p in (Planes(h, w, c, w + 1, 1, False), Planes(w, h, c, h + 1, 1, True))]
    return []
