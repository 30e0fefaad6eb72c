"""Code bytes of kernels, from `python -m benchmarks.kernel_sizes`: for estimates before anything is compiled."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path


@functools.cache
def _table() -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return table


def code_bytes(core: str, kernels: Iterable[str]) -> int:
    """Flash of the named kernels' object files on a core."""
    return sum(_table()[core][k] for k in kernels)


def known_bytes(core: str, source: str) -> int | None:
    """Flash of one object file, None where none was recorded."""
    return _table().get(core, {}).get(source)
