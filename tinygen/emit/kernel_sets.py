"""Kernel sets: what `set.toml` in each folder below templates_c/kernels/ says."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tinygen.resources import templates_dir

FILE = "set.toml"


@dataclass(frozen=True, slots=True)
class KernelSet:
    """A set: the folder of its kernels, whose names end in `_<name>`.

    `architecture` and `macro` are predefined by the compiler of the cores it is for: where the first is defined and
    the second is not, a build stops and says that it `needs` something else; elsewhere kernels have portable bodies.
    Empty: it runs anywhere. `little_endian`: its constants are. `above` are sets that every such core has too.
    """

    name: str
    folder: Path
    needs: str = ""
    architecture: str = ""
    macro: str = ""
    little_endian: bool = False
    above: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len({bool(text) for text in (self.needs, self.architecture, self.macro)}) > 1:
            raise ValueError(f"{self.folder / FILE}: needs, architecture and macro go together: all three, or none")


@functools.cache
def kernel_sets() -> tuple[KernelSet, ...]:
    """Every set, by name. ValueError for a `set.toml` that is none: a fault in tinygen's own files."""
    return tuple(_read(file) for file in sorted((templates_dir() / "kernels").glob(f"*/{FILE}")))


def folders() -> tuple[Path, ...]:
    """Every folder of kernels: what they share first."""
    return (templates_dir() / "kernels" / "core", *(s.folder for s in kernel_sets()))


def sets_of(kernels: Iterable[str]) -> tuple[KernelSet, ...]:
    """The sets of these kernels, but for those that a core with another of them has anyway."""
    names = tuple(kernels)
    used = [s for s in kernel_sets() if any(name.endswith(f"_{s.name}") for name in names)]
    implied = {name for s in used for name in s.above}
    return tuple(s for s in used if s.name not in implied)


def _read(file: Path) -> KernelSet:
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        return KernelSet(file.parent.name, file.parent, **{**data, "above": tuple(data.get("above", ()))})
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise ValueError(f"{file}: {error}") from error
