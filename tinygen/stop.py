"""Stopped from outside (Ctrl-C, SIGTERM, SIGHUP): clear away what was begun, say so in one line, and end.

Not by an exception: one that is raised between any two bytecodes is lost in a destructor or a callback of a C library,
and finds folders that are made but not yet remembered. Instead, whoever begins something that must not outlive us (a
process, a temporary folder) registers how it is cleared away, and the handler does that and ends the process.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: Seconds until a signal that nobody has seen is sent again.
AGAIN_S = 0.2

#: How to clear away what is under way, in the order in which it began.
_begun: dict[object, Callable[[], None]] = {}
#: A token for each block that must not be cut in two, by whatever thread.
_held: set[object] = set()
_wanted: int | None = None
_ending = False
_said: str | None = None


def install(said: str | None = "what was begun is cleared away.") -> None:
    """From now on the signals end this process cleanly, and it says `stopped: {said}`, or nothing.

    Those that are ignored (nohup, a shell's `&`) stay ignored.
    """
    global _wanted, _said
    _wanted, _said = None, said
    _watch()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handler)


@cache
def _watch() -> None:
    """Python runs handlers in the main thread, between two bytecodes: a signal that comes when that thread is about to
    wait for a lock is seen by nobody. A thread of our own hears of every signal, and sends it again until it is."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))

    def insist() -> None:
        while True:
            number = os.read(read, 1)[0]
            while number in SIGNALS and signal.getsignal(number) is _handler:
                time.sleep(AGAIN_S)
                signal.pthread_kill(threading.main_thread().ident or 0, number)

    threading.Thread(target=insist, daemon=True).start()


def finish() -> None:
    """All is done and said: a signal that comes while the interpreter is taken down changes nothing any more."""
    for number in SIGNALS:
        if signal.getsignal(number) is _handler:
            signal.signal(number, signal.SIG_IGN)


def say(text: str) -> None:
    """What follows `stopped:` from now on."""
    global _said
    _said = text


@contextmanager
def hold() -> Iterator[None]:
    """A stop waits until this block has ended: for a thing and its registration, or files that belong together."""
    token = object()
    _held.add(token)
    try:
        # Looked at after adding, as the handler looks at _held after setting it: one of the two waits.
        while _ending and threading.current_thread() is not threading.main_thread():
            time.sleep(0.01)
        yield
    finally:
        _held.discard(token)
        if _wanted is not None and not _held:
            # To the main thread itself: it may wait for a lock, and only a signal of its own ends that.
            signal.pthread_kill(threading.main_thread().ident or 0, _wanted)


@contextmanager
def left_out() -> Iterator[None]:
    """Processes started in this block do not get the terminal's Ctrl-C: we end them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def clearing(clear: Callable[[], None]) -> Iterator[None]:
    """For as long as the block runs, a stop calls `clear`. To make a thing and enter this is one `hold`."""
    token = object()
    _begun[token] = clear
    try:
        yield
    finally:
        _begun.pop(token, None)


def _handler(number: int, _frame: FrameType | None) -> None:
    global _wanted, _ending
    _wanted = _wanted or number
    _ending = True
    if _held:
        _ending = False
        return
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    for clear in reversed(tuple(_begun.values())):
        with suppress(Exception):
            clear()
    if _said is not None:
        with suppress(OSError):  # nobody may be listening any more
            start = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""  # a clean line, and the cursor back
            os.write(2, f"{start}stopped: {_said}\n".encode())
    os._exit(128 + _wanted)
