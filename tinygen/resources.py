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


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file by its path in `folder`; what Python leaves beside its modules is none."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _find(name: str) -> Path:
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
