"""Kernel names that tell versions apart: `tg_conv_s8` goes out as `tg_conv_s8_1a2b3c4d`.

A kernel's *stamp* is a hash of all that decides its bits and its interface: its own .c and .h and, transitively, those
of everything they include. Equal kernels of two models have one name and are shared; unequal ones have two names, and
live in one program or one folder of objects side by side. The templates have plain names, and so have the bodies that
go out: file names, `#include`s and include guards are changed, and each header renames what it declares, its function
and its types, by macros in one place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping

#: A stamp, behind the name of a file without its ending, of a function or of a type.
_STAMP = re.compile(r"_[0-9a-f]{8}$")
_INCLUDE = re.compile(r'(?<=#include ")(tg_\w+)(?=\.h")')
#: Types that a header of templates_c/kernels declares: structs, their tags if any, pointers to functions.
_TYPE = re.compile(r"^(?:\} |struct |typedef struct \w+ |typedef .*\(\*)(tg_\w+)", re.MULTILINE)
_RENAMING = "/* Names end in a hash of the source: other versions can be linked beside this one. */"

#: Text of a kernel file by its plain name; None where there is no such file.
Source = Callable[[str], str | None]


def included(text: str) -> list[str]:
    """Units (names of kernel files without an ending) whose headers a file includes."""
    return _INCLUDE.findall(text)


def plain(name: str) -> str:
    """A unit's or symbol's name without its stamp; any other as it is."""
    return _STAMP.sub("", name)


class Stamps:
    """Stamps of units, worked out when asked for; what was asked for is kept."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._texts: dict[str, dict[str, str]] = {}
        self._known: dict[str, str] = {}

    def __getitem__(self, unit: str) -> str:
        if unit not in self._known:
            blank = dict.fromkeys(self._closure(unit), "0" * 8)
            texts = [text for u in sorted(blank) for text in stamped(self._files(u), blank).items()]
            self._known[unit] = hashlib.sha256(repr(texts).encode()).hexdigest()[:8]
        return self._known[unit]

    def of(self, files: Mapping[str, str]) -> dict[str, str]:
        """The stamps of all units that these files are or include."""
        units = {name.rsplit(".", 1)[0] for name in files if name.startswith("tg_")}
        return {u: self[u] for u in sorted(units.union(*map(included, files.values())))}

    def _files(self, unit: str) -> dict[str, str]:
        if unit not in self._texts:
            texts = {name: self._source(name) for name in (f"{unit}.c", f"{unit}.h")}
            self._texts[unit] = {name: text for name, text in texts.items() if text is not None}
        return self._texts[unit]

    def _closure(self, unit: str) -> set[str]:
        """The unit and all that its files include, transitively."""
        found: set[str] = set()
        wanted = [unit]
        while wanted:
            one = wanted.pop()
            if one not in found:
                found.add(one)
                wanted += [u for text in self._files(one).values() for u in included(text)]
        return found


def stamped(files: Mapping[str, str], stamps: Mapping[str, str]) -> dict[str, str]:
    """Kernel files, and others that include them, as they go out: file names and texts."""
    found: dict[str, str] = {}
    for name, text in files.items():
        unit, _, ending = name.rpartition(".")
        text = _INCLUDE.sub(lambda m: f"{m[1]}_{stamps[m[1]]}", text)
        if unit in stamps:
            stamp = stamps[unit]
            name = f"{unit}_{stamp}.{ending}"
            if ending == "h":
                text = _header(text, unit, stamp)
        found[name] = text
    return found


def _header(text: str, unit: str, stamp: str) -> str:
    """A header with the stamp in its description and guard, and behind that the macros that rename what it declares."""
    guard, full = (f"{name.upper()}_H_INCLUDED" for name in (unit, f"{unit}_{stamp}"))
    text = re.sub(rf"\b{guard}\b", full, text).replace(f"@file  {unit}.h", f"@file  {unit}_{stamp}.h")
    names = re.findall(rf"^void ({unit})\(", text, re.MULTILINE) + sorted(set(_TYPE.findall(text)))
    renaming = "\n".join((_RENAMING, *(f"#define {n} {n}_{stamp}" for n in names)))
    define = f"#define {full}\n"
    return text.replace(define, f"{define}\n{renaming}\n", 1) if names else text
