"""`make kills`: kill -9 at random instants of the swap, thousands of times, and see what the next command finds.

A child updates a folder, to and fro between two builds, on a real disk, and tells of each operation; some time after
its journal is complete it is killed (every fourth: at any time of the update). Every third time the recovery is killed
too; every fifth time a file is edited before it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tinygen.emit.swap import JOURNAL, recover
from tinygen.emit.writer import MANIFEST, check_generated, manifest, write_folder
from tinygen.files import STAGING, Disk

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "kills.json"


def builds() -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Two builds of a dozen files as tinygen's: most differ, some are only in one, some equal."""
    common = {"src/main.c": b"int main(void);\n", "platformio.ini": b"[env]\n" * 20}
    found = []
    for name in ("first", "second"):
        text = (f"/* {name} */\n" * 400).encode()
        files = {f"lib/net/src/{f}": text + f.encode() for f in ("net.c", "net.h", "net_weights.c", "tg_conv.c")}
        files |= {f"lib/net/src/{name}_{i}.c": text for i in range(3)}
        files |= {f"{name}/deep/plan.json": text, "certificate.json": text, "include/net_golden.h": text}
        found.append({**common, **files})
    return found[0], found[1]


def contents(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


class Telling(Disk):
    """Writes a byte into a pipe after each operation; `J` once the journal is complete."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def write(self, path: Path, content: bytes) -> None:
        super().write(path, content)
        os.write(self.pipe, b"w")

    def sync(self, path: Path) -> None:
        super().sync(path)
        os.write(self.pipe, b"s")

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        os.write(self.pipe, b"J" if target.name == JOURNAL else b"r")

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        os.write(self.pipe, b"u")


def killed(work: Callable[[Disk], None], operations: int, wait: float, *, aimed: bool) -> None:
    """Run `work` in a child and kill it so many operations after its journal is complete, or its start, and `wait`
    seconds."""
    ours, its = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        try:
            work(Telling(its))
        finally:
            os._exit(0)
    os.close(its)
    counting = not aimed
    while operations > 0 and (what := os.read(ours, 1)):
        counting |= what == b"J"
        operations -= counting
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ours)


def run(count: int, folder: Path, seed: int = 0) -> dict[str, int]:
    """Outcomes of so many kills, by name; AssertionError at the first one that is not whole."""
    rng = random.Random(seed)
    out = folder / "out"
    pair = builds()
    foreign = {".pio/build/firmware.elf": b"elf"}
    write_folder(out, pair[0])
    (out / "src/main.c").write_bytes(b"mine\n")
    for name, content in foreign.items():
        (out / name).parent.mkdir(parents=True)
        (out / name).write_bytes(content)
    states = [{**files, MANIFEST: manifest(files), **foreign, "src/main.c": b"mine\n"} for files in pair]
    write_folder(out, pair[1])
    found: Counter[str] = Counter()
    now = 1
    for number in range(count):
        other, aimed = pair[1 - now], number % 4 != 3
        update = partial(write_folder, out, other)
        killed(lambda disk, do=update: do(disk=disk), rng.randrange(1, 60), rng.random() * 0.001, aimed=aimed)
        left = list(out.glob(f"{STAGING}*"))
        before = {n: c for n, c in contents(out).items() if not n.startswith(STAGING)}
        if any((p / JOURNAL).exists() for p in left):
            kind = "in the swap"
            found["of these a mixture until recovered"] += before not in states
        else:
            kind = "while staging" if left and before == states[now] else "clearing away" if left else "outside"
            assert before in states, f"kill {number}: a mixture, and no journal"
        found[kind] += 1
        if number % 3 == 2:
            killed(lambda disk: recover(out, disk), rng.randrange(1, 30), rng.random() * 0.001, aimed=False)
            found["recoveries killed"] += 1
        edited = None
        if number % 5 == 4 and (out / "certificate.json").exists():
            edited = (out / "certificate.json").read_bytes()
            (out / "certificate.json").write_bytes(b"edited\n")
        recover(out)
        after = contents(out)
        if edited is not None:
            assert after["certificate.json"] == b"edited\n", f"kill {number}: what the user edited is lost"
            found["edits kept"] += 1
            after["certificate.json"] = states[after[MANIFEST] == states[1][MANIFEST]]["certificate.json"]
            (out / "certificate.json").write_bytes(after["certificate.json"])
        assert after in states, f"kill {number}: neither the old nor the new build"
        check_generated(out)
        found["then the new build" if after == states[1 - now] else "then the old build"] += 1
        now = states.index(after)
    return dict(sorted(found.items()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--folder", type=Path, default=Path("build/kills"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    start = time.monotonic()
    outcomes = run(options.count, options.folder, options.seed)
    row = {"kills": options.count, "neither old nor new": 0, **outcomes, "seconds": round(time.monotonic() - start)}
    print(json.dumps(row, indent=1))
    RESULTS.write_text(json.dumps({**row, "system": f"{platform.system()} {platform.release()}"}, indent=1) + "\n")


if __name__ == "__main__":
    main()
