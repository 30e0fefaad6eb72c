"""Fuzzing by hand: `python -m tests.fuzz --cases 20000` (make fuzz); `python -m tests.fuzz --seed 17` for one again.

Mutations of models (fields, bytes), names, data and recipes, in forked workers with limits. A fault is a traceback,
exit code 70, a signal, more than 20 seconds of processor time or a gibibyte. --record writes the summary.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from tests.errors.cases import run
from tests.fuzz.case import STARTS, Outcome, make, run_case, start
from tests.fuzz.farm import run_all

RESULT = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "fuzz.json"


def summary(outcomes: list[Outcome], minutes: float) -> dict[str, object]:
    """What a run found, for the record."""
    return {
        "cases": len(outcomes),
        "first_seed": min(o.seed for o in outcomes),
        "minutes": round(minutes, 1),
        "exit_codes": {
            kind: dict(sorted(Counter(str(o.code) for o in outcomes if o.kind == kind).items()))
            for kind in sorted({o.kind for o in outcomes})
        },
        "most_seconds": max(o.seconds for o in outcomes),
        "most_mebibytes": max(o.mebibytes for o in outcomes),
        "faults": [asdict(o) for o in outcomes if o.fault],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long")
    parser.add_argument("--seed", type=int, help="one case again, in this process, with its output")
    parser.add_argument("--keep", type=Path, help="with --seed: an empty folder for its files")
    parser.add_argument("--record", action="store_true", help=f"write {RESULT.name}")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        if args.seed is not None:
            print(run_case(args.seed, folder / "a"))
            kind, command = make(args.seed, folder / "a")
            print(kind, *command)
            if command[0] != "recipe":
                result = run(command)
                print(result.stdout + result.stderr)
            return 0
        for i in range(STARTS):
            start(i)
        began = time.monotonic()
        outcomes: list[Outcome] = []
        step = 50 * args.jobs
        for first in range(args.first, args.first + args.cases, step):
            if time.monotonic() - began > args.minutes * 60:
                break
            seeds = range(first, min(first + step, args.first + args.cases))
            found = run_all(list(seeds), folder, args.jobs)
            outcomes += found
            for o in found:
                if o.fault:
                    print(f"seed {o.seed} ({o.kind}): {o.fault}", flush=True)
            print(f"{len(outcomes)} cases, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    result = summary(outcomes, (time.monotonic() - began) / 60)
    print(json.dumps({k: v for k, v in result.items() if k != "faults"}, indent=2))
    if args.record:
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 1 if any(o.fault for o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
