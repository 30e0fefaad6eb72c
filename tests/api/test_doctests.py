"""What docstrings show, and what the documents do, happens."""

from __future__ import annotations

import doctest
import importlib
import re
import shutil
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygen
from tests.api import reference
from tests.api.support import DIGITS, ROOT

MODULES = sorted(
    ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for p in (ROOT / "tinygen").rglob("*.py")
    if ">>> " in p.read_text(encoding="utf-8")
)
DOCUMENTS = sorted(
    p.relative_to(ROOT)
    for p in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    if "```python" in p.read_text(encoding="utf-8")
)


def test_there_are_some() -> None:
    assert {"tinygen", "tinygen.api.model", "tinygen.api.quantised"} <= set(MODULES)
    assert {Path("README.md"), Path("docs/API.md")} <= set(DOCUMENTS)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    module = importlib.import_module(name)
    found = doctest.testmod(module, extraglobs={"tinygen": tinygen, "np": np, **vars(module)})
    assert found.attempted
    assert not found.failed, f"{found.failed} of {found.attempted} examples fail: python -m doctest shows them"


def snippets(text: str) -> list[str]:
    """Python blocks, those in lists too."""
    return [textwrap.dedent(code) for _, code in re.findall(r"^( *)```python\n(.*?)^\1```", text, re.S | re.M)]


#: Walk-throughs show pieces of files that are there: what else stands in them is known.
PIECES = {
    "docs/ADDING_A_PASS.md": "tinygen.passes.fuse_pad",
    "docs/KERNELS.md": "tinygen.kernels.armv7em",
    "docs/ADDING_A_TECHNIQUE.md": "tinygen.compress.forms.cluster",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the documents speak of: model.onnx, calib.npz, train.npz, test.npz, those of an example."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for source, name in (
        ("digits.onnx", "model.onnx"), ("digits_calib.npz", "calib.npz"), ("digits_calib.npz", "train.npz"),
        ("digits_test.npz", "test.npz"),
    ):  # fmt: skip
        shutil.copy(DIGITS / source, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_documents(document: Path, require_tool: Any) -> None:
    """Every snippet, one after the other, in one namespace, as a reader would type them."""
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    pytest.importorskip("torch")
    piece = PIECES.get(document.as_posix())
    known = {} if piece is None else dict(vars(importlib.import_module(piece)))
    found = snippets((ROOT / document).read_text(encoding="utf-8"))
    assert found
    for i, code in enumerate(found, 1):
        exec(compile(code, f"{document}, snippet {i}", "exec"), known)


def test_the_reference_is_what_docstrings_say() -> None:
    text = (ROOT / "docs" / "API_REFERENCE.md").read_text(encoding="utf-8")
    assert text == reference.reference(), "run: python -m tests.api.reference > docs/API_REFERENCE.md"
    named = [name for names in reference.CHAPTERS.values() for name in names]
    assert sorted([*named, "__version__"]) == sorted(tinygen.__all__)
