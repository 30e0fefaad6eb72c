"""A range of seeds on several cores, and the table of what ran."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.sweep.layers import single
from tests.sweep.programs import TARGETS, Outcome, Target, batches, build_plugin, checks, run_batch

LAYERS = 2400
#: Seeds that one process turns into programs.
SHARE = 400
JOBS = 2


@dataclass
class Result:
    """Of each target by name."""

    layers: int
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def faults(self) -> list[str]:
        return [fault for outcome in self.outcomes.values() for fault in outcome.faults]

    @property
    def never(self) -> list[str]:
        """Kernels of a target that did not run on it."""
        found = []
        for target in TARGETS:
            if target.name in self.outcomes:
                missing = target.kernels - set(self.outcomes[target.name].ran)
                found += [f"{target.name}: {kernel} never ran" for kernel in sorted(missing)]
        return found

    def table(self) -> str:
        """Calls by kernel and target."""
        names = list(self.outcomes)
        wide = [max(len(n), 7) for n in names]
        kernels = sorted({k for o in self.outcomes.values() for k in o.ran})

        def row(title: str, cells: Sequence[object]) -> str:
            return f"{title:<24}" + "".join(f"  {c!s:>{w}}" for c, w in zip(cells, wide, strict=True))

        found = list(self.outcomes.values())
        return "\n".join(
            (
                row("", names),
                *(row(k, [o.ran[k] or "" for o in found]) for k in kernels),
                row("layers", [self.layers] * len(found)),
                row("calls compared", [o.calls for o in found]),
                row("interrupts", [o.interrupts or "" for o in found]),
                row("mismatches", [len(o.faults) for o in found]),
                row("seconds", [round(self.seconds[n]) for n in names]),
            )
        )


def sweep(seeds: range, targets: Sequence[Target], *, verbose: bool = False, jobs: int = JOBS) -> Result:
    """Run all layers of `seeds` on all targets."""
    result = Result(len(seeds))
    with tempfile.TemporaryDirectory() as temporary:
        plugin = build_plugin(Path(temporary)) if any(t.vectors for t in targets) else None
        work = [(t, share, Path(temporary), plugin if t.vectors else None) for t in targets for share in _shares(seeds)]
        with ProcessPoolExecutor(jobs) as pool:
            for (target, share, *_), (outcome, took) in zip(
                work, pool.map(_run, *zip(*work, strict=True)), strict=True
            ):
                known = result.outcomes.setdefault(target.name, Outcome(Counter(), []))
                known.add(outcome)
                result.seconds[target.name] = result.seconds.get(target.name, 0.0) + took
                if verbose:
                    print(f"{target.name}: seeds {share.start}..{share.stop - 1}, {outcome.calls} calls, {took:.0f} s, "
                          f"{len(outcome.faults)} mismatches", flush=True)  # fmt: skip
                    print("".join(f"  {fault}\n" for fault in outcome.faults), end="", flush=True)
    return result


def _shares(seeds: range) -> Iterator[range]:
    for start in range(seeds.start, seeds.stop, SHARE):
        yield range(start, min(start + SHARE, seeds.stop))


def _run(target: Target, seeds: range, folder: Path, plugin: Path | None) -> tuple[Outcome, float]:
    start = time.perf_counter()
    outcome = Outcome(Counter(), [])
    made = [check for seed in seeds for check in checks(single(seed), target.sets)]
    for batch in batches(made):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            outcome.add(run_batch(target, batch, Path(place) / "batch", plugin))
    return outcome, time.perf_counter() - start
