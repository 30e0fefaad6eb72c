"""What is one architecture's stands in its folder, and nobody else knows its name or its tools'."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinygen.targets.arch.base import Core
from tinygen.targets.cores import CORES, get_core

ROOT = Path(__file__).resolve().parents[2] / "tinygen"
#: Modules of targets/arch/ for everybody; `host` is this computer, where the counter is compiled and models run too.
COMMON = ("base", "timing", "host")
OWN = re.compile(r"arm-none-eabi|qemu-system-|\bcortex-m|\barm_m\b|\.ARM\.")


def complaints(path: str, source: str) -> list[str]:
    """What a file (its path below tinygen/) knows of an architecture that it should ask for."""
    if path.startswith("targets/arch/"):
        return []
    tree = ast.parse(source)
    found = []
    for line, module in imported(tree):
        arch = re.match(r"tinygen\.targets\.arch\.(\w+)", module)
        if arch and arch[1] not in COMMON and path != "targets/cores.py":
            found.append(f"tinygen/{path}:{line}: only targets/cores.py imports {module}")
    # Strings that stand for themselves are docstrings: of modules, classes, functions, and below variables.
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    words = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    for node in words:
        if id(node) not in prose and OWN.search(str(node.value)):
            found.append(f"tinygen/{path}:{node.lineno}: {node.value!r} belongs in targets/arch/")
    return found


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def test_every_file_asks() -> None:
    files = {p.relative_to(ROOT).as_posix(): p.read_text(encoding="utf-8") for p in ROOT.rglob("*.py")}
    problems = [problem for path, source in sorted(files.items()) for problem in complaints(path, source)]
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize(
    "source",
    [
        "from tinygen.targets.arch.arm_m import CORES",
        "from tinygen.targets.arch import riscv",
        "import tinygen.targets.arch.arm_m.thumb",
        "if core.name.startswith('cortex-m'): pass",
        "run(f'qemu-system-arm {elf}')",
    ],
)
def test_what_does_not_ask_is_found(source: str) -> None:
    assert len(complaints("build/run.py", source)) == 1
    assert complaints("targets/arch/arm_m/cores.py", source) == []


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.name)
def test_a_core_says_what_it_must(core: Core) -> None:
    """What types cannot: names that are the folder's, files that are there, a reason where there is no timing."""
    arch = core.arch
    assert arch.folder == ROOT / "targets" / "arch" / arch.name
    assert arch.title
    assert {name for name in (arch.start_up, arch.linker_script) if name} <= {p.name for p in arch.platform.iterdir()}
    assert (arch.linker_script is None) == (core.machine is None) == (not arch.sections)
    assert set(arch.sections.values()) <= {"code", "rodata", "data", "ram"}
    assert (core.timing is None) == bool(core.no_timing) or core.machine is None
    assert not core.costs_of or not get_core(core.costs_of).costs_of
