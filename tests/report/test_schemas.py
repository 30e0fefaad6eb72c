"""docs/schemas and docs/SCHEMAS.md: whole, strict, and of the numbers that the code writes. Documents are held against
them where they are made: `tests.cli.support.Said.json`, and `valid` elsewhere."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.report.schemas import SCHEMAS, problems, read, schemas, valid
from tinygen.emit import summary
from tinygen.flow import certificate
from tinygen.report import (
    boards,
    build,
    check,
    compression,
    diff,
    estimate,
    evaluation,
    failures,
    folder,
    golden,
    profile,
    project,
    quantisation,
    quantised,
    search,
)
from tinygen.targets.board import all_boards

#: The number that the writer of each document gives it.
NUMBERS = {
    "boards": boards.SCHEMA, "build": build.SCHEMA, "build-project": project.SCHEMA, "check": check.SCHEMA,
    "diff": diff.SCHEMA, "compress": compression.SCHEMA, "error": failures.SCHEMA,
    "eval-folder": folder.SCHEMA, "eval-model": evaluation.SCHEMA, "fit": search.SCHEMA, "inspect": estimate.SCHEMA,
    "profile": profile.SCHEMA, "quantize": quantisation.SCHEMA, "quantised": quantised.SCHEMA, "verify": golden.SCHEMA,
    "certificate": certificate.SCHEMA, "plan": summary.FORMAT,
}  # fmt: skip


def objects(schema: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of an object, with the way to it."""
    if isinstance(schema, dict):
        if schema.get("type") == "object" or ("properties" in schema and "$defs" not in schema):
            yield path, schema
        for key, value in schema.items():
            yield from objects(value, f"{path}/{key}")
    elif isinstance(schema, list):
        for i, value in enumerate(schema):
            yield from objects(value, f"{path}/{i}")


@pytest.mark.parametrize("name", sorted(schemas()))
def test_schemas_are_strict(name: str) -> None:
    """A figure that no schema knows is an error: nothing is added without a word about what it means."""
    schema = schemas()[name]
    Draft202012Validator.check_schema(schema)
    found = list(objects(schema, name))
    assert found
    for path, part in found:
        assert "additionalProperties" in part, path
        assert part["additionalProperties"] is not True, path
        assert set(part.get("required", ())) <= set(part.get("properties", ())), path


def test_every_document_has_its_number() -> None:
    assert set(NUMBERS) == set(schemas()) - {"common"}
    for name, number in NUMBERS.items():
        key = "format" if name == "plan" else "schema"
        assert schemas()[name]["properties"][key]["const"] == number, name
        assert key in schemas()[name]["required"], name


def test_the_page_names_every_schema() -> None:
    page = (SCHEMAS.parent / "SCHEMAS.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(schemas/([\w-]+)\.json\)", page)) == set(schemas())


def test_what_is_not_in_a_schema_is_found() -> None:
    document = boards.as_dict(all_boards())
    assert valid("boards", document) is document
    for change in ("new figure", "missing", "another type", "another number"):
        wrong: dict[str, Any] = copy.deepcopy(document)
        row = wrong["boards"][3]
        if change == "new figure":
            row["price"] = 12
        elif change == "missing":
            del row["flash"]
        elif change == "another type":
            row["flash"] = "512 KiB"
        else:
            wrong["schema"] = 2
        assert len(problems("boards", wrong)) == 1, change
    with pytest.raises(AssertionError, match="Infinity is not JSON"):
        read('{"x": Infinity}')
