"""The table of pre-quantised networks: one line of it, the compiled C against onnxruntime."""

from __future__ import annotations

from pathlib import Path

from benchmarks.quantised import measure
from benchmarks.structures import FORMS, quantised


def test_a_row(tmp_path: Path) -> None:
    row = measure(quantised("leaky", *FORMS[1], 0, tmp_path), "leaky", *FORMS[1], 0)
    assert row.worst <= 1
    assert row.differ <= 0.001 * row.values
    assert row.layer_worst <= 1
    assert row.not_held == 0
