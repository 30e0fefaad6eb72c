"""What integers are worth, on samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygen.api.result import Result, words
from tinygen.errors import AccuracyError
from tinygen.files import write_file
from tinygen.flow import evaluate, evaluate_folder
from tinygen.flow.confusion import Confusion
from tinygen.flow.gates import Gates, check_accuracy
from tinygen.flow.verdict import LayerAccuracy, Verdict
from tinygen.report import evaluation, evaluation_page, folder
from tinygen.report import layers as layers_report
from tinygen.report.table import Table


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Evaluation(Result):
    """A network in integers against its float network."""

    _found: evaluate.Evaluation

    @property
    def verdict(self) -> Verdict:
        """`verdict.figures`: each measure of the float network and of the integers, with its statistical error."""
        return self._found.verdict

    @property
    def layers(self) -> tuple[LayerAccuracy, ...]:
        """Signal to noise of every layer, where it was measured."""
        return self._found.layers

    @property
    def notes(self) -> tuple[str, ...]:
        return self._found.notes

    def check(self, gates: Gates) -> list[str]:
        """AccuracyError unless it is what `gates` demand; gives back what it misses only within the statistical
        error."""
        return _check(gates, self._found.name, self)

    def layer_tables(self) -> tuple[Table, ...]:
        """Where accuracy goes."""
        return layers_report.tables(self.layers)

    def tables(self) -> tuple[Table, ...]:
        return evaluation.tables(self._found)

    def to_dict(self) -> dict[str, Any]:
        return evaluation.as_dict(self._found)

    def __repr__(self) -> str:
        return words("Evaluation", f"{self._found.name}: {self.verdict}")


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class FolderEvaluation(Result):
    """The compiled C of a build over a data set, beside the float network where its model was given."""

    _found: evaluate_folder.FolderEvaluation

    @property
    def verdict(self) -> Verdict:
        """Figures of the C, beside those of the float network where its model was given."""
        return self._found.verdict

    @property
    def confusion(self) -> Confusion | None:
        """Of a network that chooses among classes, with labels."""
        return self._found.confusion

    @property
    def notes(self) -> tuple[str, ...]:
        return self._found.notes

    def check(self, gates: Gates) -> list[str]:
        """AccuracyError unless it is what `gates` demand; gives back what it misses only within the statistical
        error."""
        return _check(gates, str(self._found.folder), self)

    def save_page(self, path: str | Path) -> None:
        """Write the HTML page."""
        write_file(Path(path), evaluation_page.render_page(self._found))

    def tables(self) -> tuple[Table, ...]:
        return folder.tables(self._found)

    def to_dict(self) -> dict[str, Any]:
        return folder.as_dict(self._found)

    def __repr__(self) -> str:
        return words("FolderEvaluation", f"{self._found.model} on {self._found.core}: {self.verdict}")


def _check(gates: Gates, what: str, found: Evaluation | FolderEvaluation) -> list[str]:
    failed, warned = check_accuracy(gates, found.verdict)
    if failed:
        lines = [f"{what}, {found.verdict.source}:", *(f"  {f}" for f in failed)]
        raise AccuracyError("\n".join(lines), found.to_dict())
    return warned
