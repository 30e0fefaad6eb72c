"""Run a command and wait: the one place that deals with time limits and with programs that are not there."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tinygen.errors import ToolError


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a command ended: its exit code (negative: killed by that signal), and what it wrote, as text."""

    exit_code: int
    stdout: str
    stderr: str


class Group:
    """Commands run side by side, in threads; `end` kills those that still run, and those that would yet begin."""

    def __init__(self) -> None:
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def add(self, process: subprocess.Popen[bytes]) -> None:
        self._processes.add(process)
        if self._ended:  # looked at after adding, as `end` sets it before looking: one of the two kills
            _kill(process)

    def discard(self, process: subprocess.Popen[bytes]) -> None:
        self._processes.discard(process)

    def end(self) -> None:
        self._ended = True
        for process in tuple(self._processes):
            _kill(process)


@contextmanager
def work_folder() -> Iterator[Path]:
    """A temporary folder to compile and run in, gone afterwards; `ToolError` when it cannot be made or written."""
    try:
        with tempfile.TemporaryDirectory(prefix="tinygen-") as folder:
            yield Path(folder)
    except OSError as error:
        raise ToolError(
            f"cannot work in a temporary folder: {error}. Make room there, or set TMPDIR to another folder"
        ) from error


def run(
    command: Sequence[str],
    cwd: Path,
    timeout: float,
    env: Mapping[str, str] | None = None,
    merge: bool = False,
    group: Group | None = None,
) -> RunResult:
    """Run `command` in `cwd` for at most `timeout` seconds; `merge` sends standard error into standard output.

    The command gets a process group of its own, so that its children end with it at a time-out. `ToolError` when it
    cannot be started or does not end in time; any exit code is a result.
    """
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"{command[0]} cannot be started: {error}") from error
    if group is not None:
        group.add(process)
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        stdout, _ = _end(process)
        tail = "\n".join(_text(stdout).splitlines()[-5:])
        said = f"; it last said:\n{tail}" if tail else " and said nothing"
        raise ToolError(f"{Path(command[0]).name} did not end within {timeout:g} s{said}") from error
    except BaseException:
        _end(process)
        raise
    finally:
        if group is not None:
            group.discard(process)
    return RunResult(process.returncode, _text(stdout), _text(stderr))


def _end(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    _kill(process)
    return process.communicate()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "replace")
