"""SKILL.md and llms.txt name what is there."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from tests.cli.test_readme import commands
from tinygen.cli.app import cli
from tinygen.cli.lazy import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("SKILL.md", "llms.txt")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_document_is_listed() -> None:
    text = (ROOT / "llms.txt").read_text(encoding="utf-8")
    assert [d.name for d in (ROOT / "docs").glob("*.md") if f"docs/{d.name}" not in text] == []


def test_commands_and_options_exist() -> None:
    """They are run in the README; here it is enough that there are such words."""
    text = (ROOT / "SKILL.md").read_text(encoding="utf-8")
    shown = commands(text)
    assert {c[0] for c in shown} >= {"inspect", "build", "eval", "profile", "verify", "compress", "quantize"}
    for command in shown:
        found = cli.get_command(click.Context(cli), command[0])
        assert found is not None
        known = {flag for p in found.params for flag in p.opts}
        assert [w for w in command[1:] if w.startswith("-") and w not in known] == [], command
    assert set(re.findall(r"`tinygen (\w+)", text)) <= set(COMMANDS)
