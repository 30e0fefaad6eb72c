"""The report of a search as one HTML page that needs nothing else: no network, no scripts, light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from tinygen.compress.log import LayerChange
from tinygen.compress.recipe import to_toml
from tinygen.emit.env import render
from tinygen.fit.budget import Budget
from tinygen.fit.points import front
from tinygen.fit.prove import Point
from tinygen.fit.result import BoardResult, FitResult
from tinygen.version import VERSION

#: A plot's drawing area, in units of its SVG: left, top, width, height; and the whole.
_LEFT, _TOP, _WIDTH, _HEIGHT = 46.0, 10.0, 280.0, 190.0
#: Of a point's dot.
_RADIUS = 8.0
VIEW_BOX = f"0 0 {_LEFT + _WIDTH + 14:g} {_TOP + _HEIGHT + 40:g}"


@dataclass(frozen=True, slots=True)
class Dot:
    x: str
    y: str
    style: str
    title: str
    label: str


@dataclass(frozen=True, slots=True)
class Tick:
    at: str
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A scatter plot: quality upwards, what it costs to the right."""

    title: str
    axis: str
    summary: str
    columns: tuple[Tick, ...]
    rows: tuple[Tick, ...]
    dots: tuple[Dot, ...]
    most: str | None
    least: str | None
    note: str


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    anchor: str
    recipe: str
    cells: tuple[str, ...]
    fits: bool


@dataclass(frozen=True, slots=True)
class Technique:
    name: str
    rows: tuple[LayerChange, ...]
    left: int


@dataclass(frozen=True, slots=True)
class PointView:
    name: str
    anchor: str
    board: str
    heading: str
    verified: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    make: str
    build: str
    toml: str
    techniques: tuple[Technique, ...]
    same_as: str | None


@dataclass(frozen=True, slots=True)
class BoardView:
    id: str
    anchor: str
    title: str
    budget: str
    verdict: str
    met: bool
    missed: bool
    nearest: tuple[str, ...]
    plots: tuple[Plot, ...]
    heads: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class PageView:
    """What fit/report.html.j2 prints."""

    version: str
    model: str
    subtitle: str
    cards: tuple[tuple[str, str, str], ...]
    view_box: str
    left: float
    top: float
    right: float
    bottom: float
    boards: tuple[BoardView, ...]
    points: tuple[PointView, ...]
    failures: tuple[tuple[str, str], ...]
    command: str


def render_page(result: FitResult) -> bytes:
    """The page, the same bytes for the same result."""
    return render("fit/report.html.j2", p=page_view(result)).encode()


def page_view(r: FitResult) -> PageView:
    """The words and the geometry of the page."""
    points = [p for b in r.boards for p in b.points]
    met = sum(any(p.fits for p in b.points) for b in r.boards)
    best = max((p.quality for p in points if p.fits), default=None)
    return PageView(
        VERSION,
        r.model,
        f"{r.measure} against flash, RAM and time on {', '.join(b.board.id for b in r.boards)}",
        (
            ("float network", f"{r.float_quality:.4f}", f"{r.measure}, {r.judged_on}"),
            ("best within budget", "none" if best is None else f"{best:.4f}", r.measure),
            ("boards", f"{met} of {len(r.boards)}", "with a network within the budget"),
            ("trials", f"{r.trials}", f"{len(r.failures)} of them gave no network" if r.failures else "all scored"),
            ("reported points", f"{len(points)}", "built, verified and measured"),
        ),
        VIEW_BOX,
        _LEFT,
        _TOP,
        _LEFT + _WIDTH,
        _TOP + _HEIGHT,
        tuple(_board(b, r) for b in r.boards),
        tuple(_point(p, r, [o.name for o in points[:i]]) for i, p in enumerate(points)),
        r.failures,
        r.command,
    )


def _anchor(name: str) -> str:
    return "point-" + "".join(c if c.isalnum() else "-" for c in name)


def _board(b: BoardResult, r: FitResult) -> BoardView:
    tested = any(p.test is not None for p in b.points)
    timed = any(c.cost.milliseconds is not None for c in b.candidates)
    heads = (
        f"{r.measure}, {'test' if tested else 'validation'}",
        "flash",
        "RAM",
        "time" if timed else "instructions",
        "validation",
        "predicted flash",
        "predicted time" if timed else "",
        "within budget",
    )
    met = any(p.fits for p in b.points)
    return BoardView(
        b.board.id,
        f"board-{b.board.id}",
        f"{b.board.name}: {b.board.core.name} at {b.board.f_cpu_hz / 1e6:g} MHz",
        budget_text(b.budget, r.measure),
        "Networks within the budget were found." if met else "No network within the budget was found; the nearest:",
        met,
        any(not p.fits for p in b.points),
        b.nearest,
        tuple(_plots(b, timed)),
        tuple(h for h in heads if h),
        tuple(_row(p, timed) for p in b.points),
    )


def budget_text(budget: Budget, measure: str) -> str:
    """The budget as a sentence."""
    parts = [f"flash at most {budget.flash:,} bytes", f"RAM at most {budget.ram:,} bytes"]
    if budget.milliseconds is not None:
        parts.append(f"at most {budget.milliseconds:g} ms")
    if budget.quality is not None:
        parts.append(f"{measure} at least {budget.quality:g}")
    return ", ".join(parts)


def _row(p: Point, timed: bool) -> Row:
    ms = p.milliseconds if p.milliseconds is not None else p.predicted.milliseconds
    time = "" if ms is None else f"{ms:.3f} ms"
    if not timed:
        time = f"{p.predicted.prediction.instructions:,}"
    cells = [
        f"{p.quality:.4f}",
        f"{p.flash if p.flash is not None else p.predicted.flash:,}",
        f"{p.ram if p.ram is not None else p.predicted.ram:,}",
        time,
        f"{p.validation:.4f}",
        f"{p.predicted.flash:,}",
    ]
    if timed:
        cells.append("" if p.predicted.milliseconds is None else f"{p.predicted.milliseconds:.3f} ms")
    cells.append("yes" if p.fits else "no")
    return Row(p.name, _anchor(p.name), f"{p.recipe.describe()}; optimize {p.optimize}", tuple(cells), p.fits)


def _point(p: Point, r: FitResult, before: Sequence[str]) -> PointView:
    """`before`: names of the points that the page shows above this one."""
    techniques = []
    for name, group in groupby(p.changes, key=lambda c: c.technique):
        rows = list(group)
        done = tuple(c for c in rows if c.before != c.after or c.error)
        techniques.append(Technique(name, done, len(rows) - len(done)))
    verified = (
        f"Equal to numpy, byte for byte, on {', '.join(p.verified)}" if p.verified else "Not verified: see the notes"
    )
    make, build = r.commands[p.name]
    return PointView(
        p.name,
        _anchor(p.name),
        p.board,
        p.recipe.describe(),
        f"{verified}; sha256 of the outputs {p.outputs_sha256[:16]}" if p.outputs_sha256 else verified,
        p.why_not,
        p.notes,
        make,
        build,
        to_toml(p.recipe),
        tuple(techniques),
        next((o.name for b in r.boards for o in b.points if o.recipe == p.recipe and o.name in before), None),
    )


# -- plots -----------------------------------------------------------------------------------------------------------


def _plots(b: BoardResult, timed: bool) -> list[Plot]:
    time_axis = "ms" if timed else "million instructions"
    per = 1.0 if timed else 1e6
    found = []
    for title, axis, column, scale, most in (
        ("Flash", "KiB", 1, 1024.0, b.budget.flash),
        ("RAM", "KiB", 2, 1024.0, b.budget.ram),
        ("Time" if timed else "Instructions", time_axis, 3, per, b.budget.milliseconds),
    ):
        limit = None if most is None else float(most) / scale
        found.append(_plot(b, title, axis, column, scale, limit))
    return found


def _plot(b: BoardResult, title: str, axis: str, column: int, scale: float, most: float | None) -> Plot:
    points = {id(p): (_measured(p, column) / scale, p.validation) for p in b.points}
    all_x = [c.row[column] / scale for c in b.candidates] + [x for x, _ in points.values()]
    all_y = [c.record.quality for c in b.candidates] + [y for _, y in points.values()]
    widest = max(all_x, default=1.0)
    shown = most if most is not None and most <= 1.6 * widest else None
    high = _nice_top(max(widest, shown or 0.0) * 1.04)
    low_y, high_y = _quality_range(all_y, [y for _, y in points.values()], b.budget.quality)

    def x(value: float) -> float:
        return _LEFT + _WIDTH * min(1.0, value / high)

    def y(value: float) -> float:
        return _TOP + _HEIGHT * (1.0 - max(0.0, min(1.0, (value - low_y) / (high_y - low_y))))

    best = {id(c) for c in front([c for c in b.candidates if c.fits])}
    dots = []
    for c in sorted(b.candidates, key=lambda c: id(c) in best):
        style = "front" if id(c) in best else "within" if c.fits else "over"
        value = c.row[column] / scale
        text = f"{c.record.recipe.describe()}; optimize {c.cost.optimize}: {c.record.quality:.4f}, {value:.4g} {axis}"
        dots.append(Dot(_n(x(value)), _n(y(c.record.quality)), style, text, ""))
    for group in _together([(x(points[id(p)][0]), y(points[id(p)][1]), p) for p in b.points]):
        text = "\n".join(
            f"{p.name}: {p.recipe.describe()}; optimize {p.optimize}: {p.validation:.4f}, "
            f"{points[id(p)][0]:.4g} {axis}, built"
            for _, _, p in group
        )
        style = "point" if all(p.fits for *_, p in group) else "missed"
        label = ",".join(p.name.rpartition("-")[2] for *_, p in group)
        dots.append(Dot(_n(group[0][0]), _n(group[0][1]), style, text, label))
    below = sum(v < low_y for v in all_y)
    notes = [f"{below} dots on the lower edge lie below it." if below else ""]
    if most is not None and shown is None:
        notes.append(f"The budget, {most:,.4g} {axis}, lies beyond the right edge.")
    return Plot(
        title,
        f"{title.lower() if title != 'RAM' else title}, {axis}",
        f"{title} of {len(b.candidates)} predicted networks and {len(b.points)} built ones against quality.",
        tuple(Tick(_n(x(v)), _label(v)) for v in _ticks(0.0, high)),
        tuple(Tick(_n(y(v)), _label(v)) for v in _ticks(low_y, high_y)),
        tuple(dots),
        None if shown is None else _n(x(shown)),
        None if b.budget.quality is None or b.budget.quality < low_y else _n(y(b.budget.quality)),
        " ".join(n for n in notes if n),
    )


def _together(places: Sequence[tuple[float, float, Point]]) -> list[list[tuple[float, float, Point]]]:
    """Points whose dots would hide each other share one."""
    groups: list[list[tuple[float, float, Point]]] = []
    for place in places:
        near = (g for g in groups if math.hypot(g[0][0] - place[0], g[0][1] - place[1]) < _RADIUS)
        group = next(near, None)
        if group is None:
            groups.append([place])
        else:
            group.append(place)
    return groups


def _measured(p: Point, column: int) -> float:
    """The built network's flash, RAM or time: what was measured, or else predicted."""
    if column == 1:
        return float(p.flash if p.flash is not None else p.predicted.flash)
    if column == 2:
        return float(p.ram if p.ram is not None else p.predicted.ram)
    if p.milliseconds is not None:
        return p.milliseconds
    if p.predicted.milliseconds is not None:
        return p.predicted.milliseconds
    return float(p.predicted.prediction.instructions)


def _quality_range(found: Sequence[float], built: Sequence[float], wanted: float | None) -> tuple[float, float]:
    """What the axis shows: the better three quarters of the dots, all built networks, the least that is asked for."""
    ordered = sorted(found) or [0.0]
    top = max(ordered[-1], wanted or 0.0)
    low = min(ordered[len(ordered) // 4], top if wanted is None else wanted, *built)
    margin = max(0.06 * (top - low), 0.002)
    return low - margin, top + margin


def _step(span: float) -> float:
    """A round number, about a fifth of `span`."""
    raw = span / 5.0
    power = 10.0 ** math.floor(math.log10(raw))
    return next(f * power for f in (1.0, 2.0, 2.5, 5.0, 10.0) if f * power >= raw * 0.999)


def _nice_top(value: float) -> float:
    step = _step(max(value, 1e-9))
    return math.ceil(value / step - 1e-9) * step


def _ticks(low: float, high: float) -> list[float]:
    step = _step(high - low)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _label(value: float) -> str:
    return f"{value:.6g}" if abs(value) > 1e-12 else "0"


def _n(value: float) -> str:
    return f"{value:.2f}"
