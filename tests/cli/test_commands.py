"""Every command: its text says what it should, its JSON has the keys that others rely on."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cli.support import ROOT, ok, tinygen
from tests.report.schemas import read, valid
from tinygen.build.toolchain import find_toolchain
from tinygen.cli.app import cli
from tinygen.errors import ToolError
from tinygen.targets.cores import VERIFY_CORES, get_core
from tinygen.version import VERSION

DIGITS = ROOT / "examples" / "digits"
Need = Callable[[str], None]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the digits example in it."""
    folder = tmp_path_factory.mktemp("cli")
    for file in DIGITS.iterdir():
        if file.suffix in (".onnx", ".npz"):
            shutil.copy(file, folder)
    return folder


@pytest.fixture(scope="module")
def built(place: Path, require_tool: Need) -> Path:
    """A finished build of it."""
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    ok("build", "digits.onnx", "--board", "nucleo_f446re", "--data", "digits_calib.npz", "-o", "built", cwd=place)
    return place / "built"


def has_arm() -> bool:
    try:
        find_toolchain(get_core("cortex-m4"))
    except ToolError:
        return False
    return True


def test_help_and_version(tmp_path: Path) -> None:
    said = ok("--help", cwd=tmp_path)
    commands = ("build", "inspect", "eval", "verify", "boards", "ops")
    assert all(re.search(rf"^  {c} +\w", said.out, re.M) for c in commands)
    assert ok("--version", cwd=tmp_path).out == f"tinygen, version {VERSION}\n"
    for command in commands:
        result = CliRunner().invoke(cli, [command, "-h"])
        assert result.exit_code == 0
        assert result.output.startswith("Usage: ")
    assert list(tmp_path.iterdir()) == []


# --- build -----------------------------------------------------------------------------------------------------------


def test_build_json_is_all_there_is_on_stdout(place: Path) -> None:
    arguments = ("digits.onnx", "--board", "nucleo_f446re", "--data", "digits_calib.npz", "-o", "json", "--json")
    found = ok("build", *arguments, cwd=place).json
    assert {
        *("model", "board", "core", "layers", "macs", "flash", "ram", "accuracy", "verified", "notes", "seconds"),
        "output",
    } <= set(found)
    assert {"name", "sha256", "opset"} <= set(found["model"])
    assert found["model"]["sha256"] == hashlib.sha256((place / "digits.onnx").read_bytes()).hexdigest()
    assert (found["model"]["name"], found["board"], found["core"]) == ("digits", "nucleo_f446re", "cortex-m4")
    assert found["output"] == "json"
    assert {"arena", "input_output", "static", "stack"} <= set(found["ram"])
    assert found["ram"]["input_output"] == 64 + 10
    assert found["accuracy"]["calibration"] == "data"
    assert all({"tensor", "operator", "onnx", "sqnr_db"} <= set(row) for row in found["accuracy"]["layers"])
    assert all({"core", "samples", "outputs_sha256", "stack"} <= set(row) for row in found["verified"])
    assert len({row["outputs_sha256"] for row in found["verified"]}) <= 1
    if has_arm():
        assert {"total", "constants", "code", "rodata", "libraries"} <= set(found["flash"])
        assert "cortex-m4" in [row["core"] for row in found["verified"]]
    # A note on standard error is no harm; a table on standard output would be.
    assert (place / "json" / "certificate.json").is_file()


def test_build_text(place: Path, built: Path) -> None:
    said = ok("build", "digits.onnx", "--board", "nucleo_f446re", "-o", "text", "--layers", cwd=place)
    assert "No calibration data" in said.err
    for part in ("digits for nucleo_f446re (cortex-m4)", "layers", "flash", "RAM", "verified", "accuracy", "unknown"):
        assert part in said.out
    assert "Signal to quantisation noise" in said.out
    assert "Wrote text/" in said.out
    assert "text/lib/digits/src/" in said.out
    assert max(len(line) for line in said.out.splitlines()) <= 100


def test_build_without_data_says_accuracy_is_unknown_in_json(place: Path) -> None:
    arguments = ("--board", "nucleo_f446re", "-o", "nodata", "--json", "--verify", "none")
    found = ok("build", "digits.onnx", *arguments, cwd=place).json
    assert "unknown" in found["accuracy"]["calibration"]
    assert found["verified"] == []
    assert found["flash"] is None
    assert json.loads((place / "nodata" / "certificate.json").read_text())["verified"] is False


def test_build_default_output_and_name(place: Path) -> None:
    arguments = ("--board", "nucleo_f446re", "--verify", "none")
    ok("build", "digits.onnx", *arguments, cwd=place)
    assert (place / "build" / "digits" / "lib" / "digits" / "src" / "digits.h").is_file()
    ok("build", "digits.onnx", *arguments, "--name", "reader", "--arena", "static", cwd=place)
    header = (place / "build" / "reader" / "lib" / "reader" / "src" / "reader.h").read_text()
    assert "reader_ctx_t *reader_ctx(void);" in header


@pytest.mark.slow
def test_build_verified_on_every_core(place: Path, built: Path) -> None:
    arguments = ("--board", "nucleo_f446re", "--data", "digits_calib.npz", "-o", "all", "--verify", "all", "--json")
    found = ok("build", "digits.onnx", *arguments, cwd=place).json
    assert [row["core"] for row in found["verified"]] == ["native", *VERIFY_CORES]
    assert len({row["outputs_sha256"] for row in found["verified"]}) == 1


def test_building_again_replaces_and_edits_stop_it(place: Path, tmp_path: Path) -> None:
    arguments = (place / "digits.onnx", "--board", "nucleo_f446re", "-o", "out", "--verify", "none")
    assert "added" not in ok("build", *arguments, cwd=tmp_path).out
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert ok("build", *arguments, cwd=tmp_path).out.endswith("\nNo file has changed.\n")
    assert before == {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    edited = tmp_path / "out" / "platformio.ini"
    edited.write_text("; mine\n")
    said = tinygen("build", *arguments, cwd=tmp_path)
    assert said.code == 6
    assert "platformio.ini" in said.err
    assert edited.read_text() == "; mine\n"
    (tmp_path / "out" / "src" / "main.c").write_text("mine\n")
    said = ok("build", *arguments, "--force", cwd=tmp_path)
    assert said.out.endswith("\nFiles: 1 changed. Kept your src/main.c.\n")
    assert edited.read_bytes() == before[edited]


def test_a_private_build_is_called_model(place: Path, tmp_path: Path) -> None:
    arguments = ("build", place / "digits.onnx", "--board", "native", "--verify", "none", "--private")
    ok(*arguments, cwd=tmp_path)
    assert (tmp_path / "build/model/lib/model/src/model.h").is_file()
    for path in (tmp_path / "build" / "model").rglob("*"):
        assert "digits" not in str(path.relative_to(tmp_path)), path
        assert path.is_dir() or b"digits" not in path.read_bytes(), path
    ok(*arguments, "--name", "mine", cwd=tmp_path)
    assert (tmp_path / "build/mine/lib/mine/src/mine.h").is_file()


def test_certificate(built: Path) -> None:
    found = valid("certificate", read((built / "certificate.json").read_text()))
    valid("plan", read((built / "plan.json").read_text()))
    assert found["verified"] is True
    assert found["not_verified"] == []
    assert set(found["outputs_sha256"]) == {"numpy", "native", "cortex-m4"}
    assert len(set(found["outputs_sha256"].values())) == 1
    header = (built / "lib" / "digits" / "src" / "digits.h").read_text()
    assert f"#define DIGITS_BUILD_ID 0x{found['build_id']}U" in header
    assert found["model"]["sha256"] in header


# --- inspect, eval ---------------------------------------------------------------------------------------------------


def test_inspect(place: Path) -> None:
    found = ok("inspect", "digits.onnx", "--json", cwd=place).json
    assert {"model", "inputs", "outputs", "macs", "parameters", "layers", "boards", "notes"} <= set(found)
    assert found["inputs"] == [{"name": "image", "shape": [1, 1, 8, 8]}]
    assert found["outputs"] == [{"name": "logits", "shape": [1, 10]}]
    assert sum(row["macs"] for row in found["layers"]) == found["macs"] > 0
    assert sum(row["parameters"] for row in found["layers"]) == found["parameters"] > 1000
    assert all({"operator", "onnx", "shape", "macs", "parameters"} <= set(row) for row in found["layers"])
    fits = {row["board"]: row["fits"] for row in found["boards"]}
    assert fits["nucleo_f446re"] is True
    assert len(fits) >= 25
    assert "native" not in fits
    text = ok("inspect", "digits.onnx", cwd=place).out
    for part in ("digits", "MACs", "parameters", "nucleo_f446re", "yes"):
        assert part in text


def test_inspect_for_a_board_shows_that_board(place: Path) -> None:
    said = ok("inspect", "digits.onnx", "--board", "nucleo_f446re", cwd=place, COLUMNS="80").out
    assert max(map(len, said.splitlines())) <= 80
    assert "Predicted use of nucleo_f446re" in said
    assert "All boards: inspect without a board." in said
    assert "Layers on nucleo_f446re: cortex-m4 at 180 MHz" in said
    assert "nucleo_f411re" not in said
    every = ok("inspect", "digits.onnx", cwd=place, COLUMNS="80").out
    assert max(map(len, every.splitlines())) <= 80
    assert "Layer by layer: inspect for a board." in " ".join(every.split())
    fast = ("inspect", "digits.onnx", "--board", "nucleo_h743zi")  # a core without a cycle model
    layers = ok(*fast, cwd=place).out.partition("Layers on nucleo_h743zi")[2]
    assert "instructions  per MAC  share" in layers
    total = ok(*fast, "--json", cwd=place).json["prediction"]["instructions"]
    assert re.search(rf"^all +[\d,]+ +{total:,} ", layers, re.M)
    here = ok("inspect", "digits.onnx", "--board", "native", cwd=place).out
    assert "Nothing is predicted for native." in " ".join(here.split())


def test_eval(place: Path) -> None:
    arguments = ("digits.onnx", "--data", "digits_test.npz", "--calibrate", "digits_calib.npz")
    found = ok("eval", *arguments, "--json", cwd=place).json
    assert {"model", "samples", "measures", "layers"} <= set(found)
    assert found["samples"] == 360
    measures = {m["name"]: m for m in found["measures"]}
    accuracy = measures["accuracy"]
    assert accuracy["float"] == pytest.approx(358 / 360)
    assert accuracy["integer"] >= accuracy["float"] - 0.005
    assert (found["precision"], found["verdict"], found["unseen"]) == ("int8", "keeps", True)
    text = ok("eval", *arguments, "--limit", "20", "--layers", cwd=place).out
    for part in ("digits, 20 samples", "accuracy", "SQNR", "float", "int8"):
        assert part in text
    text = ok("eval", *arguments, "--activations", "16", cwd=place).out
    assert "int16" in text
    assert "int8" not in text


def test_eval_that_fails_says_what_it_found(place: Path) -> None:
    arguments = ("digits.onnx", "--data", "digits_test.npz", "--limit", "40", "--min-sqnr", "90", "--json")
    said = tinygen("eval", *arguments, cwd=place)
    assert said.code == said.json["error"]["exit_code"] == 10
    assert said.json["error"]["kind"] == "accuracy"
    assert said.json["verdict"] == "keeps"


def test_eval_says_what_calibrated(place: Path) -> None:
    said = ok("eval", "digits.onnx", "--data", "digits_test.npz", cwd=place)
    assert "no --calibrate: 200 of these samples calibrated" in said.err
    assert "160 samples held back" in said.out


def test_eval_of_a_built_folder(place: Path, built: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    arguments = ("eval", built, "--data", "digits_test.npz")
    found = ok(*arguments, "--json", "--html", page, cwd=place).json
    assert (found["samples"], found["core"], found["compared_with"]) == (360, "native", None)
    matrix = found["confusion"]["matrix"]
    right = sum(matrix[i][i] for i in range(10))
    assert found["measures"][0]["name"] == "accuracy"
    assert found["measures"][0]["integer"] == pytest.approx(right / 360)
    assert right >= 355
    assert sum(map(sum, matrix)) == sum(c["support"] for c in found["confusion"]["classes"]) == 360
    assert len(found["confusion"]["surest_mistakes"]) == 360 - right
    assert "Confusion" in page.read_text()
    assert "<script" not in page.read_text()
    few = ok(*arguments, "--limit", "20", "--core", "cortex-m4", "--model", "digits.onnx", cwd=place).out
    few = " ".join(few.split())  # wrapped where the path is long
    for part in ("on cortex-m4", "20 samples", "agreement with float", "SQNR", "precision", "When it was built: int8"):
        assert part in few
    said = tinygen(*arguments, "--min-accuracy", "99.9%", "--limit", "360", cwd=place)
    assert said.code in (0, 10)
    for wrong, code, why in (
        (("--core", "cortex-m0"), 4, "kernels"), (("--model", "other.onnx"), 2, "other.onnx"),
        (("--calibrate", "digits_calib.npz"), 64, "--calibrate"), (("--max-loss", "1"), 3, "--model"),
    ):  # fmt: skip
        said = tinygen(*arguments, *wrong, cwd=place)
        assert said.code == code, said.err
        assert why in said.err


# --- verify ----------------------------------------------------------------------------------------------------------


def copy_of(built: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(built, folder, ignore=shutil.ignore_patterns(".pio"))
    return folder


def renew_manifest(folder: Path, name: str) -> None:
    """As somebody would who wants the change to pass for ours."""
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))


def test_verify_passes_on_a_fresh_build(built: Path, tmp_path: Path) -> None:
    folder = copy_of(built, tmp_path)
    found = ok("verify", folder, "--json", cwd=tmp_path).json
    assert found["ok"] is True
    assert {"environment", "name", "status", "message"} <= set(found["cases"][0])
    assert {c["environment"] for c in found["cases"]} == {"native", "nucleo_f446re_qemu"}
    assert {c["status"] for c in found["cases"]} == {"PASSED"}
    text = ok("verify", folder.name, cwd=tmp_path).out  # a second time: what PlatformIO left there is no edit
    for part in ("Golden vectors", "native", "nucleo_f446re_qemu", "PASSED"):
        assert part in text


@pytest.mark.parametrize("name", ["include/digits_golden.h", "lib/digits/src/digits_weights.c"])
def test_verify_fails_on_a_tampered_file(name: str, built: Path, tmp_path: Path) -> None:
    """An edited file is found by its hash; where the manifest was edited too, by what the program gives."""
    folder = copy_of(built, tmp_path)
    lines = (folder / name).read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if re.fullmatch(r"\s+(-?\d+,\s*){3,}", line))
    lines[at] = re.sub(r"-?\d+", lambda m: "17" if m[0] != "17" else "18", lines[at])
    (folder / name).write_text("".join(lines))
    said = tinygen("verify", folder, cwd=tmp_path)
    assert said.code == 6
    assert name in said.err
    renew_manifest(folder, name)
    said = tinygen("verify", folder, "--json", cwd=tmp_path)
    assert said.code == 7
    assert said.json["ok"] is False
    assert "FAILED" in {c["status"] for c in said.json["cases"]}
    assert "golden vectors failed" in said.err


def test_verify_of_another_folder(tmp_path: Path) -> None:
    said = tinygen("verify", tmp_path, cwd=tmp_path)
    assert said.code == 6
    assert "MANIFEST.json" in said.err


# --- boards, ops -----------------------------------------------------------------------------------------------------


def test_boards(tmp_path: Path) -> None:
    rows = ok("boards", "--json", cwd=tmp_path).json["boards"]
    assert len(rows) >= 26
    assert all({"id", "name", "core", "f_cpu", "flash", "ram"} <= set(row) for row in rows)
    by_id = {row["id"]: row for row in rows}
    assert by_id["nucleo_f446re"]["core"] == "cortex-m4"
    assert by_id["nucleo_f446re"]["flash"] == 512 * 1024
    assert "native" in by_id
    text = ok("boards", cwd=tmp_path, COLUMNS="80").out
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    for row in rows:  # a line each
        (line,) = (line for line in lines if line.split(" ")[0] == row["id"])
        assert row["name"] in line


def test_ops(tmp_path: Path) -> None:
    text = ok("ops", cwd=tmp_path).out
    markdown = ok("ops", "--markdown", cwd=tmp_path).out.splitlines()
    start = markdown.index("| ONNX operator | limits |")
    assert markdown[start + 1] == "| --- | --- |"
    rows = [line for line in markdown[start + 2 :] if line.startswith("| ")]
    found = [line.split("|")[1].strip() for line in rows]
    assert found == sorted(found)
    assert {"Conv", "Gemm", "Softmax", "Resize", "PRelu", "Gather", "ConvTranspose"} <= set(found)
    assert all(name in text for name in found)


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("build", "digits.onnx"),
        ("build", "digits.onnx", "--board", "nucleo_f446re", "--arena", "heap"),
        ("eval", "digits.onnx"),
        ("inspect",),
        ("inspect", "digits.onnx", "--input-shape", "image=a,b"),
        ("frobnicate",),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], place: Path) -> None:
    said = tinygen(*arguments, cwd=place)
    assert said.code == 64
    assert said.out == ""
    assert said.err.startswith("Usage: ")
    assert "Traceback" not in said.err


def test_stdout_closed_early_is_no_fault(place: Path) -> None:
    """`tinygen boards | head -1`."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tinygen", "boards"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        cwd=place,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(30) in (0, 1)
