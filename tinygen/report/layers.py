"""Where accuracy goes: the noise of every layer's output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygen.flow.verdict import LayerAccuracy
from tinygen.report.table import Table, columns
from tinygen.report.words import nodes


def tables(layers: Iterable[LayerAccuracy]) -> tuple[Table, ...]:
    """A row for each layer."""
    heads = columns("layer", "ONNX", "SQNR dB", right=["SQNR dB"])
    rows = ((a.title, nodes(a.origin), f"{a.sqnr_db:.1f}") for a in layers)
    return (Table("Signal to quantisation noise of every layer's output, against float", heads, tuple(rows)),)


def rows(layers: Iterable[LayerAccuracy]) -> list[dict[str, Any]]:
    """A part of other documents."""
    return [
        {"tensor": a.tensor, "operator": a.title, "onnx": list(a.origin), "sqnr_db": round(a.sqnr_db, 2)}
        for a in layers
    ]
