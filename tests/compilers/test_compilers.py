"""A few rows of the matrix of compilers and CPUs; `make compilers` takes all that are installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compilers.matrix import Row, few, measure
from tests.compilers.plans import files, models
from tinygen.build.process import run
from tinygen.emit.stamp import plain

#: Rows whose compilers are not among the tools that CI must have.
OPTIONAL = ("tcc", "s390x-linux-gnu-gcc")


@pytest.mark.parametrize("row", few(), ids=lambda r: " ".join((r.compiler, *r.flags)))
def test_same_bits(row: Row, require_tool: Callable[[str], None]) -> None:
    if row.missing and row.compiler in OPTIONAL:
        pytest.skip(f"{row.missing} is not on PATH")
    require_tool(row.compiler)
    outcome = measure(row)
    assert (outcome.integers, outcome.helpers, outcome.warnings) == ("equal", "equal", 0)


def test_kernels_for_little_endian_cores_refuse_others(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """A big-endian Cortex-M, which compiles no program here, but shows what the preprocessor says."""
    require_tool("arm-none-eabi-gcc")
    for name, content in files(models()).items():
        (tmp_path / name).write_bytes(content)
    flags = ("-mcpu=cortex-m55", "-mthumb", "-mbig-endian", "-mfloat-abi=hard", "-std=c99", "-fsyntax-only")
    for source in (p for p in sorted(tmp_path.glob("*.c")) if p.name != "main.c"):
        done = run(("arm-none-eabi-gcc", *flags, source.name), tmp_path, 60.0)
        refused = plain(source.stem).endswith(("_dsp", "_mve"))
        assert ("with --board native for this one" in done.stderr) == refused, f"{source.name}: {done.stderr}"
