"""The errors a user can meet: what went wrong, where, what was found, what is allowed, what to do.

Every error that tinygen raises on purpose is a `TinygenError`; the command line prints its text and exits with
`exit_code`, without a traceback. Anything else that escapes is a bug in tinygen (exit code 70). A command line that
makes no sense ends with 2, as click has it.
"""

from __future__ import annotations

from collections.abc import Sequence


class TinygenError(Exception):
    """Base of all errors with a message meant for the user."""

    exit_code = 1


class ModelError(TinygenError):
    """The ONNX model cannot be read, is broken, or holds something tinygen does not support."""

    exit_code = 2


class UnsupportedError(ModelError):
    """Nodes that tinygen cannot build, all of them: a heading and a row (node, operator, what, help) for each."""

    COLUMNS = ("node", "operator", "what is not supported", "what would help")

    def __init__(self, heading: str, rows: Sequence[tuple[str, str, str, str]]) -> None:
        self.heading = heading
        self.rows = tuple(tuple(" ".join(cell.split()) for cell in row) for row in rows)
        table = [self.COLUMNS, *self.rows]
        widths = [max(len(row[i]) for row in table) for i in range(3)]
        lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]) for row in table]
        lines.insert(1, "  ".join("-" * w for w in (*widths, len(self.COLUMNS[3]))))
        super().__init__("\n".join([heading, "", *lines]))


class DataError(TinygenError):
    """Calibration or evaluation data is missing, has the wrong shape or holds values that are not numbers."""

    exit_code = 3


class TargetError(TinygenError):
    """The board is unknown, or the model does not fit it."""

    exit_code = 4


class ToolError(TinygenError):
    """An external tool (compiler, emulator, PlatformIO) is missing or failed."""

    exit_code = 5


class OutputError(TinygenError):
    """The output folder cannot be written, or holds files that are not ours."""

    exit_code = 6


class RecipeError(TinygenError):
    """What was asked of compression makes no sense: a recipe, a budget, a network that cannot be compressed so."""

    exit_code = 8


class TrainingError(TinygenError):
    """Fine-tuning went astray (a loss that is no number), or its checkpoint belongs to another run."""

    exit_code = 9


class MissingToolError(ToolError):
    """A tool that is simply not installed: what does not need it goes on."""


class VerifyError(TinygenError):
    """The C and the numpy reference disagree: never the user's fault, always worth a report."""

    exit_code = 7
