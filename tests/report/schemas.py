"""The JSON Schemas of docs/schemas, and documents held against them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"


@cache
def schemas() -> dict[str, Any]:
    """Every schema, by its file's name without the ending."""
    return {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in sorted(SCHEMAS.glob("*.json"))}


@cache
def _registry() -> Registry[Any]:
    return Registry().with_resources(
        (f"{name}.json", Resource.from_contents(schema)) for name, schema in schemas().items()
    )


def read(text: str) -> Any:
    """One JSON value; Python's own NaN and Infinity, which other readers refuse, are none."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def problems(what: str, document: Any) -> list[str]:
    """Where and how a document breaks the schema `what`."""
    assert what in schemas(), f"docs/schemas/{what}.json is missing: each document has a schema, see docs/SCHEMAS.md"
    found = Draft202012Validator(schemas()[what], registry=_registry()).iter_errors(document)
    return [f"{what}.json: {e.json_path}: {e.message[:300]}" for e in found]


def valid(what: str, document: Any) -> Any:
    """The document, which must be as the schema `what` says, its number first."""
    wrong = problems(what, document)
    assert not wrong, "\n".join(wrong)
    assert next(iter(document)) == ("format" if what == "plan" else "schema")
    return document


def kind_of(command: str, document: Any) -> str:
    """The schema of what `tinygen COMMAND --json` printed."""
    if set(document) == {"schema", "error"}:
        return "error"
    if command == "eval":
        return "eval-folder" if "folder" in document else "eval-model"
    if command == "build" and "targets" in document:
        return "build-project"
    return command
