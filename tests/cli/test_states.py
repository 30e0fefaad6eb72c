"""A network with a state from the command line: build, eval of the model and of the folder, profile, a new project."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.flow.test_states import WANDER, cell
from tests.project.support import ok, tinygen


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states")
    (folder / "cell.onnx").write_bytes(cell("read later")[0].SerializeToString())
    x = np.concatenate([WANDER, -WANDER, 0.5 * WANDER])
    np.savez(folder / "x.npz", x=x)
    ok("build", "cell.onnx", "--board", "native", "--state", "h=h_out", "--data", "x.npz", "-o", "out", cwd=folder)
    return folder


def test_a_pair_that_looks_like_a_state_is_named(place: Path) -> None:
    said = ok("inspect", "cell.onnx", cwd=place)
    assert "--state h=h_out" in " ".join((said.out + said.err).split())


def test_build_says_what_is_kept(place: Path) -> None:
    args = ("--state", "h=h_out", "--data", "x.npz", "--board", "native")
    found = ok("build", "cell.onnx", *args, "-o", "again", "--json", cwd=place).json
    assert [(d["first"], d["last"]) for d in found["accuracy"]["drift"]] == [(0, 9), (10, 39)]
    plan = json.loads((place / "again" / "plan.json").read_text())
    (state,) = plan["states"]
    assert (state["name"], state["offset"], state["bytes"]) == ("h", 0, 4)
    certificate = json.loads((place / "again" / "certificate.json").read_text())
    assert certificate["options"]["states"] == {"h": "h_out"}
    hashes = certificate["outputs_sha256"]
    assert hashes["numpy"] == hashes["native"]


def test_eval_of_the_model_and_of_the_folder_agree(place: Path) -> None:
    """The chain of float helpers and C, stream by stream, against numpy's figures on the same samples."""
    np.savez(place / "test.npz", x=-0.7 * WANDER[:, ::-1])
    args = ("--data", "test.npz", "--json")
    model = ok("eval", "cell.onnx", *args, "--state", "h=h_out", "--calibrate", "x.npz", cwd=place).json
    folder = ok("eval", "out", *args, "--model", "cell.onnx", "--html", "page.html", cwd=place).json
    assert [(d["first"], d["last"]) for d in folder["drift"]] == [(0, 9), (10, 39)]
    sqnr = [next(m["integer"] for m in d["measures"] if m["name"] == "SQNR") for d in (model, folder)]
    assert abs(sqnr[0] - sqnr[1]) < 1.0
    assert "10 to 39" in (place / "page.html").read_text(encoding="utf-8")


def test_private_build_keeps_its_state(place: Path) -> None:
    args = ("--state", "h=h_out", "--data", "x.npz", "--board", "native", "--private")
    ok("build", "cell.onnx", *args, "-o", "private", cwd=place)
    header = (place / "private/lib/model/src/model.h").read_text()
    assert '"state0"' in header
    assert "h_out" not in header


def test_new_project_says_the_same(place: Path) -> None:
    ok("new", "cell.onnx", "--state", "h=h_out", "--board", "native", "-o", "project", cwd=place)
    assert 'states = {"h" = "h_out"}' in (place / "project/tinygen.toml").read_text()
    ok("build", cwd=place / "project")
    assert "model_reset" in (place / "project/build/cell/native/lib/cell/src/cell.h").read_text().replace(
        "cell_", "model_"
    )


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--state", "h"), '"h" is not IN=OUT'),
        (("--state", "h=h_out", "--state", "h=y"), '"h" is given twice'),
        (("--set", "sr=fast"), '"sr=fast" is not NAME=NUMBER'),
        (("--set", "sr=1"), '--set sets "sr"; the model\'s inputs are x, h'),
        (("--state", "h=hout"), "--state says h=hout"),
    ],
)
def test_what_is_wrong_is_named(place: Path, option: tuple[str, ...], said: str) -> None:
    done = tinygen("inspect", "cell.onnx", *option, cwd=place)
    assert done.code != 0
    assert said in " ".join((done.out + done.err).split())
