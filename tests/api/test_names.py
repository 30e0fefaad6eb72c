"""The public names: all of them, nothing else, and each what it says it is, whatever was imported before."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import tinygen
from tinygen import errors
from tinygen.api.result import Result

ROOT = Path(tinygen.__file__).parents[1]
SOURCE = ast.parse(Path(tinygen.__file__).read_text(encoding="utf-8"))

#: Imports every module of tinygen, then says what each name of the package is.
EVERYTHING = """
import importlib, json, pkgutil, sys, tinygen
for m in pkgutil.walk_packages(tinygen.__path__, "tinygen."):
    if not m.name.endswith("__main__"):
        importlib.import_module(m.name)
print(json.dumps({n: [type(getattr(tinygen, n)).__name__, getattr(getattr(tinygen, n), "__module__", "")]
                  for n in {*dir(tinygen), *tinygen.__all__}}))
"""


def python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_tinygen_loads_nothing_heavy() -> None:
    program = "import sys, tinygen; dir(tinygen); print(*{m.split('.')[0] for m in sys.modules})"
    assert not {"numpy", "onnx", "onnxruntime", "jinja2", "rich"} & set(python(program).split())


def test_names_stay_when_every_module_was_imported() -> None:
    """A module called like a public name would take its place; and a public name is nowhere else than in the list."""
    found = json.loads(python(EVERYTHING))
    public = {n for n, (_, module) in found.items() if module.startswith("tinygen") and not n.startswith("_")}
    modules = {n for n, (kind, _) in found.items() if kind == "module"}
    assert public | {"__version__"} == set(tinygen.__all__)
    assert not modules & set(tinygen.__all__)


def test_every_list_of_them_says_the_same() -> None:
    (typed,) = (node for node in SOURCE.body if isinstance(node, ast.If))
    imports = {(i.module, a.name) for i in typed.body if isinstance(i, ast.ImportFrom) for a in i.names}
    places = {(module, name) for module, names in tinygen._PLACES.items() for name in names}
    assert imports == places
    assert sorted([name for _, name in places] + ["__version__"]) == sorted(tinygen.__all__)


@pytest.mark.parametrize("name", [n for n in tinygen.__all__ if n != "__version__"])
def test_each_is_made_where_it_is_said_to_be(name: str) -> None:
    found = getattr(tinygen, name)
    module: ModuleType = importlib.import_module(tinygen._PLACE_OF[name])
    assert found is getattr(module, name)
    assert found.__module__ == module.__name__
    assert found.__doc__
    assert found.__doc__.strip().endswith((".", "]", ">", "'", ")"))


def test_no_result_and_no_error_is_left_out() -> None:
    for path in (ROOT / "tinygen" / "api").glob("*.py"):
        importlib.import_module(f"tinygen.api.{path.stem}")
    results = {c.__name__ for c in Result.__subclasses__() if c.__module__.startswith("tinygen.")}
    raised = {n for n, c in vars(errors).items() if inspect.isclass(c) and issubclass(c, errors.TinygenError)}
    assert results | raised <= set(tinygen.__all__)


def test_what_there_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'tinygen' has no attribute 'lod'"):
        tinygen.lod  # noqa: B018
