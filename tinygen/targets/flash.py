"""How the flash of a part slows its core: wait states, fetch width, prefetch and caches, by families of parts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flash:
    """The flash of a part at one clock, as templates_c/profile/counter.c models it.

    `waits` and `data_waits` are cycles that an instruction fetch and a data read wait for what no cache holds; `width`
    is the bytes of a read. `code_bytes` and `data_bytes` are the caches, 0 for none, in sectors of `sector` bytes and
    `ways` (0: fully associative); `shared`: data comes through the cache for code. `source` is the document, `notes`
    what in the model is an assumption.
    """

    family: str
    source: str
    waits: int
    data_waits: int
    width: int
    prefetch: bool
    sector: int
    ways: int
    code_bytes: int
    data_bytes: int
    shared: bool
    notes: str
