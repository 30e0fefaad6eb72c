"""The list of exports: each gives files around the library, and touches nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.boards.fake_model import LEN, MODEL
from tests.emit.nets import NETS
from tinygen.emit import exports
from tinygen.emit.exports import EXPORTS, render_exports
from tinygen.emit.exports.base import Export
from tinygen.emit.library import home
from tinygen.emit.programs import GoldenCase, ProjectView, golden_header
from tinygen.emit.writer import MANIFEST, Changes
from tinygen.flow.build import build_folder
from tinygen.flow.quantised import load
from tinygen.flow.types import Built, Proof, Target
from tinygen.targets.board import load_board

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


def test_two_exports_may_agree_on_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    same = Export("same", "", lambda view: {"src/main.c": EXPORTS[0].files(view)["src/main.c"]})
    before = render_exports(VIEW)
    monkeypatch.setattr(exports, "EXPORTS", (*EXPORTS, same))
    assert render_exports(VIEW) == before


def test_names_are_words_and_stand_once() -> None:
    names = [e.name for e in EXPORTS]
    assert len(set(names)) == len(names)
    assert all(e.name.isidentifier() and e.description for e in EXPORTS)
