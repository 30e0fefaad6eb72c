"""A model that compression made smaller."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygen.api.result import Result, words
from tinygen.compress.log import LayerChange
from tinygen.compress.recipe import Recipe, to_toml
from tinygen.files import write_file
from tinygen.flow.compress import Figures, Outcome
from tinygen.report import compression
from tinygen.report.table import Table


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Compressed(Result):
    """A compressed network, as an ONNX file with every scale in it, and what that cost and brought."""

    _outcome: Outcome

    @property
    def recipe(self) -> Recipe:
        """All that was done: with it the run can be repeated."""
        return self._outcome.recipe

    @property
    def onnx(self) -> bytes:
        """The file (QDQ): `load(compressed.onnx)` goes on with it."""
        return self._outcome.content

    @property
    def before(self) -> Figures:
        """Quality, size and cost of the network as it was, in int8."""
        return self._outcome.before

    @property
    def after(self) -> Figures:
        """The same of what compression made."""
        return self._outcome.after

    @property
    def changes(self) -> tuple[LayerChange, ...]:
        """What each technique did to each layer."""
        return self._outcome.changes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the ONNX file."""
        write_file(Path(path), self.onnx)

    def save_recipe(self, path: str | os.PathLike[str]) -> None:
        """Write the recipe as TOML, every setting spelt out."""
        write_file(Path(path), to_toml(self.recipe).encode())

    def tables(self) -> tuple[Table, ...]:
        return compression.tables(self._outcome)

    def to_dict(self) -> dict[str, Any]:
        return compression.as_dict(self._outcome)

    def __repr__(self) -> str:
        o = self._outcome
        return words("Compressed", f"{o.name} by {o.recipe.describe()}: {o.measure} {o.after.quality:.4f}")
