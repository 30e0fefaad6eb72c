"""Run a command and wait: the one place that deals with time limits, and with programs that are not there, hang, or
never stop talking.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tinygen import stop, system
from tinygen.errors import ToolError

#: A command that runs so many seconds is spoken of; then again each time it has taken twice as long.
QUIET_S = 10.0
#: What a command may say, in bytes: all of it is kept in memory.
MAX_OUTPUT = 16 << 20
#: Seconds in which the children of a command that has ended may still write what they have to say.
_GRACE_S = 1.0


@dataclass
class Settings:
    """What the user decides for all commands: how long one may take, in seconds (None: as its caller has it), and who
    is told of one that takes long."""

    limit: float | None = None
    tell: Callable[[str], None] = lambda text: None


SETTINGS = Settings()


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a command ended: its exit code (negative: killed by that signal), and what it wrote, as text."""

    exit_code: int
    stdout: str
    stderr: str


def with_temporary(folder: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """An environment, with `folder` for temporary files: a compiler that is killed leaves some."""
    return {**environment, **dict.fromkeys(system.TEMPORARY, str(folder))}


class Group:
    """Commands run side by side, in threads; `end` kills those that still run, and those that would yet begin."""

    def __init__(self) -> None:
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def add(self, process: subprocess.Popen[bytes]) -> None:
        self._processes.add(process)
        if self._ended:  # looked at after adding, as `end` sets it before looking: one of the two kills
            system.kill_group(process)

    def discard(self, process: subprocess.Popen[bytes]) -> None:
        self._processes.discard(process)

    def end(self) -> None:
        self._ended = True
        for process in tuple(self._processes):
            system.kill_group(process)


def run(
    command: Sequence[str],
    cwd: Path,
    timeout: float,
    env: Mapping[str, str] | None = None,
    merge: bool = False,
    group: Group | None = None,
    doing: str = "",
) -> RunResult:
    """Run `command` in `cwd` for at most `timeout` seconds, or as long as the user said; `merge` sends standard error
    into standard output. `doing` says in a few words what it is at, as "compiling net.c".

    The command gets a process group of its own, so that its children end with it. `ToolError` when it cannot be
    started, does not end in time or does not stop talking; any exit code is a result.
    """
    with ExitStack() as stack:
        with stop.hold():
            try:
                process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT if merge else subprocess.PIPE,
                    **system.group_options(),
                )
            except OSError as error:
                raise ToolError(f"{command[0]} cannot be started: {error}") from error
            stack.enter_context(stop.clearing(lambda: _end(process)))
            stack.callback(_end, process)
        if group is not None:
            group.add(process)
            stack.callback(group.discard, process)
        limit = SETTINGS.limit or timeout
        # Should we be killed ourselves, an emulator that computes for ever ends too, after some threads' worth of it.
        system.limit_cpu(process.pid, 10 + 8 * limit)
        return _Listener(process, Path(command[0]).name, doing, limit).result()


class _Reader(threading.Thread):
    """Reads a pipe to its end, or until somebody has said too much. A thread: Windows can wait for one pipe at most."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._pipe, self.said = pipe, bytearray()
        self.start()

    def run(self) -> None:
        with self._pipe, suppress(OSError):
            while len(self.said) <= MAX_OUTPUT and (data := os.read(self._pipe.fileno(), 1 << 16)):
                self.said += data


class _Listener:
    """Hears what a command says until it has ended and nobody is left who could say more."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, doing: str, limit: float) -> None:
        self._process, self._limit = process, limit
        self._name, self._doing = name, f" ({doing})" if doing else ""
        self._readers = [_Reader(pipe) for pipe in (process.stdout, process.stderr) if pipe is not None]

    def result(self) -> RunResult:
        start = time.monotonic()
        speak, ended = QUIET_S, None
        while True:
            now = time.monotonic() - start
            if ended is None and self._process.poll() is not None:
                ended = now
            reading = [r for r in self._readers if r.is_alive()]
            if any(len(r.said) > MAX_OUTPUT for r in self._readers):
                raise ToolError(
                    f"{self._name} wrote more than {MAX_OUTPUT >> 20} MiB of text and was ended{self._doing}"
                    f"{self._last_words()}"
                )
            if ended is not None and (not reading or now > ended + _GRACE_S):
                break  # also where a child of the command holds on to a pipe
            if ended is None and now > self._limit:
                raise ToolError(
                    f"{self._name} did not end within {self._limit:g} s{self._doing}{self._last_words()}\n"
                    "TINYGEN_TOOL_TIMEOUT=SECONDS in the environment gives it more time (of commands: --tool-timeout)."
                )
            if ended is None and now > speak:
                of = f"of at most {self._limit:g} (TINYGEN_TOOL_TIMEOUT or --tool-timeout)"
                SETTINGS.tell(f"{self._name}{self._doing} runs for {now:.0f} s now, {of}.")
                speak *= 2
            seconds = max(0.0, min(self._limit - now, speak - now, _GRACE_S / 4))
            if reading:
                reading[0].join(seconds)
            else:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(seconds)
        said = [system.text(r.said) for r in self._readers]
        return RunResult(self._process.returncode, said[0], "".join(said[1:]))

    def _last_words(self) -> str:
        text = "\n".join(system.text(r.said[-2000:]) for r in self._readers)
        lines = [line[:200] for line in text.splitlines() if line.strip()][-5:]
        return "; it last said:\n" + "\n".join(lines) if lines else " and said nothing."


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a command and its children, and take note of its end. Its pipes end with them."""
    system.kill_group(process)
    with suppress(subprocess.TimeoutExpired):
        process.wait(2.0)  # longer only where the system itself hangs
