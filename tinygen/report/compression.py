"""What compression did to each layer, and the network before and after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygen.compress.recipe import to_dict
from tinygen.flow.compress import Figures, Outcome
from tinygen.report.table import Table, columns

SCHEMA = 1


def tables(o: Outcome) -> tuple[Table, ...]:
    """Changes, and figures."""
    return _changes(o), _figures(o)


def _changes(o: Outcome) -> Table:
    """What each technique did to each layer."""
    numbers = ("before", "after", "error")
    left = [c for c in o.changes if c.before == c.after and not c.error]
    rows = [
        (c.technique, c.layer, c.text, f"{c.before:,}", f"{c.after:,}", f"{c.error:.2%}" if c.error else "")
        for c in o.changes
        if c not in left
    ]
    caption = [
        "Before and after count weights (of fewer bits: their bytes), or the values that they may take; error: power "
        "of the change of a layer's output, as a share of its variance."
    ]
    why: dict[str, dict[str, None]] = {}
    for c in left:
        why.setdefault(f"{c.technique}: {c.text.removeprefix('left alone: ')}", {})[c.layer] = None
    for text, names in why.items():
        first, *more = names
        caption.append(f"Left alone by {text} ({first}{f' and {len(more)} more' if more else ''}).")
    heads = columns("technique", "layer", "what", *numbers, right=numbers, whole=["technique"])
    return Table(f"{o.name}: {o.recipe.describe()}", heads, tuple(rows), " ".join(caption))


def _figures(o: Outcome) -> Table:
    """The network before and after, as numbers."""
    cost = o.after.cost
    numbers = ("float", "int8", "compressed")
    rows = [(o.measure, f"{o.float_quality:.4f}", f"{o.before.quality:.4f}", f"{o.after.quality:.4f}")]
    rows += [(title, "", _number(value(o.before)), _number(value(o.after))) for title, value in _ROWS]
    unknown = sorted({*o.before.cost.unknown, *o.after.cost.unknown})
    caption = f"{o.measure[:1].upper()}{o.measure[1:]} on {o.judged_on}; flash, RAM and time are predicted."
    if unknown:
        caption += f" Without time and code of {', '.join(unknown)}, which were never measured on this core."
    title = f"{o.name} on {cost.board}, optimize {cost.optimize}"
    return Table(title, columns("", *numbers, right=numbers), tuple(rows), caption)


_ROWS: tuple[tuple[str, Callable[[Figures], float | None]], ...] = (
    ("MACs", lambda f: f.macs),
    ("weights", lambda f: f.weights),
    ("constants as stored, bytes", lambda f: f.cost.constants),
    ("flash, bytes", lambda f: f.cost.flash),
    ("RAM, bytes", lambda f: f.cost.ram),
    ("milliseconds", lambda f: f.cost.milliseconds),
)


def _number(value: float | None) -> str:
    if value is None:
        return "not modelled"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def as_dict(o: Outcome) -> dict[str, Any]:
    """The document of `tinygen compress --json`."""

    def figures(f: Figures) -> dict[str, Any]:
        c = f.cost
        return {
            "quality": f.quality, "macs": f.macs, "weights": f.weights, "constants": c.constants, "flash": c.flash,
            "ram": c.ram, "milliseconds": c.milliseconds,
        }  # fmt: skip

    return {
        "schema": SCHEMA,
        "model": o.name,
        "recipe": to_dict(o.recipe),
        "recipe_key": o.recipe.key,
        "board": o.after.cost.board,
        "optimize": o.after.cost.optimize,
        "measure": o.measure,
        "judged_on": o.judged_on,
        "float": o.float_quality,
        "before": figures(o.before),
        "after": figures(o.after),
        "changes": [
            {"technique": c.technique, "layer": c.layer, "what": c.text, "before": c.before, "after": c.after,
             "error": c.error}
            for c in o.changes
        ],
    }  # fmt: skip
