"""Where compilers and emulators are: what the environment names, else PATH, else where installers put them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tinygen.errors import ToolError
from tinygen.system import NAME, ROOT
from tinygen.targets.arch.base import Tool


@dataclass(frozen=True, slots=True)
class Computer:
    """What decides where a tool is looked for. Tests make one of a temporary folder."""

    system: str = NAME  # "linux" (and what is like it), "macos" or "windows"
    root: Path = ROOT
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @property
    def home(self) -> Path | None:
        found = self.environment.get("USERPROFILE" if self.system == "windows" else "HOME")
        return Path(found) if found else None

    @property
    def family(self) -> str:
        """Whose packages it installs: of Linux debian, fedora or arch, where unknown debian; else the system."""
        if self.system != "linux":
            return self.system
        try:
            text = (self.root / "etc" / "os-release").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "debian"
        words = re.findall(r"[a-z]+", " ".join(re.findall(r"^(?:ID|ID_LIKE)=(.*)$", text, re.MULTILINE)))
        return next((w for w in words if w in ("debian", "fedora", "arch")), "debian")

    def on_path(self, name: str) -> str | None:
        """The program that a shell would start."""
        suffixes = ("", ".exe") if self.system == "windows" else ("",)
        path = self.environment.get("PATH", os.defpath)
        found = next(filter(None, (shutil.which(name + s, path=path) for s in suffixes)), None)
        return None if found is None else os.path.abspath(found)  # it is run in another folder


HERE = Computer()


#: What people call them, and their packages.
_FAMILIES = {"debian": "Debian", "fedora": "Fedora", "arch": "Arch", "macos": "macOS", "windows": "Windows"}


def find(tool: Tool, computer: Computer | None = None) -> tuple[str, ...] | None:
    """The command that starts a tool: what its variable names, else the first of its programs that is on PATH, else
    the newest in its places. `ToolError` where the variable names nothing."""
    here = computer or HERE
    if wanted := here.environment.get(tool.variable, "").strip():
        return _named(tool, wanted, here)
    for name in tool.programs:
        if path := here.on_path(name):
            return (path,)
    for folder in _folders(tool, here):
        for name in tool.programs:
            if path := here.on_path(str(folder / name)):
                return (path,)
    return None


def missing(tool: Tool, computer: Computer | None = None) -> str:
    """That there is no such tool, for the beginning of a message."""
    if len(tool.programs) > 1:
        return f"none of {', '.join(tool.programs)} is on PATH"
    elsewhere = ", nor where installers put it" if tool.places.get((computer or HERE).system) else ""
    return f"{tool.programs[0]} is not on PATH{elsewhere}"


def advice(tool: Tool, computer: Computer | None = None) -> str:
    """How this computer's user gets a tool, for the end of a message."""
    family = (computer or HERE).family
    return f"Install it ({_FAMILIES[family]}: {tool.install[family]}) or set {tool.variable} to it"


def environment(*tools: Tool, computer: Computer | None = None) -> dict[str, str]:
    """For programs that look for `tools` by their names: PATH with the folders of what `find` finds elsewhere, but
    no variables that name what is found so: they may hold spaces, which not everybody can read."""
    here = computer or HERE
    found = dict(here.environment)
    path = found.get("PATH", os.defpath)
    for tool in tools:
        program = Path((find(tool, here) or ("",))[0])
        if program.stem not in tool.programs:
            continue
        found.pop(tool.variable, None)
        if here.on_path(program.stem) != str(program):
            path = os.pathsep.join((str(program.parent), path))
    return found | {"PATH": path}


def _named(tool: Tool, wanted: str, here: Computer) -> tuple[str, ...]:
    """The command in a variable: a program, which may have spaces in its path, or a program with arguments."""
    if path := here.on_path(wanted):
        return (path,)
    try:
        words = shlex.split(wanted, posix=here.system != "windows")
    except ValueError as error:
        raise ToolError(
            f"{tool.variable} is `{wanted}`, which is no command: {error}. Correct {tool.variable}, or unset it"
        ) from error
    program, *arguments = [w[1:-1] if len(w) > 1 and w[0] == w[-1] == '"' else w for w in words]
    path = here.on_path(program)
    if path is None:
        raise ToolError(
            f"{tool.variable} is `{wanted}`, but there is no program {program} on PATH. Correct {tool.variable}, "
            "or unset it"
        )
    return (path, *arguments)


def _folders(tool: Tool, here: Computer) -> Iterator[Path]:
    """Where installers put it: folders of versions, the newest of all first, then the others."""
    versions: list[tuple[tuple[int, ...], Path]] = []
    others: list[Path] = []
    for place in tool.places.get(here.system, ()):
        base = here.home if place.startswith("~/") else here.root
        if base is None:
            continue
        pattern = place.removeprefix("~/")
        if "*" in pattern:
            versions += [(_version(folder.relative_to(base), pattern), folder) for folder in base.glob(pattern)]
        else:
            others.append(base / pattern)
    yield from (folder for _, folder in sorted(versions, key=lambda found: found[0], reverse=True))
    yield from others


def _version(folder: Path, pattern: str) -> tuple[int, ...]:
    """The numbers in what `*` stands for: 13, 3, 1 of `arm-gnu-toolchain-13.3.rel1-x86_64-arm-none-eabi`."""
    parts = zip(folder.parts, PurePosixPath(pattern).parts, strict=True)
    text = " ".join(part for part, wanted in parts if "*" in wanted)
    return tuple(int(n) for n in re.findall(r"\d+", re.sub(r"x86_64|aarch64|darwin|arm64", "", text)))
