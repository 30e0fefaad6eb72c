"""`tinygen new`: a folder that builds as it is, and never over another."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import onnx
import pytest

from tests.cli.support import ROOT
from tests.emit.nets import Net
from tests.project.nets import write_net
from tests.project.support import ok, tinygen
from tinygen.project.file import read_project

DIGITS = ROOT / "examples" / "digits"


def test_it_builds_as_it_is(tmp_path: Path) -> None:
    shutil.copy(DIGITS / "digits_calib.npz", tmp_path / "calib.npz")
    said = ok("new", DIGITS / "digits.onnx", "--data", "calib.npz", "--board", "pico", "--board", "nucleo_f446re",
              cwd=tmp_path)  # fmt: skip
    assert "Wrote digits/: edit digits/tinygen.toml" in said.out
    folder = tmp_path / "digits"
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        ".gitignore", "README.md", "data/README.md", "models/digits.onnx", "tinygen.toml",
    ]  # fmt: skip
    assert (folder / "models" / "digits.onnx").read_bytes() == (DIGITS / "digits.onnx").read_bytes()
    project = read_project(folder)
    assert [t.name for t in project.targets] == ["digits/pico", "digits/nucleo_f446re"]
    assert project.models[0].calibration.data == folder / "../calib.npz"
    assert "(n, 1, 8, 8)" in (folder / "data" / "README.md").read_text()
    toml = (folder / "tinygen.toml").read_text()
    (folder / "tinygen.toml").write_text(toml.replace("[options]\n", '[options]\nverify = "none"\n'))
    ok("build", cwd=folder)
    ok("check", "--renew", cwd=folder)
    assert "100.00 %" in ok("check", cwd=folder).out


def test_every_comment_is_a_key(tmp_path: Path) -> None:
    """What stands behind a # can be used by taking the # away."""
    ok("new", DIGITS / "digits.onnx", "--data", DIGITS / "digits_calib.npz", cwd=tmp_path)
    shutil.copy(DIGITS / "digits_test.npz", tmp_path / "digits" / "data" / "test.npz")
    file = tmp_path / "digits" / "tinygen.toml"
    text, count = re.subn(r"^# (\[models.*\]|\w+ = .*)$", r"\1", file.read_text(), flags=re.M)
    assert count >= 14
    text = text.replace('url = ""', 'url = "https://example.com"')
    file.write_text(text)
    project = read_project(file)
    assert project.targets[0].gates.max_ms == 50
    assert project.targets[0].gates.max_flash == 64 << 10
    assert project.models[0].terms.gates.min_accuracy == 0.9


def test_without_data_and_with_open_shapes(tmp_path: Path) -> None:
    net = Net()
    net.inputs.append(onnx.helper.make_tensor_value_info("a b", onnx.TensorProto.FLOAT, (1, "n", 4)))
    (tmp_path / "Open Net.onnx").write_bytes(net.model(net.op("Relu", "a b")).SerializeToString())
    assert tinygen("new", "Open Net.onnx", cwd=tmp_path).code == 2
    assert not (tmp_path / "open_net").exists()
    ok("new", "Open Net.onnx", "--input-shape", "a b=1,3,4", cwd=tmp_path)
    (model,) = read_project(tmp_path / "open_net").models
    assert model.input_shapes == {"a b": (1, 3, 4)}
    assert (model.key, model.name, model.calibration.data) == ("open_net", "open_net", None)


def test_a_model_with_files_beside_it_stays_where_it_is(tmp_path: Path) -> None:
    write_net(tmp_path)
    model = onnx.load(tmp_path / "net.onnx")
    onnx.save_model(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    ok("new", "net.onnx", "-o", "p", cwd=tmp_path)
    assert read_project(tmp_path / "p").models[0].path == tmp_path / "p" / "../net.onnx"
    assert not (tmp_path / "p" / "models").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    ok("new", DIGITS / "digits.onnx", cwd=tmp_path)
    before = (tmp_path / "digits" / "tinygen.toml").read_bytes()
    said = tinygen("new", DIGITS / "digits.onnx", "--board", "pico", cwd=tmp_path)
    assert said.code == 6
    assert "digits holds .gitignore and 4 more" in said.err
    assert (tmp_path / "digits" / "tinygen.toml").read_bytes() == before
    (tmp_path / "file").touch()
    assert tinygen("new", DIGITS / "digits.onnx", "-o", "file", cwd=tmp_path).code == 6


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--board", "picco"), 4, "Did you mean pico"),
        (("--data", "none.npz"), 3, 'data file "none.npz" does not exist'),
    ],
)
def test_wrong_options(options: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    found = tinygen("new", DIGITS / "digits.onnx", *options, cwd=tmp_path)
    assert found.code == code
    assert said in found.err
    assert list(tmp_path.iterdir()) == []
