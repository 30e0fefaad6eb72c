"""Code bytes of kernels, from `python -m benchmarks.kernel_sizes`: for estimates before anything is compiled."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from tinygen.targets.arch.base import Architecture
from tinygen.targets.cores import get_core


def sizes_file(arch: Architecture) -> Path:
    """Where the sizes on an architecture's cores are."""
    return arch.folder / "kernel_sizes.json"


@functools.cache
def _table(arch: Architecture) -> dict[str, dict[str, int]]:
    path = sizes_file(arch)
    table: dict[str, dict[str, int]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return table


def known_bytes(core: str, source: str) -> int | None:
    """Flash of one object file, None where none was recorded."""
    return _table(get_core(core).arch).get(core, {}).get(source)
