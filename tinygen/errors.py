"""The errors a user can meet: what went wrong, where, what was found, what is allowed, what to do.

Every error that tinygen raises on purpose is a `TinygenError`; the command line prints its text and exits with
`exit_code`, without a traceback. Anything else that escapes is a bug in tinygen (70, sysexits' EX_SOFTWARE). A command
line that makes no sense ends with 64 (EX_USAGE). README has the table.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

#: A command line that makes no sense, and a fault in tinygen itself (sysexits).
EXIT_USAGE, EXIT_FAULT = 64, 70


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """ " Did you mean a or b?" for the names closest to a misspelt word; nothing when none is close."""
    known = dict.fromkeys(names)
    same = [n for n in known if n.lower() == word.lower()]
    close = same or difflib.get_close_matches(word[:100], known, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(close)}?" if close else ""


class TinygenError(Exception):
    """Base of all errors with a message meant for the user. `report`: what was found out before, for --json."""

    exit_code = 1

    def __init__(self, message: str, report: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.report = dict(report or {})

    @property
    def kind(self) -> str:
        """One word for programs: "model", "data", "target"..."""
        words = re.findall("[A-Z][a-z]+", type(self).__name__.removesuffix("Error"))
        return "_".join(words).lower()


class ModelError(TinygenError):
    """The ONNX model cannot be read, is broken, or holds something tinygen does not support."""

    exit_code = 2


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}..."


class Problem(NamedTuple):
    """One reason why a model cannot be built. `where`: a node's name, or 'input "x"', or "the file"; `operator`: of a
    node, or what else is at fault; `what` is not supported; `help`: what would help."""

    where: str
    operator: str
    what: str
    help: str


class UnsupportedError(ModelError):
    """Everything that keeps tinygen from building a model, in one table under a heading. The text fits one screen:
    problems that differ in the node alone share a row, and of many rows the rest is counted. `problems` has all."""

    COLUMNS = ("where", "operator", "what is not supported", "what would help")
    SCREEN = (24, 80)  # lines and columns
    _NAMED = 3  # nodes named in one row
    _LONGEST = 160  # of a cell: names in a file can have any length

    def __init__(self, heading: str, problems: Sequence[Problem]) -> None:
        self.heading = heading
        self.problems = tuple(Problem(*(" ".join(cell.split()) or "-" for cell in p)) for p in problems)
        groups: dict[tuple[str, ...], list[str]] = {}
        for where, *rest in self.problems:
            groups.setdefault(tuple(rest), []).append(where)
        every = [
            Problem(
                *(c if len(c) <= self._LONGEST else f"{c[: self._LONGEST]}..." for c in (self._names(names), *rest))
            )
            for rest, names in groups.items()
        ]
        for shown in range(min(len(every), self.SCREEN[0]), 0, -1):
            self.rows, self.left_out = every[:shown], every[shown:]
            lines = self._lines()
            if sum(max(1, -(-len(line) // self.SCREEN[1])) for line in lines) <= self.SCREEN[0]:
                break
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy: exceptions are made again from their text otherwise."""
        return UnsupportedError, (self.heading, self.problems), {"report": self.report}

    def _lines(self) -> list[str]:
        table = [self.COLUMNS, *self.rows]
        widths = [max(len(row[i]) for row in table) for i in range(3)]
        lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]) for row in table]
        lines.insert(1, "  ".join("-" * w for w in (*widths, len(self.COLUMNS[3]))))
        return [self.heading, "", *lines, *([self.more] if self.more else [])]

    @property
    def more(self) -> str:
        """What is said of the rows that are not shown; nothing when all are."""
        kinds = dict.fromkeys(p.operator for p in self.left_out)
        return f"... and {len(self.left_out)} more ({self._names(kinds)}); `problems` has all." if kinds else ""

    def _names(self, names: Iterable[str]) -> str:
        names = [_cut(n, 50) for n in dict.fromkeys(names)]
        rest = len(names) - self._NAMED
        return ", ".join(names[: self._NAMED]) + (f" and {rest} more" if rest > 0 else "")


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


class ProjectError(TinygenError):
    """A project file or its lock makes no sense: a key, a value, a file that is not there."""

    exit_code = 8


class TrainingError(TinygenError):
    """Fine-tuning went astray (a loss that is no number), or its checkpoint belongs to another run."""

    exit_code = 9


class MissingToolError(ToolError):
    """A tool that is simply not installed: what does not need it goes on."""


class VerifyError(TinygenError):
    """The C and the numpy reference disagree: never the user's fault, always worth a report."""

    exit_code = 7


class AccuracyError(TinygenError):
    """In integers the network is worth too little: it is destroyed, or misses what the user demands."""

    exit_code = 10


class CheckError(TinygenError):
    """A check of a project failed: a limit, a figure that is worse than recorded, or nothing is recorded."""

    exit_code = 11
