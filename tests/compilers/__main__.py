"""Every plan by every compiler and CPU that is installed: `python -m tests.compilers`, from the top of the checkout.

--only gcc-12 clang-19   only these compilers       --few   the rows of the test suite
--output FILE            write the result as JSON
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.compilers.matrix import few, measure, rows, summary, table


def write(path: Path, result: dict[str, object]) -> None:
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.compilers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="COMPILER")
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    wanted = [r for r in (few() if args.few else rows()) if not args.only or r.compiler in args.only]
    outcomes = []
    for row in wanted:
        if not row.missing:
            outcomes.append(measure(row))
            o = outcomes[-1]
            print(
                f"{o.compiler} {o.flags}: {o.integers}; helpers {o.helpers}; {o.warnings} warnings; {o.seconds} s",
                flush=True,
            )
    skipped = [r for r in wanted if r.missing]
    print(table(outcomes))
    for text in sorted({f"skipped {r.compiler}: no {r.missing}" for r in skipped}):
        print(text)
    if args.output:
        write(args.output, summary(outcomes, skipped))
    return 0 if all(o.good for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
