"""A PlatformIO project on tinygen's own platform: the board, its stand-in in QEMU, this computer."""

from __future__ import annotations

import json

from tinygen.emit.env import render
from tinygen.emit.exports.base import Export
from tinygen.emit.programs import (
    ProjectView,
    render_example,
    render_golden_test,
    render_linker_script,
    render_target,
)
from tinygen.resources import boards_dir, files_below, templates_dir
from tinygen.targets.board import Board, load_board

TEMPLATES = "exports/platformio"


def qemu_env(board: Board) -> str:
    """Name of the environment that is linked for QEMU."""
    return f"{board.id}_qemu"


def files(view: ProjectView) -> dict[str, bytes]:
    """Every file of the project but the library, by path."""
    name, board = view.model.name, view.board
    texts = {
        "platformio.ini": "platformio.ini.j2",
        "README.md": "README.md.j2",
        ".gitignore": "gitignore.j2",
        f"lib/{name}/library.json": "library.json.j2",
    }
    found = {
        "src/main.c": render_example(view),
        "test/test_golden/test_golden.c": render_golden_test(view),
        "test/test_custom_runner.py": (templates_dir() / TEMPLATES / "test_custom_runner.py").read_bytes(),
    }
    if board.registry_platform == "ststm32":
        texts["registry.ini"] = "registry.ini.j2"
        found["registry.ld"] = render_linker_script(view)
    for path, template in texts.items():
        found[path] = render(f"{TEMPLATES}/{template}", view=view, qemu_env=qemu_env(board)).encode()
    found |= {f"platform/{path}": content for path, content in files_below(boards_dir() / "platform").items()}
    for b in (board, load_board("native")):
        found |= {f"platform/{path}": content for path, content in render_target(b.core.arch).items()}
        found[f"boards/{b.id}.json"] = _manifest(b)
    return found


EXPORT = Export("platformio", "PlatformIO project: builds, tests and runs on the board, in QEMU and here", files)


def _manifest(board: Board) -> bytes:
    """The board's manifest, with what the platform must know of its core: it can ask nobody."""
    arch, here = board.core.arch, board.stand_in
    manifest = json.loads(board.manifest.read_text(encoding="utf-8"))
    manifest["upload"]["maximum_ram_size"] = board.ram_bytes
    if not board.code_in_ram:
        manifest["build"].pop("code_ram", None)
    manifest["tinygen"]["target"] = {
        "folder": arch.name,
        "linker_script": arch.linker_script,
        "compilers": arch.compiler.programs,
        "variable": arch.compiler.variable,
        "core_flags": board.core.cflags,
        "cflags": [flag for flag in arch.compiler.cflags if not flag.startswith("-std=")],  # C++ has another
        "ldflags": arch.compiler.ldflags,
        "flash_sections": [name for name, kind in arch.sections.items() if kind != "ram"],
        "ram_sections": [name for name, kind in arch.sections.items() if kind in ("data", "ram")],
        "emulator": here.command if here is not None else (),
    }
    return f"{json.dumps(manifest, indent=2)}\n".encode()
