"""A generated project, built and tested offline by PlatformIO."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.boards.fake_model import LEN, MODEL, write_model
from tinygen.build.platformio import pio_run, pio_test
from tinygen.build.process import RunResult, run
from tinygen.build.qemu import find_emulator, run_qemu
from tinygen.build.toolchain import compile_program, find_toolchain, write_linker_script
from tinygen.emit.exports import render_exports
from tinygen.emit.exports.platformio import qemu_env
from tinygen.emit.programs import GoldenCase, ProjectView, golden_header, render_golden_header
from tinygen.errors import ToolError
from tinygen.targets.board import load_board


def golden_case(start: int) -> GoldenCase:
    values = tuple(range(start, start + LEN))
    return GoldenCase((values,), (tuple(value + 1 for value in values),))


def view_of(board_id: str) -> ProjectView:
    return ProjectView(MODEL, load_board(board_id), (golden_case(-128), golden_case(0), golden_case(80)))


def write_project(folder: Path, view: ProjectView) -> None:
    for name, data in {**render_exports(view), golden_header("kws"): render_golden_header(view)}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    write_model(folder / "lib" / "kws" / "src")


@pytest.fixture
def pio(require_tool: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    require_tool("gcc")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("pio")
@pytest.mark.parametrize("board_id", ["nucleo_f446re", "bbcmicrobit", "nucleo_u575zi_q", "ek_ra8m1"])
def test_project_builds_and_passes(board_id: str, tmp_path: Path) -> None:
    view = view_of(board_id)
    folder = tmp_path / "project"
    write_project(folder, view)
    board, emulated, native = pio_run(folder, [board_id, qemu_env(view.board), "native"])
    for build in (board, emulated, native):
        assert build.ok, build.output
    assert board.flash_bytes is not None
    assert 500 < board.flash_bytes < 4000
    assert board.ram_bytes is not None
    assert view.stack_bytes < board.ram_bytes < 2 * view.stack_bytes
    assert view.board.stand_in is not None
    main = run_qemu(view.board.stand_in, folder / ".pio" / "build" / qemu_env(view.board) / "firmware.elf", folder)
    assert (main.exit_code, main.stdout) == (0, "argmax 9\n")
    result = pio_test(folder, [qemu_env(view.board), "native"])
    assert result.ok, result.output
    assert [(case.env, case.name, case.status) for case in result.cases] == [
        (env, f"golden{i}", "PASSED") for env in (qemu_env(view.board), "native") for i in range(3)
    ]


@pytest.mark.usefixtures("pio")
def test_a_wrong_bit_fails_and_so_does_a_broken_build(tmp_path: Path) -> None:
    view = view_of("bluepill_f103c8")
    folder = tmp_path / "project"
    write_project(folder, view)
    source = write_model(folder / "lib" / "kws" / "src", "output[7] ^= (input[0] == 0) ? 1 : 0;")
    result = pio_test(folder, [qemu_env(view.board)])
    assert not result.ok
    assert [(case.status, case.message) for case in result.cases] == [
        ("PASSED", ""),
        ("FAILED", "output0 differs at byte 7"),
        ("PASSED", ""),
    ]
    source.write_text("#error broken\n")
    (build,) = pio_run(folder, ["native"])
    assert not build.ok
    assert "broken" in build.output


@pytest.mark.usefixtures("pio")
def test_projects_do_not_share_a_platform(tmp_path: Path) -> None:
    """PlatformIO's link to `platform` is named after the folder; the second project must not build with the first's."""
    for name in ("one", "two"):
        write_project(tmp_path / name, view_of("native"))
    (tmp_path / "two" / "platform" / "builder" / "main.py").write_text("raise SystemExit('platform of two')\n")
    (one,) = pio_run(tmp_path / "one", ["native"])
    (two,) = pio_run(tmp_path / "two", ["native"])
    assert one.ok, one.output
    assert not two.ok
    assert "platform of two" in two.output


@pytest.mark.usefixtures("pio")
def test_unknown_environment(tmp_path: Path) -> None:
    write_project(tmp_path / "project", view_of("native"))
    with pytest.raises(ToolError, match="nowhere"):
        pio_run(tmp_path / "project", ["nowhere"])


def plain_pio(folder: Path, words: Sequence[str], *before: str) -> RunResult:
    """`pio` as a user calls it in an output folder, with a new home and no registry that answers; `before`: Python
    that runs first."""
    dead = {f"{scheme}_PROXY": "http://127.0.0.1:9" for scheme in ("HTTP", "HTTPS", "http", "https")}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PLATFORMIO_")} | dead
    environment["HOME"] = str(folder.parent / "home")
    program = ("import sys", *before, "from platformio.__main__ import main", "sys.exit(main())")
    command = (sys.executable, "-c", "\n".join(program), *words)
    return run(command, folder, 300.0, environment, merge=True)


@pytest.mark.usefixtures("pio")
def test_the_readme_s_own_words_work_without_a_registry(tmp_path: Path) -> None:
    board_id, folder = "nucleo_f446re", tmp_path / "project"
    write_project(folder, view_of(board_id))
    said = re.findall(r"^ {4}pio (.+)$", (folder / "README.md").read_text(), re.MULTILINE)
    # A board and the registry's own platform are what no machine has.
    here = [words for words in said if "upload" not in words and "registry.ini" not in words]
    assert here == ["run", "test", "run -e native -t exec", f"run -e {board_id}_qemu -t exec"]
    for words in here:
        done = plain_pio(folder, words.split())
        assert done.exit_code == 0, f"pio {words}\n{done.stdout}"
        expected = {"run": "3 succeeded", "test": "6 test cases: 6 succeeded"}.get(words, "argmax 9")
        assert expected in done.stdout, f"pio {words}\n{done.stdout}"
    assert not (tmp_path / "home" / ".platformio" / "packages").exists()
    assert plain_pio(folder, ["run", "-e", "native", "-t", "fullclean"]).exit_code == 0


@pytest.mark.usefixtures("pio")
def test_platformio_s_own_scons_comes_first(tmp_path: Path) -> None:
    """Who has used PlatformIO before, from its registry, notices nothing of ours."""
    folder = tmp_path / "project"
    write_project(folder, view_of("native"))
    assert plain_pio(folder, ["run"]).exit_code == 0
    own = tmp_path / "home" / ".platformio" / "packages" / "tool-scons"
    own.parent.mkdir(parents=True)
    (folder / ".pio" / "packages" / "tool-scons").rename(own)
    (own / "scons.py").write_text("print('from the registry')\nimport SCons.Script\nSCons.Script.main()\n")
    done = plain_pio(folder, ["run"])
    assert done.exit_code == 0
    assert "from the registry" in done.stdout
    assert not (folder / ".pio" / "packages" / "tool-scons").exists()


#: PlatformIO asks its registry for a minute.
NO_PATIENCE = "import time; time.sleep = lambda seconds: None"
OTHER_PLATFORM = """
from platformio.platform.base import PlatformBase

class OtherPlatform(PlatformBase):
    def configure_project_packages(self, env, targets=None):
        print("PACKAGES", self.config.get("platformio", "packages_dir"))
"""


@pytest.mark.usefixtures("pio")
def test_another_platform_in_the_project_keeps_its_packages(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    write_project(folder, view_of("native"))
    other = folder / "other"
    other.mkdir()
    (other / "platform.py").write_text(OTHER_PLATFORM)
    (other / "platform.json").write_text('{"name": "other", "title": "Other", "version": "1.0.0", "packages": {}}')
    with (folder / "platformio.ini").open("a") as file:
        file.write("\n[env:other]\nplatform = symlink://other\n")
    done = plain_pio(folder, ["run"], NO_PATIENCE)
    assert f"PACKAGES {tmp_path / 'home' / '.platformio' / 'packages'}" in done.stdout, done.stdout


@pytest.mark.usefixtures("pio")
def test_what_to_do_without_scons_is_said_before_the_registry_is_asked(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    write_project(folder, view_of("native"))
    done = plain_pio(folder, ["run"], "sys.modules['SCons'] = None", NO_PATIENCE)
    assert done.exit_code != 0
    assert 0 < done.stdout.find("pip install scons") < done.stdout.find("Installing platformio/tool-scons")


def test_project_is_repeatable_and_self_contained() -> None:
    files = render_exports(view_of("nucleo_f446re"))
    assert files == render_exports(view_of("nucleo_f446re"))
    assert list(files) == sorted(files)
    assert {"platform/platform.py", "platform/arm_m/startup.c", "boards/nucleo_f446re.json", "registry.ini"} <= set(
        files
    )
    here = str(Path(__file__).resolve().parents[2]).encode()
    for name, data in files.items():
        assert here not in data, name
        assert not re.search(rb"\b20[0-9][0-9]-[01][0-9]-", data), name
        assert data.endswith(b"\n"), name
        assert b"{{" not in data or name.endswith((".py", ".c", ".h")), name


def test_golden_lengths_are_checked() -> None:
    with pytest.raises(ValueError, match="golden"):
        ProjectView(MODEL, load_board("native"), (GoldenCase(((1, 2),), ((1, 2),)),))
    with pytest.raises(ValueError, match="golden"):
        ProjectView(MODEL, load_board("native"), ())


def test_without_a_debugger_the_program_ends_asleep(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """Semihosting calls that nobody answers are skipped: QEMU without semihosting is a board on its own."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    main = tmp_path / "main.c"
    # A semihosting call in the fault handler locks the core up, which ends QEMU; asleep, it runs until the time-out.
    main.write_text(
        '#include "tg_target.h"\n'
        'int main(void) { tg_puts("hello\\n"); if (tg_open("x", TG_OPEN_READ) != -1) { __asm volatile("udf #0"); }\n'
        "return 0; }\n"
    )
    for board_id in ("bbcmicrobit", "nrf52840_dk"):
        board = load_board(board_id)
        assert board.stand_in is not None
        script = write_linker_script(tmp_path / "a.ld", board.core.arch, board.stand_in, 2048)
        program = compile_program(
            find_toolchain(board.core), board.core, [main], [], tmp_path / "a.elf", linker_script=script
        )
        qemu = find_emulator(board.stand_in.emulator)
        command = [*qemu, "-M", board.stand_in.name, "-display", "none", "-monitor", "none", "-serial", "null"]
        with pytest.raises(ToolError, match="did not end within 1 s"):
            run([*command, "-kernel", str(program.elf)], tmp_path, timeout=1)
