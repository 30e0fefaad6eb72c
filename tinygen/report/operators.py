"""The ONNX operators tinygen takes."""

from __future__ import annotations

from collections.abc import Iterable

from tinygen.frontend.registry import SupportedOp
from tinygen.report.table import Table, columns


def tables(operators: Iterable[SupportedOp]) -> tuple[Table, ...]:
    """By name, with their limits."""
    rows = tuple((op.onnx_name, "; ".join(op.notes)) for op in operators)
    return (Table("", columns("ONNX operator", "limits", whole=["ONNX operator"]), rows),)
