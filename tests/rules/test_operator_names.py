"""Passes ask operators instead of knowing them (docs/adr/0035): those that follow from the algebra name none."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tinygen.ops import OPERATORS

ROOT = Path(__file__).resolve().parents[2] / "tinygen"
KNOWN = {cls.__name__ for cls in OPERATORS}
#: The files, and the operators that they may name: those that they write, or are about.
ALLOWED: dict[str, set[str]] = {
    "passes/absorb_pins.py": set(),
    "passes/channels.py": set(),
    "passes/fuse_pad.py": {"Pad"},
    "passes/intervals.py": set(),
    "passes/layout.py": {"Reshape", "Transpose", "Unary"},
    "passes/pins.py": {"Unary"},
    "passes/rounding.py": {"Conv"},  # whose title is longer than its kind
    "passes/simplify.py": set(),
    "compress/change.py": set(),
    "compress/network.py": set(),
    "compress/refit/reconstruct.py": set(),
    "compress/repairs/bias.py": set(),
    "compress/structure/channel_groups.py": set(),
    "compress/structure/prune.py": set(),
}


@pytest.mark.parametrize("path", ALLOWED)
def test_what_follows_from_the_algebra_names_no_operator(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & KNOWN
    assert named <= ALLOWED[path], (
        f"tinygen/{path} names {', '.join(sorted(named - ALLOWED[path]))}: "
        "let the operator say it (docs/ADDING_AN_OP.md, the algebra)"
    )
    assert named == ALLOWED[path], f"{path}: the list above allows more than there is"
