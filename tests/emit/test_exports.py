"""The list of exports: each gives files around the library, and touches nothing else."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.boards.fake_model import LEN, MODEL, write_model
from tests.emit.nets import NETS
from tinygen.build.process import run
from tinygen.emit import exports
from tinygen.emit.exports import EXPORTS, render_exports
from tinygen.emit.exports.base import Export
from tinygen.emit.library import home
from tinygen.emit.programs import (
    GoldenCase,
    ProjectView,
    golden_header,
    render_example,
    render_golden_header,
    render_linker_script,
    render_target,
)
from tinygen.emit.writer import MANIFEST, Changes
from tinygen.flow.build import build_folder
from tinygen.flow.quantised import load
from tinygen.flow.types import Built, Proof, Target
from tinygen.targets.board import load_board

ROOT = Path(__file__).resolve().parents[2]
CASE = GoldenCase((tuple(range(LEN)),), (tuple(range(1, LEN + 1)),))
VIEW = ProjectView(MODEL, load_board("native"), (CASE,))


def toy(view: ProjectView) -> Mapping[str, bytes]:
    """A build system that only wants the names of the folders."""
    name = view.model.name
    return {f"lib/{name}/toy.build": f"sources {home(name)} for {view.board.core.name}\n".encode()}


def build(folder: Path) -> Built:
    path = folder / "dense.onnx"
    path.write_bytes(NETS["dense"]().SerializeToString())
    return build_folder(load(path), folder / "out", Target(load_board("nucleo_f446re")), proof=Proof(()))


def test_a_toy_export_adds_its_files_and_touches_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = build(tmp_path)
    monkeypatch.setattr(exports, "EXPORTS", (*EXPORTS, Export("toy", "the smallest of all", toy)))
    after = build(tmp_path)
    assert after.files == {**before.files, "lib/dense/toy.build": b"sources lib/dense/src for cortex-m4\n"}
    assert after.changes == Changes(added=("lib/dense/toy.build",))
    monkeypatch.setattr(exports, "EXPORTS", ())
    bare = build(tmp_path)
    library = {p for p in before.files if p.startswith(f"{home('dense')}/")}
    assert bare.files.keys() == library | {golden_header("dense"), "plan.json", "certificate.json"}
    assert {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()} == {
        *bare.files,
        MANIFEST,
    }


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("lib/kws/src/more.c", "lib/kws/src/more.c, which is the build's own"),
        ("plan.json", "plan.json, which is the build's own"),
        ("Plan.json", "which is the build's own"),
        ("MANIFEST.json", "which is the build's own"),
        ("lib/kws/src", "which is the build's own"),
        ("lib//kws/src/more.c", "not a path in the folder"),
        ("lib\\kws\\more.c", "not a path in the folder"),
        ("src/", "not a path in the folder"),
        ("src/main.c.new", "not a path in the folder"),
        (".pio/more", "not a path in the folder"),
        ("../else", "not a path in the folder"),
        ("/etc/else", "not a path in the folder"),
        ("platformio.ini", "another platformio.ini than an export before it"),
    ],
)
def test_what_an_export_may_not_do(path: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Export("bad", "", lambda view: {path: b"mine\n"})
    monkeypatch.setattr(exports, "EXPORTS", (*EXPORTS, bad))
    with pytest.raises(ValueError, match=f"the export bad gives .*{said}"):
        render_exports(VIEW, taken={"plan.json"})


@pytest.mark.parametrize(
    ("path", "there"), [("readme.md", "README.md"), ("lib", "lib"), ("src/main.c/x", "src/main.c")]
)
def test_two_paths_that_are_one_somewhere(path: str, there: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Export("bad", "", lambda view: {path: b"mine\n"})
    monkeypatch.setattr(exports, "EXPORTS", (bad, *EXPORTS))
    with pytest.raises(ValueError, match=r"exports give .*, and there is .* already") as error:
        render_exports(VIEW)
    assert there in str(error.value)


def test_two_exports_may_agree_on_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    same = Export("same", "", lambda view: {"src/main.c": EXPORTS[0].files(view)["src/main.c"]})
    before = render_exports(VIEW)
    monkeypatch.setattr(exports, "EXPORTS", (*EXPORTS, same))
    assert render_exports(VIEW) == before


def test_names_are_words_and_stand_once() -> None:
    names = [e.name for e in EXPORTS]
    assert len(set(names)) == len(names)
    assert all(e.name.isidentifier() and e.description for e in EXPORTS)


@pytest.mark.parametrize("board", ["native", "nucleo_f446re"])
def test_the_programs_need_nothing_of_another_export(
    tmp_path: Path, require_tool: Callable[[str], None], board: str
) -> None:
    """What emit/programs.py gives is enough to compile, link and, here, run them."""
    view = replace(VIEW, board=load_board(board))
    arch, core = view.board.core.arch, view.board.core
    require_tool(cc := arch.compiler.programs[0])
    files = render_target(arch) | {"main.c": render_example(view), "kws_golden.h": render_golden_header(view)}
    link = arch.compiler.ldflags
    if arch.linker_script is not None:
        files["board.ld"] = render_linker_script(view)
        link = ("-T", "board.ld", *link)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    write_model(tmp_path)
    sources = ("main.c", "kws.c", f"{arch.name}/{arch.start_up}")
    flags = (*core.cflags, *arch.compiler.cflags, "-I.", "-Iinclude")
    done = run((cc, *flags, *sources, *link, "-o", "program"), tmp_path, 60.0, merge=True)
    assert (done.exit_code, done.stdout) == (0, "")
    if board == "native":
        assert run((str(tmp_path / "program"),), tmp_path, 10.0).stdout == "argmax 9\n"


def test_the_walk_through_works_to_the_letter(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """docs/ADDING_AN_EXPORT.md, followed in a copy: its files, its entry in the list, its test."""
    require_tool("make")
    require_tool("arm-none-eabi-gcc")
    text = (ROOT / "docs" / "ADDING_AN_EXPORT.md").read_text(encoding="utf-8")
    blocks = [textwrap.dedent(b) for b in re.findall(r"^   ```\w+\n(.*?)^   ```", text, re.MULTILINE | re.DOTALL)]
    for name in ("tinygen", "templates_c", "boards", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "_data"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    new = ("templates_c/exports/make/library.mk.j2", "tinygen/emit/exports/make.py", "tests/boards/test_make.py")
    for name, block in zip(new, blocks, strict=True):
        assert str(Path(name).parent) in text or Path(name).name in text
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(block, encoding="utf-8")
    listed = tmp_path / "tinygen/emit/exports/__init__.py"
    line = "from tinygen.emit.exports import "
    entry = listed.read_text(encoding="utf-8").replace(line, f"{line}make\n{line}", 1)
    entry = re.sub(r"\.EXPORT,?\s*\)\n", ".EXPORT, make.EXPORT)\n", entry, count=1)
    listed.write_text(entry, encoding="utf-8")
    done = run((sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", new[2]), tmp_path, 120.0, merge=True)
    assert done.exit_code == 0, done.stdout
    assert "1 passed" in done.stdout
