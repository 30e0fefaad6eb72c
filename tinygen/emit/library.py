"""The model library: plain C with one neutral home in the output folder, whatever else is exported around it."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from tinygen.emit.env import render
from tinygen.emit.kernel_sets import folders
from tinygen.emit.stamp import Stamps, included, stamped
from tinygen.emit.view import LibraryView
from tinygen.kernels.library import PRINTED
from tinygen.ops.base import Generated


def home(model: str) -> str:
    """The library's folder in the output folder. PlatformIO, Arduino, CMake and ESP-IDF alike take a library as a
    folder with its sources in src/ and their own manifest beside that."""
    return f"lib/{model}/src"


#: In front of a kernel whose code is to lie in RAM.
RAM_SECTION = """\
#if !defined(TG_KERNEL_SECTION)
#define TG_KERNEL_SECTION ".ramfunc" /* runs from RAM, as this part's flash waits; start-up code copies it there */
#endif
"""


class _Kernels:
    """Every kernel file by its plain name: the library's, and those made for a network; those `in_ram` say so."""

    def __init__(self, generated: tuple[Generated, ...], in_ram: tuple[str, ...] = ()) -> None:
        self._in_ram = {f"{name}.c" for name in in_ram}
        self._paths: dict[str, Path] = {
            p.name: p for f in folders() for p in sorted(f.iterdir()) if p.suffix in (".c", ".h")
        }
        made: list[tuple[str, str, Hashable]] = [(name, "dsp/tg_program", kernel) for name, kernel in PRINTED.items()]
        made += [(g.name, g.template, g.view) for g in generated]
        self._made = {
            f"{name}{end}": (f"kernels/{template}{end}.j2", view)
            for name, template, view in made
            for end in (".h", ".c")
        }
        self._texts: dict[str, str] = {}

    def __call__(self, name: str) -> str | None:
        """Text of a file; None when there is none of that name."""
        if name not in self._texts:
            if name in self._made:
                template, view = self._made[name]
                self._texts[name] = render(template, k=view)
            elif name in self._paths:
                self._texts[name] = self._paths[name].read_text(encoding="ascii")
            if name in self._in_ram:
                self._texts[name] = RAM_SECTION + self._texts[name]
        return self._texts.get(name)


def _used(source: _Kernels, units: list[str]) -> dict[str, str]:
    """Files of the named kernels and of all they include, by plain name."""
    found: dict[str, str] = {}
    wanted = ["tg_platform.h", *(f"{u}{end}" for u in units for end in (".h", ".c"))]
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        text = source(name)
        if text is None:
            raise KeyError(f"no kernel file is called {name}")
        found[name] = text
        wanted += [f"{u}.h" for u in included(text)]
        # A source calls what it includes, so that comes along; a header only needs the types.
        if name.endswith(".c"):
            wanted += [f"{u}.c" for u in included(text) if source(f"{u}.c") is not None]
    return found


def kernel_files(kernels: tuple[str, ...], generated: tuple[Generated, ...] = ()) -> dict[str, bytes]:
    """Sources and headers of the named kernels, of those made for the network, and of all they include, by file name:
    as they were written, without stamps."""
    found = _used(_Kernels(generated), [*kernels, *(g.name for g in generated)])
    return {name: found[name].encode() for name in sorted(found)}


def render_library(view: LibraryView) -> dict[str, bytes]:
    """All files of the library, by name; kernels with their stamps (emit/stamp.py)."""
    templates = {
        f"{view.name}.h": "model/model.h.j2",
        f"{view.name}.c": "model/model.c.j2",
        f"{view.name}_io.c": "model/io.c.j2",
        f"{view.name}_weights.h": "model/weights.h.j2",
        f"{view.name}_weights.c": "model/weights.c.j2",
    }
    if any(e.sensor for e in view.inputs):
        templates[f"{view.name}_sensor.c"] = "model/sensor.c.j2"
    source = _Kernels(view.generated, view.in_ram)
    files = {name: render(template, m=view) for name, template in templates.items()}
    files |= _used(source, [*view.kernels, *(g.name for g in view.generated)])
    out = stamped(files, Stamps(source).of(files))
    return {name: out[name].encode() for name in sorted(out)}
