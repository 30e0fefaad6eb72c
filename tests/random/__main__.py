"""Run seeds by hand: `python -m tests.random 17`, `python -m tests.random 100-149`, from the top of the checkout.

--keep FOLDER leaves models, C sources and programs there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from onnx import printer

from tests.random.batch import missing_tools, run_batch
from tests.random.flow import CORES
from tinygen.ir.text import dump


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.random", description=__doc__)
    parser.add_argument("seeds", nargs="+", help="numbers, or ranges such as 0-24 (one program each)")
    parser.add_argument("--keep", type=Path, help="an empty folder for models, C sources and programs")
    parser.add_argument("--int16", action="store_true", help="some activations, or all, in int16")
    parser.add_argument("--cores", default=",".join(CORES), help="emulated cores, with commas between")
    parser.add_argument("--show", action="store_true", help="print the network as well when all is well")
    args = parser.parse_args()
    bad = 0
    single = [int(s) for s in args.seeds if "-" not in s]
    ranges = [range(int(a), int(b) + 1) for a, b in (s.split("-") for s in args.seeds if "-" in s)]
    for k, seeds in enumerate([*([single] if single else []), *map(list, ranges)]):
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as temporary:
            folder = (args.keep or Path(temporary)) / str(k)
            folder.mkdir(parents=True)
            outcome = run_batch(
                seeds, folder, emulate=not missing_tools(), int16=args.int16, cores=args.cores.split(",")
            )
        if args.show:
            for n in outcome.networks:
                print(printer.to_text(n.model))
                print(dump(n.tidy) if n.tidy is not None else "")
        print(outcome.table(), f"({time.perf_counter() - start:.1f} s)", flush=True)
        for failure in outcome.failures:
            print("-" * 100, failure, sep="\n", flush=True)
        bad += len(outcome.failures)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
