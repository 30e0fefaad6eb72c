"""What a search found: the networks that were built for each board."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from tinygen.compress.recipe import to_dict
from tinygen.fit.prove import Point
from tinygen.fit.result import BoardResult, FitResult, folder_of
from tinygen.report.energy import as_dict as energy_dict
from tinygen.report.energy import digits, times_json
from tinygen.report.search_page import budget_text, render_page
from tinygen.report.table import Column, Table, columns
from tinygen.report.words import milliseconds
from tinygen.targets.flash import SILICON

SCHEMA = 1


def tables(result: FitResult) -> tuple[Table, ...]:
    """One for each board."""
    return tuple(_board(result, b) for b in result.boards)


def _board(result: FitResult, board: BoardResult) -> Table:
    known = [result.energy(board.board, p) for p in board.points]
    shown = any(known) or result.choice.minimize == "energy"
    names = (result.measure, "flash", "RAM", "ms", *(["uJ"] if shown else []))
    rows = []
    for p, energy in zip(board.points, known, strict=True):
        ms = p.predicted.milliseconds if p.milliseconds is None else p.milliseconds
        rows.append((
            p.name,
            f"{p.recipe.describe()}; optimize {p.optimize}",
            f"{p.quality:.4f}",
            f"{p.predicted.flash if p.flash is None else p.flash:,}",
            f"{p.predicted.ram if p.ram is None else p.ram:,}",
            "" if ms is None else milliseconds(ms),
            *([digits(energy.microjoules.likely) if energy else ""] if shown else []),
            "yes" if p.fits else "no",
        ))  # fmt: skip
    modelled = any(p.times.silicon for p in board.points)
    band = f" Silicon takes {SILICON[0]} to {SILICON[2]} times the ms." if modelled else ""
    return Table(
        f"{result.model} on {board.board.id}: {budget_text(board.budget, result.measure)}",
        (Column("point", whole=True), Column("recipe"), *columns(*names, "fits", right=names, whole=["fits"])),
        tuple(rows),
        f"Float: {result.float_quality:.4f}. Flash and RAM in bytes."
        + band
        + (" uJ of an inference: the likely figure; report.json has the band." if shown else ""),
    )


def files(result: FitResult) -> dict[str, bytes]:
    """The report as a page and as JSON, by name."""
    return {
        "report.html": render_page(result),
        "report.json": (json.dumps(as_dict(result), indent=2) + "\n").encode(),
    }


def as_dict(result: FitResult) -> dict[str, Any]:
    """The document of `tinygen fit --json`, also written as report.json."""
    return {
        "schema": SCHEMA,
        "model": result.model,
        "measure": result.measure,
        "judged_on": result.judged_on,
        "float": result.float_quality,
        "trials": result.trials,
        "failures": [{"recipe": recipe, "why": why} for recipe, why in result.failures],
        "command": result.command,
        "boards": [
            {
                "board": b.board.id,
                "budget": asdict(b.budget),
                "met": any(p.fits for p in b.points),
                "nearest": list(b.nearest),
                "points": [
                    _point_json(p, result.commands[p.name])
                    | {"energy": energy_dict(b.board, () if (e := result.energy(b.board, p)) is None else (e,))}
                    for p in b.points
                ],
                "candidates": [
                    {
                        "recipe": c.record.recipe.describe(),
                        "quality": c.record.quality,
                        **asdict(c.cost),
                        "over": c.over,
                    }
                    for c in b.candidates
                ],
            }
            for b in result.boards
        ],
    }


def _point_json(p: Point, texts: tuple[str, str]) -> dict[str, Any]:
    return {
        "name": p.name,
        "folder": folder_of(p),
        "optimize": p.optimize,
        "recipe": to_dict(p.recipe),
        "quality": {"searched": p.searched.record.quality, "validation": p.validation, "test": p.test},
        "predicted": {"flash": p.predicted.flash, "ram": p.predicted.ram, "milliseconds": p.predicted.milliseconds},
        "times": times_json(p.times),
        "measured": {"flash": p.flash, "ram": p.ram, "cycles": p.cycles, "milliseconds": p.milliseconds},
        "verified": list(p.verified),
        "outputs_sha256": p.outputs_sha256,
        "fits": p.fits,
        "problems": list(p.why_not),
        "notes": list(p.notes),
        "commands": list(texts),
        "changes": [asdict(c) for c in p.changes],
    }
