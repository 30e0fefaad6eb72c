"""The MLPerf Tiny int8 networks on every emulated core, measured by ../shared/emu, beside TFLM of baselines.json.

    python -m benchmarks.mlperf [--networks kws ...] [--cores cortex-m4 ...]

prints the tables and writes benchmarks/results/mlperf.json (only what was measured is renewed). On Cortex-M4 each
--optimize mode is measured, elsewhere "balanced". Every build is compared with numpy on random and extreme inputs by
tinygen's own verification, and on one real sample in the counted run itself.

Instructions are exact and repeat on any machine; cycles are modelled for the Cortex-M4 with zero-wait memory (see
../shared/emu/README.md) and mean nothing on other cores. Flash and stack are what the linker and the run say of the
model's own objects and the compiler helpers they pull in.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.datasets import dataset_for, shared_dir
from benchmarks.emulate import MARKERS, TIMEOUT_S, Counts, counting_core, run_emu
from benchmarks.models import RESULTS, calibration_samples
from tinygen import simulate, verify
from tinygen import workflow as flow
from tinygen.build.process import work_folder
from tinygen.build.toolchain import Sizes, compile_program, find_arm
from tinygen.emit.library import render_library
from tinygen.numerics import Array
from tinygen.plan.planner import plan
from tinygen.plan.types import Plan
from tinygen.targets.cores import VERIFY_CORES, Core, get_core

#: Name in baselines.json: the file of ../shared/models.
NETWORKS = {
    "ad": "ad01_tf_int8_qdq",
    "ic": "ic_resnet8_tf_int8_qdq",
    "kws": "kws_dscnn_tf_int8_qdq",
    "vww": "vww_mobilenetv1_025_tf_int8_qdq",
    "sww": "sww_str_ww_tf_int8_qdq",
}
#: Short names of the cores, as in baselines.json.
CORES = {core: core.removeprefix("cortex-") for core in VERIFY_CORES}
MODES = ("speed", "balanced", "size")
#: Cores whose machine ../shared/emu can start; the others use tinygen's own start-up.
SHARED_START = ("mps2-an385", "mps2-an386", "mps2-an500")
FIGURES = ("insns", "cycles", "arena_min", "stack_invoke", "flash", "flash_code")
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


def measure(network: Network, core: str, mode: str) -> dict[str, Any]:
    """All figures of one network on one core; AssertionError or VerifyError when an output is not numpy's."""
    p = network.plan(core, mode)
    sizes, stack = network.verify(p)
    whole, layers = network.count(p), network.count_layers(p)
    library = flow.make_library(p, network.model, network.options)
    flash = sizes.flash_model + sizes.flash_libgcc + sizes.flash_libc
    return {
        "insns": whole.insns,
        **({"cycles": whole.cycles} if core == "cortex-m4" else {}),
        "arena": p.arena_len,
        "scratch": max((c.call.scratch for s in p.steps for c in s.calls), default=0),
        "io": sum(e.length for e in (*p.inputs, *p.outputs)),
        "stack": stack,
        "flash": flash,
        "constants": library.weight_bytes,
        "code": flash - library.weight_bytes,
        "layers": [
            {
                "name": step.name, "title": step.title, "kernels": [c.call.kernel for c in step.calls],
                "macs": step.macs, "insns": c.insns, **({"cycles": c.cycles} if core == "cortex-m4" else {}),
            }
            for step, c in zip(p.steps, layers, strict=True)
        ],
    }  # fmt: skip


def weight_bytes(network: Network) -> int:
    """int8 weights alone, as the model has them."""
    tensors = network.model.fixed.tensors.values()
    return sum(t.size for t in tensors if t.const is not None and t.quant is not None)


def peer(baselines: Mapping[str, Any], core: str, short: str) -> dict[str, int]:
    """TFLM's best builds for a core, figure by figure; empty where there are none."""
    builds = [nets[short] for key, nets in baselines.items() if key.split("-")[0] == CORES[core] and short in nets]
    found = {f: [b[f] for b in builds if b.get(f)] for f in FIGURES}
    return {f: min(values) for f, values in found.items() if values and (f != "cycles" or core == "cortex-m4")}


def show(rows: Mapping[str, Any], baselines: Mapping[str, Any]) -> Table:
    """Everything but the layers."""
    table = Table(title="MLPerf Tiny int8: tinygen beside the best TFLM + CMSIS-NN build for each core")
    for column in (
        "network", "core", "mode", "insns", "TFLM", "ratio", "cycles", "TFLM", "cycles/MAC", "arena", "of it scratch",
        "in/out", "stack", "arena + stack", "TFLM", "flash", "TFLM", "less constants", "constants", "weights",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column in ("network", "core", "mode") else "right")
    for short, row in rows.items():
        for key, r in row["builds"].items():
            core, mode = key.split(" ")
            t = peer(baselines, core, short)
            insns, cycles = t.get("insns"), t.get("cycles")
            ram = t["arena_min"] + t.get("stack_invoke", 0) if "arena_min" in t else None
            table.add_row(
                short, CORES[core], mode, f"{r['insns']:,}", _number(insns), f"{r['insns'] / insns:.2f}" if insns
                else "", _number(r.get("cycles")), _number(cycles), f"{r['cycles'] / row['macs']:.2f}"
                if "cycles" in r else "", f"{r['arena']:,}", f"{r['scratch']:,}", f"{r['io']:,}", f"{r['stack']:,}",
                f"{r['arena'] + r['stack']:,}", _number(ram), f"{r['flash']:,}", _number(t.get("flash")),
                f"{r['code']:,}", f"{r['constants']:,}", f"{row['weights']:,}",
            )  # fmt: skip
    return table


def _number(n: int | None) -> str:
    return "" if n is None else f"{n:,}"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--cores", nargs="+", default=list(CORES), choices=list(CORES))
    options = parser.parse_args(argv)
    baselines = json.loads((shared_dir() / "baselines.json").read_text(encoding="utf-8"))["tflm_cmsis_nn"]
    target = RESULTS / "mlperf.json"
    known = json.loads(target.read_text(encoding="utf-8")) if target.is_file() else {}
    rows: dict[str, Any] = {s: known[s] for s in NETWORKS if s in known and "builds" in known[s]}
    for short in options.networks:
        network = Network(shared_dir() / "models" / f"{NETWORKS[short]}.onnx")
        macs = network.plan("cortex-m4").macs
        row = rows.setdefault(short, {"builds": {}})
        row |= {"model": NETWORKS[short], "macs": macs, "weights": weight_bytes(network)}
        row["tflm"] = {core: peer(baselines, core, short) for core in CORES}
        for core in options.cores:
            for mode in MODES if core == "cortex-m4" else ("balanced",):
                row["builds"][f"{core} {mode}"] = r = measure(network, core, mode)
                print(f"{short} {core} {mode}: {r['insns']:,} instructions, {r['code']:,} bytes of code",
                      file=sys.stderr, flush=True)  # fmt: skip
    Console(width=230).print(show({s: rows[s] for s in options.networks}, baselines))
    RESULTS.mkdir(exist_ok=True)
    target.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
