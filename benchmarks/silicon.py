"""Modelled cycles against silicon: open submissions to MLPerf Tiny through the flash model of their board.

    python -m benchmarks.silicon --programs FOLDER     counts, writes benchmarks/results/silicon.json
    python -m benchmarks.silicon                       the table of what is recorded, and the band

Only results whose source was published with them say how far the model is off: the time on silicon and the modelled
cycles are of the same code. benchmarks/mlperf_open.json names them: repository, commits, compiler, inferences a second.
None of that code is here. FOLDER has it as `SOFTWARE.NETWORK.elf`, each a program for QEMU's mps2-an386 that calls
`inference`, a function that runs the network once, and returns 0. Programs that are missing keep what was recorded.

The band of the model, `tinygen.targets.flash.SILICON`, is the median of all ratios and the two between which four
fifths of them lie; a test holds it against the record.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import record
from tinygen.build.elf import read_image
from tinygen.files import work_folder
from tinygen.profile.counter import Counts, count
from tinygen.targets.arch.base import Core
from tinygen.targets.board import load_board
from tinygen.targets.flash import SILICON, Flash, flash_of

BOARD = "nucleo_l4r5zi"
PUBLISHED = Path(__file__).parent / "mlperf_open.json"
RESULTS = record.RESULTS / "silicon.json"
ENTRY = "inference"
RUN_TIMEOUT_S = 1200.0


def count_program(elf: Path, core: Core, flash: Flash | None) -> Counts:
    """The first call of `inference` in a program for the core's machine."""
    assert core.machine is not None
    assert core.arch.decode is not None
    with work_folder() as folder:
        spans, _ = count(
            *(core.machine, elf, read_image(elf), ENTRY, (), (0, 0), folder, RUN_TIMEOUT_S),
            decode=core.arch.decode,
            timing=core.timing,
            flash=flash,
        )
    (whole,) = spans
    return whole


def published() -> dict[str, dict[str, Any]]:
    """Software by name: `code`, `there` and `here` (compilers), and inferences a second by round and network."""
    found: dict[str, dict[str, Any]] = json.loads(PUBLISHED.read_text(encoding="utf-8"))["programs"]
    return found


def silicon(software: Mapping[str, Any]) -> dict[str, list[float]]:
    """Cycles of an inference on silicon by network, one for each that measured it."""
    hz, found = load_board(BOARD).f_cpu_hz, dict[str, list[float]]()
    for rates in software["per_second"].values():
        for network, rate in rates.items():
            found.setdefault(network, []).append(hz / rate)
    return found


def measure(elf: Path) -> dict[str, int]:
    """Of a program on the board: as the submissions ran, without read-ahead, and as tinygen takes it to be set."""
    board = load_board(BOARD)
    flash = flash_of(board)
    assert flash is not None
    without, ahead = (count_program(elf, board.core, f) for f in (replace(flash, prefetch=False), flash))
    return {
        "insns": without.instructions,
        "cycles": without.cycles,
        "code_stalls": without.code_stalls,
        "data_stalls": without.data_stalls,
        "flash_cycles": without.flash_cycles,
        "read_ahead_cycles": ahead.flash_cycles,
    }


def ratios(results: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Iterator[tuple[str, str, float]]:
    """Software, network, and its time on silicon over the modelled one."""
    for name, software in published().items():
        for network, cycles in silicon(software).items():
            if network in results.get(name, {}):
                yield name, network, median(cycles) / results[name][network]["flash_cycles"]


def band(values: Sequence[float]) -> tuple[float, float, float]:
    """Tenth percentile, median, ninetieth."""
    low, likely, high = np.percentile(values, [10, 50, 90])
    return float(low), float(likely), float(high)


def rows(results: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[list[str]]:
    """The table's cells."""
    found = []
    for name, network, ratio in ratios(results):
        r, times = results[name][network], [c / 1e6 for c in silicon(published()[name])[network]]
        least, most = f"{min(times):.3f}", f"{max(times):.3f}"
        found.append([
            name, network, f"{r['insns'] / 1e6:.3f}", f"{r['cycles'] / 1e6:.3f}", f"{r['code_stalls'] / 1e6:.3f}",
            f"{r['data_stalls'] / 1e6:.3f}", f"{r['flash_cycles'] / 1e6:.3f}",
            least if least == most else f"{least} to {most}", f"{ratio:.3f}",
        ])  # fmt: skip
    return found


HEAD = ("software", "network", "instructions", "no waits", "code stalls", "data stalls", "modelled", "silicon", "ratio")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=Path, help="folder of SOFTWARE.NETWORK.elf")
    folder = parser.parse_args(argv).programs
    results: dict[str, dict[str, dict[str, int]]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if folder is not None:
        for name, software in published().items():
            for network in silicon(software):
                elf = folder / f"{name}.{network}.elf"
                if elf.is_file():
                    results.setdefault(name, {})[network] = measure(elf)
                else:
                    print(f"{elf} is missing: {software['code']}")
        record.write("silicon", results, results, 2)
    table = Table(title=f"{BOARD}, 120 MHz, no read-ahead: millions of cycles of an inference")
    for column in HEAD:
        table.add_column(column, justify="left" if column in ("software", "network") else "right")
    for row in rows(results):
        table.add_row(*row)
    Console(width=140).print(table)
    values = [ratio for _, _, ratio in ratios(results)]
    if values:
        low, likely, high = band(values)
        print(
            f"silicon over modelled: {min(values):.3f} to {max(values):.3f}, median {likely:.3f}, "
            f"four fifths {low:.3f} to {high:.3f}; tinygen says {SILICON[0]} to {SILICON[2]}, likely {SILICON[1]}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
