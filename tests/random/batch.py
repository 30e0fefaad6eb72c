"""Take a batch of seeds through the whole line and collect everything that is wrong with them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.random.flow import CORES, REF, Network, prepare
from tests.random.programs import (
    SANITIZE,
    WARNINGS,
    Part,
    build,
    core_parts,
    diagnose,
    differences,
    native_parts,
    symbol_problems,
)
from tinygen.errors import ToolError
from tinygen.targets.arch.base import Core
from tinygen.targets.cores import get_core


@dataclass(frozen=True)
class Outcome:
    """A batch that has run: its networks, and one text for each thing that is wrong."""

    networks: tuple[Network, ...]
    failures: tuple[str, ...]

    def table(self) -> str:
        """One line for the log."""
        refused = [n for n in self.networks if n.refused]
        sqnr = sorted(v for n in self.networks for v in n.sqnr if v != float("inf"))
        middle = f", SQNR of outputs {sqnr[0]:.0f} / {sqnr[len(sqnr) // 2]:.0f} / {sqnr[-1]:.0f} dB" if sqnr else ""
        nodes = sum(len(n.fixed.nodes) for n in self.networks if n.fixed is not None)
        lines = [
            f"seeds {self.networks[0].seed}..{self.networks[-1].seed}: {len(self.networks)} networks, {nodes} layers, "
            f"{len(self.failures)} failures, {len(refused)} refused{middle}"
        ]
        lines += [f"  refused {n.seed}: {n.refused}" for n in refused]
        lines += [f"  note {n.seed}: {text}" for n in self.networks for text in n.notes]
        return "\n".join(lines)


def missing_tools() -> list[str]:
    """Programs that the emulated core needs and that are not here."""
    return [t for t in ("arm-none-eabi-gcc", "arm-none-eabi-nm", "qemu-system-arm") if shutil.which(t) is None]


def run_batch(
    seeds: Sequence[int], folder: Path, *, emulate: bool = True, int16: bool = False, cores: Sequence[str] = CORES
) -> Outcome:
    """Numpy, this computer under sanitizers, and the emulated cores: one program each for all seeds."""
    networks = [prepare(seed, folder, int16=int16, cores=cores) for seed in seeds]
    failures = [n.report() for n in networks if n.problems]
    usable = [n for n in networks if n.usable]
    if usable:
        failures += _compare(get_core(REF), native_parts(usable), folder, (*SANITIZE, *WARNINGS))
        for core in cores if emulate else ():
            failures += _compare(get_core(core), core_parts(usable, core), folder, ())
    return Outcome(tuple(networks), tuple(failures))


def _compare(core: Core, parts: list[Part], folder: Path, flags: Sequence[str]) -> list[str]:
    """Failures of one program; when the program itself cannot be made or run, of each network alone."""
    place = folder / core.name
    try:
        program = build(parts, core, place, flags)
        found = differences(parts, core, program, place)
        texts = [_text(part, core, what, flags) for part, what in found]
        if core.machine is not None:
            texts += [f"symbols: {p}" for p in symbol_problems(parts, program, core)]
        return texts
    except ToolError as e:
        seeds = " ".join(str(p.network.seed) for p in parts)
        if len(parts) == 1:
            return [f"{core.name}: {e}\n{parts[0].network.report()}"]
        texts = []
        for k, part in enumerate(parts):
            texts += _compare(core, [part], folder / f"{core.name}_alone{k}", flags)
        return texts or [f"{core.name}: {e}\nonly together: reproduce: python -m tests.random {seeds}"]


def _text(part: Part, core: Core, what: str, flags: Sequence[str]) -> str:
    try:
        more = diagnose(part, core, flags)
    except ToolError as e:
        more = str(e)
    return (
        f"{core.name}, plan for {part.plan.core}, seed {part.network.seed} "
        f"(reproduce: {part.network.again}): {what}\n{more}\n{part.network.report()}"
    )
