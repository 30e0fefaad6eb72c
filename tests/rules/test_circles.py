"""No module needs one that needs it: not at its top, and not inside a function either."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import pytest

from tests.rules.test_imports import ROOT, imports_of


def circle(files: dict[str, str]) -> list[str]:
    """Modules of the first circle that is found, or nothing. `files`: path below tinygen/ to source."""
    names = {path: "tinygen." + path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in files}
    modules = frozenset(names.values())
    needs = {
        names[path]: {i.module for i in imports_of(source, path, modules)} & modules - {names[path]}
        for path, source in files.items()
    }
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as e:
        return list(e.args[1])
    return []


def test_modules_go_in_no_circles() -> None:
    package = ROOT / "tinygen"
    files = {
        path.relative_to(package).as_posix(): path.read_text(encoding="utf-8")
        for path in package.rglob("*.py")
        if "_data" not in path.parts and path != package / "__init__.py"  # whose public names are found when asked for
    }
    assert len(files) > 100
    assert circle(files) == []


@pytest.mark.parametrize("late", ["def f():\n    ", ""])
def test_a_circle_is_found(late: str) -> None:
    files = {
        "ops/a.py": "from tinygen.ops import b",
        "ops/b.py": f"{late}from tinygen.ops.c import x",
        "ops/c.py": "import tinygen.ops.a",
    }
    assert {"tinygen.ops.a", "tinygen.ops.b", "tinygen.ops.c"} == set(circle(files))
    assert circle(files | {"ops/c.py": ""}) == []
