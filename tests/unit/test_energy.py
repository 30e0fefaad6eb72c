"""Energy from current, voltage and time: worked out by hand, held against what was published, unknown where it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.energy import PUBLISHED_MW, power_ratio, published
from tests.api.support import model
from tests.boards.test_manifests import BOARDS
from tests.report.schemas import valid
from tinygen.errors import RecipeError, TargetError
from tinygen.report.energy import tables
from tinygen.targets.board import RunPoint, Supply, load_board, read_manifest
from tinygen.targets.energy import Span, Times, energies, energy, times, why_unknown
from tinygen.targets.flash import SILICON

F103 = load_board("bluepill_f103c8")
KNOWN = [b for b in BOARDS if b.supply is not None]


def test_by_hand() -> None:
    """72,000 cycles at 72 MHz are a millisecond, at 27 mA and 3.3 V 89.1 uJ: times 1.04 and 1.3."""
    found = energy(F103, 72_000, every=0.1)
    assert found is not None
    assert found.milliseconds.likely == pytest.approx(1.04)
    assert found.microjoules.likely == pytest.approx(89.1 * 1.04 * 1.3)
    assert (found.microjoules.low, found.microjoules.high) == pytest.approx((89.1, 89.1 * 1.11 * 1.6))
    assert found.period is not None
    slept = 14e-3 * 3.3 * (100 - 1.04)
    assert found.period.microjoules.likely == pytest.approx(89.1 * 1.04 * 1.3 + slept)
    assert found.period.milliwatts.likely == pytest.approx(found.period.microjoules.likely / 100)


def test_times() -> None:
    """Of silicon only where the flash is modelled, or a core's pace is known; nothing of a computer."""
    assert times(F103, 72_000, 144_000) == Times(1.0, 2.0, Span(*SILICON).times(2.0))
    assert times(F103, 72_000, None) == Times(1.0, None, None)
    h743 = load_board("nucleo_h743zi")
    assert h743.core.pace is not None
    assert times(h743, 400_000, None) == Times(None, None, Span(*h743.core.pace))
    assert times(load_board("native"), 0, None) == times(h743, None, None) == Times(None, None, None)


def test_slower_clocks() -> None:
    """Of the same cycles, in the order of the manifest; one that is not named there is left out."""
    found = energies(F103, {72_000_000: 1e6, 8_000_000: 1e6, 1_000_000: 1e6}, every=0.1)
    assert [e.clock_hz for e in found] == [72_000_000, 8_000_000]
    assert found[1].milliseconds.likely == pytest.approx(9 * found[0].milliseconds.likely)
    assert found[0].period is not None
    assert found[1].period is None  # 125 ms are more than 100
    text = str(tables(F103, found, 0.1)[0].rows)
    assert "too slow" in text


def test_unknown_is_said_not_guessed() -> None:
    """A part without a document, a core without cycles, a sleep that nobody names."""
    unknown, l4r5 = load_board("nucleo_l476rg"), load_board("nucleo_l4r5zi")
    assert energy(unknown, 1e6) is None
    assert "nucleo_l476rg is not known" in why_unknown(unknown)
    assert "not known" in tables(unknown, (), 0.1)[0].rows[0][0]
    assert not tables(unknown, (), None)
    found = energy(l4r5, 1e6, every=1.0)
    assert found is not None
    assert found.period is None
    m55 = replace(load_board("ek_ra8m1"), supply=F103.supply)
    assert "are not modelled" in why_unknown(m55)
    assert energy(m55, 1e6) is None


def test_inspect_says_it_for_every_board_that_is_known() -> None:
    """At all clocks for the one asked for, those of another core's cycles too; as a table and as a document."""
    found = model().inspect("nucleo_u575zi_q", every="20ms")
    document = valid("inspect", found.to_dict())
    clocks = {c["clock_hz"]: c for c in document["energy"]["clocks"]}
    assert clocks[24_000_000]["microjoules"]["likely"] < clocks[160_000_000]["microjoules"]["likely"]
    assert clocks[160_000_000]["period"]["seconds"] == 0.02
    estimates = {b["board"]: b["microjoules_estimate"] for b in document["boards"]}
    assert {b for b, uj in estimates.items() if uj is not None} == {b.id for b in KNOWN}
    assert "uJ a period" in str(found)
    assert valid("inspect", model().inspect("nucleo_l476rg").to_dict())["energy"] is None


@pytest.mark.parametrize("every", ["100", "0ms", "-1s", "soon", 0, -2.0, float("nan")])
def test_a_period_that_is_none_is_told(every: float | str) -> None:
    with pytest.raises(RecipeError, match=r"`every`: found .*allowed is a time from one inference to the next"):
        model().inspect(every=every)


@pytest.mark.parametrize("board", KNOWN, ids=lambda board: board.id)
def test_supplies_make_sense(board) -> None:  # type: ignore[no-untyped-def]
    """Currents a MHz of Cortex-M parts, which a slip of a digit leaves."""
    assert board.supply.run[0].clock_hz == board.f_cpu_hz
    assert 1.7 <= board.supply.volts <= 3.6
    assert len(board.supply.source) > 20
    for point in board.supply.run:
        assert 20 < 1e9 * point.milliamperes / point.clock_hz < 600  # uA/MHz
    assert (board.core.timing is None) == (board.core.pace is not None)


def test_published_energy_is_within_the_band() -> None:
    """Of all 36 runs, taking their own time: so much for the current. The board that was measured has their mean."""
    rows = published()
    assert len(rows) == 36
    assert all(inside for _, inside in map(power_ratio, rows))
    drawn = [r["microjoules"] * r["per_second"] / 1000 / r["volts"] for r in rows if r["board"] == "nucleo_l4r5zi"]
    supply = load_board("nucleo_l4r5zi").supply
    assert supply is not None
    assert supply.run[0].milliamperes == pytest.approx(sum(drawn) / len(drawn), abs=0.05)
    assert {(r["board"], r["volts"]) for r in rows} == PUBLISHED_MW.keys()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("volts", 0, "a number above 0, found 0"),
        ("of", "a guess", "networks or datasheet or catalogue, found 'a guess'"),
        ("run", {}, "a list of objects"),
        ("run", [{"clock_hz": 1000, "milliamperes": 1.0}], "begins with the board's own clock, 72000000"),
        ("source", None, "a string"),
        ("sleep_microamperes", -1, "a number above 0, found -1"),
    ],
)
def test_wrong_supply_is_told(key: str, value: object, said: str, tmp_path: Path) -> None:
    """With file, key, found and allowed."""
    data = json.loads(F103.manifest.read_text())
    data["tinygen"]["supply"][key] = value
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(data))
    with pytest.raises(TargetError, match=rf'mine\.json: "tinygen\.supply\.{key}" must be .*{said}'):
        read_manifest(file)


def test_all_of_it_is_read() -> None:
    assert F103.supply == Supply(
        3.3,
        (RunPoint(72_000_000, 27.0), RunPoint(48_000_000, 18.6), RunPoint(24_000_000, 10.1), RunPoint(8_000_000, 4.6)),
        "datasheet",
        "ST DS5319, table 17: Run mode from flash, peripherals off, 3.3 V, 25 degrees C",
        14.0,
        "ST DS5319, table 16: Stop mode, regulator in low-power mode, 3.3 V",
    )
