"""A project's figures beside those recorded: for people, programs, pull requests and test reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

from tinygen.project.check import Checked
from tinygen.project.compare import TOOLS, Standing, Standings, State, Subject
from tinygen.project.lock import PREDICTED
from tinygen.report.table import Table, columns, printable, to_markdown
from tinygen.report.words import finite, milliseconds

SCHEMA = 1
#: So many characters of a hash are told apart by people.
_HASH = 8
#: A reason that stands in a cell; longer ones stand below the table.
_SHORT = 24
#: Of the figures that fail so many are named.
_MOST = 12


def tables(c: Standings, title: str = "Not as recorded") -> tuple[Table, ...]:
    """A row a target, the worst first; then every figure that is not as recorded, under `title`; then tools."""
    return tuple(filter(None, (overview(c), differences(c, title), tools(c))))


# -- words -----------------------------------------------------------------------------------------------------------


def amount(value: int | float | str | None, unit: str, digits: int = 2) -> str:
    """A figure as people read it; `digits`: of a share in percent."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value[:_HASH] if len(value) == 64 else value
    if unit == "share":
        return f"{100 * value:.{digits}f} %"
    if unit == "dB":
        return f"{value:.1f} dB"
    return f"{milliseconds(value)} ms" if unit == "ms" else f"{value:,}"


def change(row: Standing) -> str:
    """By how much: points of a share, percent of all else; nothing where it is not to be compared."""
    if row.state is State.NOT_COMPARABLE:
        return ""
    if row.unit == "share" and isinstance(row.was, float) and isinstance(row.now, float):
        points = 100 * (row.now - row.was)
        return f"{points:+.2f} pts" if abs(points) >= 0.005 else ""
    share = row.change
    if share is None or not share:
        return ""
    return f"{100 * share:+.1f} %" if abs(share) >= 0.0005 else f"{100 * share:+.2g} %"


def stands(row: Standing) -> str:
    """The state, and why."""
    return f"{row.state.value}: {row.why}" if row.why else row.state.value


def summary(c: Standings) -> str:
    """One sentence: how many figures stand how."""
    said = [f"{c.count(s)} {s.value}" for s in State if c.count(s)]
    targets = sum("/" in g.name for g in c.groups)
    return f"{targets} target{'s' if targets != 1 else ''}; figures: {', '.join(said)}"


def failing(c: Checked, *, strict: bool, renewed: bool) -> tuple[tuple[Subject, Standing], ...]:
    """The figures that fail. Of a check that recorded them: limits alone, and what kept it from recording."""
    if renewed:
        return tuple((g, r) for g, r in c.comparison.failing() if r.state is not State.WORSE)
    return c.comparison.failing(strict=strict)


def why(c: Checked, failing: Sequence[tuple[Subject, Standing]], *, renewed: bool) -> str:
    """What fails, and what to do."""
    n, project = len(failing), c.project
    lines = [f"{n} figure{'s fail' if n != 1 else ' fails'} the check of {project.file}:"]
    lines += [f"  {line(g.name, r).removesuffix('.')}." for g, r in failing[:_MOST]]
    lines += [f"  ... and {n - _MOST} more; `to_dict` has all."] if n > _MOST else []
    if not renewed:
        lines.append(f"Mend that, or accept it: tinygen check --renew records figures, limits stand in {project.file}.")
    elif any(r.state is State.FAILED for _, r in failing):
        lines.append(f"Nothing was recorded. Mend that, or take it out of {project.file}.")
    else:
        lines.append(f"{project.lock} was written; limits stand in {project.file}.")
    return "\n".join(lines)


def line(group: str, row: Standing) -> str:
    """A figure as a sentence: kws/pico: flash 200, +100.0 % (recorded 100): worse."""
    was = "" if row.was is None else f" (recorded {amount(row.was, row.unit)})"
    by = f", {change(row)}" if change(row) else ""
    return f"{group}: {row.what} {amount(row.now, row.unit)}{by}{was}: {stands(row)}".replace("  ", " ")


# -- tables ----------------------------------------------------------------------------------------------------------


def overview(c: Standings, *, changes: bool = False) -> Table | None:
    """A row a target, the worst first; with `changes` each figure with its own."""
    groups = {g.name: g for g in c.groups}
    rows = []
    for g in c.groups:
        if "/" not in g.name:
            continue
        model = groups.get(g.name.split("/")[0])
        quality = [r for r in model.rows if not r.what.endswith("sha256")] if model is not None else []
        state = min((g.state, *(r.state for r in quality)), key=lambda s: s.rank)
        found = [_first(g.rows, "flash"), _first(g.rows, "RAM"), _first(g.rows, "cycles", "instructions")]
        rows.append((state.rank, (g.name, state.value, *(_cell(r, changes) for r in (*found, *quality[:1])))))
    numbers = ("flash", "RAM", "cycles", "quality")
    named = columns("target", "state", *numbers, right=numbers, whole=("target",))
    cells = tuple((*row, *[""] * (len(named) - len(row))) for _, row in sorted(rows, key=lambda row: row[0]))
    return Table("", named, cells, caption="\n".join(filter(None, (_sources(c), *_obstacles(c))))) if cells else None


def _first(rows: Sequence[Standing], *whats: str) -> Standing | None:
    return next((r for r in rows if r.what in whats), None)


def _cell(row: Standing | None, changes: bool) -> str:
    """A figure, with its change; that it counts instructions is said."""
    if row is None or row.now is None:
        return ""
    by = f" ({change(row)})" if changes and change(row) else ""
    return f"{amount(row.now, row.unit)}{' instr.' if row.unit == 'instructions' else ''}{by}"


def differences(c: Standings, title: str = "Not as recorded") -> Table | None:
    """Every figure that is not as it was, the worst first; None where all are, or all are new. A target that is new is
    named, not listed; what cannot be compared is `overview`'s to say."""
    if all(r.state is State.NEW for _, r in c.rows):
        return None
    rows: list[tuple[int, tuple[str, ...]]] = []
    why: dict[str, None] = {}
    for g in c.groups:
        if g.name == TOOLS or all(r.state is State.SAME for r in g.rows):
            continue
        if all(r.state is State.NEW for r in g.rows):
            rows.append((State.NEW.rank, (g.name, "all", "", "", "", State.NEW.value)))
            continue
        for r in g.rows:
            if r.state in (State.SAME, State.NOT_COMPARABLE):
                continue
            short = r.state in (State.LIMIT, State.SLIGHTLY) and len(r.why) < _SHORT
            why |= {} if short or not r.why else {f"{r.state.value.capitalize()}: {r.why}.": None}
            rows.append((r.state.rank, (g.name, r.what, *_pair(r), change(r), stands(r) if short else r.state.value)))
    names = ("target", "figure", "recorded", "now", "change", "state")
    found = tuple(cells for _, cells in sorted(rows, key=lambda row: row[0]))
    named = columns(*names, right=("recorded", "now", "change"), whole=("target",))
    named = tuple(replace(c, least=12) if c.name == "figure" else c for c in named)
    return Table(title, named, found, caption="\n".join(why)) if found else None


def _pair(r: Standing) -> tuple[str, str]:
    """Recorded and now, with as many digits as tell them apart."""
    digits = next((n for n in (2, 4) if amount(r.was, r.unit, n) != amount(r.now, r.unit, n)), 6)
    return amount(r.was, r.unit, digits), amount(r.now, r.unit, digits)


def tools(c: Standings) -> Table | None:
    """Versions that are not those recorded."""
    groups = [g for g in c.groups if g.name == TOOLS]
    rows = tuple(
        (r.what, str(r.was or ""), str(r.now or "")) for g in groups for r in g.rows if r.state is not State.SAME
    )
    if not rows or all(r.state is State.NEW for _, r in c.rows):
        return None
    return Table("Measured with", columns("tool", "recorded", "now", whole=("tool",)), rows)


def _obstacles(c: Standings) -> list[str]:
    """Why figures cannot be compared: once for all targets that have the same reason."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for g, r in c.rows:
        if r.state is State.NOT_COMPARABLE:
            whats, names = found.setdefault(r.why, ({}, {}))
            whats[r.what] = names[g.name] = None
    said = []
    for why, (whats, names) in found.items():
        where = next(iter(names)) if len(names) == 1 else f"{len(names)} targets"
        said.append(f"Not comparable: {', '.join(whats)} of {where}: {why}.")
    return said


def _sources(c: Standings) -> str:
    """Who says what: the linker, the emulator, or the cost model."""
    by: dict[str, set[str]] = {}
    for _, r in c.rows:
        if r.by is not None and r.what in ("flash", "cycles", "instructions"):
            by.setdefault(r.what, set()).add(r.by)
    words = {"flash": "flash, RAM and stack", "cycles": "cycles, which are modelled,", "instructions": "instructions"}
    said = [f"{words[what]} by {' and '.join(sorted(names))}" for what, names in by.items() if names != {PREDICTED}]
    predicted = [words[what].split(",")[0] for what, names in by.items() if names == {PREDICTED}]
    said += [f"{', '.join(predicted)} predicted by the cost model"] if predicted else []
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}." if said else ""


def markdown(c: Checked, *, passed: bool) -> str:
    """The summary of a pull request, the worst first."""
    parts = [f"### tinygen check: {'passed' if passed else 'failed'}", "", f"{summary(c.comparison)}.", ""]
    first = overview(c.comparison, changes=True)
    parts += [] if first is None else [to_markdown(first)]
    for table in filter(None, (differences(c.comparison), tools(c.comparison))):
        head = f"<details{'' if passed else ' open'}><summary>{table.title}</summary>"
        parts += [head, "", to_markdown(replace(table, title="")), "</details>", ""]
    return "\n".join(parts).rstrip() + "\n"


# -- documents -------------------------------------------------------------------------------------------------------


def as_dict(c: Checked, *, passed: bool) -> dict[str, Any]:
    """The document of `tinygen check --json`."""
    return {
        "schema": SCHEMA,
        "project": str(c.project.file),
        "passed": passed,
        "state": c.comparison.state.value,
        **comparison(c.comparison),
        "notes": list(c.notes),
    }


def comparison(c: Standings) -> dict[str, Any]:
    """The figures of a comparison, by target."""
    groups = [{"name": g.name, "state": g.state.value, "figures": [figure(r) for r in g.rows]} for g in c.groups]
    return {"groups": groups}


def figure(r: Standing) -> dict[str, Any]:
    def value(x: int | float | str | None) -> int | float | str | None:
        return finite(x) if isinstance(x, float) else x

    return {
        "figure": r.what,
        "unit": r.unit or None,
        "recorded": value(r.was),
        "now": value(r.now),
        "change": r.change,
        "state": r.state.value,
        "why": r.why or None,
        "by": r.by,
    }


def junit(c: Checked, *, strict: bool = False) -> bytes:
    """A test suite a target, a test case a figure; what cannot be compared is skipped."""
    suites = ElementTree.Element("testsuites", name="tinygen check")
    for g in c.comparison.groups:
        _suite(suites, g, strict)
    _count(suites, list(suites), ("tests", "failures", "errors"))
    ElementTree.indent(suites)
    text: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _suite(suites: ElementTree.Element, g: Subject, strict: bool) -> None:
    suite = ElementTree.SubElement(suites, "testsuite", name=printable(g.name), time=f"{g.seconds:.3f}")
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for r in g.rows:
        counts["tests"] += 1
        name = f"tinygen.{printable(g.name).replace('/', '.')}"
        case = ElementTree.SubElement(suite, "testcase", classname=name, name=printable(r.what), time="0.000")
        text = printable(line(g.name, r))
        if r.state is State.FAILED:
            counts["errors"] += 1
            ElementTree.SubElement(case, "error", message=text.split("\n")[0], type=r.state.value).text = text
        elif r.state.fails_strictly if strict else r.state.fails:
            counts["failures"] += 1
            ElementTree.SubElement(case, "failure", message=text, type=r.state.value).text = text
        elif r.state in (State.NOT_COMPARABLE, State.NEW, State.GONE):
            counts["skipped"] += 1
            ElementTree.SubElement(case, "skipped", message=text)
        else:
            ElementTree.SubElement(case, "system-out").text = text
    for name, n in counts.items():
        suite.set(name, str(n))


def _count(suites: ElementTree.Element, each: list[ElementTree.Element], names: Sequence[str]) -> None:
    for name in names:
        suites.set(name, str(sum(int(s.get(name, "0")) for s in each)))
    suites.set("time", f"{sum(float(s.get('time', '0')) for s in each):.3f}")
