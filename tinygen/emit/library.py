"""The model library: every file of OUT/lib/<model>/src/, as bytes."""

from __future__ import annotations

import re

from tinygen.emit.env import render
from tinygen.emit.resources import templates_dir
from tinygen.emit.view import LibraryView
from tinygen.ops.base import Generated

_INCLUDE = re.compile(r'#include "(tg_\w+\.h)"')


def kernel_files(kernels: tuple[str, ...], generated: tuple[Generated, ...] = ()) -> dict[str, bytes]:
    """Sources and headers of the named kernels, of those made for the network, and of all they include, by file
    name."""
    folders = [templates_dir() / "kernels" / name for name in ("core", "ref", "dsp", "m0", "m3", "mve")]
    paths = {
        p.name: p for folder in folders if folder.is_dir() for p in sorted(folder.iterdir()) if p.suffix in (".c", ".h")
    }
    wanted = ["tg_platform.h", *(f"{k}{end}" for k in kernels for end in (".h", ".c"))]
    found: dict[str, bytes] = {}
    made = {
        f"{g.name}{end}": render(f"kernels/{g.template}{end}.j2", k=g.view).encode()
        for g in generated
        for end in (".h", ".c")
    }
    wanted += made
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found[name] = made[name] if name in made else paths[name].read_bytes()
        included = _INCLUDE.findall(found[name].decode())
        wanted += included
        # A source calls what it includes, so that comes along; a header only needs the types.
        if name.endswith(".c"):
            wanted += [source for h in included if (source := h.removesuffix(".h") + ".c") in paths]
    return dict(sorted(found.items()))


def render_library(view: LibraryView) -> dict[str, bytes]:
    """All files of the library, by name."""
    texts = {
        f"{view.name}.h": "model/model.h.j2",
        f"{view.name}.c": "model/model.c.j2",
        f"{view.name}_io.c": "model/io.c.j2",
        f"{view.name}_weights.h": "model/weights.h.j2",
        f"{view.name}_weights.c": "model/weights.c.j2",
    }
    files = {name: render(template, m=view).encode() for name, template in texts.items()}
    return dict(sorted({**files, **kernel_files(view.kernels, view.generated)}.items()))
