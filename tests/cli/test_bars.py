"""Progress where nobody watches a terminal: a line now and then."""

from __future__ import annotations

import pytest

from tinygen.cli import bars


def test_a_pipe_hears_of_long_work_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    monkeypatch.setattr(bars.time, "monotonic", lambda: now)
    with bars.Bars() as shown:
        for done in range(0, 301):
            now = float(done)
            shown("calibrating", done, 300)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "calibrating: 10 of 300; 0:10 elapsed, 4:50 left in this phase"
    assert 6 <= len(said) <= 9  # not a line a second
    assert capsys.readouterr().out == ""


def test_short_work_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with bars.Bars() as shown:
        for done in range(1000):
            shown("judging", done, 1000)
    assert capsys.readouterr().err == ""
