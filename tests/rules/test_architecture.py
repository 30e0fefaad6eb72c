"""docs/ARCHITECTURE.md says what is there: its tree, its rows of imports, and nothing that is gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.rules.test_imports import ROWS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[tuple[str, str]]:
    """The two cells of each row of the table below a heading."""
    body = TEXT.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = [line.strip("|").split("|", 1) for line in body.splitlines() if line.startswith("|")]
    return [(a.strip(), b.strip()) for a, b in found[2:]]


def test_every_place_of_the_tree_is_there() -> None:
    for places, what in rows("The tree"):
        names = re.findall(r"`([^`]+)`", places)
        folder = ROOT / names[0]
        assert folder.exists(), names[0]
        for other in names[1:]:
            assert (folder.parent / other).exists(), f"{other}, beside {names[0]}"
        if not folder.is_dir():
            continue
        for name in re.findall(r"`((?:[\w*]+/)*[\w*]+\.py)`", what):  # files named in the text, here or by their path
            there = [*folder.glob(f"**/{name}"), *ROOT.glob(f"tinygen/{name}"), *ROOT.glob(name)]
            assert there, f"{names[0]}: {name}"


def test_the_tree_has_every_package() -> None:
    named = {n.rstrip("/") for places, _ in rows("The tree") for n in re.findall(r"`([^`]+)`", places)}
    named |= {f"tinygen/{n}" for n in named}
    parts = [
        p
        for p in (ROOT / "tinygen").iterdir()
        if p.name not in ("__pycache__", "_data") and not p.name.startswith("__")
    ]
    missing = [p.name for p in parts if f"tinygen/{p.name}" not in named and p.name not in ("py.typed", "version.py")]
    small = {"names.py", "progress.py"}  # a word each, said where they are used
    assert set(missing) <= small, missing


def test_the_table_of_imports_is_the_one_that_is_tested() -> None:
    told = [tuple(w.strip() for w in units.split(",")) for units, _ in rows("Who may import whom")]
    assert tuple(told) == ROWS


def test_no_document_names_a_file_that_is_gone() -> None:
    """`tinygen/....py` and `templates_c/...` in the documents; walk-throughs name files that are to be made."""
    gone = []
    for doc in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(d for d in (ROOT / "docs").glob("*.md") if not d.name.startswith("ADDING")),
    ):
        for name in re.findall(
            r"`((?:tinygen|templates_c|tests|benchmarks)/[\w./*-]+)`", doc.read_text(encoding="utf-8")
        ):
            if not any(ROOT.glob(name.rstrip("/"))):
                gone.append(f"{doc.name}: {name}")
    assert gone == []


@pytest.mark.parametrize("page", ["ADDING_AN_OP", "ADDING_A_PASS", "ADDING_A_CORE"])
def test_walk_throughs_name_what_is_there(page: str) -> None:
    """Files and names with an underscore, in those pages whose example is in the tree."""
    folders = ("tinygen", "tests", "benchmarks", "templates_c", "boards", "docs", "changelog.d")
    files = [p.relative_to(ROOT) for f in folders for p in (ROOT / f).rglob("*") if p.suffix]
    code = (ROOT / p for p in files if p.suffix in (".py", ".c", ".h"))
    words = set(re.findall(r"\w+", " ".join(p.read_text(encoding="utf-8") for p in code)))
    text = re.sub(r"```.*?```", "", (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"), flags=re.S)
    gone = []
    for name in dict.fromkeys(re.findall(r"`([^`\n]+)`", text)):
        if re.fullmatch(r"[\w/.*-]+\.(py|json|c|h|md|toml)", name):
            gone += [] if any(p.match(name) for p in files) else [name]
        elif re.fullmatch(r"\w*_\w*", name) and name not in words:
            gone.append(name)
    assert gone == []
