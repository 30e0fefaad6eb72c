"""Generated documents and tables are what their command gives today; numbers in prose are those of the code."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from tinygen import report
from tinygen.cli.app import cli
from tinygen.emit import summary
from tinygen.flow import certificate
from tinygen.kernels.library import PRINTED
from tinygen.project import lock
from tinygen.targets.arch.base import Core
from tinygen.targets.cores import CORES
from tinygen.targets.kernel_sizes import sizes_file
from tinygen.version import ABI, NUMERICS, VERSION

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
    kernels |= {name for name in PRINTED if name.endswith(tuple(f"_{s}" for s in core.kernel_sets))}
    assert set(table[core.name]) == kernels, "run: python -m benchmarks.kernel_sizes"


def test_versions_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "VERSIONS.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([\d.]+) \|", text, re.M))
    documents = {
        found.SCHEMA
        for path in Path(*report.__path__).glob("*.py")
        if hasattr(found := import_module(f"tinygen.report.{path.stem}"), "SCHEMA")
    }
    assert rows == {
        "tinygen": VERSION,
        "`NUMERICS`": str(NUMERICS),
        "`ABI`": str(ABI),
        "`format` of plan.json": str(summary.FORMAT),
        "`schema` of certificate.json": str(certificate.SCHEMA),
        "`format` of tinygen.lock": str(lock.FORMAT),
        "`schema` of each `--json` document": ", ".join(map(str, sorted(documents))),
    }
    assert f"#if KWS_ABI != {ABI}\n" in text
    numerics = (ROOT / "docs" / "NUMERICS.md").read_text(encoding="utf-8")
    assert numerics.startswith(f"# Numerics, version {NUMERICS}\n")
