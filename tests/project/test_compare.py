"""How a figure stands to the one recorded, and the lock that records it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tinygen.errors import ProjectError
from tinygen.flow.gates import Gates
from tinygen.project.compare import Demands, Standing, Standings, State, compare
from tinygen.project.lock import PREDICTED, LockFile, ModelFigures, TargetFigures, read_lock, render_lock

GCC, QEMU = "arm-none-eabi-gcc", "qemu-system-arm"
TARGET = TargetFigures(1000, GCC, 20000, 1500, 400, QEMU, 100_000)
MODEL = ModelFigures("a" * 64, "b" * 64, None, "accuracy", 0.95, 0.01, 400, "c" * 64, {"pico": TARGET})
LOCK = LockFile({"tinygen": "0.1.0", GCC: "12.2", QEMU: "7.2"}, {"kws": MODEL})


def lock(target: TargetFigures | None = None, tools: dict[str, str] | None = None, **model: object) -> LockFile:
    """LOCK with other figures."""
    targets = {} if target is None else {"targets": {"pico": target}}
    return LockFile({**LOCK.tools, **(tools or {})}, {"kws": replace(MODEL, **targets, **model)})  # type: ignore[arg-type]


def row(c: Standings, what: str) -> Standing:
    (found,) = [r for _, r in c.rows if r.what == what]
    return found


def test_the_same() -> None:
    c = compare(LOCK, LOCK)
    assert {r.state for _, r in c.rows} == {State.SAME}
    assert [g.name for g in c.groups] == ["tools", "kws", "kws/pico"]
    assert c.failing(strict=True) == ()


@pytest.mark.parametrize(
    ("flash", "state"),
    [
        (19_999, State.BETTER),
        (20_000, State.SAME),
        (20_001, State.SLIGHTLY),
        (20_200, State.SLIGHTLY),
        (20_201, State.WORSE),
    ],
)
def test_sizes(flash: int, state: State) -> None:
    c = compare(LOCK, lock(replace(TARGET, flash=flash)))
    assert row(c, "flash").state is state
    assert bool(c.failing()) == (state is State.WORSE)
    assert c.state is state or state is State.BETTER


@pytest.mark.parametrize("what", ["ram", "arena", "stack", "cycles"])
def test_every_figure_of_a_target_can_fail(what: str) -> None:
    grown = replace(TARGET, **{what: 2 * getattr(TARGET, what)})
    ((group, failing),) = compare(LOCK, lock(grown)).failing()
    assert (group.name, failing.what.lower(), failing.change) == ("kws/pico", what, 1.0)


@pytest.mark.parametrize(
    ("quality", "error", "samples", "state"),
    [
        (0.96, 0.01, "c", State.BETTER),
        (0.95, 0.01, "c", State.SAME),
        (0.931, 0.01, "c", State.SLIGHTLY),  # 1.9 points, chance does 1.96
        (0.930, 0.01, "c", State.WORSE),
        (0.930, 0.01, "d", State.SLIGHTLY),  # on other samples both have an error
        (0.92, 0.01, "d", State.WORSE),
        (0.945, 0.0, "c", State.SLIGHTLY),  # beyond chance, within 1 %
        (0.940, 0.0, "c", State.WORSE),
    ],
)
def test_accuracy(quality: float, error: float, samples: str, state: State) -> None:
    c = compare(LOCK, lock(quality=quality, error=error, samples_sha256=samples * 64))
    assert row(c, "accuracy").state is state


def test_accuracy_that_is_not_known() -> None:
    gone = compare(LOCK, lock(measure=None, quality=None, error=None))
    assert row(gone, "accuracy").state is State.NOT_COMPARABLE
    assert row(compare(lock(measure=None, quality=None), LOCK), "accuracy").state is State.NEW
    other = compare(LOCK, lock(measure="explained variance"))
    assert row(other, "explained variance").why == "recorded is accuracy"
    none = lock(measure=None, quality=None)
    assert row(compare(none, none), "accuracy").state is State.SAME


def test_another_compiler_is_not_comparable() -> None:
    grown = replace(TARGET, flash=99_999, ram=99_999, stack=1, cycles=1, arena=1001)
    c = compare(LOCK, lock(grown, {GCC: "13.3"}, quality=0.5))
    states = {r.what: r.state for g, r in c.rows if g.name == "kws/pico"}
    assert states == {
        "flash": State.NOT_COMPARABLE,
        "RAM": State.NOT_COMPARABLE,
        "arena": State.SLIGHTLY,
        "stack": State.NOT_COMPARABLE,
        "cycles": State.NOT_COMPARABLE,
    }
    assert row(c, "flash").why == f"{GCC} 12.2 recorded it, here is 13.3"
    assert row(c, "accuracy").state is State.WORSE
    assert row(c, GCC).state is State.CHANGED


def test_another_emulator_counts_the_same() -> None:
    c = compare(LOCK, lock(tools={QEMU: "9.0"}))
    assert row(c, "cycles").state is State.SAME
    assert row(c, QEMU).state is State.CHANGED


def test_predicted_is_not_measured() -> None:
    predicted = replace(TARGET, sizes_by=PREDICTED, time_by=PREDICTED)
    c = compare(LOCK, lock(predicted))
    assert row(c, "cycles").why == f"recorded by {QEMU}, now by {PREDICTED}"
    assert row(compare(lock(predicted), lock(predicted, {GCC: "13"})), "flash").state is State.SAME
    half = compare(LOCK, lock(replace(TARGET, time_by=PREDICTED)))
    assert (row(half, "flash").state, row(half, "cycles").state) == (State.SAME, State.NOT_COMPARABLE)


@pytest.mark.parametrize(
    ("gates", "what", "why"),
    [
        (Gates(max_flash=19_999), "flash", "at most 19,999"),
        (Gates(max_ram=1_499), "RAM", "at most 1,499"),
        (Gates(max_ms=0.9), "time", "at most 0.9"),
    ],
)
def test_limits_hold_whatever_is_recorded(gates: Gates, what: str, why: str) -> None:
    demands = Demands({"kws/pico": gates}, {"kws/pico": 100_000_000})
    for before in (LOCK, LockFile({}, {}), lock(tools={GCC: "1"})):
        ((_, failing),) = compare(before, LOCK, demands).failing()
        assert (failing.what, failing.state, failing.why) == (what, State.LIMIT, why)
    loose = Gates(max_flash=20_000, max_ram=1_500, max_ms=1.0)
    assert compare(LOCK, LOCK, replace(demands, gates={"kws/pico": loose})).failing() == ()


def test_limits_of_what_is_not_known() -> None:
    native = lock(TargetFigures(1000))
    demands = Demands({"kws/pico": Gates(max_flash=1, max_ms=1.0)}, {"kws/pico": 1})
    whys = {r.what: r.why for _, r in compare(native, native, demands).failing()}
    assert whys == {
        "flash": "at most 1, and nothing is known",
        "time": "at most 1, and cycles of this core are not modelled",
    }
    missed = compare(LOCK, LOCK, Demands(missed={"kws": "95 % accuracy, 97 % wanted"}))
    assert [r.why for _, r in missed.failing()] == ["95 % accuracy, 97 % wanted"]


def test_new_gone_and_failed() -> None:
    two = lock()
    two = LockFile(two.tools, {"kws": replace(MODEL, targets={"pico": TARGET, "zero": TARGET}), "vww": MODEL})
    grown = compare(LOCK, two)
    assert {g.name: g.state for g in grown.groups if g.state is not State.SAME} == {
        "kws/zero": State.NEW,
        "vww": State.NEW,
        "vww/pico": State.NEW,
    }
    assert grown.failing() == ()
    assert grown.failing(strict=True)
    shrunk = compare(two, LOCK)
    assert [g.name for g in shrunk.groups if g.state is State.GONE] == ["kws/zero", "vww/pico"]
    failed = compare(two, LOCK, Demands(failed={"kws/zero": "too large", "vww/pico": "no model"}))
    assert {g.name: r.why for g, r in failed.failing()} == {"kws/zero": "too large", "vww/pico": "no model"}


def test_hashes_are_told_and_fail_nothing() -> None:
    c = compare(LOCK, lock(sha256="d" * 64, outputs_sha256="e" * 64, compressed_sha256="f" * 64))
    assert {r.what: r.state for _, r in c.rows if r.state is not State.SAME} == {
        "model sha256": State.CHANGED,
        "outputs sha256": State.CHANGED,
        "compressed model sha256": State.NEW,
    }
    assert not c.failing()
    assert len(c.failing(strict=True)) == 3


# -- the lock --------------------------------------------------------------------------------------------------------


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    odd = ModelFigures("a" * 64, "b" * 64, "c" * 64, 'SQNR of "y"', math.inf, 0.0, 3, "d" * 64, {"pico": TARGET})
    bare = ModelFigures("a" * 64, "b" * 64, targets={"native": TargetFigures(10)})
    written = LockFile({"tinygen": '0.1 "x"', GCC: "12"}, {"z": odd, "a-b": bare, "kws": MODEL})
    file = tmp_path / "tinygen.lock"
    file.write_bytes(render_lock(written))
    assert read_lock(file) == written
    backwards = LockFile(dict(reversed(written.tools.items())), dict(reversed(written.models.items())))
    assert render_lock(backwards) == file.read_bytes(), "the same figures are the same text"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format = 1", "format = 9", r"format: found 9, this tinygen reads 1"),
        ("format = 1", "", r"format: missing. Is it a lock\?"),
        ("[tools]", "<<<<<<< HEAD\n[tools]", r"is not TOML: .*Was it merged\?"),
        ("flash = 20000", 'flash = "20000"', r'models.kws.on.pico.flash: found "20000", allowed: a whole number'),
        ("arena = 1000\n", "", r"models.kws.on.pico.arena: missing. Write the lock anew"),
        ("flash = 20000", "flsh = 20000", r"models.kws.on.pico.flsh: no such key.*Did you mean flash\?"),
        ("quality = 0.95", 'quality = "good"', r'models.kws.quality: found "good", allowed: a number'),
    ],
)
def test_a_lock_that_is_none(old: str, new: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "tinygen.lock"
    text = render_lock(LOCK).decode()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(ProjectError, match=said):
        read_lock(file)
