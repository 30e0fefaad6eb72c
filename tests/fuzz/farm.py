"""Workers that run cases: forked, with limits on memory and processor time, so that whatever happens is an outcome."""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.fuzz.case import SECONDS, Outcome, run_case

#: Address space above what a worker has when it starts, and seconds after which a sleeping case counts as hung.
ADDRESS_SPACE, HUNG = 3 << 30, 300
#: A worker is replaced after so many cases: what leaks must not add up.
CASES = 250


class _Worker:
    """A forked process and the end of its pipe: a line when a case begins, and one with its outcome."""

    def __init__(self, seeds: Sequence[int], folder: Path) -> None:
        self.seeds, self.folder = list(seeds), folder
        self.current: int | None = None
        self.since = time.monotonic()
        self.text = b""
        read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(read)
            _work(self.seeds, folder, write)
        os.close(write)
        self.pipe = read

    def lines(self) -> list[str]:
        data = os.read(self.pipe, 1 << 16)
        *lines, self.text = (self.text + data).split(b"\n")
        return [line.decode() for line in lines]


def _work(seeds: Sequence[int], folder: Path, pipe: int) -> None:
    """The worker's life; never returns."""
    try:
        quiet = os.open(os.devnull, os.O_RDWR)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + ADDRESS_SPACE
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for seed in seeds:
            os.write(pipe, f"{seed}\n".encode())
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, SECONDS + 5)  # kills
            outcome = run_case(seed, folder)
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.write(pipe, (json.dumps(asdict(outcome)) + "\n").encode())
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the parent sees that the case has no outcome
        os._exit(99)


def run_all(
    seeds: Sequence[int], folder: Path, jobs: int, done: Callable[[Outcome], None] = lambda o: None
) -> list[Outcome]:
    """Outcomes of all seeds, in the order in which they finish."""
    waiting = [list(seeds[i : i + CASES]) for i in range(0, len(seeds), CASES)]
    workers: dict[int, _Worker] = {}
    outcomes: list[Outcome] = []

    def add(outcome: Outcome) -> None:
        outcomes.append(outcome)
        done(outcome)

    sys.stdout.flush()
    sys.stderr.flush()
    number = 0
    while waiting or workers:
        while waiting and len(workers) < jobs:
            number += 1
            w = _Worker(waiting.pop(0), folder / f"worker{number}")
            workers[w.pipe] = w
        for pipe in select.select(list(workers), [], [], 1.0)[0]:
            w = workers[pipe]
            lines = w.lines()
            for line in lines:
                if line.startswith("{"):
                    add(Outcome(**json.loads(line)))
                    w.seeds.remove(outcomes[-1].seed)
                    w.current = None
                else:
                    w.current, w.since = int(line), time.monotonic()
            if not lines and not w.text:
                _bury(w, waiting, add)
                del workers[pipe]
        for w in workers.values():
            if w.current is not None and time.monotonic() - w.since > HUNG:
                os.kill(w.pid, signal.SIGKILL)
    return outcomes


def _bury(w: _Worker, waiting: list[list[int]], add: Callable[[Outcome], None]) -> None:
    """A worker has ended: what it died of is the outcome of its last case; another does the rest."""
    os.close(w.pipe)
    _, status = os.waitpid(w.pid, 0)
    shutil.rmtree(w.folder, ignore_errors=True)
    if w.current is not None:
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        why = {signal.SIGPROF: f"more than {SECONDS} s of processor time", signal.SIGKILL: f"hung for {HUNG} s"}
        word = signal.Signals(number).name if number else f"exit {os.WEXITSTATUS(status)} of the process"
        add(Outcome(w.current, "?", -number, why.get(signal.Signals(number), word) if number else word, 0.0, 0))
        w.seeds.remove(w.current)
    if w.seeds:
        waiting.insert(0, w.seeds)
