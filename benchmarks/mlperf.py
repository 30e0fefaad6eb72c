"""The MLPerf Tiny int8 networks on every emulated core, measured by ../shared/emu, beside TFLM of baselines.json.

    python -m benchmarks.mlperf [--networks kws ...] [--cores cortex-m4 ...]

prints the tables and writes benchmarks/results/mlperf.json (only what was measured is renewed), with layers where the
page has them (LAYERED); all layers of this run are in build/benchmarks/mlperf.json. On Cortex-M4 each --optimize mode
is measured, elsewhere "balanced". Every build is compared with numpy on random and extreme inputs by
tinygen's own verification, and on one real sample in the counted run itself.

Instructions are exact and repeat on any machine; cycles are modelled for the Cortex-M4 with zero-wait memory (see
../shared/emu/README.md) and mean nothing on other cores. Flash and stack are what the linker and the run say of the
model's own objects and the compiler helpers they pull in.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import record
from benchmarks.datasets import shared_dir
from benchmarks.networks import Network
from tinygen.flow.library import make_library
from tinygen.targets.cores import COUNTED_CORES

#: Name in baselines.json: the file of ../shared/models.
NETWORKS = {
    "ad": "ad01_tf_int8_qdq",
    "ic": "ic_resnet8_tf_int8_qdq",
    "kws": "kws_dscnn_tf_int8_qdq",
    "vww": "vww_mobilenetv1_025_tf_int8_qdq",
    "sww": "sww_str_ww_tf_int8_qdq",
}
#: Short names of the cores, as in baselines.json.
CORES = {core: core.removeprefix("cortex-") for core in COUNTED_CORES}
MODES = ("speed", "balanced", "size")
#: What issue 3 asks for: modelled cycles on Cortex-M4 ("speed"; without Winograd 11.8M for ic), instructions elsewhere.
TARGETS = {
    "cortex-m4 speed": {"ad": 0.33, "ic": 8.6, "kws": 3.0, "vww": 8.6, "sww": 1.0},
    "cortex-m4 balanced": {"ad": 0.33 * 1.08, "ic": 11.9, "kws": 3.0 * 1.08, "vww": 8.6 * 1.08, "sww": 1.0 * 1.08},
    "cortex-m0 balanced": {"ad": 0.9, "ic": 42.0, "kws": 10.0, "vww": 30.0, "sww": 3.3},
    "cortex-m3 balanced": {"ad": 0.6, "ic": 26.0, "kws": 6.0, "vww": 18.0, "sww": 2.0},
    "cortex-m55 balanced": {"ad": 0.12, "ic": 4.0, "kws": 1.2, "vww": 3.6, "sww": 0.33},
}
#: Builds of which the layers are kept.
LAYERED = ("cortex-m4 speed", "cortex-m4 balanced")
FIGURES = ("insns", "cycles", "arena_min", "stack_invoke", "flash", "flash_code")


def measure(network: Network, core: str, mode: str) -> dict[str, Any]:
    """All figures of one network on one core; AssertionError or VerifyError when an output is not numpy's."""
    p = network.plan(core, mode)
    sizes, stack = network.verify(p)
    whole, layers = network.count(p), network.count_layers(p)
    library = make_library(p, network.model)
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


def peer(baselines: Mapping[str, Any], core: str, short: str) -> dict[str, int]:
    """TFLM's best builds for a core, figure by figure; empty where there are none."""
    builds = [nets[short] for key, nets in baselines.items() if key.split("-")[0] == CORES[core] and short in nets]
    found = {f: [b[f] for b in builds if b.get(f)] for f in FIGURES}
    return {f: min(values) for f, values in found.items() if values and (f != "cycles" or core == "cortex-m4")}


def kept(rows: Mapping[str, Any]) -> dict[str, Any]:
    """The rows, without the layers of all builds but those of LAYERED."""
    return {
        short: row | {
            "builds": {
                key: r if key in LAYERED else {k: v for k, v in r.items() if k != "layers"}
                for key, r in row["builds"].items()
            }
        }
        for short, row in rows.items()
    }  # fmt: skip


def show(rows: Mapping[str, Any], baselines: Mapping[str, Any]) -> Table:
    """Everything but the layers."""
    table = Table(title="MLPerf Tiny int8: tinygen beside the best TFLM + CMSIS-NN build for each core")
    left = ("network", "core", "mode", "target M", "met")
    columns = (
        *left[:3], "insns", "TFLM", "ratio", "cycles", "TFLM", "cycles/MAC", *left[3:], "arena", "of it scratch",
        "in/out", "stack", "arena + stack", "TFLM", "flash", "TFLM", "less constants", "constants", "weights",
    )  # fmt: skip
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right")
    for short, row in rows.items():
        for key, r in row["builds"].items():
            core, mode = key.split(" ")
            t = peer(baselines, core, short)
            ram = t["arena_min"] + t.get("stack_invoke", 0) if "arena_min" in t else None
            ratio = f"{r['insns'] / t['insns']:.2f}" if t else ""
            per_mac = f"{r['cycles'] / row['macs']:.2f}" if "cycles" in r else ""
            figures = (
                r["insns"], t.get("insns"), ratio, r.get("cycles"), t.get("cycles"), per_mac, *_target(key, short, r),
                r["arena"], r["scratch"], r["io"], r["stack"], r["arena"] + r["stack"], ram, r["flash"],
                t.get("flash"), r["code"], r["constants"], row["weights"],
            )  # fmt: skip
            table.add_row(short, CORES[core], mode, *map(_cell, figures))
    return table


def _target(key: str, short: str, r: Mapping[str, Any]) -> tuple[str, str]:
    """What was asked for in millions, and whether it is met."""
    if key not in TARGETS:
        return "", ""
    wanted = TARGETS[key][short]
    return f"{wanted:.2f}", "yes" if r.get("cycles", r["insns"]) <= wanted * 1e6 else "NO"


def _cell(value: int | str | None) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:,}"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--cores", nargs="+", default=list(CORES), choices=list(CORES))
    options = parser.parse_args(argv)
    baselines = json.loads((shared_dir() / "baselines.json").read_text(encoding="utf-8"))["tflm_cmsis_nn"]
    target = record.RESULTS / "mlperf.json"
    known = json.loads(target.read_text(encoding="utf-8")) if target.is_file() else {}
    rows: dict[str, Any] = {s: known[s] for s in NETWORKS if s in known and "builds" in known[s]}
    for short in options.networks:
        network = Network(shared_dir() / "models" / f"{NETWORKS[short]}.onnx")
        macs = network.plan("cortex-m4").macs
        row = rows.setdefault(short, {"builds": {}})
        row |= {"model": NETWORKS[short], "macs": macs, "weights": network.weights}
        row["tflm"] = {core: peer(baselines, core, short) for core in CORES}
        for core in options.cores:
            for mode in MODES if core == "cortex-m4" else ("balanced",):
                row["builds"][f"{core} {mode}"] = r = measure(network, core, mode)
                print(f"{short} {core} {mode}: {r['insns']:,} instructions, {r['code']:,} bytes of code",
                      file=sys.stderr, flush=True)  # fmt: skip
    Console(width=230).print(show({s: rows[s] for s in options.networks}, baselines))
    record.write("mlperf", kept(rows), rows, depth=5)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
