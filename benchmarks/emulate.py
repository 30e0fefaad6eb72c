"""Counts kernel calls in emulation: many calls in one program for each core, every one between two markers."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.datasets import shared_dir
from tinygen.build.process import work_folder
from tinygen.build.toolchain import compile_program, find_arm
from tinygen.emit.library import render_library
from tinygen.emit.view import library_view
from tinygen.ir.types import Graph, Port, Quant
from tinygen.numerics import Array
from tinygen.ops import Operator
from tinygen.ops.base import Call, ConstArg
from tinygen.plan.memory import align
from tinygen.plan.types import Endpoint, Place, Plan, PlannedCall, Step
from tinygen.targets.cores import Core, get_core
from tinygen.version import ABI, NUMERICS

TIMEOUT_S = 600.0
NAME = "layers"
MAIN = """#include "{name}.h"
#include "tg_target.h"
__attribute__((noinline)) void bench_begin(void) {{ __asm volatile("nop"); }}
__attribute__((noinline)) void bench_end(void) {{ __asm volatile("nop"); }}
static {name}_ctx_t ctx;
static int8_t x[{in_len}] __attribute__((aligned(16))), y[{out_len}] __attribute__((aligned(16)));
static uint32_t hashes[{steps}];
void {name}_trace(uint32_t step, const int8_t *data, uint32_t len);
void {name}_trace(uint32_t step, const int8_t *data, uint32_t len)
{{
    bench_end();
    uint32_t h = 2166136261U;
    for (uint32_t i = 0U; i < len; i++) {{ h = (h ^ (uint8_t)data[i]) * 16777619U; }}
    hashes[step] = h;
    bench_begin();
}}
int main(void)
{{
    uint32_t state = 1U;
    for (uint32_t i = 0U; i < sizeof x; i++) {{
        state = state * 1664525U + 1013904223U;
        x[i] = (int8_t)(state >> 24);
    }}
    bench_begin();
    {name}_status_t s = {name}_run(&ctx, x, y);
    bench_end();
    for (uint32_t i = 0U; i < {steps}U; i++) {{ tg_puts("hash "); tg_put_u32(hashes[i]); tg_puts("\\n"); }}
    return (int)s;
}}
"""


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


def input_bytes(n: int) -> Array:
    """What the program fills its input with."""
    values = np.empty(n, np.int8)
    state = 1
    for i in range(n):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        values[i] = (state >> 24) - (256 if state >> 31 else 0)
    return values


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
    """Counts of every case, in order; AssertionError naming the case whose output is not numpy's."""
    plan = make_plan(core, cases)
    view = library_view(
        plan, version="0", abi=ABI, numerics=NUMERICS, build_id="00000000", sha256="0", model_file=NAME, trace=True
    )
    in_len, out_len = plan.inputs[0].length, plan.outputs[0].length
    main = MAIN.format(name=NAME, in_len=in_len, out_len=out_len, steps=len(cases))
    said = run_counted(counting_core(core), {**render_library(view), "bench_main.c": main.encode()})
    found = [int(h) for h in re.findall(r"^hash (\d+)$", said, re.M)]
    wanted = [_expected(case, input_bytes(in_len)) for case in cases]
    assert len(found) == len(cases), said
    for case, f, w in zip(cases, found, wanted, strict=True):
        assert w in (None, f), f"{core}, {case.name}, {case.call.kernel}: output differs from numpy"
    return intervals(said)[: len(cases)]


def _expected(case: Case, pool: Array) -> int | None:
    """FNV-1a of numpy's output."""
    if not case.whole:
        return None
    graph, node, at = case.layer, case.layer.nodes[0], 0
    arrays: dict[str, Array] = {}
    for t in graph.ins(node):
        if t.name not in arrays:
            arrays[t.name] = t.array if t.const is not None else pool[at : at + t.size].reshape(1, *t.shape)
            at += 0 if t.const is not None else align(t.size)
    assert isinstance(node.op, Operator)
    y = node.op.run_fixed(graph.ins(node), [arrays[t.name] for t in graph.ins(node)], graph.outs(node)[0])[0]
    h = 2166136261
    for byte in y.tobytes():
        h = ((h ^ byte) * 16777619) & 0xFFFFFFFF
    return h


def run_counted(core: Core, files: Mapping[str, bytes]) -> str:
    """Compile with tinygen's own flags and start-up, run under ../shared/emu; all it wrote."""
    assert core.machine is not None
    with work_folder() as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        program = compile_program(find_arm(), core, sorted(folder.glob("*.c")), [folder], folder / "bench.elf")
        return run_emu(core.machine.name, program.elf)


def run_emu(machine: str, elf: Path) -> str:
    """A program with bench_begin and bench_end, under the plug-in of ../shared/emu."""
    command = [str(shared_dir() / "emu" / "runemu"), machine, str(elf)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "EMU_S": str(int(TIMEOUT_S))}
    )
    assert done.returncode == 0, f"{machine}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def intervals(said: str) -> list[Counts]:
    """The intervals that ../shared/emu reports, in order."""
    return [Counts(int(i), int(c)) for i, c in re.findall(r"^interval \d+ insns (\d+) cycles (\d+)", said, re.M)]
