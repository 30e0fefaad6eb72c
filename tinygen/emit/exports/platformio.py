"""A PlatformIO project on tinygen's own platform: the board, its stand-in in QEMU, this computer."""

from __future__ import annotations

from string import Template

from tinygen.emit.env import render
from tinygen.emit.exports.base import Export
from tinygen.emit.programs import ProjectView, render_example, render_golden_header, render_golden_test
from tinygen.emit.resources import boards_dir, templates_dir
from tinygen.targets.board import Board

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
        f"include/{name}_golden.h": render_golden_header(view),
        "test/test_golden/test_golden.c": render_golden_test(view),
        "test/test_custom_runner.py": (templates_dir() / TEMPLATES / "test_custom_runner.py").read_bytes(),
    }
    if board.registry_platform == "ststm32":
        texts["registry.ini"] = "registry.ini.j2"
        found["registry.ld"] = _linker_script(view).encode()
    for path, template in texts.items():
        found[path] = render(f"{TEMPLATES}/{template}", view=view, qemu_env=qemu_env(board)).encode()
    found |= {f"boards/{b}.json": (boards_dir() / f"{b}.json").read_bytes() for b in {board.id, "native"}}
    return found | _platform_files()


EXPORT = Export("platformio", "PlatformIO project: builds, tests and runs on the board, in QEMU and here", files)


def _platform_files() -> dict[str, bytes]:
    folder = boards_dir() / "platform"
    paths = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {f"platform/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}


def _linker_script(view: ProjectView) -> str:
    """link.ld.in for the board itself; PlatformIO's builder fills the same template in projects on our platform."""
    board = view.board
    template = Template((boards_dir() / "platform" / "cortexm" / "link.ld.in").read_text(encoding="utf-8"))
    return template.substitute(
        vectors_start=f"0x{board.flash_start:08x}",
        flash_start=f"0x{board.flash_start:08x}",
        flash_size=board.flash_bytes,
        ram_start=f"0x{board.ram_start:08x}",
        ram_size=board.ram_bytes,
        stack_size=view.stack_bytes,
    )
