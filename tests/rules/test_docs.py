"""Generated documents and tables are what their command gives today."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tinygen.cli.app import cli
from tinygen.targets.arch.base import Core
from tinygen.targets.cores import CORES
from tinygen.targets.kernel_sizes import sizes_file

ROOT = Path(__file__).resolve().parents[2]


def test_supported_ops() -> None:
    result = CliRunner().invoke(cli, ["ops", "--markdown"])
    assert result.exit_code == 0
    text = (ROOT / "docs" / "SUPPORTED_OPS.md").read_text(encoding="utf-8")
    assert text == result.output, "run: python -m tinygen ops --markdown > docs/SUPPORTED_OPS.md"


@pytest.mark.parametrize("core", [c for c in CORES if c.machine is not None], ids=lambda c: c.name)
def test_every_kernel_has_a_size(core: Core) -> None:
    """`tinygen inspect` looks sizes up; the values are whatever the compiler gave when they were measured."""
    table = json.loads(sizes_file(core.arch).read_text(encoding="utf-8"))
    kernels = {p.stem for s in core.kernel_sets for p in (ROOT / "templates_c" / "kernels" / s).glob("*.c")}
    assert set(table[core.name]) == kernels, "run: python -m benchmarks.kernel_sizes"
