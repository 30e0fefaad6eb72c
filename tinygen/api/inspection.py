"""What a model is made of and would cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinygen.api.result import Result, words
from tinygen.flow import types
from tinygen.flow.estimate import Estimate, Fit, LayerCost
from tinygen.plan.predict import Prediction
from tinygen.report import estimate as report
from tinygen.report.table import Table


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Inspection(Result):
    """A model's operators, and predictions: `boards` for each board, `detail` layer by layer for the one asked for,
    None without one."""

    _model: types.Quantised
    _estimate: Estimate

    @property
    def macs(self) -> int:
        """Multiply-accumulates of an inference."""
        return self._estimate.macs

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self._estimate.parameters

    @property
    def layers(self) -> tuple[LayerCost, ...]:
        """Operators with their ONNX nodes, output shapes, MACs and parameters."""
        return self._estimate.layers

    @property
    def boards(self) -> tuple[Fit, ...]:
        """Predicted flash, RAM and time for each board, or the one asked for."""
        asked = self._estimate.board
        return tuple(f for f in self._estimate.fits if asked is None or f.board == asked.id)

    @property
    def detail(self) -> Prediction | None:
        """Cycles of every layer on the board asked for."""
        return self._estimate.detail

    @property
    def notes(self) -> tuple[str, ...]:
        return self._model.notes

    def tables(self) -> tuple[Table, ...]:
        return report.tables(self._model, self._estimate)

    def to_dict(self) -> dict[str, Any]:
        return report.as_dict(self._model, self._estimate)

    def __repr__(self) -> str:
        name = self._model.imported.graph.name
        return words("Inspection", f"{name}: {self.macs:,} MACs, {self.parameters:,} parameters")
