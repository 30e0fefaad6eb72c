"""Independent pieces of work side by side.

numpy and onnxruntime compute with the interpreter's lock released, so threads are enough. Each piece is computed as it
would be alone: no result depends on how many cores there are.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

#: More wait for the interpreter's lock, and each takes memory.
MOST = 4

_thread = threading.local()


def in_order(work: Callable[[T], R], items: Iterable[T], cores: int | None = None) -> Iterator[R]:
    """`work` of each item, in the order of the items, some computed ahead; an exception comes where its result would.
    Work that is itself such a piece goes on one after the other. `cores`: those of this computer, at most `MOST`."""
    cores = min(os.cpu_count() or 1, MOST) if cores is None else cores
    if cores == 1 or getattr(_thread, "busy", False):
        yield from map(work, items)
        return

    def piece(item: T) -> R:
        _thread.busy = True
        return work(item)

    with ThreadPoolExecutor(cores) as pool:
        ahead: deque[Future[R]] = deque()
        try:
            for item in items:
                ahead.append(pool.submit(piece, item))
                if len(ahead) > cores:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for left in ahead:
                left.cancel()
