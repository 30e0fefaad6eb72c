"""Whole networks under ../shared/emu: quantised once, planned, verified and counted for each core."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from benchmarks.datasets import dataset_for, shared_dir
from benchmarks.emulate import counting_core
from benchmarks.models import calibration_samples
from tinygen import simulate
from tinygen.build.toolchain import Sizes, compile_program, find_toolchain
from tinygen.emit.library import render_library
from tinygen.files import work_folder
from tinygen.flow import verify
from tinygen.flow.library import make_library
from tinygen.flow.quantised import quantised_file
from tinygen.flow.types import Calibration, Quantised
from tinygen.numerics import Array
from tinygen.plan.planner import plan
from tinygen.plan.types import Plan
from tinygen.targets.arch.base import Core
from tinygen.targets.cores import get_core

TIMEOUT_S = 600
#: Machines that the start-up of ../shared/emu knows; the others use tinygen's own.
SHARED_START = ("mps2-an385", "mps2-an386", "mps2-an500")
MAIN = """#include "{name}.h"
{markers}
static {name}_ctx_t ctx;
static const int8_t x[] = {{{x}}}, want[] = {{{want}}};
static int8_t y[sizeof want];
{trace}int main(void)
{{
    bench_begin();
    {name}_status_t s = {name}_run(&ctx, x, y);
    bench_end();
    for (unsigned i = 0; i < sizeof y; i++) {{ s |= y[i] != want[i]; }}
    return (int)s;
}}
"""
MARKERS = """__attribute__((noinline)) void bench_begin(void) { __asm volatile("nop"); }
__attribute__((noinline)) void bench_end(void) { __asm volatile("nop"); }"""
TRACE = """void {name}_trace(uint32_t step, const int8_t *data, uint32_t len);
void {name}_trace(uint32_t step, const int8_t *data, uint32_t len)
{{
    bench_end();
    (void)step, (void)data, (void)len;
    bench_begin();
}}
"""


@dataclass(frozen=True, slots=True)
class Interval:
    """Instructions and modelled Cortex-M4 cycles, as ../shared/emu counts them."""

    insns: int
    cycles: int


class Network:
    """A quantised model (that of the file, unless given) with the inputs it is verified and counted with."""

    def __init__(self, path: Path, model: Quantised | None = None) -> None:
        samples = calibration_samples(dataset_for(path.stem).calib[0])
        self.model = model or quantised_file(path, Calibration(samples))
        graph = self.model.fixed
        self.inputs = verify.make_inputs(graph, simulate.quantise_inputs(graph, [x[:4] for x in samples.inputs]))
        self.expected = simulate.run(graph, self.inputs)

    @property
    def weights(self) -> int:
        """Bytes of int8 weights alone, as the model has them."""
        tensors = self.model.fixed.tensors.values()
        return sum(t.size for t in tensors if t.const is not None and t.quant is not None)

    def plan(self, core: str, optimize: str = "balanced") -> Plan:
        return plan(self.model.fixed, get_core(core), optimize)

    def verify(self, p: Plan) -> tuple[Sizes, int]:
        """Equal to numpy on that core; sizes and stack."""
        result = verify.verify_plan(self.model, p, p.core, self.inputs, self.expected)
        assert result.sizes is not None
        return result.sizes, result.stack

    def count(self, p: Plan) -> Interval:
        """One inference of a real sample."""
        return self._count(p, trace=False)[0]

    def count_layers(self, p: Plan) -> list[Interval]:
        """The same, one layer after the other. A layer of several outputs is traced for each, all behind its end."""
        traced = self._count(p, trace=True)
        ends = accumulate(len(step.outputs) for step in p.steps)
        return [traced[end - len(step.outputs)] for step, end in zip(p.steps, ends, strict=True)]

    def _count(self, p: Plan, *, trace: bool) -> list[Interval]:
        core = counting_core(p.core)
        name = p.name
        (x,), (want,) = ([_c_list(a[0]) for a in arrays] for arrays in (self.inputs, self.expected))
        hook = TRACE.format(name=name) if trace else ""
        main = MAIN.format(name=name, markers=MARKERS, x=x, want=want, trace=hook)
        library = render_library(make_library(p, self.model, trace=trace))
        with work_folder() as folder:
            for file, content in {**library, "bench_main.c": main.encode()}.items():
                (folder / file).write_bytes(content)
            elf = folder / "bench.elf"
            compile_for_emu(core, folder, elf)
            return run_emu(core, elf)


def compile_for_emu(core: Core, folder: Path, elf: Path) -> None:
    """Every C file of a folder, which has bench_begin and bench_end, with tinygen's flags; start-up of ../shared/emu
    where it has one."""
    assert core.machine is not None
    arm, sources = find_toolchain(core), sorted(folder.glob("*.c"))
    if core.machine.name not in SHARED_START:
        compile_program(arm, core, sources, [folder], elf)
        return
    emu = shared_dir() / "emu"
    start = (folder / "startup.c", (emu / "startup.c").read_text(encoding="utf-8"))
    start[0].write_text("\n".join(line for line in start[1].splitlines() if "noinline" not in line), encoding="utf-8")
    link = (*arm.ldflags, "--specs=nosys.specs", "-Wl,--no-warn-rwx-segments", "-T", str(emu / "mps2.ld"))
    command = (*arm.cc, *core.cflags, *arm.cflags, f"-I{folder}", str(start[0]), *map(str, sources))
    subprocess.run((*command, *link, "-o", str(elf)), check=True, timeout=TIMEOUT_S)


def run_emu(core: Core, elf: Path) -> list[Interval]:
    """Run a program with bench_begin and bench_end under the plug-in of ../shared/emu, in its own folder."""
    assert core.machine is not None
    command = [str(shared_dir() / "emu" / "runemu"), core.machine.name, str(elf)]
    environment = {**os.environ, "EMU_S": str(TIMEOUT_S)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=elf.parent)
    assert done.returncode == 0, f"{core.name}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    said = re.findall(r"^interval \d+ insns (\d+) cycles (\d+)", done.stderr, re.M)
    return [Interval(int(insns), int(cycles)) for insns, cycles in said]


def _c_list(values: Array) -> str:
    return ", ".join(map(str, values.ravel().tolist()))
