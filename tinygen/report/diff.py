"""Two builds, or two locks, side by side."""

from __future__ import annotations

from typing import Any

from tinygen.project.compare import Standing, Standings, State
from tinygen.project.diff import BuildDiff, BuiltLayer, LayerPair, Side
from tinygen.report import check
from tinygen.report.check import amount, change, figure, stands
from tinygen.report.table import Table, columns

SCHEMA = 1


def tables(d: BuildDiff) -> tuple[Table, ...]:
    """Figures, then what they were made from where that differs, then layers, then kernels."""
    return tuple(filter(None, (_figures(d), _facts(d), _layers(d), _kernels(d))))


def heads(d: BuildDiff) -> tuple[str, str]:
    """What the two are called: by their folders."""
    return str(d.before.folder), str(d.after.folder)


def integers(d: BuildDiff) -> str:
    """Do both compute the same?"""
    if d.same_integers is None:
        return "Proved on other inputs, so whether both compute the same integers is not known."
    if d.same_integers:
        return "Both give the same integers for the same inputs."
    return "For the same inputs they give other integers."


def _figures(d: BuildDiff) -> Table:
    rows = tuple(
        (r.what, amount(r.was, r.unit), amount(r.now, r.unit), change(r), "" if r.state is State.SAME else stands(r))
        for r in d.figures
    )
    names = ("figure", "A", "B", "change", "")
    caption = f"A is {d.before.folder}, B is {d.after.folder}. {integers(d)}"
    return Table("", columns(*names, right=names[1:4]), rows, caption)


def _facts(d: BuildDiff) -> Table | None:
    rows = tuple((r.what, amount(r.was, ""), amount(r.now, "")) for r in d.facts if r.state is not State.SAME)
    return Table("Made from and with", columns("", "A", "B"), rows) if rows else None


def time_of(d: BuildDiff) -> str:
    """The unit of the layers' time: cycles, instructions where one has no cycles, "" where nothing was counted."""
    for unit in ("cycles", "instructions"):
        if getattr(d.before, unit) is not None and getattr(d.after, unit) is not None:
            return unit
    return ""


def _layers(d: BuildDiff) -> Table:
    unit = time_of(d)
    numbers = ("constants", *((unit, "change") if unit else ()))
    rows = tuple((p.name, *_numbers(p, unit), ", ".join(p.what) or "the same") for p in d.layers)
    return Table("Layers", columns("layer", *numbers, "", right=numbers), rows)


def _numbers(p: LayerPair, unit: str) -> tuple[str, ...]:
    def arrow(was: int | None, now: int | None) -> str:
        return f"{now:,}" if was == now else " → ".join("–" if n is None else f"{n:,}" for n in (was, now))

    constants = arrow(*(None if x is None else x.constants for x in (p.before, p.after)))
    if not unit:
        return (constants,)
    was, now = ticks(p.before, unit), ticks(p.after, unit)
    return constants, arrow(was, now), by(was, now)


def by(was: int | None, now: int | None) -> str:
    """By how many percent; nothing where less than one in a thousand tells them apart, or one is not there."""
    share = 100 * (now - was) / was if was and now is not None else 0.0
    return f"{share:+.1f} %" if abs(share) >= 0.05 else ""


def ticks(layer: BuiltLayer | None, unit: str) -> int | None:
    """Time of a layer in `unit`."""
    found: int | None = None if layer is None else getattr(layer, unit)
    return found


def kernels(d: BuildDiff) -> tuple[tuple[str, int | None, int | None], ...]:
    """(kernel, bytes in A, bytes in B), those that differ; nothing where they were not compiled."""
    a, b = d.before.kernels, d.after.kernels
    if a is None or b is None:
        return ()
    return tuple((k, a.get(k), b.get(k)) for k in sorted({*a, *b}) if a.get(k) != b.get(k))


def _kernels(d: BuildDiff) -> Table | None:
    rows = tuple((k, *("" if n is None else f"{n:,}" for n in sizes)) for k, *sizes in kernels(d))
    return Table("Kernels, bytes of code", columns("kernel", "A", "B", right=("A", "B")), rows) if rows else None


# -- documents -------------------------------------------------------------------------------------------------------


def as_dict(d: BuildDiff) -> dict[str, Any]:
    """The document of `tinygen diff --json`, of two built folders."""
    return {
        "schema": SCHEMA,
        "a": str(d.before.folder),
        "b": str(d.after.folder),
        "same_integers": d.same_integers,
        "made_from": [_fact(r) for r in d.facts],
        "figures": [figure(r) for r in d.figures],
        "layers": [_layer(p) for p in d.layers],
        "kernels": {side: _code(x) for side, x in (("a", d.before), ("b", d.after))},
        "notes": list(d.notes),
    }


def _fact(r: Standing) -> dict[str, Any]:
    return {"what": r.what, "a": r.was, "b": r.now}


def _code(side: Side) -> dict[str, int] | None:
    return None if side.kernels is None else dict(side.kernels)


def _layer(p: LayerPair) -> dict[str, Any]:
    return {"name": p.name, "what": list(p.what), "a": _side(p.before), "b": _side(p.after)}


def _side(x: BuiltLayer | None) -> dict[str, Any] | None:
    if x is None:
        return None
    return {
        "name": x.name,
        "operator": x.operator,
        "onnx": list(x.onnx),
        "shape": list(x.shape),
        "kernels": list(x.kernels),
        "macs": x.macs,
        "constants": x.constants,
        "cycles": x.cycles,
        "instructions": x.instructions,
    }


def locks_as_dict(a: str, b: str, c: Standings) -> dict[str, Any]:
    """The document of `tinygen diff --json`, of two locks."""
    return {"schema": SCHEMA, "a": a, "b": b, **check.comparison(c)}
