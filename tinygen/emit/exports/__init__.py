"""What a build can bring besides the library: projects for other tools, one file each (docs/ADDING_AN_EXPORT.md).

An export only adds files around the library; the list is explicit, and two exports may give the same file only when
they agree on its bytes.
"""

from __future__ import annotations

from collections.abc import Collection

from tinygen.emit.exports import platformio
from tinygen.emit.exports.base import Export
from tinygen.emit.library import home
from tinygen.emit.programs import ProjectView

EXPORTS: tuple[Export, ...] = (platformio.EXPORT,)


def render_exports(view: ProjectView, taken: Collection[str] = ()) -> dict[str, bytes]:
    """Every file of all exports, by path, sorted. `taken`: paths of the build's own files.

    ValueError, a fault in an export, for a file in the library, one that the build or another export has, and a path
    that leaves the folder.
    """
    files: dict[str, bytes] = {}
    for export in EXPORTS:
        for path, content in export.files(view).items():
            if path.startswith(f"{home(view.model.name)}/") or path in taken:
                raise ValueError(f"the export {export.name} gives {path}, which is the build's own")
            if path.startswith("/") or ".." in path.split("/"):
                raise ValueError(f"the export {export.name} gives {path}, which is not a path in the folder")
            if files.setdefault(path, content) != content:
                raise ValueError(f"the export {export.name} gives another {path} than an export before it")
    return dict(sorted(files.items()))
