"""Results of the API as text, HTML, Markdown and a document: the same figures, and documents as docs/schemas say."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tinygen
from tests.report.schemas import valid

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
CALIBRATION, TEST = DIGITS / "digits_calib.npz", DIGITS / "digits_test.npz"


@pytest.fixture(scope="module")
def model() -> tinygen.Model:
    return tinygen.load(DIGITS / "digits.onnx")


@pytest.fixture(scope="module")
def quantised(model: tinygen.Model) -> tinygen.Quantised:
    return model.quantize(CALIBRATION)


def said(result: Any, schema: str) -> dict[str, Any]:
    """The result's document, after all its forms were compared."""
    tables = result.tables()
    assert tables
    shown, page, marked = str(result), result._repr_html_(), result.to_markdown()
    for table in tables:
        assert table.rows
        for row in table.rows:
            for cell in filter(None, row):
                assert html.escape(cell) in page
                assert cell.split()[0] in shown  # cells are broken at words
                assert cell.split()[0].split("_")[0].strip("*[]`") in marked.replace("\\", "")
    document: dict[str, Any] = json.loads(json.dumps(result.to_dict()))
    return dict(valid(schema, document))


def test_inspection(model: tinygen.Model) -> None:
    document = said(model.inspect("nucleo_f446re"), "inspect")
    assert f"{document['prediction']['cycles']:,}" in str(model.inspect("nucleo_f446re"))


def test_quantised(model: tinygen.Model, quantised: tinygen.Quantised) -> None:
    document = said(quantised, "quantised")
    assert document["accuracy"]["said"] in str(quantised)
    assert document["quantize"] is None
    unknown = said(model.quantize(), "quantised")
    assert unknown["accuracy"] is None
    assert "unknown" in unknown["calibration"]


def test_repaired(model: tinygen.Model) -> None:
    document = said(model.quantize(CALIBRATION, repair=("bias",)), "quantised")
    assert [r["step"] for r in document["quantize"]["repairs"]] == ["bias"]


def test_evaluation(quantised: tinygen.Quantised) -> None:
    found = quantised.evaluate(TEST)
    assert said(found, "eval-model")["samples"] == 360
    assert f"{found.verdict.main.integer:.4f}" in str(found)


def test_build(quantised: tinygen.Quantised, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    built = quantised.build("nucleo_f446re")
    document = said(built, "build")
    for figure in (document["flash"]["total"], document["ram"]["arena"], document["ram"]["stack"]):
        assert f"{figure:,}" in str(built)
    folder = built.save(tmp_path / "out")
    assert said(folder.profile(), "profile")["total"]["cycles"] > 0
    assert said(folder.evaluate(TEST), "eval-folder")["confusion"]["counts"] == "samples"
