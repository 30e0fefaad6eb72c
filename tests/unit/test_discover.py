"""Where tools are looked for, on computers made of a temporary folder: nothing here asks what is really installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tinygen.build.discover import Computer, advice, environment, find, missing
from tinygen.errors import ToolError
from tinygen.targets.arch.arm_m.cores import GCC as ARM_GCC
from tinygen.targets.arch.arm_m.cores import QEMU as QEMU_ARM
from tinygen.targets.arch.base import Tool
from tinygen.targets.arch.host import HOST
from tinygen.targets.cores import CORES

HOST_CC = HOST.compiler
SYSTEMS = ("linux", "macos", "windows")
TOOLS = pytest.mark.parametrize("tool", [ARM_GCC, QEMU_ARM], ids=lambda t: t.programs[0])


def install(computer: Computer, folder: str, name: str) -> str:
    """A program in a folder below the root, or below `~`."""
    base = computer.home if folder.startswith("~/") else computer.root
    assert base is not None
    path = base / folder.removeprefix("~/") / (name + (".exe" if computer.system == "windows" else ""))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o755)
    return str(path)


def computer(tmp_path: Path, system: str = "linux", **environment: str) -> Computer:
    home = {"HOME": str(tmp_path / "home" / "me"), "USERPROFILE": str(tmp_path / "Users" / "me")}
    return Computer(system, tmp_path, {"PATH": str(tmp_path / "bin"), **home, **environment})


@pytest.mark.parametrize("system", SYSTEMS)
@TOOLS
def test_every_place_is_looked_at(tmp_path: Path, system: str, tool: Tool) -> None:
    assert tool.places[system]
    for i, place in enumerate(tool.places[system]):
        here = computer(tmp_path / str(i), system)
        assert find(tool, here) is None
        there = install(here, place.replace("*", "-13.3.rel1-x86_64"), tool.programs[0])
        assert find(tool, here) == (there,)


@pytest.mark.parametrize(
    ("system", "folders"),  # the newest last
    [
        (
            "linux",
            [
                "opt/gcc-arm-none-eabi-9-2020-q2-update/bin",
                "opt/gcc-arm-none-eabi-10.3-2021.10/bin",
                "opt/xpack-arm-none-eabi-gcc-12.3.1-1.2/bin",
                "opt/arm-gnu-toolchain-13.2.Rel1-x86_64-arm-none-eabi/bin",
                "opt/arm-gnu-toolchain-13.3.rel1-aarch64-arm-none-eabi/bin",
                "~/.local/xPacks/@xpack-dev-tools/arm-none-eabi-gcc/14.2.1-1.1.1/.content/bin",
            ],
        ),
        (
            "macos",
            [
                "opt/homebrew/bin",
                "Applications/ArmGNUToolchain/9.3.rel1/arm-none-eabi/bin",
                "Applications/ArmGNUToolchain/13.3.rel1/arm-none-eabi/bin",
                "~/Library/xPacks/@xpack-dev-tools/arm-none-eabi-gcc/13.3.1-1.1.1/.content/bin",
                "Applications/ArmGNUToolchain/15.2.rel1/arm-none-eabi/bin",
            ],
        ),
        (
            "windows",
            [
                "Program Files (x86)/GNU Arm Embedded Toolchain/10 2021.10/bin",
                "Program Files (x86)/Arm GNU Toolchain arm-none-eabi/12.2 mpacbti-rel1/bin",
                "Program Files/Arm GNU Toolchain arm-none-eabi/13.2 Rel1/bin",
                "Program Files (x86)/Arm GNU Toolchain arm-none-eabi/14.2 rel1/bin",
            ],
        ),
    ],
)
def test_the_newest_of_several(tmp_path: Path, system: str, folders: list[str]) -> None:
    for number, order in enumerate((folders, folders[::-1])):
        here = computer(tmp_path / str(number), system)
        programs = {folder: install(here, folder, "arm-none-eabi-gcc") for folder in order}
        for folder in reversed(folders):
            assert find(ARM_GCC, here) == (programs[folder],)
            Path(programs[folder]).unlink()


def test_what_the_user_says_comes_first_then_path(tmp_path: Path) -> None:
    here = computer(tmp_path)
    usual = install(here, "opt/arm-gnu-toolchain-14/bin", "arm-none-eabi-gcc")
    assert find(ARM_GCC, here) == (usual,)
    on_path = install(here, "bin", "arm-none-eabi-gcc")
    assert find(ARM_GCC, here) == (on_path,)
    own = install(here, "my tools/9", "arm-none-eabi-gcc")
    assert find(ARM_GCC, computer(tmp_path, TINYGEN_ARM_GCC=own)) == (own,)
    install(here, "bin", "ccache")
    assert find(ARM_GCC, computer(tmp_path, TINYGEN_ARM_GCC=f'ccache "{own}"')) == (str(tmp_path / "bin/ccache"), own)
    assert find(ARM_GCC, computer(tmp_path, TINYGEN_ARM_GCC="  ")) == (on_path,)


def test_compilers_of_this_computer(tmp_path: Path) -> None:
    here = computer(tmp_path)
    install(here, "bin", "cc")
    clang = install(here, "bin", "clang")
    assert find(HOST_CC, here) == (clang,)
    gcc = install(here, "bin", "gcc")
    assert find(HOST_CC, here) == (gcc,)
    assert find(HOST_CC, computer(tmp_path, CC="clang -m32 '-DX=a b'")) == (clang, "-m32", "-DX=a b")


def test_windows_paths_in_a_variable(tmp_path: Path) -> None:
    r"""`\` is no escape there, and a path with spaces needs no quotes, but may have them."""
    here = computer(tmp_path, "windows")
    program = install(here, "Program Files/mingw", "gcc")
    bare = program.removesuffix(".exe")
    for wanted in (program, bare, f'"{program}"'):
        assert find(HOST_CC, computer(tmp_path, "windows", CC=wanted)) == (program,)
    with pytest.raises(ToolError, match=r"there is no program C:\\no\\gcc on PATH"):
        find(HOST_CC, computer(tmp_path, "windows", CC=r"C:\no\gcc -O2"))


def test_a_program_named_by_where_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is run in other folders."""
    own = install(computer(tmp_path), "here", "cc")
    monkeypatch.chdir(tmp_path / "here")
    assert find(HOST_CC, computer(tmp_path, CC="./cc")) == (own,)


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    here = computer(tmp_path)
    Path(install(here, "bin", "gcc")).chmod(0o644)
    (tmp_path / "bin" / "clang").mkdir()
    assert find(HOST_CC, here) is None


@pytest.mark.parametrize(
    ("system", "release", "words"),
    [
        ("linux", "ID=debian\n", "Debian: apt install gcc-arm-none-eabi libnewlib-arm-none-eabi"),
        ("linux", 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n', "apt install"),
        ("linux", "ID=fedora\n", "Fedora: dnf install arm-none-eabi-gcc-cs arm-none-eabi-newlib"),
        ("linux", 'ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install"),
        ("linux", "ID=manjaro\nID_LIKE=arch\n", "pacman -S arm-none-eabi-gcc arm-none-eabi-newlib"),
        ("linux", "ID=void\n", "Debian: apt install"),  # so that it is known what to look for
        ("linux", None, "Debian: apt install"),
        ("macos", None, "brew install --cask gcc-arm-embedded"),
        ("windows", None, "winget install Arm.GnuArmEmbeddedToolchain"),
    ],
)
def test_advice_is_for_this_system(tmp_path: Path, system: str, release: str | None, words: str) -> None:
    if release is not None:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc" / "os-release").write_text(release, encoding="utf-8")
    here = computer(tmp_path, system)
    assert words in advice(ARM_GCC, here)
    assert advice(ARM_GCC, here).endswith("or set TINYGEN_ARM_GCC to it")
    assert missing(ARM_GCC, here) == "arm-none-eabi-gcc is not on PATH, nor where installers put it"
    assert missing(HOST_CC, here) == "none of gcc, clang, cc is on PATH"


def test_everything_has_advice_for_everybody(tmp_path: Path) -> None:
    """And every architecture's tools do: what is added later, too."""
    compilers = {core.arch.compiler for core in CORES}
    emulators = {core.machine.emulator for core in CORES if core.machine is not None}
    tools = (*compilers, *emulators)
    assert len({tool.variable for tool in tools}) == len(tools)
    for tool in tools:
        assert set(tool.install) == {"debian", "fedora", "arch", "macos", "windows"}
        assert tool is HOST_CC or set(tool.places) == set(SYSTEMS)
        assert all(advice(tool, computer(tmp_path, system)) for system in SYSTEMS)


def test_path_for_programs_that_look_for_themselves(tmp_path: Path) -> None:
    """PlatformIO's build script starts the compiler by its name."""
    here = computer(tmp_path)
    before = here.environment["PATH"]
    assert environment(ARM_GCC, QEMU_ARM, computer=here) == here.environment
    usual = install(here, "opt/arm-gnu-toolchain-14/bin", "arm-none-eabi-gcc")
    more = environment(ARM_GCC, QEMU_ARM, computer=here)
    assert more["PATH"] == os.pathsep.join((os.path.dirname(usual), before))
    install(here, "bin", "arm-none-eabi-gcc")
    assert environment(ARM_GCC, QEMU_ARM, computer=here)["PATH"] == before
    own = install(here, "my tools", "arm-none-eabi-gcc")
    chosen = environment(ARM_GCC, computer=computer(tmp_path, TINYGEN_ARM_GCC=own))
    assert chosen["PATH"] == os.pathsep.join((os.path.dirname(own), before))
    assert "TINYGEN_ARM_GCC" not in chosen
    install(here, "bin", "ccache")
    launched = computer(tmp_path, TINYGEN_ARM_GCC="ccache arm-none-eabi-gcc")
    assert environment(ARM_GCC, computer=launched) == launched.environment
