"""What every answer can do: be a table on a terminal, in a notebook or a pull request, and a document."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from tinygen.report.table import Table, to_html, to_markdown, to_text


class Result(ABC):
    """An answer. Its figures are attributes; `tables` are what people see of them, `to_dict` what programs do."""

    __slots__ = ()

    @abstractmethod
    def tables(self) -> tuple[Table, ...]:
        """The figures as tables of plain text."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON has them; `schema` is the number of the form, docs/SCHEMAS.md says what stands in it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What one should know of it."""
        return ()

    def to_markdown(self) -> str:
        """The tables as GitHub and GitLab show them."""
        return "\n".join(map(to_markdown, self.tables()))

    def __str__(self) -> str:
        return "\n".join(map(to_text, self.tables()))

    def _repr_html_(self) -> str:
        return "\n".join(map(to_html, self.tables()))


def words(kind: str, *parts: str) -> str:
    """A short repr: <Built kws for nucleo_f446re: flash 40,812 bytes>."""
    return f"<{kind} {' '.join(p for p in parts if p)}>"
