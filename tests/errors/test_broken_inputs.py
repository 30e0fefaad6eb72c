"""Deliberately broken inputs: each gets its message, its exit code, and leaves no trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.errors import (
    broken_compression,
    broken_data,
    broken_hostile,
    broken_models,
    broken_profiles,
    broken_surroundings,
)
from tests.errors.cases import SCREEN_LINES, Case, contents, make_place, run
from tests.errors.words import gaps

CASES = (
    *broken_models.CASES,
    *broken_hostile.CASES,
    *broken_data.CASES,
    *broken_surroundings.CASES,
    *broken_profiles.CASES,
    *broken_compression.CASES,
)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_broken(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make_place(tmp_path, monkeypatch)
    command = case.arrange(place)
    before = contents(tmp_path)
    result = run(command)
    assert result.code == case.code, result.text
    for part in (case.where, case.found, case.help):
        assert part in result.text
    assert not gaps(result.stderr.strip())
    assert "Traceback" not in result.text
    assert "fault in tinygen" not in result.text
    assert not result.stdout
    if not case.table:
        assert result.screen_lines <= SCREEN_LINES
    assert contents(tmp_path) == before


def test_there_are_many() -> None:
    names = [c.name for c in CASES]
    assert len(set(names)) == len(names) >= 60
    assert all(c.code and c.where and c.found and c.help for c in CASES)
