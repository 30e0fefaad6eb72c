"""What an export is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tinygen.emit.programs import ProjectView


@dataclass(frozen=True, slots=True)
class Export:
    """Files for a build system around the library, which lies in `lib/<model>/src/` and stays as it is.

    `name` is the word for it, `description` a line for people. `files` gives every file by its path in the output
    folder: the same bytes for the same view, nothing from the disk but tinygen's own templates, nothing in the library.
    """

    name: str
    description: str
    files: Callable[[ProjectView], Mapping[str, bytes]]
