"""The processor cores tinygen builds for."""

from __future__ import annotations

from tinygen.errors import TargetError, did_you_mean
from tinygen.targets.arch import arm_m, host
from tinygen.targets.arch.base import Core

#: A new architecture is a folder in arch/ and its line here.
CORES: tuple[Core, ...] = (
    *arm_m.CORES,
    *host.CORES,
)


def get_core(name: str) -> Core:
    """The core of that name; `TargetError` lists the names there are."""
    for core in CORES:
        if core.name == name:
            return core
    names = [core.name for core in CORES]
    raise TargetError(f'no core "{name}"; tinygen has {", ".join(names)}.{did_you_mean(name, names)}')


def _one_of_each_kind() -> tuple[str, ...]:
    """The first of those with the same kernels on the same machine."""
    found: dict[tuple[object, ...], str] = {}
    for core in CORES:
        if core.machine is not None:
            found.setdefault((core.kernel_sets, core.machine), core.name)
    return tuple(found.values())


VERIFY_CORES = _one_of_each_kind()
"""Names of the cores to verify on for all that an emulator can show."""

COUNTED_CORES = tuple(name for name in VERIFY_CORES if get_core(name).arch.decode is not None)
"""Those of them whose runs can be counted (tinygen profile)."""
