"""Kernel sets are the folders with a set.toml: what they need, and what a build for another core says."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.emit.library import STRICT, fails, known_library, run, templates_of
from tinygen.emit import kernel_sets
from tinygen.emit.kernel_sets import folders, sets_of
from tinygen.emit.library import render_library
from tinygen.kernels.registry import sets
from tinygen.resources import templates_dir
from tinygen.targets.cores import CORES, get_core


def test_every_set_has_variants_and_a_core() -> None:
    names = {s.name for s in kernel_sets.kernel_sets()}
    assert names == sets()
    assert names == {name for core in CORES for name in core.kernel_sets}
    assert all(core.kernel_sets[-1] == "ref" for core in CORES)


def test_no_two_folders_have_a_file_of_one_name() -> None:
    files = [p.name for folder in folders() for p in folder.iterdir() if p.suffix in (".c", ".h")]
    assert len(files) == len(set(files)) > 150


def test_only_the_highest_set_is_asked_for() -> None:
    dsp, helium = "tg_conv_s8_dsp", "tg_conv_s8_mve"
    assert [s.name for s in sets_of([dsp, "tg_conv_s8"])] == ["dsp"]
    assert [s.name for s in sets_of([dsp, helium])] == ["mve"]
    assert sets_of(["tg_conv_s8"]) == ()


@pytest.fixture
def other_templates(tmp_path: Path) -> Iterator[Path]:
    """A copy of the templates in the place of the real ones."""
    copy = tmp_path / "templates_c"
    shutil.copytree(templates_dir(), copy)
    with templates_of(copy):
        yield copy


def test_a_new_set_is_a_folder(other_templates: Path, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """With kernels of its own, an #error for cores that cannot run them, and nothing else told of it."""
    require_tool("gcc")
    folder = other_templates / "kernels" / "packed"
    folder.mkdir()
    (folder / "set.toml").write_text('needs = "packed products"\narchitecture = "__riscv"\nmacro = "__riscv_zpn"\n')
    for end in (".c", ".h"):
        text = (other_templates / "kernels" / "ref" / f"tg_dense_s8{end}").read_text()
        text = text.replace("tg_dense_s8", "tg_dense_s8_packed").replace("TG_DENSE_S8", "TG_DENSE_S8_PACKED")
        (folder / f"tg_dense_s8_packed{end}").write_text(text)
    lib = known_library("dense")
    kernels = (*lib.view.kernels, "tg_dense_s8_packed")
    view = replace(lib.view, kernels=kernels, kernel_sets=sets_of(kernels))
    src = tmp_path / "src"
    src.mkdir()
    for name, content in render_library(view).items():
        (src / name).write_bytes(content)
    assert list(src.glob("tg_dense_s8_packed_*.c"))
    source = src / f"{lib.name}.c"
    run("gcc", *STRICT, "-c", source, "-o", tmp_path / "a.o")
    assert "a core with packed products" in fails("gcc", "-D__riscv", "-fsyntax-only", source)
    run("gcc", "-D__riscv", "-D__riscv_zpn", "-fsyntax-only", source)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("need = 1", "unexpected keyword"), ('needs = "x"', "go together"), ("needs = ", "Invalid value")],
)
def test_a_faulty_set_is_named(other_templates: Path, text: str, complaint: str) -> None:
    (other_templates / "kernels" / "m3" / "set.toml").write_text(text)
    with pytest.raises(ValueError, match=complaint) as error:
        kernel_sets.kernel_sets()
    assert str(other_templates / "kernels" / "m3" / "set.toml") in str(error.value)


def test_cores_of_a_set_have_what_it_needs(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """The macro is defined by the flags of every core that has the set, and by no other of that architecture."""
    require_tool("arm-none-eabi-gcc")
    (tmp_path / "x.c").write_text("")
    for s in kernel_sets.kernel_sets():
        for core in (c for c in CORES if s.needs and c.machine is not None):
            said = run(*core.arch.compiler.programs, *core.cflags, "-dM", "-E", tmp_path / "x.c").split()
            if s.architecture in said:
                assert (s.macro in said) == (s.name in core.kernel_sets), (s.name, core.name)
    assert get_core("cortex-m4").kernel_sets[0] == "dsp"
