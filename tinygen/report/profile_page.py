"""A profile as one HTML page that needs nothing else: no network, no scripts, light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinygen.emit.env import render
from tinygen.profile.types import BufferUse, LayerProfile, Profile
from tinygen.version import VERSION

#: How the planner calls buffers that are kept from call to call.
STATE = "state "


@dataclass(frozen=True, slots=True)
class Card:
    label: str
    value: str
    detail: str


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar: colour, width in percent, and what it is."""

    style: str
    percent: str
    label: str


@dataclass(frozen=True, slots=True)
class Row:
    number: int
    name: str
    detail: str
    share: str
    parts: tuple[Part, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """One of the board's memories: a bar of its uses, and what is left."""

    summary: str
    parts: tuple[Part, ...]
    free: str


@dataclass(frozen=True, slots=True)
class SizeRow:
    name: str
    size: str
    percent: str


@dataclass(frozen=True, slots=True)
class SizeList:
    title: str
    style: str
    rows: tuple[SizeRow, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """A buffer on the map of the arena; places in percent of the map."""

    name: str
    label: str
    title: str
    style: str
    left: str
    width: str
    top: str
    height: str
    offset: str
    size: str
    life: str


@dataclass(frozen=True, slots=True)
class Tick:
    label: str
    percent: str


@dataclass(frozen=True, slots=True)
class StepMark:
    label: str
    title: str
    peak: bool


@dataclass(frozen=True, slots=True)
class PageView:
    """What page.html.j2 prints."""

    version: str
    model: str
    board: str
    subtitle: str
    cards: tuple[Card, ...]
    keys: tuple[Part, ...]
    bar_title: str
    bar_meaning: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    totals: tuple[str, ...]
    flash: Memory
    flash_lists: tuple[SizeList, ...]
    ram: Memory
    arena_summary: str
    boxes: tuple[Box, ...]
    ticks: tuple[Tick, ...]
    steps: tuple[StepMark, ...]
    peak_percent: str
    notes: tuple[str, ...]


def render_page(p: Profile) -> bytes:
    """The page, the same bytes for the same profile."""
    return render("profile/page.html.j2", p=page_view(p)).encode()


def page_view(p: Profile) -> PageView:
    """The words and the geometry of the page."""
    keys: list[Part] = []
    if p.has_cycles:
        keys.append(Part("work", "", "cycles with memory that never waits"))
        if p.flash is not None:
            keys += [
                Part("code", "", "waiting for code from flash"),
                Part("data", "", "waiting for constants from flash"),
            ]
    bar = "modelled cycles" if p.has_cycles else "instructions"
    peak, at_peak = _peak(p)
    totals = _cells(p, None)
    return PageView(
        VERSION,
        p.model,
        p.board.id,
        f"{p.board.name}: {p.core} at {p.board.f_cpu_hz / 1e6:g} MHz",
        _cards(p),
        tuple(keys),
        bar,
        f"The longest bar is the layer with the most {bar}.",
        tuple(totals),
        _rows(p),
        tuple(totals.values()),
        _flash(p),
        _flash_lists(p),
        _ram(p),
        f"Arena of {p.arena:,} bytes over time, layer by layer from left to right; the most in use at once are "
        f"{peak:,} bytes, at layer {at_peak}.{_kept(p)}",
        tuple(_box(p, i, b) for i, b in enumerate(p.buffers)),
        tuple(Tick(f"{p.arena * i // 4:,}", _percent(i, 4)) for i in range(5)),
        tuple(
            StepMark(str(i) if _shown(i, len(p.layers)) else "", layer.name, i == at_peak)
            for i, layer in enumerate(p.layers)
        ),
        _percent(max((b.offset + b.size for b in p.buffers), default=0), p.arena),
        p.notes,
    )


def _kept(p: Profile) -> str:
    """What is said of states."""
    ends = [b.offset + b.size for b in p.buffers if b.name.startswith(STATE)]
    return f" The first {max(ends):,} bytes are the state, which stays from call to call." if ends else ""


def _percent(part: float, whole: float) -> str:
    return f"{100.0 * part / whole if whole else 0.0:.3f}"


def _shown(index: int, count: int) -> bool:
    """Whether the map has room for the number of a layer."""
    return index % max(1, -(-count // 40)) == 0


def _peak(p: Profile) -> tuple[int, int]:
    """Bytes in use at the busiest layer, and its number."""
    used = [sum(b.size for b in p.buffers if b.first <= i <= b.last) for i in range(len(p.layers))]
    return max(used, default=0), used.index(max(used)) if used else 0


def _cards(p: Profile) -> tuple[Card, ...]:
    t = p.total
    cards: list[Card] = []
    m = p.measured
    if m is not None:
        cards.append(Card("measured", f"{m.milliseconds(m.total):.3f} ms", f"{m.total:,} {m.unit} on the board"))
    if p.has_cycles:
        if p.flash is not None:
            more = 100.0 * (t.flash_cycles / max(1, t.cycles) - 1.0)
            cards.append(
                Card(
                    "time",
                    f"{p.milliseconds(t.flash_cycles):.3f} ms",
                    f"{t.flash_cycles:,} cycles, flash waits modelled",
                )
            )
            cards.append(
                Card(
                    "without flash waits",
                    f"{p.milliseconds(t.cycles):.3f} ms",
                    f"{t.cycles:,} cycles; flash adds {more:.0f} %",
                )
            )
        else:
            cards.append(Card("time, no flash waits", f"{p.milliseconds(t.cycles):.3f} ms", f"{t.cycles:,} cycles"))
        if (silicon := p.times.silicon) is not None:
            band = f"{silicon.low:.3f} to {silicon.high:.3f} ms, as measured on one board"
            cards.append(Card("on silicon", f"{silicon.likely:.3f} ms", band))
        cards.append(Card("cycles per MAC", f"{t.cycles / max(1, p.macs):.2f}", "without flash waits"))
    cards += [
        Card("instructions", f"{t.instructions:,}", f"{t.instructions / max(1, p.macs):.2f} per MAC"),
        Card("MACs", f"{p.macs:,}", f"{len(p.layers)} layers"),
        Card("moved", f"{(t.loaded + t.stored) / 1024:,.0f} KiB", f"{t.loaded:,} bytes in, {t.stored:,} out"),
        Card("flash", f"{p.flash_use.total:,} B", f"of {p.board.flash_bytes:,}"),
        Card("RAM", f"{p.ram:,} B", f"of {p.board.ram_bytes:,}; stack {p.stack:,}"),
    ]
    return tuple(cards)


def _cells(p: Profile, index: int | None) -> dict[str, str]:
    """Numbers of a layer, or of all, by the head of their column."""
    layer = None if index is None else p.layers[index]
    c, macs, stack = (p.total, p.macs, p.stack) if layer is None else (layer.counts, layer.macs, layer.stack)
    cells = {"share": f"{100.0 * _weight(p, layer) / max(1, _weight(p, None)):.1f} %"}
    if p.measured is not None:
        time = p.measured.total if index is None else p.measured.layers[index]
        cells["measured ms"] = f"{p.measured.milliseconds(time):.3f}"
    if p.has_cycles:
        cells["ms"] = f"{p.milliseconds(c.flash_cycles):.3f}"
        if p.flash is not None:
            cells["with flash waits"] = f"{c.flash_cycles:,}"
        cells["cycles"] = f"{c.cycles:,}"
    cells |= {"instructions": f"{c.instructions:,}", "MACs": f"{macs:,}"}
    ratio = f"{(c.cycles if p.has_cycles else c.instructions) / macs:.2f}" if macs else ""
    cells["cycles / MAC" if p.has_cycles else "insns / MAC"] = ratio
    moved = {"KiB loaded": f"{c.loaded / 1024:,.1f}", "KiB stored": f"{c.stored / 1024:,.1f}"}
    return {**cells, **moved, "stack": f"{stack:,}"}


def _weight(p: Profile, layer: LayerProfile | None) -> int:
    """What bars and shares compare."""
    c = p.total if layer is None else layer.counts
    return c.flash_cycles if p.has_cycles else c.instructions


def _rows(p: Profile) -> tuple[Row, ...]:
    longest = max((_weight(p, layer) for layer in p.layers), default=1)
    rows: list[Row] = []
    for i, layer in enumerate(p.layers):
        c = layer.counts
        if p.has_cycles:
            parts = [("work", c.cycles), ("code", c.code_stalls), ("data", c.data_stalls)]
        else:
            parts = [("work", c.instructions)]
        cells = _cells(p, i)
        rows.append(
            Row(
                i,
                layer.name,
                f"{layer.operator}; {'x'.join(map(str, layer.shape))}; {', '.join(dict.fromkeys(layer.kernels))}",
                f"{cells['share']} of all",
                tuple(Part(style, _percent(n, longest), "") for style, n in parts if n),
                tuple(cells.values()),
            )
        )
    return tuple(rows)


def _memory(there: int, uses: Sequence[tuple[str, str, int]], what: str) -> Memory:
    """A memory of `there` bytes and its uses: style, name, bytes."""
    used = sum(n for _, _, n in uses)
    return Memory(
        f"{used:,} of {there:,} bytes ({100.0 * used / there:.1f} %) {what}",
        tuple(Part(style, _percent(n, max(there, used)), f"{name} {n:,}") for style, name, n in uses if n),
        f"free {there - used:,}" if used <= there else f"{used - there:,} bytes too many",
    )


def _flash(p: Profile) -> Memory:
    use = p.flash_use
    uses = [
        ("a", "constants", sum(use.constants.values())),
        ("b", "kernels", sum(use.kernels.values())),
        ("c", f"{p.model}.c", use.model),
        ("d", "libraries", use.libraries),
    ]
    return _memory(
        p.board.flash_bytes, uses, "are the model's, with the library functions that it and its caller need."
    )


def _flash_lists(p: Profile) -> tuple[SizeList, ...]:
    use = p.flash_use

    def rows(sizes: Mapping[str, int]) -> tuple[SizeRow, ...]:
        longest = max(sizes.values(), default=1)
        return tuple(SizeRow(name, f"{n:,}", _percent(n, longest)) for name, n in sizes.items())

    code = dict(sorted(use.kernels.items(), key=lambda kv: (-kv[1], kv[0])))
    code |= {f"{p.model}.c: layers, their tables and calls": use.model, "compiler's libraries": use.libraries}
    return (
        SizeList("Code, by kernel", "b", rows({k: n for k, n in code.items() if n})),
        SizeList("Constants, by layer", "a", rows(use.constants)),
    )


def _ram(p: Profile) -> Memory:
    uses = [("a", "arena", p.arena), ("b", "input and output", p.io), ("c", "stack", p.stack)]
    return _memory(p.board.ram_bytes, uses, "are in use during an inference.")


def _box(p: Profile, index: int, b: BufferUse) -> Box:
    layer = p.layers[min(b.first, len(p.layers) - 1)].name if p.layers else ""
    life = str(b.first) if b.first == b.last else f"{b.first} to {b.last}"
    label, name, style = layer, f"output of {layer}", ("", "alt", "third")[index % 3]
    if b.name.endswith(" scratch"):
        label, name, style = "scratch", f"scratch of {layer}", "scratch"
    elif b.name.startswith(STATE):
        label, name, style = b.name, b.name, "state"
    return Box(
        name,
        f"{label} {b.size:,}",
        f"{name}: bytes {b.offset:,} to {b.offset + b.size:,}, layers {life}",
        style,
        _percent(b.first, len(p.layers)),
        _percent(b.last - b.first + 1, len(p.layers)),
        _percent(b.offset, p.arena),
        _percent(b.size, p.arena),
        f"{b.offset:,}",
        f"{b.size:,}",
        life,
    )
