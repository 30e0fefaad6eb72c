"""The wheel on every Python at hand: `python -m tests.pythons`, from the top of the checkout.

Tried are every python3.X on PATH and the interpreters that $TINYGEN_PYTHONS names, with ":" between. Needs PyPI.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.pythons.smoke import Failed, Result, interpreters, smoke
from tests.pythons.wheel import build_dist, copy_sources


def main() -> int:
    argparse.ArgumentParser(
        prog="python -m tests.pythons", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    results: list[Result] = []
    failed = 0
    with tempfile.TemporaryDirectory(prefix="tinygen-pythons-") as name:
        work = Path(name)
        wheel = build_dist(copy_sources(work / "source"), work / "dist")
        for version, python in interpreters().items():
            try:
                results.append(smoke(python, wheel, work / version))
            except Failed as e:
                print(f"{version} ({python}): {e}", flush=True)
                failed += 1
                continue
            r = results[-1]
            libraries = ", ".join(f"{k} {v}" for k, v in r.libraries.items())
            print(f"{r.python} ({python}): good; {libraries}; built {r.built[:16]}; {r.seconds} s", flush=True)
    if len({r.built for r in results}) > 1:
        print("The folders they built differ: same model, options and version, but not the same bytes.")
        failed += 1
    if not results and not failed:
        print("found no Python that runs and has venv and ensurepip.")
    return 0 if results and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
