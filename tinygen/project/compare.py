"""Figures against those recorded: better, the same, worse, beyond a limit, or not comparable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from tinygen.flow.gates import Gates
from tinygen.flow.measures import BELIEVED
from tinygen.project.lock import PREDICTED, LockFile, ModelFigures, TargetFigures

#: What a figure may be worse by, as a share of what is recorded.
SLACK = 0.01
#: The group of what figures were measured with.
TOOLS = "tools"


class State(Enum):
    """How a figure stands, worst first. SLIGHTLY: by no more than SLACK, or than chance does."""

    FAILED = "failed"
    LIMIT = "limit"
    WORSE = "worse"
    NOT_COMPARABLE = "not comparable"
    SLIGHTLY = "slightly worse"
    GONE = "gone"
    NEW = "new"
    CHANGED = "changed"
    BETTER = "better"
    SAME = "same"

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return list(State).index(self)

    @property
    def fails(self) -> bool:
        """Does it fail a check?"""
        return self in (State.FAILED, State.LIMIT, State.WORSE)

    @property
    def fails_strictly(self) -> bool:
        """Does it fail a check that wants all figures recorded as they are?"""
        return self not in (State.BETTER, State.SAME)


@dataclass(frozen=True, slots=True)
class Standing:
    """A figure: as recorded, as found, and how that stands. `unit`: "bytes", "cycles", "instructions", "ms", "share",
    "dB", or "" for a text. `why`: more about the state, where there is more to say. `by`: who says what is now: a
    compiler, an emulator, or "predicted"."""

    what: str
    unit: str
    was: int | float | str | None
    now: int | float | str | None
    state: State
    why: str = ""
    by: str | None = None

    @property
    def change(self) -> float | None:
        """How much more it is now, as a share of what was; None where that says nothing."""
        if not isinstance(self.was, int | float) or not isinstance(self.now, int | float) or not self.was:
            return None
        return (self.now - self.was) / abs(self.was)


@dataclass(frozen=True, slots=True)
class Subject:
    """The figures of a model ("kws"), of a target ("kws/nucleo_f446re"), or of the tools."""

    name: str
    rows: tuple[Standing, ...]
    seconds: float = 0.0

    @property
    def state(self) -> State:
        """The worst of its figures'."""
        return min((r.state for r in self.rows), key=lambda s: s.rank, default=State.SAME)


@dataclass(frozen=True, slots=True)
class Standings:
    """All figures."""

    groups: tuple[Subject, ...]

    @property
    def rows(self) -> tuple[tuple[Subject, Standing], ...]:
        return tuple((g, r) for g in self.groups for r in g.rows)

    @property
    def state(self) -> State:
        return min((g.state for g in self.groups), key=lambda s: s.rank, default=State.SAME)

    def failing(self, *, strict: bool = False) -> tuple[tuple[Subject, Standing], ...]:
        """The figures that fail a check."""
        return tuple((g, r) for g, r in self.rows if (r.state.fails_strictly if strict else r.state.fails))

    def count(self, state: State) -> int:
        return sum(r.state is state for _, r in self.rows)


@dataclass(frozen=True, slots=True)
class Demands:
    """What is demanded beside the record, and what could not be had. By target: limits, the board's clock in Hz, why it
    could not be built, seconds it took; by model: limits of accuracy that it misses."""

    gates: Mapping[str, Gates] = field(default_factory=dict)
    clocks: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    missed: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


def compare(was: LockFile, now: LockFile, demands: Demands | None = None) -> Standings:
    """Every figure of both, by model and board in the order of `now`; what only `was` has stands at the end."""
    return Standings(tuple(_groups(was, now, demands or Demands())))


def _groups(was: LockFile, now: LockFile, d: Demands) -> Iterator[Subject]:
    yield Subject(TOOLS, tuple(_texts(was.tools, now.tools)))
    failed = dict(d.failed)
    for key in dict.fromkeys((*now.models, *(name.split("/")[0] for name in failed))):
        before, after = was.models.get(key), now.models.get(key)
        if after is not None:
            yield Subject(key, tuple(_of_model(before, after, d.missed.get(key, ""))))
        recorded = {} if before is None else before.targets
        found = {} if after is None else after.targets
        for board in dict.fromkeys((*found, *(n.split("/")[1] for n in failed if n.startswith(f"{key}/")))):
            name = f"{key}/{board}"
            if name in failed:
                rows: tuple[Standing, ...] = (Standing("build", "", None, None, State.FAILED, failed[name]),)
            else:
                same = _comparable(was, now, recorded.get(board), found[board])
                limits = d.gates.get(name, Gates())
                rows = tuple(_of_target(recorded.get(board), found[board], same, limits, d.clocks.get(name)))
            yield Subject(name, rows, d.seconds.get(name, 0.0))
    for key, m in was.models.items():
        for board in m.targets:
            name = f"{key}/{board}"
            if name not in failed and (key not in now.models or board not in now.models[key].targets):
                yield Subject(name, (Standing("target", "", "recorded", None, State.GONE),))


def _texts(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Standing]:
    for name in dict.fromkeys((*now, *was)):
        a, b = was.get(name), now.get(name)
        state = State.SAME if a == b else State.NEW if a is None else State.GONE if b is None else State.CHANGED
        yield Standing(name, "", a, b, state)


# -- a model ---------------------------------------------------------------------------------------------------------


_HASHES = (("model", ""), ("compressed model", "compressed_"), ("outputs", "outputs_"), ("samples", "samples_"))


def _of_model(was: ModelFigures | None, now: ModelFigures, missed: str) -> Iterator[Standing]:
    def hashes(m: ModelFigures | None) -> dict[str, str]:
        found = {} if m is None else {what: getattr(m, f"{key}sha256") for what, key in _HASHES}
        return {f"{what} sha256": v for what, v in found.items() if v is not None}

    yield from _texts(hashes(was), hashes(now))
    yield compare_quality(was, now, missed)


def compare_quality(was: ModelFigures | None, now: ModelFigures, missed: str = "") -> Standing:
    """How accuracy, or what else is the measure, stands. `missed`: the limit that it misses."""
    measure = now.measure or (was.measure if was is not None else None) or "accuracy"
    unit = "dB" if measure.startswith("SQNR") else "share"
    before = None if was is None else was.quality

    def row(state: State, why: str = "") -> Standing:
        return Standing(measure, unit, before, now.quality, state, why)

    if missed:
        return row(State.LIMIT, missed)
    if was is None:
        return row(State.NEW)
    if was.quality is None or now.quality is None:
        if was.quality is now.quality:
            return row(State.SAME, "not judged: there is no data")
        return row(State.NEW) if was.quality is None else row(State.NOT_COMPARABLE, "not judged any more")
    if was.measure != now.measure:
        return row(State.NOT_COMPARABLE, f"recorded is {was.measure}")
    fall = was.quality - now.quality
    if fall <= 0.0:
        return row(State.BETTER if fall < 0.0 else State.SAME)
    error = _error(was, now)
    if fall <= BELIEVED * error:
        digits = f"{BELIEVED * error:.2g} dB" if unit == "dB" else f"{100 * BELIEVED * error:.2g} points"
        return row(State.SLIGHTLY, f"within ±{digits}")
    return row(State.WORSE if fall > SLACK * abs(was.quality) else State.SLIGHTLY)


def _error(was: ModelFigures, now: ModelFigures) -> float:
    """The standard error of a fall. On the same samples two versions of a network mostly err together: one figure's
    error is what chance can do at most; on others both have theirs."""
    a, b = was.error or 0.0, now.error or 0.0
    return b if was.samples_sha256 == now.samples_sha256 else (a * a + b * b) ** 0.5


# -- a target --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Same:
    """Why figures of the linker, and of the time, cannot be compared; "": they can."""

    sizes: str
    time: str


def _comparable(was: LockFile, now: LockFile, a: TargetFigures | None, b: TargetFigures) -> _Same:
    if a is None:
        return _Same("", "")

    def why(before: str | None, after: str | None) -> str:
        if before != after:
            return f"recorded by {before or 'nobody'}, now by {after or 'nobody'}"
        if after is None or after == PREDICTED or was.tools.get(after) == now.tools.get(after):
            return ""
        return f"{after} {was.tools.get(after)} recorded it, here is {now.tools.get(after)}"

    sizes = why(a.sizes_by, b.sizes_by)
    # The emulator's own version counts nothing differently; the compiler's makes other code.
    time = "" if a.time_by == b.time_by else why(a.time_by, b.time_by)
    return _Same(sizes, time or sizes)


def _of_target(
    was: TargetFigures | None, now: TargetFigures, same: _Same, limits: Gates, clock: int | None
) -> Iterator[Standing]:
    for what, unit, by, obstacle, limit in (
        ("flash", "bytes", now.sizes_by, same.sizes, limits.max_flash),
        ("RAM", "bytes", now.sizes_by, same.sizes, limits.max_ram),
        ("arena", "bytes", None, "", None),
        ("stack", "bytes", now.sizes_by, same.sizes, None),
        ("cycles", "cycles", now.time_by, same.time, None),
        ("instructions", "instructions", now.time_by, same.time, None),
    ):
        a, b = None if was is None else getattr(was, what.lower()), getattr(now, what.lower())
        if a is not None or b is not None or limit is not None:
            state, why = compare_size(a, b, obstacle, limit, new=was is None)
            yield Standing(what, unit, a, b, state, why, by)
    if limits.max_ms is not None:
        yield _time(was, now, limits.max_ms, clock)


def compare_size(was: int | None, now: int | None, obstacle: str, limit: int | None, *, new: bool) -> tuple[State, str]:
    """How a figure stands that is better when it is less, and why."""
    if limit is not None and (now is None or now > limit):
        return State.LIMIT, f"at most {limit:,}" + ("" if now is not None else ", and nothing is known")
    if new or was is None:
        return State.NEW, ""
    if obstacle or now is None:
        return State.NOT_COMPARABLE, obstacle or "not measured any more"
    if now <= was:
        return State.BETTER if now < was else State.SAME, ""
    return State.WORSE if now > (1.0 + SLACK) * was else State.SLIGHTLY, ""


def _time(was: TargetFigures | None, now: TargetFigures, limit: float, clock: int | None) -> Standing:
    """Milliseconds, where there is a limit of them: else cycles say the same."""

    def ms(f: TargetFigures | None) -> float | None:
        return None if f is None or f.cycles is None or not clock else 1000.0 * f.cycles / clock

    before, after = ms(was), ms(now)
    if after is None:
        why = f"at most {limit:g}, and cycles of this core are not modelled"
        return Standing("time", "ms", before, after, State.LIMIT, why)
    if after > limit:
        return Standing("time", "ms", before, after, State.LIMIT, f"at most {limit:g}")
    return Standing("time", "ms", before, after, State.SAME, f"at most {limit:g}")
