"""Two builds as one HTML page that needs nothing else: no network, no scripts, light and dark."""

from __future__ import annotations

from dataclasses import dataclass

from tinygen.emit.env import render
from tinygen.project.compare import Standing, State
from tinygen.project.diff import BuildDiff, BuiltLayer, LayerPair
from tinygen.report.check import amount, change, stands
from tinygen.report.diff import by, heads, integers, kernels, ticks, time_of
from tinygen.version import VERSION

#: How a figure is coloured.
_GOOD, _BAD, _PLAIN = "good", "bad", "plain"
_STYLES = {State.BETTER: _GOOD, State.WORSE: _BAD, State.SLIGHTLY: _BAD, State.NOT_COMPARABLE: "soft"}


@dataclass(frozen=True, slots=True)
class FigureRow:
    name: str
    before: str
    after: str
    change: str
    style: str
    note: str


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A layer: bars of both builds in percent of the longest, "" where it is not there; `kind`: same, changed, new or
    gone."""

    name: str
    detail: str
    kind: str
    what: str
    kernels: tuple[str, ...]
    before: str
    after: str
    before_width: str
    after_width: str
    change: str
    style: str
    constants: tuple[str, str]


@dataclass(frozen=True, slots=True)
class PageView:
    """What page.html.j2 prints."""

    version: str
    model: str
    a: str
    b: str
    integers: str
    cards: tuple[FigureRow, ...]
    figures: tuple[FigureRow, ...]
    facts: tuple[FigureRow, ...]
    unit: str
    layers: tuple[LayerRow, ...]
    summary: str
    kernels: tuple[FigureRow, ...]
    notes: tuple[str, ...]


def render_page(d: BuildDiff) -> bytes:
    """The page, the same bytes for the same builds."""
    return render("diff/page.html.j2", p=page_view(d)).encode()


def page_view(d: BuildDiff) -> PageView:
    figures = tuple(_figure(r) for r in d.figures)
    named = {f.name: f for f in figures}
    quality = figures[-1].name
    unit = time_of(d) or "constants"
    cards = tuple(
        named[n] for n in dict.fromkeys((*(("flash", "RAM") if "flash" in named else ("arena",)), unit, quality))
    )
    longest = max((ticks(x, unit) or 0 for p in d.layers for x in (p.before, p.after)), default=0) or 1
    layers = tuple(_layer(p, unit, longest) for p in d.layers)
    counts = [f"{n} {k}" for k in ("same", "changed", "new", "gone") if (n := sum(row.kind == k for row in layers))]
    facts = tuple(_figure(r) for r in d.facts if r.state is not State.SAME)
    code = tuple(_kernel(k, was, now) for k, was, now in kernels(d))
    model = d.after.model if d.before.model == d.after.model else f"{d.before.model} and {d.after.model}"
    return PageView(
        VERSION, model, *heads(d), integers(d), cards, figures, facts, unit, layers, f"{', '.join(counts)}.", code,
        d.notes,
    )  # fmt: skip


def _figure(r: Standing) -> FigureRow:
    note = "" if r.state in (State.SAME, State.BETTER, State.WORSE, State.CHANGED) else stands(r)
    return FigureRow(
        r.what,
        amount(r.was, r.unit) or "–",
        amount(r.now, r.unit) or "–",
        change(r),
        _STYLES.get(r.state, _PLAIN),
        note,
    )


def _kernel(name: str, was: int | None, now: int | None) -> FigureRow:
    before, after = ("–" if n is None else f"{n:,}" for n in (was, now))
    less = (now or 0) < (was or 0)
    return FigureRow(name, before, after, f"{(now or 0) - (was or 0):+,}", _GOOD if less else _BAD, "")


def _layer(p: LayerPair, unit: str, longest: int) -> LayerRow:
    layer = p.after or p.before
    assert layer is not None
    was, now = ticks(p.before, unit), ticks(p.after, unit)
    share = by(was, now)
    kind = "gone" if p.after is None else "new" if p.before is None else "changed" if p.what else "same"
    return LayerRow(
        p.name,
        f"{layer.operator}: {', '.join(layer.onnx)}",
        kind,
        ", ".join(w for w in p.what if w not in ("new", "gone")),
        _kernels(p),
        "" if was is None else f"{was:,}",
        "" if now is None else f"{now:,}",
        "" if was is None else f"{100 * was / longest:.2f}",
        "" if now is None else f"{100 * now / longest:.2f}",
        share,
        _PLAIN if not share else _GOOD if share.startswith("-") else _BAD,
        (_constants(p.before), _constants(p.after)),
    )


def _kernels(p: LayerPair) -> tuple[str, ...]:
    """Names of the kernels; where they differ, those of both."""
    if p.before is None or p.after is None or p.before.kernels == p.after.kernels:
        layer = p.after or p.before
        return () if layer is None else (", ".join(layer.kernels),)
    return f"A: {', '.join(p.before.kernels)}", f"B: {', '.join(p.after.kernels)}"


def _constants(x: BuiltLayer | None) -> str:
    return "–" if x is None else f"{x.constants:,}"
