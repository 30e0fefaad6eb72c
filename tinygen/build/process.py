"""Run a command and wait: the one place that deals with time limits, and with programs that are not there, hang, or
never stop talking.
"""

from __future__ import annotations

import math
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from tinygen import stop
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


def with_temporary(folder: Path) -> dict[str, str]:
    """The environment, with `folder` for temporary files: a compiler that is killed leaves some."""
    return {**os.environ, "TMPDIR": str(folder)}


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
                    start_new_session=True,
                )
            except OSError as error:
                raise ToolError(f"{command[0]} cannot be started: {error}") from error
            stack.enter_context(stop.clearing(lambda: _end(process)))
            stack.callback(_end, process)
        if group is not None:
            group.add(process)
            stack.callback(group.discard, process)
        limit = SETTINGS.limit or timeout
        _limit_cpu(process, limit)
        return _Listener(process, Path(command[0]).name, doing, limit).result()


def _limit_cpu(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Should we be killed ourselves, an emulator that computes for ever ends too, after some threads' worth of it."""
    if hasattr(resource, "prlimit"):  # Linux
        with suppress(OSError, ValueError, OverflowError):  # it has ended already, or that is for ever
            most = resource.getrlimit(resource.RLIMIT_CPU)[1]
            wanted = 10 + math.ceil(8 * seconds)
            if most == resource.RLIM_INFINITY or wanted < most:
                resource.prlimit(process.pid, resource.RLIMIT_CPU, (wanted, wanted))


class _Listener:
    """Reads what a command says until it has ended and nobody is left who could say more."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, doing: str, limit: float) -> None:
        self._process, self._limit = process, limit
        self._name, self._doing = name, f" ({doing})" if doing else ""
        self._said = {p: bytearray() for p in (process.stdout, process.stderr) if p is not None}

    def result(self) -> RunResult:
        start = time.monotonic()
        speak, ended = QUIET_S, None
        with selectors.DefaultSelector() as pipes:
            for pipe in self._said:
                pipes.register(pipe, selectors.EVENT_READ)
            while True:
                now = time.monotonic() - start
                if ended is None and self._process.poll() is not None:
                    ended = now
                if ended is not None and (not pipes.get_map() or now > ended + _GRACE_S):
                    break  # also where a child of the command holds on to a pipe
                if ended is None and now > self._limit:
                    raise ToolError(
                        f"{self._name} did not end within {self._limit:g} s{self._doing}{self._last_words()}\n"
                        "Give it more time with --tool-timeout SECONDS, or TINYGEN_TOOL_TIMEOUT in the environment."
                    )
                if ended is None and now > speak:
                    of = f"of at most {self._limit:g} (--tool-timeout)"
                    SETTINGS.tell(f"{self._name}{self._doing} runs for {now:.0f} s now, {of}.")
                    speak *= 2
                self._wait(pipes, max(0.0, min(self._limit - now, speak - now, _GRACE_S / 4)))
        out, err = (
            bytes(self._said[p]) if p is not None else b"" for p in (self._process.stdout, self._process.stderr)
        )
        return RunResult(self._process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))

    def _wait(self, pipes: selectors.BaseSelector, seconds: float) -> None:
        """Until somebody says something or the command ends, for so long at most."""
        if not pipes.get_map():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        for key, _ in pipes.select(seconds) if pipes.get_map() else ():
            pipe = cast("IO[bytes]", key.fileobj)
            data = os.read(key.fd, 1 << 16)
            self._said[pipe] += data
            if not data:
                pipes.unregister(pipe)
            if len(self._said[pipe]) > MAX_OUTPUT:
                raise ToolError(
                    f"{self._name} wrote more than {MAX_OUTPUT >> 20} MiB of text and was ended{self._doing}"
                    f"{self._last_words()}"
                )

    def _last_words(self) -> str:
        text = b"\n".join(bytes(said[-2000:]) for said in self._said.values()).decode("utf-8", "replace")
        lines = [line[:200] for line in text.splitlines() if line.strip()][-5:]
        return "; it last said:\n" + "\n".join(lines) if lines else " and said nothing."


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a command and its children, and take note of its end."""
    _kill(process)
    with suppress(subprocess.TimeoutExpired):
        process.wait(2.0)  # longer only where the system itself hangs
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
