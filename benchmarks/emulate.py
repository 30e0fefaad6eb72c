"""Counts kernel calls in emulation: many calls in one program for each core, every one between two markers."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.datasets import shared_dir
from tinygen.build.process import work_folder
from tinygen.build.toolchain import compile_program, find_arm
from tinygen.emit.library import render_library
from tinygen.emit.view import library_view
from tinygen.ir.types import Graph, Port, Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops import Operator
from tinygen.ops.base import Call, ConstArg
from tinygen.plan.memory import align
from tinygen.plan.types import Endpoint, Place, Plan, PlannedCall, Step
from tinygen.targets.cores import Core, get_core
from tinygen.version import ABI, NUMERICS

TIMEOUT_S = 600
NAME = "layers"
#: Reads the inputs of each layer from in.bin before it, and writes its output to out.bin after it.
MAIN = """#include "{name}.h"
#include "tg_target.h"
{markers}
static {name}_ctx_t ctx;
static int8_t x[{in_len}] __attribute__((aligned(16))), y[{out_len}] __attribute__((aligned(16)));
static const uint32_t in_len[] = {{{in_lens}, 0U}};
static int32_t in, out;
void {name}_trace(uint32_t step, const int8_t *data, uint32_t len);
void {name}_trace(uint32_t step, const int8_t *data, uint32_t len)
{{
    bench_end();
    (void)tg_write(out, data, len);
    (void)tg_read(in, x, in_len[step + 1U]);
    bench_begin();
}}
int main(void)
{{
    in = tg_open("in.bin", TG_OPEN_READ);
    out = tg_open("out.bin", TG_OPEN_WRITE);
    (void)tg_read(in, x, in_len[0]);
    bench_begin();
    {name}_status_t s = {name}_run(&ctx, x, y);
    bench_end();
    tg_close(out);
    return (int)s;
}}
"""
MARKERS = """__attribute__((noinline)) void bench_begin(void) { __asm volatile("nop"); }
__attribute__((noinline)) void bench_end(void) { __asm volatile("nop"); }"""


@dataclass(frozen=True, eq=False)
class Case:
    """A call to be counted; `layer` is a FIXED graph of one node, checked against numpy when the call is all of it."""

    name: str
    layer: Graph
    call: Call
    whole: bool = True

    @property
    def macs(self) -> int:
        node = self.layer.nodes[0]
        assert isinstance(node.op, Operator)
        return node.op.macs(self.layer.ins(node), self.layer.outs(node)[0])


@dataclass(frozen=True, slots=True)
class Counts:
    """Instructions, and cycles of a Cortex-M4 (of other cores: of one that took its times)."""

    insns: int
    cycles: int


def counting_core(name: str) -> Core:
    """The core on a machine with megabytes of memory: Cortex-M0 code runs on a Cortex-M3, where it counts the same."""
    core = get_core(name)
    return replace(core, machine=get_core("cortex-m3").machine) if name.startswith("cortex-m0") else core


def make_plan(core: str, cases: Sequence[Case]) -> Plan:
    """Every case as a layer of its own: inputs from the front of one input, outputs to the front of one output."""
    steps = []
    in_len = out_len = arena = 16
    for i, case in enumerate(cases):
        node = case.layer.nodes[0]
        assert isinstance(node.op, Operator)
        ins, out = case.layer.ins(node), case.layer.outs(node)[0]
        places: list[Place | ConstArg] = []
        offsets: dict[str, Place] = {}
        at = 0
        for t in ins:
            if t.const is None and t.name not in offsets:
                offsets[t.name] = Place("input", 0, at, t.size)
                at += align(t.size)
        for name in case.call.inputs:
            tensor = case.layer.tensors[name]
            places.append(offsets[name] if tensor.const is None else ConstArg(f"k{len(places)}", tensor.array))
        target = Place("output", 0, 0, out.size)
        scratch = Place("arena", 0, 0, case.call.scratch) if case.call.scratch else None
        planned = PlannedCall(case.call, tuple(places), target, scratch)
        shapes = tuple(t.shape for t in ins if t.const is None)
        steps.append(
            Step(f"l{i}", out.name, node.op.describe(ins), (case.name,), shapes, out.shape, target, case.macs,
                 (planned,))
        )  # fmt: skip
        in_len, out_len, arena = max(in_len, at), max(out_len, out.size), max(arena, align(case.call.scratch))
    ends = [
        Endpoint(n, size, (1, size), Quant.per_tensor(1.0, 0), Port.plain(n, (1, size)))
        for n, size in (("x", in_len), ("y", out_len))
    ]
    return Plan(NAME, core, tuple(steps), (ends[0],), (ends[1],), -(-arena // 16) * 16, ())


def count_cases(core: str, cases: Sequence[Case]) -> list[Counts]:
    """Counts of every case, in order; AssertionError naming those whose output is not numpy's."""
    plan = make_plan(core, cases)
    view = library_view(
        plan, version="0", abi=ABI, numerics=NUMERICS, build_id="00000000", sha256="0", model_file=NAME, trace=True
    )
    rng = np.random.default_rng(0)
    samples = [[rng.integers(-128, 128, t.size).astype(np.int8) for t in _activations(case)] for case in cases]
    padded = [b"".join(x.tobytes() + bytes(align(x.size) - x.size) for x in s) for s in samples]
    main = MAIN.format(
        name=NAME, markers=MARKERS, in_len=plan.inputs[0].length, out_len=plan.outputs[0].length,
        in_lens=", ".join(f"{len(p)}U" for p in padded),
    )  # fmt: skip
    with work_folder() as folder:
        for name, content in {**render_library(view), "bench_main.c": main.encode()}.items():
            (folder / name).write_bytes(content)
        (folder / "in.bin").write_bytes(b"".join(padded))
        target = counting_core(core)
        program = compile_program(find_arm(), target, sorted(folder.glob("*.c")), [folder], folder / "bench.elf")
        counted = run_emu(target, program.elf)
        found = (folder / "out.bin").read_bytes()
    at, wrong = 0, []
    for case, sample in zip(cases, samples, strict=True):
        size = case.layer.outs(case.layer.nodes[0])[0].size
        if case.whole and found[at : at + size] != _numpy(case, sample):
            wrong.append(f"{core}: {case.name}, {case.call.kernel}")
        at += size
    assert not wrong, "differs from numpy: " + "; ".join(wrong)
    assert len(counted) == len(cases) + 1  # the last is from the last layer to the end
    return counted[:-1]


def _activations(case: Case) -> list[Tensor]:
    """Inputs that are no constants, each once."""
    return list(dict.fromkeys(t for t in case.layer.ins(case.layer.nodes[0]) if t.const is None))


def _numpy(case: Case, sample: Sequence[Array]) -> bytes:
    """What the layer gives for one sample."""
    graph, node = case.layer, case.layer.nodes[0]
    assert isinstance(node.op, Operator)
    known = {t.name: x.reshape(1, *t.shape) for t, x in zip(_activations(case), sample, strict=True)}
    arrays = [known[t.name] if t.const is None else t.array for t in graph.ins(node)]
    return node.op.run_fixed(graph.ins(node), arrays, graph.outs(node)[0])[0].tobytes()


def run_emu(core: Core, elf: Path) -> list[Counts]:
    """Run a program with bench_begin and bench_end under the plug-in of ../shared/emu, in its own folder."""
    assert core.machine is not None
    command = [str(shared_dir() / "emu" / "runemu"), core.machine.name, str(elf)]
    environment = {**os.environ, "EMU_S": str(TIMEOUT_S)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=elf.parent)
    assert done.returncode == 0, f"{core.name}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    said = re.findall(r"^interval \d+ insns (\d+) cycles (\d+)", done.stderr, re.M)
    return [Counts(int(insns), int(cycles)) for insns, cycles in said]
