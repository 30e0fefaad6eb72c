"""Whole networks in emulation: quantised once, planned, verified and counted for each core."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.datasets import dataset_for, shared_dir
from benchmarks.emulate import MARKERS, TIMEOUT_S, Counts, counting_core, run_emu
from benchmarks.models import calibration_samples
from tinygen import simulate, verify
from tinygen import workflow as flow
from tinygen.build.process import work_folder
from tinygen.build.toolchain import Sizes, compile_program, find_arm
from tinygen.emit.library import render_library
from tinygen.numerics import Array
from tinygen.plan.planner import plan
from tinygen.plan.types import Plan
from tinygen.targets.cores import Core, get_core

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
TRACE = """void {name}_trace(uint32_t step, const int8_t *data, uint32_t len);
void {name}_trace(uint32_t step, const int8_t *data, uint32_t len)
{{
    bench_end();
    (void)step, (void)data, (void)len;
    bench_begin();
}}
"""


class Network:
    """A quantised model with the inputs it is verified and counted with."""

    def __init__(self, path: Path) -> None:
        samples = calibration_samples(dataset_for(path.stem).calib[0])
        self.options = flow.Options("", samples)
        self.model = flow.quantise_model(path, self.options)
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
        result = flow.verify_plan(self.model, p, p.core, self.options, self.inputs, self.expected)
        assert result.sizes is not None
        return result.sizes, result.stack

    def count(self, p: Plan) -> Counts:
        """One inference of a real sample."""
        return self._count(p, trace=False)[0]

    def count_layers(self, p: Plan) -> list[Counts]:
        """The same, one layer after the other."""
        return self._count(p, trace=True)[:-1]

    def _count(self, p: Plan, *, trace: bool) -> list[Counts]:
        core = counting_core(p.core)
        name = p.name
        (x,), (want,) = ([_c_list(a[0]) for a in arrays] for arrays in (self.inputs, self.expected))
        hook = TRACE.format(name=name) if trace else ""
        main = MAIN.format(name=name, markers=MARKERS, x=x, want=want, trace=hook)
        library = render_library(flow.make_library(p, self.model, self.options, trace=trace))
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
    arm, sources = find_arm(), sorted(folder.glob("*.c"))
    if core.machine.name not in SHARED_START:
        compile_program(arm, core, sources, [folder], elf)
        return
    emu = shared_dir() / "emu"
    start = (folder / "startup.c", (emu / "startup.c").read_text(encoding="utf-8"))
    start[0].write_text("\n".join(line for line in start[1].splitlines() if "noinline" not in line), encoding="utf-8")
    link = (*arm.ldflags, "--specs=nosys.specs", "-Wl,--no-warn-rwx-segments", "-T", str(emu / "mps2.ld"))
    command = (*arm.cc, *core.cflags, *arm.cflags, f"-I{folder}", str(start[0]), *map(str, sources))
    subprocess.run((*command, *link, "-o", str(elf)), check=True, timeout=TIMEOUT_S)


def _c_list(values: Array) -> str:
    return ", ".join(map(str, values.ravel().tolist()))
