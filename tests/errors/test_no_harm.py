"""What goes on although something is missing or odd, and what an interrupted build leaves: nothing."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.errors import models as m
from tests.errors.broken_models import several
from tests.errors.broken_surroundings import only, program
from tests.errors.cases import DATA, MODEL, OUTPUT, TOOL, USAGE, Place, contents, make_place, run
from tests.report.schemas import valid
from tinygen.cli import console

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.delenv("CC", raising=False)
    return make_place(tmp_path, monkeypatch)


def _process(
    command: tuple[str, ...], code: str = "from tinygen.cli import main; main()", limit: int | None = None
) -> subprocess.Popen[str]:
    """The command line as a process of its own; `limit`: bytes a file may have."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))),
    )


# -- as processes ----------------------------------------------------------------------------------------------------


def test_processes_end_with_the_documented_codes(place: Place) -> None:
    model, x = place.model(), m.samples(4, 9)
    commands = {
        place.build(place.folder / "no.onnx"): MODEL,
        place.build(place.model(several(), "several.onnx")): MODEL,
        place.build(model, "--data", place.npz(x=x)): DATA,
        place.build(model, "--output", model): OUTPUT,
        place.build(model, "--samples", "0"): USAGE,
        ("verify", str(place.folder)): OUTPUT,
    }
    before = contents(place.folder)
    running = {command: _process(command) for command in commands}
    for command, process in running.items():
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == commands[command], stderr
        assert stderr
        assert "Traceback" not in stderr
        assert not stdout
    assert contents(place.folder) == before


def test_a_build_tells_nobody(place: Place) -> None:
    """Nothing at home, nothing among the temporary files: onnxruntime would leave both, and report to its maker."""
    process = _process(place.build(place.model()))
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert set(os.listdir(place.folder)) == {"net.onnx", "out", "tmp", "home"}
    assert not list((place.folder / "tmp").iterdir())
    assert not list((place.folder / "home").iterdir())


def test_refused_nodes_on_a_terminal(place: Place) -> None:
    place.patch.setattr(console.err, "_force_terminal", True)
    place.patch.setattr(console.err, "_width", 80)
    result = run(place.build(place.model(several())))
    assert result.code == MODEL
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in result.stderr.splitlines()[2:]) <= 80
    assert "LRN" in result.stderr


def test_file_size_limit_stands_for_a_full_disk(place: Place) -> None:
    command = place.build(place.model())
    before = contents(place.folder)
    process = _process(command, limit=3000)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == OUTPUT, stderr
    assert "File too large" in stderr
    assert contents(place.folder) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True).returncode:
        pytest.skip("a disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_full_disk(place: Place, small_disk: Path) -> None:
    (small_disk / "mine.txt").write_text("mine")
    result = run(place.build(place.model(), "--output", small_disk / "deep" / "out"))
    assert result.code == OUTPUT
    assert "No space left on device" in result.text
    assert contents(small_disk) == {"mine.txt": b"mine"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_while_compiling(place: Place, number: signal.Signals) -> None:
    compiler = program(place, "slow-cc", f"echo $$ >> {place.folder}/pids; exec sleep 300")
    place.patch.setenv("CC", str(compiler))
    process = _process(place.build(place.model(), verify="board", board="native"))
    pids = place.folder / "pids"
    deadline = time.monotonic() + 60
    while not (pids.exists() and len(pids.read_text().split()) == 2):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "stopped" in stderr
    assert "Traceback" not in stderr
    assert not place.out.exists()
    assert not list((place.folder / "tmp").iterdir())
    for pid in pids.read_text().split():
        assert not Path(f"/proc/{pid}").exists()


KILLED = """
import os, signal, sys
from tinygen.cli import main
from tinygen.files import Disk
real, left = Disk.write, [2]
def write(disk, path, data):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(disk, path, data)
Disk.write = write
main()
"""


def test_killed_while_writing(place: Place) -> None:
    """Nothing can be cleared away then; but nothing is half written either, and the next build does not mind."""
    command = place.build(place.model())
    process = _process(command, KILLED)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not place.out.exists()
    assert run(command).code == 0
    before = contents(place.out)
    again = place.build(place.model(m.dense(layer="/other")))
    process = _process(again, KILLED)
    process.communicate(timeout=60)
    after = contents(place.out)
    assert {k: v for k, v in after.items() if not k.startswith(".tinygen-")} == before
    assert run(again).code == 0
    assert not [k for k in contents(place.out) if k.startswith(".tinygen-")]


# -- tools that are not there ----------------------------------------------------------------------------------------


def _built_without(place: Place, *programs: str) -> tuple[str, dict[str, object]]:
    """A verified build with only these programs on PATH: what it said, and its certificate."""
    only(place, *programs)
    result = run(place.build(place.model(), verify="board"))
    assert result.code == 0, result.text
    return result.text, valid("certificate", json.loads((place.out / "certificate.json").read_text()))


def test_without_any_compiler(place: Place) -> None:
    text, certificate = _built_without(place)
    assert "not verified on native: none of gcc, clang, cc is on PATH, so nothing can be built" in text
    assert "apt install gcc" in text
    assert "not verified on cortex-m4: arm-none-eabi-gcc is not on PATH" in text
    assert certificate["verified"] is False
    assert len(certificate["not_verified"]) == 2  # type: ignore[arg-type]


def test_without_arm_compiler(place: Place, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    text, certificate = _built_without(place, "gcc", "as", "ld")
    assert "not verified on cortex-m4: arm-none-eabi-gcc is not on PATH" in text
    assert "native" in certificate["outputs_sha256"]  # type: ignore[operator]


def test_without_qemu(place: Place, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    require_tool("arm-none-eabi-gcc")
    text, certificate = _built_without(place, "gcc", "as", "ld", "arm-none-eabi-gcc")
    assert "not verified on cortex-m4: qemu-system-arm is not on PATH" in text
    assert "native" in certificate["outputs_sha256"]  # type: ignore[operator]


def test_without_newlib(place: Place) -> None:
    only(place, "sh")
    program(place, "arm-none-eabi-gcc", "echo 'x.c:1:10: fatal error: stdint.h: No such file' >&2; exit 1")
    result = run(place.build(place.model(), verify="board"))
    assert result.code == 0, result.text
    assert "libnewlib-arm-none-eabi" in result.text


def test_fault_of_ours_is_said_to_be_ours(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of no use")

    monkeypatch.setattr("tinygen.flow.quantised.tidy", broken)
    command = place.build(place.model())
    before = contents(place.folder)
    result = run(command)
    assert result.code == 70
    assert "a fault in tinygen" in result.text
    assert "ZeroDivisionError in broken" in result.text
    assert "Traceback" not in result.text
    assert contents(place.folder) == before


# -- odd, but right --------------------------------------------------------------------------------------------------


def test_force_overwrites_what_was_edited(place: Place) -> None:
    place.built()
    before = contents(place.folder)
    (place.out / "platformio.ini").write_text("mine")
    (place.out / "README.md").unlink()
    result = run(place.build(place.model(), "--force"))
    assert result.code == 0, result.text
    assert contents(place.folder) == before


def test_settings_of_editors_and_the_folder_itself_stay(place: Place) -> None:
    """A shell that stands in the output folder still stands in it after a second build."""
    place.built()
    place.file("out/.vscode/settings.json", "{}")
    inode = place.out.stat().st_ino
    place.patch.chdir(place.out)
    result = run(place.build(place.model(m.dense(layer="/other")), "--output", "."))
    assert result.code == 0, result.text
    assert place.out.stat().st_ino == inode
    assert (place.out / ".vscode" / "settings.json").read_text() == "{}"


def test_output_may_be_a_link_to_a_folder(place: Place) -> None:
    (place.folder / "real").mkdir()
    place.out.symlink_to("real")
    for layer in ("/first", "/second"):
        result = run(place.build(place.model(m.dense(layer=layer))))
        assert result.code == 0, result.text
    assert place.out.is_symlink()
    assert (place.folder / "real" / "MANIFEST.json").is_file()


def test_parents_are_created(place: Place) -> None:
    result = run(place.build(place.model(), "--output", place.folder / "a" / "b" / "c"))
    assert result.code == 0, result.text
    assert (place.folder / "a" / "b" / "c" / "MANIFEST.json").is_file()


def test_verify_of_a_sound_folder(place: Place, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    result = run(place.build(place.model(), board="native"))
    assert result.code == 0, result.text
    result = run(["verify", str(place.out), "--json"])
    assert result.code == 0, result.text
    assert json.loads(result.stdout)["ok"] is True
    assert not list((place.folder / "tmp").iterdir())


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("int", "m_int"),
        ("main", "m_main"),
        ("string", "m_string"),
        ("harness", "m_harness"),
        ("tg_dense_s8", "m_tg_dense_s8"),
        ("kws_io", "kws_io_net"),
        ("kws_weights", "kws_weights_net"),
        ("9 lives (copy)", "n9_lives_copy"),
        ("größe", "gr_e"),
        ("ネット", "x"),
        ("-" * 3, "x"),
        ("k" * 90, "k" * 40),
    ],
)
def test_any_file_name_makes_a_name_in_c(
    place: Place, require_tool: Callable[[str], None], stem: str, name: str
) -> None:
    require_tool("gcc")
    result = run(place.build(place.model(name=f"{stem}.onnx"), verify="board", board="native"))
    assert result.code == 0, result.text
    assert (place.out / "lib" / name / "src" / f"{name}.h").is_file()


STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wcast-qual", "-Werror", "-fsyntax-only")
NASTY = ['a*/ int x; /*"', "new\nline\\", "[/bold]:smile:\x1b[31m", "%s%n??/", "/*", "\u00e9\u4e2d", '";--']


@pytest.mark.parametrize("nasty", NASTY)
def test_any_tensor_name_makes_sound_c(place: Place, require_tool: Callable[[str], None], nasty: str) -> None:
    require_tool("gcc")
    model = m.dense(input_=f"i{nasty}", output=f"o{nasty}", layer=nasty)
    result = run(place.build(place.model(model), "--layers", verify="board", board="native"))
    assert result.code == 0, result.text
    assert "\x1b" not in result.stdout + result.stderr
    src = place.out / "lib" / "net" / "src"
    for compiler in (["gcc", "-std=c99"], ["g++", "-std=c++14", "-x", "c++"]):
        files = sorted(src.glob("net*.c" if compiler[0] == "gcc" else "net.h"))
        done = subprocess.run([*compiler, *STRICT, "-I", src, *files], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    json.loads((place.out / "lib" / "net" / "library.json").read_text())


@pytest.mark.parametrize("nasty", NASTY)
def test_any_tensor_name_can_be_refused(place: Place, nasty: str) -> None:
    result = run(place.build(place.model(m.one("Mystery", dims=(1, 8))), "--input-shape", f"{nasty}=1,8"))
    assert result.code == MODEL
    assert "\x1b" not in result.stderr


def test_inputs_of_the_same_name_in_c(place: Place, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    result = run(place.build(place.model(m.two_inputs("in put", "in_put")), verify="board", board="native"))
    assert result.code == 0, result.text


def test_output_that_is_the_input(place: Place, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    result = run(place.build(place.model(m.one("Identity")), verify="board", board="native"))
    assert result.code == 0, result.text


def test_compiler_of_the_user_is_used(place: Place) -> None:
    place.patch.setenv("CC", str(program(place, "mycc", "echo 'error: my own' >&2; exit 1")))
    result = run(place.build(place.model(), verify="board", board="native"))
    assert result.code == TOOL
    assert "mycc failed on" in result.text


def test_no_temporary_files_of_verification(place: Place, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    result = run(place.build(place.model(), verify="board", board="native"))
    assert result.code == 0, result.text
    assert not list((place.folder / "tmp").iterdir())
    assert not list((place.folder / "home").iterdir())
    assert set(os.listdir(place.folder)) == {"net.onnx", "out", "tmp", "home"}
