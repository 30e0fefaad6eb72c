"""Where the templates and board manifests are: in the installed package, else in the source checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def templates_dir() -> Path:
    """Folder of the C and project templates (templates_c/)."""
    return _find("templates_c")


def boards_dir() -> Path:
    """Folder of the board manifests; `platform` in it is our PlatformIO platform."""
    return _find("boards")


def _find(name: str) -> Path:
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
