"""The plug-in's C: no warning of either compiler, formatted as the kernels are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tinygen.build.process import run

ROOT = Path(__file__).resolve().parents[2]
COUNTER = ROOT / "templates_c" / "profile" / "counter.c"
STRICT = ("-std=c99", "-O2", "-fPIC", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_no_warnings(compiler: str, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    require_tool(compiler)
    done = run((compiler, *STRICT, "-c", str(COUNTER), "-o", "counter.o"), tmp_path, 60.0)
    assert done.exit_code == 0, done.stderr
