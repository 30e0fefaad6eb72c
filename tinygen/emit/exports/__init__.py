"""What a build can bring besides the library: projects for other tools, one file each (docs/ADDING_AN_EXPORT.md).

An export only adds files around the library; the list is explicit, and two exports may give the same file only when
they agree on its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath

from tinygen.emit.exports import platformio
from tinygen.emit.exports.base import Export
from tinygen.emit.library import home
from tinygen.emit.programs import ProjectView
from tinygen.emit.writer import IGNORED, MANIFEST, NEW

EXPORTS: tuple[Export, ...] = (platformio.EXPORT,)


#: Folders and files as every system can have them.
_PATH = re.compile(r"[\w.+-]+(/[\w.+-]+)*", re.ASCII)


def render_exports(view: ProjectView, taken: Collection[str] = ()) -> dict[str, bytes]:
    """Every file of all exports, by path, sorted. `taken`: paths of the build's own files.

    ValueError, a fault in an export, for a file in the library, one that the build or another export has, and a path
    that leaves the folder or that not every system can have.
    """
    files: dict[str, bytes] = {}
    own = {path.lower() for path in (*taken, MANIFEST)}
    for export in EXPORTS:
        for path, content in export.files(view).items():
            gives = f"the export {export.name} gives {path}, which is"
            if not _PATH.fullmatch(path) or {".", "..", *IGNORED} & set(path.split("/")) or path.endswith(NEW):
                raise ValueError(f"{gives} not a path in the folder")
            if path.lower() in own or f"{path}/".lower().startswith(f"{home(view.model.name)}/".lower()):
                raise ValueError(f"{gives} the build's own")
            if files.setdefault(path, content) != content:
                raise ValueError(f"the export {export.name} gives another {path} than an export before it")
    spelt = {path.lower(): path for path in files}
    for path in files:
        for folder in (path, *map(str, PurePosixPath(path).parents)):
            if (other := spelt.get(folder.lower(), path)) != path or folder.lower() in own:
                raise ValueError(f"exports give {path}, and there is {other} already, which some systems take for it")
    return dict(sorted(files.items()))
