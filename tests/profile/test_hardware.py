"""The program for a real board and the reader of what it prints. No board is here: the program runs in QEMU under a
stand-in for Arduino's functions, and the reader gets lines as a serial port would give them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import serial

from tinygen.build.process import run
from tinygen.build.qemu import run_qemu
from tinygen.build.toolchain import find_toolchain, target_include, write_linker_script
from tinygen.errors import TargetError, ToolError, VerifyError
from tinygen.profile import hardware
from tinygen.profile.folder import Build, read_build
from tinygen.profile.hardware import Reader, add_marks, build_id, profile_on_board, read_report, render_program
from tinygen.profile.types import BoardTimes, Profile
from tinygen.targets.board import load_board
from tinygen.targets.cores import get_core


@pytest.fixture(scope="session")
def build(folder: Path) -> Build:
    return read_build(folder)


def lines(build: Build, *, output: str = "ok", build_number: str | None = None) -> list[bytes]:
    """A report as the board sends it: layer i took 100 * (i + 1) cycles and a mark 10."""
    count = len(build.plan["layers"])
    text = [
        f"tinygen-profile 1 {build.name} {build_number or build_id(build)}",
        "clock 84000000",
        "unit cycles",
        "overhead 10",
        *(f"layer {i} {100 * (i + 1) + 10}" for i in range(count)),
        f"output {output}",
    ]
    total = sum(sum(line.encode()) + 10 for line in text) % 65536
    return [f"{line}\n".encode() for line in (*text, f"end {total}")]


def port(*parts: bytes) -> Callable[[], bytes]:
    """`readline` of a port that gives these lines, then nothing."""
    waiting: Iterator[bytes] = itertools.chain(parts, itertools.repeat(b""))
    return lambda: next(waiting)


def ticks(step: float = 1.0) -> Callable[[], float]:
    """A clock that goes on by `step` seconds with every look."""
    counter = itertools.count()
    return lambda: next(counter) * step


def test_a_report(build: Build) -> None:
    found = read_report(port(*lines(build)), build, clock=ticks(0.1))
    count = len(build.plan["layers"])
    expected = tuple(100 * (i + 1) for i in range(count))
    assert found == BoardTimes(build_id(build), 84_000_000, "cycles", 10, expected, True)
    assert found.total == 100 * count * (count + 1) // 2
    assert found.milliseconds(84_000) == 1.0
    assert replace(found, unit="us").milliseconds(1500) == 1.5


def test_carriage_returns_and_what_came_before(build: Build) -> None:
    """The reader joins in the middle of a report, behind noise; some drivers add carriage returns."""
    whole = [line.replace(b"\n", b"\r\n") for line in lines(build)]
    found = read_report(port(b"\xff\x00ngen-pro\n", *whole[3:], *whole), build, clock=ticks(0.1))
    assert found.overhead == 10


@pytest.mark.parametrize("damage", ["digit", "line lost", "line doubled", "cut"])
def test_a_damaged_report_is_dropped(damage: str, build: Build) -> None:
    good = lines(build)
    bad = {
        "digit": [*good[:4], good[4].replace(b"1", b"7", 1), *good[5:]],
        "line lost": [*good[:4], *good[5:]],
        "line doubled": [*good[:4], good[4], *good[4:]],
        "cut": good[:-1],
    }[damage]
    reader = Reader(build.name, len(build.plan["layers"]))
    assert all(reader.feed(line) is None for line in bad)
    assert read_report(port(*bad, *good), build, clock=ticks(0.1)).same


def test_silence(build: Build) -> None:
    with pytest.raises(ToolError, match=r"no report of mixed came within 60 s\. Is it the board's port"):
        read_report(port(), build, clock=ticks())


def test_another_program(build: Build) -> None:
    with pytest.raises(ToolError, match="the board runs build 0BAD0BAD of mixed, the folder holds"):
        read_report(port(*lines(build, build_number="0BAD0BAD")), build, clock=ticks(0.1))
    text = b"tinygen-profile 1 kws 12345678"
    total = (sum(text) + 10) % 65536
    with pytest.raises(ToolError, match="runs another program: it says"):
        read_report(port(text + b"\n", b"end %d\n" % total), build, clock=ticks(0.1))
    more = replace(build, plan={**build.plan, "layers": [*build.plan["layers"], {}]})
    with pytest.raises(ToolError, match="lacks 'layer"):
        read_report(port(*lines(build)), more, clock=ticks(0.1))


def test_wrong_outputs(build: Build) -> None:
    with pytest.raises(VerifyError, match="gives other outputs than the golden sample's"):
        read_report(port(*lines(build, output="differs")), build, clock=ticks(0.1))


def test_a_port_that_is_not_there(folder: Path, profile: Profile) -> None:
    with pytest.raises(ToolError, match=r"cannot read from /dev/no_such_port: .*serial\.tools\.list_ports"):
        profile_on_board(folder, profile.board, "/dev/no_such_port", upload=False)


def test_upload_then_read(folder: Path, build: Build, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """PlatformIO and the port are replaced: the program is complete when it is uploaded, and read afterwards."""
    happened: list[str] = []

    class Port:
        def __init__(self, name: str, baud: int, timeout: float) -> None:
            happened.append(f"open {name} {baud}")
            self.readline = port(*lines(build))

        def __enter__(self) -> Port:
            return self

        def __exit__(self, *_: object) -> None:
            happened.append("close")

    def upload(project: Path, env: str) -> None:
        assert (project / "src" / "main.cpp").is_file()
        assert f"[env:{env}]" in (project / "platformio.ini").read_text()
        happened.append("upload")

    monkeypatch.setattr(hardware, "pio_upload", upload)
    monkeypatch.setattr(serial, "Serial", Port)
    assert profile_on_board(folder, profile.board, "/dev/x").clock == 84_000_000
    assert happened == ["upload", "open /dev/x 115200", "close"]


def test_marks(build: Build) -> None:
    """One behind each layer, in order; else the C is as it was."""
    source = build.files["mixed.c"].decode()
    count = len(build.plan["layers"])
    marked = add_marks(source, count)
    assert [f"tg_profile_mark({i}U);" in marked for i in range(count + 1)] == [True] * count + [False]
    kept = [line for line in marked.splitlines() if "tg_profile_mark" not in line]
    added = source.splitlines()
    added.insert(kept.index("#include <stdint.h>"), "#include <stdint.h>")
    assert kept == added
    with pytest.raises(ToolError, match="its plan has"):
        add_marks(source, count + 1)


def test_board_without_a_registry(build: Build) -> None:
    with pytest.raises(TargetError, match="ek_ra8m1 is not in PlatformIO's registry"):
        render_program(build, load_board("ek_ra8m1"))


ARDUINO = """
#include <stdint.h>
#include <stdbool.h>
#include "tg_target.h"
#define F_CPU 16000000UL
static inline uint32_t micros(void) { static uint32_t t; t += 7U; return t; }
static inline void noInterrupts(void) {}
static inline void interrupts(void) {}
static inline void delay(uint32_t) { tg_exit(0); }
struct Port { void begin(uint32_t) {} void print(const char *text) { tg_puts(text); } };
static Port Serial;
void setup(); void loop();
"""
MAIN = "void setup(); void loop();\nint main() { setup(); for (;;) { loop(); } }\n"


@pytest.mark.parametrize(("core_name", "unit"), [("cortex-m4", "cycles"), ("cortex-m0plus", "us")])
def test_program_speaks_the_protocol(core_name: str, unit: str, build: Build, profile: Profile, tmp_path: Path) -> None:
    """Compiled without a warning as C++ and C, run in QEMU (whose cycle counter stands still), read by the reader.

    The kernels of a build for a Cortex-M4 have portable bodies, which is what another core compiles here."""
    files = render_program(build, profile.board)
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "Arduino.h").write_text(ARDUINO)
    (tmp_path / "entry.cpp").write_text(MAIN)
    core = get_core(core_name)
    assert core.machine is not None
    script = write_linker_script(tmp_path / "link.ld", core.arch, core.machine, 16 * 1024)
    gcc = find_toolchain(core)
    src = tmp_path / "lib" / "mixed" / "src"
    source = src / "mixed.c"
    source.write_text(
        source.read_text().replace("#error", "#warning") if core_name != "cortex-m4" else source.read_text()
    )
    flags = (
        *core.cflags,
        "-O2",
        "-ffunction-sections",
        *(f"-I{p}" for p in (tmp_path, tmp_path / "include", src, target_include())),
    )
    objects: list[str] = []
    for path in [
        tmp_path / "src" / "main.cpp",
        tmp_path / "entry.cpp",
        *sorted(src.glob("*.c")),
        core.arch.platform / core.arch.start_up,
    ]:
        strict = (
            ("-Wall", "-Wextra", "-Werror", "-std=gnu++14", "-fno-exceptions")
            if path.suffix == ".cpp"
            else ("-std=c99",)
        )
        made = f"{path.name}.o"
        done = run((*gcc.cc, *flags, *strict, "-c", str(path), "-o", made), tmp_path, 120.0)
        assert done.exit_code == 0, done.stderr
        objects.append(made)
    link = (
        *core.cflags,
        "-nostartfiles",
        "--specs=nano.specs",
        "--specs=nosys.specs",
        "-Wl,--gc-sections",
        "-T",
        str(script),
    )
    done = run((*gcc.cc, *objects, *link, "-o", "a.elf"), tmp_path, 120.0)
    assert done.exit_code == 0, done.stderr
    ran = run_qemu(core.machine, tmp_path / "a.elf", tmp_path)
    assert ran.exit_code == 0, ran
    found = read_report(port(*(f"{line}\n".encode() for line in ran.stdout.splitlines())), build, clock=ticks(0.1))
    assert (found.clock, found.unit, found.same) == (16_000_000, unit, True)
    assert len(found.layers) == len(build.plan["layers"])
    # The stand-in's clock goes on by 7 with every look: a mark costs 7, and a layer nothing more.
    assert (found.overhead, set(found.layers)) == ((7, {0}) if unit == "us" else (0, {0}))
