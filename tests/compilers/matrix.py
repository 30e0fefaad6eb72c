"""One program of all plans (plans.py) by many compilers, for several CPUs: what each makes of it."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tests.compilers.plans import SETS, Model, expected, files, given, models
from tinygen.build.process import run
from tinygen.numerics import Array

JOBS = 2
TIMEOUT_S = 900.0
LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Os")
#: What else may change the meaning of C, at -O2. The last may be wrong for the float helpers, and not for integers.
DIALECTS = ("-funsigned-char", "-fshort-enums", "-std=gnu11", "-std=c11", "-std=c17", "-ffast-math")
NATIVE = (
    *(f"gcc-{n}" for n in range(11, 16)),
    *(f"clang-{n}" for n in range(13, 23)),
)
#: Sets whose kernels do not care for the order of bytes in a word; and all but those that need Helium where Arm is.
ANY_ORDER, NO_HELIUM = ("ref", "m0", "m3"), ("ref", "m0", "m3", "dsp")
#: Compiler for another CPU: its emulator, the order of its bytes, and the kernel sets that it can run.
CROSS = {
    "i686-linux-gnu-gcc": ("qemu-i386", "<", tuple(SETS)),
    "arm-linux-gnueabihf-gcc": ("qemu-arm", "<", NO_HELIUM),
    "aarch64-linux-gnu-gcc": ("qemu-aarch64", "<", tuple(SETS)),
    "riscv64-linux-gnu-gcc": ("qemu-riscv64", "<", tuple(SETS)),
    "s390x-linux-gnu-gcc": ("qemu-s390x", ">", ANY_ORDER),
    "x86_64-w64-mingw32-gcc": ("wine", "<", tuple(SETS)),  # for Windows
}


def find(tool: str) -> str | None:
    """Path of a program; Debian has emulators linked statically too."""
    return shutil.which(tool) or shutil.which(f"{tool}-static")


@dataclass(frozen=True)
class Row:
    """A compiler with its flags, and what runs its programs (nothing: this computer)."""

    compiler: str
    flags: tuple[str, ...]
    emulator: str = ""
    order: str = "<"
    sets: tuple[str, ...] = tuple(SETS)

    @property
    def own_flags(self) -> tuple[str, ...]:
        """What tinygen too gives a compiler for Windows (system.HOST_CFLAGS)."""
        return ("-Dweak=unused",) if "mingw" in self.compiler else ()

    @property
    def missing(self) -> str:
        """A program that this row needs and that is not here; empty when all are."""
        tool = next((t for t in (self.compiler, self.emulator) if t and not find(t)), "")
        return tool or ("" if "-flto" not in self.flags or _can_link(self.compiler) else "linker for -flto")


@dataclass(frozen=True)
class Outcome:
    """What a row gave: `integers` and `helpers` (floats at the edges) are "equal", or say what is not."""

    compiler: str
    version: str
    flags: str
    integers: str
    helpers: str
    warnings: int
    seconds: float

    @property
    def good(self) -> bool:
        return self.integers == "equal" and (self.helpers == "equal" or "-ffast-math" in self.flags)


def rows() -> Iterator[Row]:
    """The whole matrix, whatever is installed; dialects by the oldest and the newest of each kind of compiler here."""
    for kind in ("gcc", "clang"):
        all_of = [c for c in NATIVE if c.startswith(kind)]
        here = [c for c in all_of if find(c)]
        for compiler in all_of:
            for level in LEVELS:
                yield Row(compiler, ("-std=c99", level))
                yield Row(compiler, ("-std=c99", level, "-flto"))
            for dialect in DIALECTS if compiler in (*here[:1], *here[-1:]) else ():
                yield Row(compiler, (*(() if "-std" in dialect else ("-std=c99",)), "-O2", dialect))
    yield Row("tcc", ("-std=c99",))
    for compiler, target in CROSS.items():
        for level in LEVELS:
            yield Row(compiler, ("-std=c99", level), *target)
        for more in ("-flto", "-funsigned-char", "-fsigned-char", "-fshort-enums", "-std=gnu11", "-ffast-math"):
            yield Row(compiler, (*(() if "-std" in more else ("-std=c99",)), "-O2", more), *target)


def few() -> list[Row]:
    """For the test suite: one row of each kind of compiler."""
    return [
        Row("gcc", ("-std=c99", "-O3", "-funsigned-char")),
        Row("gcc", ("-std=gnu11", "-Os", "-flto", "-fshort-enums")),
        Row("clang", ("-std=c11", "-O2", "-funsigned-char")),
        Row("tcc", ("-std=c99",)),
        Row("s390x-linux-gnu-gcc", ("-std=c99", "-O1"), *CROSS["s390x-linux-gnu-gcc"]),
    ]


def measure(row: Row, chosen: Sequence[Model] | None = None) -> Outcome:
    """Compile the plans (those that the CPU can run) and compare all that they give with numpy."""
    start = time.perf_counter()
    mine = [m for m in chosen or models() if m.set in row.sets]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, content in files(mine).items():
            (folder / name).write_bytes(content)
        (folder / "in.bin").write_bytes(b"".join(given(m, row.order) for m in mine))
        said, warnings = _compile(row, folder)
        helpers = said
        if not said:
            emulator = find(row.emulator) if row.emulator else None
            command = (*((emulator,) if emulator else ()), str(folder / "a.out"), "in.bin", "out.bin")
            done = run(command, folder, TIMEOUT_S)
            if done.exit_code == 0:
                said, helpers = _differences(mine, row.order, (folder / "out.bin").read_bytes())
            else:
                said = helpers = f"ends with {done.exit_code}"
    took = round(time.perf_counter() - start, 1)
    return Outcome(row.compiler, _version(row.compiler), " ".join(row.flags), said, helpers, warnings, took)


def _compile(row: Row, folder: Path) -> tuple[str, int]:
    """What went wrong, in a line, and the number of warnings."""
    sources = sorted(p.name for p in folder.glob("*.c"))
    wanted = () if row.compiler == "tcc" else ("-Wall", "-Wextra")
    warnings = 0

    def one(source: str) -> tuple[str, int]:
        done = run(
            (row.compiler, *row.flags, *row.own_flags, *wanted, "-c", source, "-o", f"{source}.o"), folder, TIMEOUT_S
        )
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        return (errors or [source])[0] if done.exit_code != 0 else "", done.stderr.count("warning:")

    with ThreadPoolExecutor(JOBS) as pool:
        for said, count in pool.map(one, sources):
            warnings += count
            if said:
                return f"does not compile: {said}", warnings
    static = ("-static",) if row.emulator else ()
    linker = ("-fuse-ld=lld",) if row.compiler.startswith("clang") and "-flto" in row.flags else ()
    link = (row.compiler, *row.flags, *static, *linker, *(f"{s}.o" for s in sources), "-o", "a.out")
    done = run(link, folder, TIMEOUT_S)
    return (f"does not link: {done.stderr.strip().splitlines()[-1]}" if done.exit_code != 0 else ""), warnings


def _differences(chosen: Sequence[Model], order: str, found: bytes) -> tuple[str, str]:
    """Which models give other integers, and which helpers other numbers."""
    wrong: dict[str, list[str]] = {"integers": [], "helpers": []}
    at = 0
    for model in chosen:
        ints = sum(y.nbytes for y in model.wanted)
        want = expected(model, order)
        have = found[at : at + len(want)]
        at += len(want)
        if have[:ints] != want[:ints]:
            wrong["integers"].append(model.name)
        if have[ints:] != want[ints:]:
            wrong["helpers"].append(f"{model.name} {_steps_apart(model, order, have[ints:], want[ints:])}")
    if at != len(found):
        return f"{len(found)} bytes, not {at}", "unknown"
    return tuple("equal" if not names else f"other in {', '.join(names)}" for names in wrong.values())  # type: ignore[return-value]


def _steps_apart(model: Model, order: str, have: bytes, want: bytes) -> str:
    """How far the floats are from numpy's: the largest distance, in units in the last place."""
    skip = sum(q.nbytes for q in model.real_quantised)
    if have[:skip] != want[:skip]:
        return "(quantised inputs)"
    a, b = (_ordinals(np.frombuffer(x[skip:], f"{order}f4")) for x in (have, want))
    return f"(floats by {int(np.abs(a - b).max())} ulp)"


def _ordinals(x: Array) -> Array:
    i = x.astype(np.float32).view(np.int32).astype(np.int64)
    return np.where(i < 0, -(i & 0x7FFFFFFF), i)


@cache
def _version(compiler: str) -> str:
    said = run((compiler, "-v" if compiler == "tcc" else "--version"), Path.cwd(), 60.0)
    found = re.search(r"\d+\.\d+(\.\d+)?", re.sub(r"\(.*?\)", "", (said.stdout + said.stderr).splitlines()[0]))
    return found[0] if found else "?"


@cache
def _can_link(compiler: str) -> bool:
    """Whether a compiler has what -flto needs: clang a linker of its own version, or one without a version."""
    return not compiler.startswith("clang") or any(find(n) for n in (compiler.replace("clang", "ld.lld"), "ld.lld"))


def table(outcomes: Sequence[Outcome]) -> str:
    """A line for each compiler and result: flags that gave the same stand together."""
    groups: dict[tuple[str, str, str, str], list[Outcome]] = {}
    for o in outcomes:
        groups.setdefault((o.compiler, o.version, o.integers, o.helpers), []).append(o)
    lines = ["compiler                  version   builds  integers  helpers   warnings  flags"]
    for (compiler, version, integers, helpers), found in groups.items():
        warnings = sum(o.warnings for o in found)
        flags = "all" if len({o.integers + o.helpers for o in outcomes if o.compiler == compiler}) == 1 else ""
        flags = flags or "; ".join(o.flags for o in found)
        lines.append(
            f"{compiler:<25} {version:<9} {len(found):>6}  {integers:<8}  {helpers:<8}  {warnings:>8}  {flags}"
        )
    return "\n".join(lines)


def summary(outcomes: Sequence[Outcome], skipped: Sequence[Row]) -> dict[str, object]:
    """What is recorded: small, and without times. Flags that gave the same stand together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for o in outcomes:
        groups.setdefault((o.compiler, o.version, o.integers, o.helpers, str(o.warnings)), []).append(o.flags)
    names = ("compiler", "version", "integers", "helpers", "warnings")
    found = [{**dict(zip(names, key, strict=True)), "flags": flags} for key, flags in groups.items()]
    return {
        "plans": len(models()),
        "layers": sum(len(m.plan.steps) for m in models()),
        "kernels": len(frozenset().union(*(m.kernels for m in models()))),
        "builds": found,
        "skipped": sorted({f"{r.compiler}: no {r.missing}" for r in skipped}),
    }
