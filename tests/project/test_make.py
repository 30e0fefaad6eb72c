"""`tinygen build` of a project: every target as `tinygen build MODEL` makes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.project.support import TWO, ok, place, tinygen
from tinygen.compress.structure.student import Student
from tinygen.project.make import recipe_of


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    place(folder, TWO + '[models.digits.on.nucleo_g071rb]\noptimize = "size"\n')
    (folder / "src").mkdir()
    said = ok("build", "--json", cwd=folder / "src")
    assert said.json["schema"] == 1
    assert [t["target"] for t in said.json["targets"]] == [
        f"{m}/{b}" for m in ("digits", "sine") for b in ("nucleo_f446re", "nucleo_g071rb")
    ]
    assert [line[:5] for line in said.err.splitlines() if line.startswith("[")] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    return folder


def test_a_target_is_what_a_single_build_gives(built: Path) -> None:
    options = ("--verify", "none", "--data", "data/digits_calib.npz", "--test", "data/digits_test.npz")
    board = ("--board", "nucleo_g071rb", "--optimize", "size")
    ok("build", "models/digits.onnx", *options, *board, "-o", "single", cwd=built)
    assert files(built / "single") == files(built / "build" / "digits" / "nucleo_g071rb")
    assert files(built / "single") != files(built / "build" / "digits" / "nucleo_f446re")


def test_a_target_that_fails_does_not_stop_the_others(built: Path, tmp_path: Path) -> None:
    place(tmp_path, TWO + "[models.digits.on.nucleo_g071rb]\nlimits = { max_flash = 100 }\n")
    (tmp_path / "models" / "sine.onnx").write_bytes(b"no model")
    said = tinygen("build", cwd=tmp_path)
    assert said.code == 4, said.err
    assert "3 of 4 targets could not be built" in said.err
    assert "digits/nucleo_g071rb:" in said.err
    assert "--max-flash allows 100" in said.err
    assert "sine/nucleo_f446re, sine/nucleo_g071rb: models/sine.onnx" in said.err
    assert [p.name for p in (tmp_path / "build" / "digits").iterdir()] == ["nucleo_f446re"]
    assert files(tmp_path / "build" / "digits" / "nucleo_f446re") == files(built / "build" / "digits" / "nucleo_f446re")


def test_only_and_force(tmp_path: Path) -> None:
    place(tmp_path)
    ok("build", "--only", "sine/nucleo_f446re", cwd=tmp_path)
    folder = tmp_path / "build" / "sine" / "nucleo_f446re"
    assert [p.name for p in (tmp_path / "build").iterdir()] == ["sine"]
    (folder / "plan.json").write_text("edited")
    said = tinygen("build", "--only", "sine", cwd=tmp_path)
    assert said.code == 6, "before any work"
    assert "[1/2]" not in said.err
    (folder / "src" / "main.c").write_text("mine")
    said = ok("build", "--project", "tinygen.toml", "--only", "sine", "--force", cwd=tmp_path)
    assert "sine/nucleo_f446re: RAM" in said.err
    assert "Files: 1 changed. Kept your src/main.c" in said.err
    assert (folder / "src" / "main.c").read_text() == "mine"
    assert (folder / "plan.json").read_text() != "edited"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("build", "--optimize", "size"), "--optimize goes with a MODEL"),
        (("build", "x.onnx", "--project", "tinygen.toml", "--board", "native"), "leave out MODEL"),
        (("build", "x.onnx"), "--board"),
    ],
)
def test_a_model_or_a_project(command: tuple[str, ...], said: str, tmp_path: Path) -> None:
    place(tmp_path)
    found = tinygen(*command, cwd=tmp_path)
    assert found.code == 64
    assert said in " ".join(found.err.split())


def test_a_recipe_compresses_first(tmp_path: Path) -> None:
    (tmp_path / "four.toml").write_text("[bits]\nweights = 4\n")
    text = TWO.split("[models.sine]")[0] + 'recipe = "four.toml"\n'
    place(tmp_path, text)
    ok("build", "--only", "digits/nucleo_f446re", cwd=tmp_path)
    ok("compress", "models/digits.onnx", "--data", "data/digits_calib.npz", "--recipe", "four.toml", "-o", "q.onnx",
       cwd=tmp_path)  # fmt: skip
    ok("build", "q.onnx", "--name", "digits", "--verify", "none", "--board", "nucleo_f446re", "-o", "q", cwd=tmp_path)
    weights = "lib/digits/src/digits_weights.c"
    made = tmp_path / "build" / "digits" / "nucleo_f446re" / weights
    assert made.read_bytes() == (tmp_path / "q" / weights).read_bytes()
    place(tmp_path, TWO)
    ok("build", "--only", "digits/nucleo_f446re", cwd=tmp_path)
    assert made.read_bytes() != (tmp_path / "q" / weights).read_bytes()


def test_whose_it_is(tmp_path: Path) -> None:
    """[package] stands in what PlatformIO shows of a library, and in the README; without one nothing does."""
    package = """[package]
name = "door \\"bell\\" <&>"
version = "1.4.0"
vendor = "Example GmbH"
maintainer = "M."
url = "https://example.com"
licence = "LicenseRef-Example"
"""
    only = ("build", "--only", "sine/nucleo_f446re")
    place(tmp_path, TWO.replace("[options]", package + "[options]"))
    ok(*only, cwd=tmp_path)
    folder = tmp_path / "build" / "sine" / "nucleo_f446re"
    library = json.loads((folder / "lib" / "sine" / "library.json").read_text())
    assert library["version"] == "1.4.0"
    assert library["authors"] == [{"name": "Example GmbH"}, {"name": "M.", "maintainer": True}]
    assert (library["license"], library["homepage"]) == ("LicenseRef-Example", "https://example.com")
    assert library["description"].endswith('for door "bell" <&>')
    said = 'door "bell" <&> 1.4.0, Example GmbH, https://example.com, licence LicenseRef-Example.'
    assert said in (folder / "README.md").read_text()
    sources = files(folder / "lib" / "sine" / "src")
    place(tmp_path, TWO)
    assert "Files: 2 changed" in ok(*only, cwd=tmp_path).err
    assert files(folder / "lib" / "sine" / "src") == sources
    library = json.loads((folder / "lib" / "sine" / "library.json").read_text())
    assert not {"authors", "license", "homepage"} & set(library)


def test_a_recipe_speaks_of_files_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text('[student]\nmodel = "small.onnx"\n[training]\nepochs = 1\n')
    student = recipe_of(file).get(Student)
    assert student is not None
    assert student.model == str(tmp_path / "small.onnx")
    file.write_text("[bits]\nweights = 4\n")
    assert recipe_of(file).get(Student) is None


def test_a_project_file_that_makes_no_sense(tmp_path: Path) -> None:
    place(tmp_path, TWO.replace("verify", "verfy"))
    for command in ("build", "check"):
        said = tinygen(command, "--json", cwd=tmp_path)
        assert said.code == 8
        assert (said.json["error"]["kind"], said.json["error"]["exit_code"]) == ("project", 8)
        assert "options.verfy: no such key" in said.err
        assert "Did you mean verify?" in said.err


def test_without_a_project(tmp_path: Path) -> None:
    for command in ("build", "check"):
        said = tinygen(command, cwd=tmp_path)
        assert said.code == 8
        assert "no tinygen.toml in" in said.err
        assert "tinygen new MODEL), or say which it is (--project)" in " ".join(said.err.split())
