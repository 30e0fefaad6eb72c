"""What a shell completes: boards and files of the right kind. Quick, so nothing here needs what a command runs on.

click speaks with the shells (`_TINYGEN_COMPLETE=bash_source tinygen` prints what to put into ~/.bashrc); here stand the
types of arguments that know what to offer, and two things that click's own bash completion gets wrong.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import click
from click.shell_completion import BashComplete, CompletionItem

from tinygen.targets.board import board_ids


class Board(click.types.StringParamType):
    """The id of a board; whether there is one is for `load_board` to say."""

    name = "board"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        return [CompletionItem(board) for board in board_ids() if board.startswith(incomplete)]


class Files(click.Path):
    """A path that usually ends in one of `suffixes`, or is a folder on the way to such a file."""

    def __init__(self, *suffixes: str) -> None:
        super().__init__(path_type=Path)
        self.suffixes = suffixes

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        found = self._matching(incomplete)
        while len(found) == 1 and found[0].endswith("/"):  # or the shell would put a space behind a folder
            inside = self._matching(found[0])
            if not inside:
                break
            found = inside
        # Where nothing fits, the shell offers what there is.
        return [CompletionItem(name) for name in found] or [CompletionItem(incomplete, type="file")]

    def _matching(self, incomplete: str) -> list[str]:
        """Files of our kind and all folders, with a slash, that begin so."""
        folder, begin = os.path.split(incomplete)
        lead = incomplete.removesuffix(begin)
        try:
            entries = sorted(os.scandir(os.path.expanduser(folder) or "."), key=lambda e: e.name)
        except OSError:
            return []
        shown = [e for e in entries if e.name.startswith(begin) and (begin or not e.name.startswith("."))]
        return [
            f"{lead}{e.name}/" if e.is_dir() else f"{lead}{e.name}"
            for e in shown
            if e.is_dir() or e.name.endswith(self.suffixes)
        ]


class Folder(click.Path):
    """A folder; whether it is one is for the command to say."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        return [CompletionItem(incomplete, type="dir")]


BOARD = Board()
MODEL = Files(".onnx")
DATA = Files(".npz", ".npy")
RECIPE = Files(".toml")
FOLDER = Folder()


class Bash(BashComplete):
    """click's, with two faults mended: bash hands over `--board=nuc` as three words, and takes a name with a space in
    it for several unless it is quoted."""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        return [a for a in args if a != "="], incomplete

    def format_completion(self, item: CompletionItem[str]) -> str:
        # Twice, for `read` in the script takes one backslash away.
        value = re.sub(r"([^\w@%+=:,./~-])", r"\\\\\1", item.value) if item.type == "plain" else item.value
        return f"{item.type},{value}"
