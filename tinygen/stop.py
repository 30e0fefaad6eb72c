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

from tinygen import system
from tinygen.system import SIGNALS

#: Seconds until a signal that nobody has seen is sent again.
AGAIN_S = 0.2

#: How to clear away what is under way, in the order in which it began.
_begun: dict[object, Callable[[], None]] = {}
#: A token for each block that must not be cut in two, by whatever thread.
_held: set[object] = set()
_wanted: int | None = None
#: The thread that clears away, and what only one does at a time.
_ending: int | None = None
_turn = threading.Lock()
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
    wait for a lock is seen by nobody. A thread of our own hears of every signal, and sends it again until it is; where
    nothing wakes the main thread, it does the handler's work itself."""
    hear = system.listener()
    if hear is None:
        return

    def insist() -> None:
        while True:
            number = hear()
            while _wait_for(number):
                if system.WAKES_MAIN_THREAD:
                    system.send_to_main_thread(number)
                else:
                    _handler(number, None)

    threading.Thread(target=insist, daemon=True).start()


def _wait_for(number: int) -> bool:
    """Give the main thread some time; whether there is still a handler to be run after that."""
    if number not in SIGNALS or signal.getsignal(number) is not _handler:
        return False
    time.sleep(AGAIN_S)
    return signal.getsignal(number) is _handler


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
        _let_others_end()
        yield
    finally:
        _held.discard(token)
        if _wanted is not None and not _held:
            # To the main thread itself: it may wait for a lock, and only a signal of its own ends that.
            system.send_to_main_thread(_wanted)


def _let_others_end() -> None:
    """Nothing goes on while another thread clears away."""
    while _ending not in (None, threading.get_ident()):
        time.sleep(0.01)


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
    if not _turn.acquire(blocking=False):
        _let_others_end()
        return
    _ending = threading.get_ident()
    if _held:
        _ending = None
        _turn.release()
        return
    for other in SIGNALS:
        with suppress(ValueError):  # not in the main thread, which then does not get its turn
            signal.signal(other, signal.SIG_IGN)
    for clear in reversed(tuple(_begun.values())):
        with suppress(Exception):
            clear()
    if _said is not None:
        with suppress(OSError):  # nobody may be listening any more
            start = system.CLEAN_LINE if os.isatty(2) else ""
            os.write(2, f"{start}stopped: {_said}\n".encode())
    os._exit(128 + _wanted)
