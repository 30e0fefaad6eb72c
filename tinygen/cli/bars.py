"""How far long work is: bars on a terminal, and where standard error is a file or a pipe, a line now and then."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from tinygen import stop
from tinygen.cli.console import err

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: Seconds of silence until work in a pipe is spoken of; then again each time it has lasted half as long again.
QUIET_S = 10.0


def _clock(seconds: float) -> str:
    """1:05, 2:00:00."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"


class Lines:
    """`calibrating: 40 of 200; 0:12 elapsed, 0:48 left`: when work has been silent for long, and then more seldom."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._next = QUIET_S
        self._since: dict[str, tuple[float, int]] = {}

    def __call__(self, phase: str, done: int, total: int) -> None:
        now = time.monotonic() - self._began
        since, first = self._since.setdefault(phase, (now, done))
        if now < self._next:
            return
        self._next = max(now + QUIET_S, 1.5 * now)
        text = f"{phase}: {done:,} of {total:,}; {_clock(now)} elapsed"
        if first < done < total:
            text += f", {_clock((now - since) / (done - first) * (total - done))} left in this phase"
        err.print(text, highlight=False, soft_wrap=True)


class Bars(AbstractContextManager["Bars"]):
    """Progress of each phase: a bar with the time that it has taken and may still take; in a pipe `Lines`."""

    def __init__(self) -> None:
        self._progress = _progress() if err.is_terminal else None
        self._lines = Lines()
        self._tasks: dict[str, TaskID] = {}
        self._shown = ExitStack()

    def __enter__(self) -> Bars:
        if self._progress is not None:
            self._shown.enter_context(stop.clearing(self._progress.stop))
            self._shown.enter_context(self._progress)
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self._shown.close()

    def __call__(self, phase: str, done: int, total: int) -> None:
        if self._progress is None:
            self._lines(phase, done, total)
            return
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(phase, total=total)
        self._progress.update(self._tasks[phase], completed=done, total=total)


def _progress() -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description:12s}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )
