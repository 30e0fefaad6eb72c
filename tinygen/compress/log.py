"""What a technique did to each layer: rows for the report. Every technique takes `log`, a list that it appends to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LayerChange:
    """One layer under one technique.

    `before` and `after` count what the technique saves: weights that are stored (sparsify, factorise), their bytes
    (bits), different values a weight may take (cluster). Equal numbers: the layer was left alone, and `text` says why.
    `error` is the power of the change of the layer's output, relative to the power of that output around its mean.
    """

    layer: str
    technique: str
    text: str
    before: int
    after: int
    error: float = 0.0
