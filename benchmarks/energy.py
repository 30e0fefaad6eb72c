"""Energy of the MLPerf Tiny networks on the boards whose current is known, beside what MLPerf Tiny publishes.

    python -m benchmarks.energy [--networks kws ...] [--boards nucleo_l4r5zi ...]
    python -m benchmarks.energy show            the tables of what is recorded, as Markdown

writes benchmarks/results/energy.json (only what was measured is renewed). Cycles are counted in the emulator with the
flash of the board; for a core without a cycle table they are those that the cost model predicts for a Cortex-M4 with
memory that does not wait, and the band is wider (tinygen/targets/energy.py). What does not fit a board is modelled all
the same, and marked.

benchmarks/mlperf_energy.json is what was published. It was measured at 1.8 V or 3.0 V, so the same current, or power
where a switching regulator stands between, is taken at that voltage (PUBLISHED_MW).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.datasets import shared_dir
from benchmarks.mlperf import NETWORKS
from tinygen.emit.library import render_library
from tinygen.flow.library import make_library
from tinygen.flow.planned import predict
from tinygen.flow.quantised import quantised_file
from tinygen.flow.types import Quantised
from tinygen.plan.planner import plan
from tinygen.profile.measure import profile_plan
from tinygen.report.energy import span
from tinygen.targets.board import Board, load_board
from tinygen.targets.energy import DRAWN, Span, energy, why_unknown
from tinygen.targets.flash import flash_of

BOARDS = (
    "nucleo_l4r5zi", "nucleo_f446re", "nucleo_h743zi", "nucleo_u575zi_q", "bluepill_f103c8", "nucleo_g071rb",
)  # fmt: skip
RESULTS = record.RESULTS / "energy.json"
PUBLISHED = Path(__file__).parent / "mlperf_energy.json"
#: Milliwatts at the voltage of the published figures, from the manifests' sources: a linear regulator draws the same
#: current at any voltage; of the STM32U5 with its switching one table 44 has 10.5 mA at 1.8 V.
PUBLISHED_MW = {("nucleo_l4r5zi", 1.8): 24.2 * 1.8, ("nucleo_l4r5zi", 3.0): 24.2 * 3.0, ("nucleo_u575zi_q", 1.8): 18.9}


def measure(model: Quantised, board: Board) -> dict[str, Any]:
    """One network on one board, kernels of --optimize balanced; `cycles` None where nothing can be said."""
    planned = plan(model.fixed, board.core, "balanced", flash=flash_of(board))
    p = predict(planned, model, flash_of(board))
    fits = p.flash <= board.flash_bytes and p.ram <= board.ram_bytes
    row: dict[str, Any] = {"fits": fits, "why_unknown": why_unknown(board)}
    if row["why_unknown"]:
        return row
    if board.core.timing is None:
        cycles = round(sum(layer.cycles for layer in p.layers))
    else:
        files = render_library(make_library(planned, model))
        cycles = profile_plan(planned, files, board.core, flash=flash_of(board)).total.flash_cycles
    found = energy(board, cycles)
    assert found is not None
    return row | {
        "cycles": cycles,
        "stand_in": board.core.timing is None,
        "milliseconds": _list(found.milliseconds),
        "microjoules": _list(found.microjoules),
    }


def _list(s: Span) -> list[float]:
    return [round(x, 3) for x in (s.low, s.likely, s.high)]


def published() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(PUBLISHED.read_text())["results"]
    return rows


def power_ratio(row: Mapping[str, Any]) -> tuple[float, bool]:
    """Published energy as a share of the likely one for the published time; is it within the band?"""
    supply = load_board(row["board"]).supply
    assert supply is not None
    drawn = DRAWN[supply.of]
    nominal = PUBLISHED_MW[row["board"], row["volts"]] * 1000.0 / row["per_second"]
    ratio = row["microjoules"] / nominal
    return ratio / drawn.likely, drawn.low <= ratio <= drawn.high


def show(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Both tables as Markdown."""
    lines = ["| uJ an inference | " + " | ".join(NETWORKS) + " |", "| --- |" + " --- |" * len(NETWORKS)]
    for board, networks in rows.items():
        cells = []
        for short in NETWORKS:
            r = networks.get(short, {})
            text = span(Span(*r["microjoules"])) if "microjoules" in r else "not known" if r else ""
            cells.append(text + ("" if r.get("fits", True) else ", does not fit"))
        supply = load_board(board).supply
        lines.append(f"| {board}{f', {supply.volts:g} V' if supply else ''} | " + " | ".join(cells) + " |")
    best: dict[tuple[str, float], dict[str, dict[str, Any]]] = {}
    for row in published():
        nets = best.setdefault((row["board"], row["volts"]), {})
        if row["network"] not in nets or row["microjoules"] < nets[row["network"]]["microjoules"]:
            nets[row["network"]] = row
    lines += ["", "| at the published voltage | | " + " | ".join(n for n in NETWORKS if n != "sww") + " |"]
    lines.append("| --- | --- |" + " --- |" * (len(NETWORKS) - 1))
    for (board, volts), nets in best.items():
        supply = load_board(board).supply
        assert supply is not None
        scale = PUBLISHED_MW[board, volts] / (supply.run[0].milliamperes * supply.volts)
        shorts = [n for n in NETWORKS if n != "sww"]
        ours = [
            span(Span(*rows[board][n]["microjoules"]).times(scale)) if n in rows.get(board, {}) else "" for n in shorts
        ]
        lines.append(f"| {board}, {volts:g} V | tinygen, modelled | " + " | ".join(ours) + " |")
        theirs = [f"{nets[n]['microjoules']:,.0f} ({nets[n]['software']})" for n in shorts]
        lines.append("| | best published, measured | " + " | ".join(theirs) + " |")
    lines += ["", "| power alone: published / likely, for the published time | from | to | within the band |"]
    lines.append("| --- | --- | --- | --- |")
    for board, volts in best:
        found = [power_ratio(r) for r in published() if (r["board"], r["volts"]) == (board, volts)]
        ratios, inside = [r for r, _ in found], sum(ok for _, ok in found)
        lines.append(f"| {board}, {volts:g} V | {min(ratios):.2f} | {max(ratios):.2f} | {inside} of {len(found)} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("measure", "show"), default="measure")
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--boards", nargs="*", choices=BOARDS, default=BOARDS)
    asked = parser.parse_args()
    rows: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if asked.what == "measure":
        for short in asked.networks:
            model = quantised_file(shared_dir() / "models" / f"{NETWORKS[short]}.onnx")
            for board in asked.boards:
                rows.setdefault(board, {})[short] = measure(model, load_board(board))
                rows = {b: {n: rows[b][n] for n in NETWORKS if n in rows[b]} for b in BOARDS if b in rows}
                record.write("energy", rows, rows, 2)
                print(board, short, rows[board][short], flush=True)
    print(show(rows))


if __name__ == "__main__":
    main()
