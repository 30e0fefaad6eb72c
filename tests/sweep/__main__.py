"""Every kernel of every core against numpy: `python -m tests.sweep`, from the top of the checkout.

--cores cortex-m4 ...   only these        --layers 2400   so many        --first 0   from this seed on
--seed 17               one layer, all its calls by name
"""

from __future__ import annotations

import argparse
import sys

from tests.sweep.programs import TARGETS
from tests.sweep.sweep import LAYERS, sweep


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [t.name for t in TARGETS]
    parser.add_argument("--cores", nargs="+", choices=names, default=names)
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int)
    args = parser.parse_args()
    one = args.seed is not None
    seeds = range(args.seed, args.seed + 1) if one else range(args.first, args.first + args.layers)
    result = sweep(seeds, [t for t in TARGETS if t.name in args.cores], verbose=True)
    print(result.table())
    problems = [*result.faults, *([] if one else result.never)]
    print("\n".join(problems) or "no mismatch")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
