"""Who may import whom: the table of docs/ARCHITECTURE.md, held against every file under tinygen/."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A module may import its own package, the rows above, and what stands to its left in its row.
ROWS = (
    (
        "version",
        "errors",
        "system",
        "stop",
        "files",
        "progress",
        "threads",
        "names",
        "units",
        "resources",
        "numerics",
        "ir",
        "ops",
    ),
    ("frontend", "calibrate"),
    ("simulate", "passes", "targets", "kernels", "plan"),
    ("compress",),
    ("emit",),
    ("build", "profile", "flow", "fit", "project"),
    ("report",),
    ("api",),
    ("cli",),
)

# Besides the standard library and numpy: who may use what.
EXTERNAL = {
    "onnx": ("frontend", "calibrate"),
    "onnxruntime": ("frontend", "calibrate"),
    "google": ("frontend", "calibrate"),  # protobuf, for the errors that onnx lets through
    "onnxslim": ("frontend",),
    "onnxoptimizer": ("frontend",),
    "torch": ("compress", "api"),
    "jinja2": ("emit",),
    "elftools": ("build",),
    "subprocess": ("system", "build"),  # system: Windows ends a process's children by a program
    "rich": ("report", "cli"),
    "click": ("cli",),
    "serial": ("profile",),
    "optuna": ("fit",),
    "sqlalchemy": ("fit",),  # Optuna's own, for the errors that it lets through
}
OPTIONAL = ("torch", "optuna", "sqlalchemy")  # an extra: imported inside the function that uses it
# Training needs torch throughout; its package, its settings and its Technique can be imported without.
WITH_TORCH = "compress/train/"
WITHOUT_TORCH = tuple(f"compress/train/{name}.py" for name in ("__init__", "settings", "fine_tuning"))
PACKAGE_ROOT = ""  # tinygen/__init__.py: public names, from anywhere
UNIT_OF_FILE = {"__init__.py": PACKAGE_ROOT, "__main__.py": "cli"}


@dataclass(frozen=True)
class Import:
    line: int
    module: str  # dotted and absolute
    in_function: bool
    for_types: bool = False  # below `if TYPE_CHECKING`: never run


def unit_of_module(module: str) -> str:
    """`tinygen.ops.dense` to `ops`."""
    return module.removeprefix("tinygen").removeprefix(".").split(".")[0]


def unit_of_file(path: str) -> str:
    """`ops/dense.py` to `ops`; path is relative to tinygen/, with forward slashes."""
    module = "tinygen." + path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return UNIT_OF_FILE.get(path, unit_of_module(module))


def imports_of(source: str, path: str, modules: frozenset[str]) -> list[Import]:
    """Every import statement and `import_module("...")`. `from a import b` counts as a.b when that is a module."""
    package = ["tinygen", *path.split("/")[:-1]]
    found: list[Import] = []

    def visit(node: ast.AST, in_function: bool, for_types: bool = False) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(node.lineno, alias.name, in_function, for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            base = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                found.append(Import(node.lineno, full if full in modules else base, in_function, for_types))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            literal = node.args[0] if node.args else None
            if name in ("import_module", "__import__") and isinstance(literal, ast.Constant):
                found.append(Import(node.lineno, str(literal.value), in_function))
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        types = for_types or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        for child in ast.iter_child_nodes(node):
            visit(child, inside, types)

    visit(ast.parse(source), False)
    return found


def allowed_units(unit: str) -> frozenset[str]:
    allowed: set[str] = {unit}
    for row in ROWS:
        if unit in row:
            return frozenset(allowed | set(row[: row.index(unit)]))
        allowed.update(row)
    raise KeyError(unit)


def needs_torch(path: str) -> bool:
    """May this file import torch, and what does, at its top?"""
    return path.startswith(WITH_TORCH) and path not in WITHOUT_TORCH


def complaint(unit: str, found: Import, path: str) -> str | None:
    """What is wrong with this import in the file at `path`, of `unit`, or None."""
    top = found.module.split(".")[0]
    if found.for_types and top != "tinygen":
        return None
    if not found.in_function and not needs_torch(path):
        inner = found.module.removeprefix("tinygen.").replace(".", "/") + ".py"
        if top == "torch" or needs_torch(inner):
            return "torch is optional: import it, and what needs it, inside the function that uses it"
    if top == "tinygen":
        target = unit_of_module(found.module)
        if target == PACKAGE_ROOT and unit == "cli":  # a user of the public names, as anybody is
            return None
        if target == PACKAGE_ROOT:
            return "import from the module itself, not from the public names of tinygen"
        if not any(target in row for row in ROWS):
            return f"{target} is not in the table (ROWS in this test, docs/ARCHITECTURE.md)"
        if target not in allowed_units(unit):
            return f"{unit} may only use: {', '.join(sorted(allowed_units(unit)))}"
        return None
    if top in EXTERNAL:
        if unit not in EXTERNAL[top]:
            return f"only {' and '.join(EXTERNAL[top])} may use {top}"
        if top in OPTIONAL and top != "torch" and not found.in_function:
            return f"{top} is optional: import it inside the function that uses it"
        return None
    if top != "numpy" and top not in sys.stdlib_module_names:
        return f"{top} is not among the libraries of the table (EXTERNAL in this test)"
    return None


def check(files: dict[str, str]) -> list[str]:
    """All violations in `files` (path below tinygen/ to source), one line each."""
    modules = frozenset("tinygen." + p.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for p in files)
    problems: list[str] = []
    for path, source in sorted(files.items()):
        unit = unit_of_file(path)
        if unit == PACKAGE_ROOT:
            continue
        if not any(unit in row for row in ROWS):
            problems.append(f"tinygen/{path}: {unit} is not in the table (ROWS in this test, docs/ARCHITECTURE.md)")
            continue
        for found in imports_of(source, path, modules):
            wrong = complaint(unit, found, path)
            if wrong:
                problems.append(f"tinygen/{path}:{found.line}: imports {found.module}: {wrong}")
    return list(dict.fromkeys(problems))


def test_every_file_keeps_to_the_table() -> None:
    package = ROOT / "tinygen"
    files = {
        path.relative_to(package).as_posix(): path.read_text(encoding="utf-8")
        for path in package.rglob("*.py")
        if "_data" not in path.parts
    }
    assert files
    problems = check(files)
    assert not problems, "\n" + "\n".join(problems)


# The test above must be able to fail.
STUBS = {"resources.py": "", "emit/__init__.py": "", "plan/memory.py": "", "ops/dense.py": "", "errors.py": ""}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        pytest.param("ir/types.py", "from tinygen.ops import dense", id="to the right in a row"),
        pytest.param("ops/dense.py", "import tinygen.plan.memory", id="row below"),
        pytest.param("passes/fuse.py", "from ..plan import memory", id="relative"),
        pytest.param("passes/fuse.py", "def f():\n    from tinygen.emit import writer", id="inside a function"),
        pytest.param("plan/memory.py", "from tinygen import emit", id="package as a name"),
        pytest.param("plan/memory.py", "from tinygen import __version__", id="public names"),
        pytest.param("ops/conv.py", "import onnx.helper", id="onnx"),
        pytest.param("ops/conv.py", "import importlib\nimportlib.import_module('onnx')", id="import_module"),
        pytest.param("profile/x.py", "import subprocess", id="subprocess"),
        pytest.param("plan/select.py", "from jinja2 import Environment", id="jinja2"),
        pytest.param("report/table.py", "import click", id="click"),
        pytest.param("flow/build.py", "from tinygen.report import build", id="tables in the line"),
        pytest.param("build/host.py", "from rich.console import Console", id="rich"),
        pytest.param("compress/tune.py", "import torch", id="torch at the top"),
        pytest.param("compress/train/settings.py", "import torch", id="torch in the settings"),
        pytest.param("compress/tune.py", "from tinygen.compress.train.loop import x", id="what needs torch"),
        pytest.param("fit/search.py", "import optuna", id="optuna at the top"),
        pytest.param("ops/conv.py", "import scipy", id="unknown library"),
        pytest.param("helpers.py", "", id="unknown module"),
    ],
)
def test_violation_is_found(path: str, source: str) -> None:
    assert len(check({**STUBS, path: source})) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        pytest.param("targets/board.py", "from tinygen.resources import boards", id="resources"),
        pytest.param("targets/board.py", "from tinygen import resources", id="resources as a name"),
        pytest.param("emit/writer.py", "from . import env", id="own package"),
        pytest.param("plan/select.py", "import numpy as np\nfrom tinygen.targets import cores", id="to the left"),
        pytest.param("compress/tune.py", "def f():\n    import torch", id="torch where used"),
        pytest.param("compress/train/loop.py", "import torch", id="training needs torch"),
        pytest.param("compress/tune.py", "from tinygen.compress.train import Training", id="settings of training"),
        pytest.param("cli.py", "import click\nimport rich\nfrom tinygen.build import host", id="last row"),
    ],
)
def test_allowed_import_is_quiet(path: str, source: str) -> None:
    assert check({**STUBS, path: source}) == []
