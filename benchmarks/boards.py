"""The MLPerf Tiny int8 networks on boards whose flash waits, beside the same kernels with memory that never does.

    python -m benchmarks.boards [--networks kws ...] [--boards nucleo_l4r5zi ...]
    python -m benchmarks.boards --tflm FOLDER       TFLite Micro with CMSIS-NN instead, through the same models

builds each network for each board and each --optimize mode, counts one inference of a real sample in emulation with the
board's flash model, compares its outputs with numpy, prints a table and writes benchmarks/results/boards.json (what was
measured is renewed). `before` is the choice that knows nothing of the board's flash. Where a core has no cycle table,
instructions are counted, and what misses of its caches make it wait; where a network does not fit a board, it is
counted all the same and marked. Boards with RAM from which code never waits also run `speed` with some of it given to
kernels and constants (`--code-in-ram`).

TFLite Micro is not in this repository: FOLDER holds CORE.NETWORK.elf, as cortex-m4.kws.elf, programs for the core's
QEMU machine that run the network's .tflite once in a function `inference` and return 0. Recorded are tflite-micro
90b983c2 with CMSIS-NN 4ab83cc3, its interpreter at -Os, kernels at -O2, GCC 12.2, as in ../shared/baselines.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import record
from benchmarks.datasets import shared_dir
from benchmarks.emulate import counting_core
from benchmarks.mlperf import NETWORKS
from benchmarks.networks import Network
from benchmarks.silicon import count_program
from tinygen.emit.library import render_library
from tinygen.flow import verify
from tinygen.flow.library import make_library
from tinygen.flow.planned import predict
from tinygen.plan.modes import MODES
from tinygen.plan.planner import plan
from tinygen.plan.types import Plan
from tinygen.profile import Counts, profile_plan
from tinygen.targets.board import Board, load_board
from tinygen.targets.flash import SILICON, Flash, caches_of, flash_of

BOARDS = (
    "nucleo_l4r5zi",
    "nucleo_f446re",
    "nucleo_h743zi",
    "nucleo_u575zi_q",
    "bluepill_f103c8",
    "nucleo_g071rb",
)
#: Cycles of the best results for these boards in MLPerf Tiny's closed division, v1.0 to v1.3: latency times clock.
PUBLISHED = {
    "nucleo_l4r5zi": {"ad": 486_000, "kws": 5_180_000, "ic": 19_800_000, "vww": 10_670_000},
    "nucleo_u575zi_q": {"ad": 495_000, "kws": 4_640_000, "ic": 16_700_000, "vww": 9_480_000},
}
#: The same of the nearest part that anybody measured: its board, and cycles.
PUBLISHED_NEAR = {
    "nucleo_h743zi": ("NUCLEO-H7A3ZI-Q", {"ad": 303_000, "kws": 3_170_000, "ic": 11_400_000, "vww": 6_670_000}),
    "nucleo_g071rb": ("NUCLEO-G0B1RE", {"ad": 2_620_000, "kws": 30_400_000, "ic": 97_400_000, "vww": 90_500_000}),
}
TFLM = "TFLM + CMSIS-NN"
#: KiB of RAM for kernels and constants, where a board has such RAM.
ROOMS = (8, 32)
#: Cycles from flash that `speed` is to stay below, in millions.
TARGETS = {
    "nucleo_l4r5zi": {"kws": 3.5, "vww": 6.0, "ic": 11.4, "ad": 0.48, "sww": 1.15},
    "nucleo_f446re": {"kws": 3.3, "vww": 5.6, "ic": 10.3},
}


def count(network: Network, p: Plan, board: Board, flash: Flash | None) -> Counts:
    """One inference of the first input; AssertionError when its outputs are not numpy's."""
    files = render_library(make_library(p, network.model))
    sample = verify.sample_bytes([x[:1] for x in network.inputs])
    measured = profile_plan(p, files, counting_core(board.core.name), sample=sample, flash=flash)
    assert measured.outputs == verify.sample_bytes([y[:1] for y in network.expected]), (p.name, board.id)
    return measured.total


def figures(board: Board, c: Counts) -> dict[str, int]:
    """What is kept of a run: cycles where they are modelled, else what its caches make it wait."""
    if board.core.timing is not None:
        return {"insns": c.instructions, "cycles": c.cycles, "flash_cycles": c.flash_cycles}
    return {"insns": c.instructions, "waits": c.code_stalls + c.data_stalls}


def measure_tflm(short: str, board: Board, folder: Path) -> dict[str, Any] | None:
    """TFLite Micro's program for the board's core; None where there is none."""
    core = counting_core(board.core.name)
    elf = folder / f"{core.name}.{short}.elf"
    if not elf.is_file():
        print(f"{elf} is missing", file=sys.stderr)
        return None
    known = json.loads((shared_dir() / "baselines.json").read_text(encoding="utf-8"))["tflm_cmsis_nn"]
    same = core.name.removeprefix("cortex-").removesuffix("plus")
    size = known.get(f"{same}-O2-cmsis", known["m4-O2-cmsis"])[short]
    ram = size["ram_static"] + size["stack_invoke"]
    return {
        "after": figures(board, count_program(elf, core, flash_of(board) or caches_of(board))),
        "fits": size["flash"] <= board.flash_bytes and ram <= board.ram_bytes,
        "predicted": None,
    }


def measure(network: Network, board: Board) -> dict[str, Any]:
    """Figures of one network on one board, by mode."""
    flash, found = flash_of(board), {}
    waits = flash or caches_of(board)
    known: dict[Any, Counts] = {}
    for mode in MODES:
        before, after = (plan(network.model.fixed, board.core, mode, flash=f) for f in (None, flash))
        row: dict[str, Any] = {}
        for name, p in (("before", before), ("after", after)):
            kernels = tuple((c.call.kernel, c.call.config) for s in p.steps for c in s.calls)
            if kernels not in known:
                known[kernels] = count(network, p, board, waits)
            row[name] = figures(board, known[kernels])
        p = predict(after, network.model, flash)
        row["fits"] = p.flash <= board.flash_bytes and p.ram <= board.ram_bytes
        row["predicted"] = p.flash_cycles
        found[mode] = row
    for kib in ROOMS if board.code_ram is not None and flash is not None else ():
        p = plan(network.model.fixed, board.core, "speed", flash=flash, code_in_ram=1024 * kib)
        c, guess = count(network, p, board, flash), predict(p, network.model, flash)
        found[f"speed, {kib}K in RAM"] = {
            "after": figures(board, c),
            "fits": guess.flash <= board.flash_bytes and guess.ram <= board.code_ram.ram_left,
            "predicted": guess.flash_cycles,
        }
    return found


def show(results: dict[str, dict[str, Any]]) -> Table:
    table = Table(
        title="MLPerf Tiny int8 from the flash of boards (M cycles; M instructions where cycles are not known)"
    )
    for column in ("board", "network", "mode"):
        table.add_column(column)
    for column in ("never waits", "from flash", "on silicon", "before", "predicted off", "target", "met", "fits"):
        table.add_column(column, justify="right")
    for board, networks in results.items():
        for short, modes in networks.items():
            for mode, r in modes.items():
                target = TARGETS.get(board, {}).get(short) if mode == "speed" else None
                new, old = r["after"], r.get("before")
                figure = "flash_cycles" if "flash_cycles" in new else "insns"
                was = "" if old is None else f"{old[figure] / 1e6:.2f}"
                off = f"{100 * (r['predicted'] / new[figure] - 1):+.1f} %" if r["predicted"] and "cycles" in new else ""
                table.add_row(
                    board, short, mode, f"{new.get('cycles', 0) / 1e6:.2f}" if "cycles" in new else "",
                    f"{new[figure] / 1e6:.2f}", band(new), was, off, "" if target is None else f"{target}",
                    "" if target is None else ("yes" if new[figure] <= target * 1e6 else "NO"),
                    "yes" if r["fits"] else "no",
                )  # fmt: skip
    return table


def band(run: dict[str, int]) -> str:
    """Where silicon should lie, millions of cycles."""
    if "flash_cycles" not in run:
        return f"{run['waits'] / 1e6:.2f} waits" if run.get("waits") else ""
    low, _, high = (run["flash_cycles"] * k / 1e6 for k in SILICON)
    return f"{low:.2f} to {high:.2f}"


def slower(results: dict[str, dict[str, Any]]) -> list[str]:
    """Where `speed` is slower than another mode."""
    found = []
    for board, networks in results.items():
        for short, modes in networks.items():
            figure = "flash_cycles" if "flash_cycles" in modes["speed"]["after"] else "insns"
            least = min(modes[mode]["after"][figure] for mode in MODES)
            if modes["speed"]["after"][figure] > least:
                more = 100 * (modes["speed"]["after"][figure] / least - 1)
                found.append(f"{short} on {board}: speed takes {more:.2f} % more than the fastest mode")
    return found


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--boards", nargs="+", default=list(BOARDS), choices=BOARDS)
    parser.add_argument("--tflm", type=Path, help="folder of CORE.NETWORK.elf")
    options = parser.parse_args(argv)
    file = record.RESULTS / "boards.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for short in options.networks:
        network = None if options.tflm else Network(shared_dir() / "models" / f"{NETWORKS[short]}.onnx")
        for name in options.boards:
            row = results.setdefault(name, {}).setdefault(short, {})
            if network is not None:
                row |= measure(network, load_board(name))
            elif (found := measure_tflm(short, load_board(name), options.tflm)) is not None:
                row[TFLM] = found
            print(f"{short} {name}", file=sys.stderr, flush=True)
    ordered = {b: {n: results[b][n] for n in NETWORKS if n in results[b]} for b in BOARDS if b in results}
    record.write("boards", ordered, ordered, 3)
    Console(width=140).print(show(ordered))
    for line in slower(ordered):
        print(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
