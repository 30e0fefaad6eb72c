"""Nothing gets slower or larger unnoticed: figures recorded in benchmarks/results/guard.json, compared exactly.

    python -m benchmarks.guard              measure and compare (tests/benchmarks/test_no_worse.py does the same)
    python -m benchmarks.guard --renew      record today's figures, on purpose (also: make renew-benchmarks)

Recorded are, for every emulated core: instructions of the best kernel of each single layer; instructions, arena, flash
and stack of three small networks, and where ../shared is there of the MLPerf Tiny networks; modelled cycles on the
cores that have them; on Cortex-M4 all --optimize modes. Counts are exact, so a figure may only be worse by more than
SLACK when it is renewed. They are those of one compiler, whose version is recorded too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets import dataset_for, shared_dir
from benchmarks.emulate import count_cases, counting_core
from benchmarks.fit_costs import cases_of
from benchmarks.layers import STUDY, residual_network
from benchmarks.mlperf import MODES, NETWORKS
from benchmarks.models import calibration_samples
from tinygen import simulate
from tinygen.build.toolchain import find_toolchain
from tinygen.emit.library import render_library
from tinygen.emit.view import library_view
from tinygen.flow.quantised import quantised_file
from tinygen.flow.types import Calibration
from tinygen.ir.types import Graph
from tinygen.plan.planner import plan
from tinygen.profile import Counts, profile_plan
from tinygen.targets.cores import COUNTED_CORES, get_core
from tinygen.version import ABI, NUMERICS

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "benchmarks" / "results" / "guard.json"
COMMAND = "python -m benchmarks.guard --renew"
SLACK = 0.01
#: Cores whose cycles tinygen.profile models.
TIMED = ("cortex-m0", "cortex-m3", "cortex-m4")
SMALL_NETWORKS = ("digits", "sine", "residual")

Figures = dict[str, int]
Rows = dict[str, Figures]


def builds() -> list[tuple[str, str]]:
    """Core and --optimize mode."""
    return [(core, mode) for core in COUNTED_CORES for mode in (MODES if core == "cortex-m4" else ("balanced",))]


def measure_layers(core: str) -> Rows:
    """`layer name | core` to the figures of the layer's best kernel."""
    cases = cases_of(core, STUDY)
    rows: Rows = {}
    for case, counted in zip(cases, count_cases(core, cases), strict=True):
        if not case.whole:  # a help of the layer, as the borders of planes
            continue
        figures = _counts(core, counted)
        known = rows.setdefault(f"{case.name} | {core}", figures)
        for name, value in figures.items():
            known[name] = min(known[name], value)
    return rows


def measure_network(name: str, core: str, mode: str) -> Rows:
    """`network | core mode` to its figures; AssertionError when its output is not numpy's."""
    graph = network(name)
    p = plan(graph, get_core(core), mode)
    files = render_library(
        library_view(p, version="0", abi=ABI, numerics=NUMERICS, build_id="00000000", sha256="0", model_file=name)
    )
    rng = np.random.default_rng(0)
    sample = [rng.integers(-128, 128, (1, *graph.tensors[n].shape)).astype(np.int8) for n in graph.inputs]
    measured = profile_plan(p, files, counting_core(core), sample=b"".join(x.tobytes() for x in sample))
    wanted = b"".join(y.tobytes() for y in simulate.run(graph, sample))
    assert measured.outputs == wanted, f"{name} on {core}, {mode}: output differs from numpy"
    own = {f"{file}.o" for file in files}
    flash = sum(
        piece.size
        for piece in measured.pieces
        if piece.section in (".text", ".rodata", ".data") and _counts_as_model(piece.owner, own)
    )
    figures = {**_counts(core, measured.total), "arena": p.arena_len, "flash": flash, "stack": measured.stack}
    return {f"{name} | {core} {mode}": figures}


def _counts(core: str, c: Counts) -> Figures:
    return {"instructions": c.instructions, **({"cycles": c.cycles} if core in TIMED else {})}


def _counts_as_model(owner: str, own: set[str]) -> bool:
    """The model's own objects and the library functions that come with it."""
    archive = Path(owner.split("(")[0]).name
    return Path(owner).name in own or (archive.endswith(".a") and archive.startswith("lib"))


@cache
def network(name: str) -> Graph:
    """The FIXED graph of a network by its name: a small one, or an MLPerf Tiny one (needs ../shared)."""
    if name == "residual":
        return residual_network()
    if name in NETWORKS:
        samples = calibration_samples(dataset_for(NETWORKS[name]).calib[0][:16])
        path = shared_dir() / "models" / f"{NETWORKS[name]}.onnx"
        return quantised_file(path, Calibration(samples), name=name).fixed
    folder = ROOT / "examples" / name
    calibration = Calibration(folder / f"{name}_calib.npz", samples=50)
    return quantised_file(folder / f"{name}.onnx", calibration, name=name).fixed


@cache
def compiler() -> str:
    """Version of arm-none-eabi-gcc."""
    said = subprocess.run(
        (*find_toolchain(get_core("cortex-m4")).cc, "-dumpfullversion"), check=True, capture_output=True, text=True
    )
    return said.stdout.strip()


@cache
def recorded() -> dict[str, Any]:
    """What guard.json holds: `compiler`, and `rows` of figures."""
    found: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def rows_of(known: Mapping[str, Figures], names: Iterable[str], core: str) -> Rows:
    """The recorded rows of some layers or networks on one core."""
    wanted = set(names)
    return {
        key: row
        for key, row in known.items()
        if key.split(" | ")[0] in wanted and key.split(" | ")[1].split()[0] == core
    }


def worse(known: Mapping[str, Figures], found: Mapping[str, Figures]) -> list[str]:
    """What is no longer measured, or more than SLACK above its record."""
    problems = []
    for key, row in known.items():
        for figure, was in row.items():
            now = found.get(key, {}).get(figure)
            if now is None:
                problems.append(f"{key}: {figure} was {was:,} and is no longer measured")
            elif now > was * (1 + SLACK):
                problems.append(f"{key}: {figure} was {was:,}, is {now:,} ({100 * (now / was - 1):+.1f} %)")
    return problems


def measure_all(names: Sequence[str]) -> Rows:
    """Single layers, and these networks, on every core."""
    for name in names:
        network(name)
    rows: Rows = {}
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(measure_layers, core) for core in COUNTED_CORES]
        jobs += [pool.submit(measure_network, n, core, mode) for n in names for core, mode in builds()]
        for job in jobs:
            rows |= job.result()
    return rows


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renew", action="store_true", help="record today's figures")
    options = parser.parse_args(argv)
    names = [*SMALL_NETWORKS]
    try:
        shared_dir()
        names += NETWORKS
    except FileNotFoundError as error:
        print(f"without the MLPerf Tiny networks: {error}", file=sys.stderr)
    found = measure_all(names)
    known: Rows = recorded()["rows"] if RECORD.is_file() else {}
    missing = set(NETWORKS) - set(names)
    here = {key: row for key, row in known.items() if key.split(" | ")[0] not in missing}
    problems = worse(here, found)
    both = here.keys() & found.keys()
    better = worse({key: found[key] for key in both}, {key: here[key] for key in both})
    print("\n".join([*(f"worse: {p}" for p in problems), *sorted(f"better (now, then): {p}" for p in better)]))
    if not options.renew:
        print(f"{len(found)} rows measured, {len(problems)} worse" + (f"; to renew: {COMMAND}" if problems else ""))
        return 1 if problems else 0
    kept = {key: row for key, row in known.items() if key not in here}
    text = json.dumps({"compiler": compiler(), "rows": {**kept, **found}}, indent=0)
    RECORD.write_text(text + "\n", encoding="utf-8")
    print(f"{RECORD.name}: {len(found)} rows renewed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
