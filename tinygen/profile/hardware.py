"""Profile on the real board: a PlatformIO program that times every layer, and the reader of what it prints.

The program is built on the Arduino framework, which sets the clock and has a serial port on every board it knows; so it
needs PlatformIO's registry. Times come from the core's cycle counter (DWT), from micros() where it has none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tinygen.build.platformio import pio_upload
from tinygen.emit.env import render
from tinygen.emit.library import home
from tinygen.emit.programs import ModelView, Package, golden_header
from tinygen.emit.writer import write_folder
from tinygen.errors import MissingToolError, TargetError, ToolError, VerifyError
from tinygen.files import work_folder
from tinygen.profile.folder import Build, port_sizes, read_build
from tinygen.profile.measure import model_view
from tinygen.profile.types import BoardTimes
from tinygen.targets.board import Board

PROTOCOL = 1
BAUD = 115200
#: The board prints a report every two seconds; a slow core may run the model for many.
REPORT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class ProgramView:
    """What main.cpp.j2 and program.ini.j2 print."""

    model: ModelView
    board: Board
    layers: int
    protocol: int = PROTOCOL
    baud: int = BAUD
    package: Package = field(default_factory=Package)


def render_program(build: Build, board: Board) -> dict[str, bytes]:
    """The files of the PlatformIO project, by path; `TargetError` for a board that the registry does not have."""
    if board.registry_platform is None or board.registry_board is None:
        raise TargetError(
            f"{board.id} is not in PlatformIO's registry, so no program can be made for it that prints on a "
            "serial port. Profile it in the emulator: leave `port` out."
        )
    name = build.name
    ports = (port_sizes(build.plan[kind]) for kind in ("inputs", "outputs"))
    view = ProgramView(model_view(name, *ports, stateful="states" in build.plan), board, len(build.plan["layers"]))
    files = {
        "platformio.ini": render("profile/program.ini.j2", view=view).encode(),
        "src/main.cpp": render("profile/main.cpp.j2", view=view).encode(),
        golden_header(name): (build.folder / golden_header(name)).read_bytes(),
        f"lib/{name}/library.json": render("exports/platformio/library.json.j2", view=view).encode(),
    }
    files |= {f"{home(name)}/{n}": c for n, c in build.files.items()}
    source = f"{home(name)}/{name}.c"
    files[source] = add_marks(files[source].decode("ascii"), view.layers).encode()
    return files


def add_marks(source: str, layers: int) -> str:
    """<model>.c with a mark behind the call of every layer, and nothing else changed."""
    numbers = iter(range(layers + 1))
    body = source.rindex("\n{\n")
    head, tail = source[:body], source[body:]
    marked, count = re.subn(
        r"^( +)(layer_\w+\([^;]*\);)$",
        lambda m: f"{m[1]}{m[2]}\n{m[1]}tg_profile_mark({next(numbers)}U);",
        tail,
        flags=re.MULTILINE,
    )
    if count != layers:
        raise ToolError(f"the model's C calls {count} layers, its plan has {layers}: this is a fault in tinygen")
    at = head.index("\n#include")
    return f"{head[:at]}\n#include <stdint.h>\nvoid tg_profile_mark(uint32_t layer);{head[at:]}{marked}"


class Reader:
    """Makes reports of lines as they come; what is no whole report (the first lines, noise) is dropped."""

    def __init__(self, model: str, layers: int) -> None:
        self._model, self._count = model, layers
        self._lines: list[str] = []

    def feed(self, raw: bytes) -> BoardTimes | None:
        """Take a line; the report when it ends one whose sum is right."""
        line = raw.decode("ascii", "replace").rstrip("\r\n")
        if line.startswith("tinygen-profile "):
            self._lines = [line]
        elif line.startswith("end ") and self._lines:
            lines, self._lines = self._lines, []
            found = sum(sum(text.encode("ascii", "replace")) + 10 for text in lines) % 65536
            return self._parse(lines) if line == f"end {found}" else None
        elif self._lines:
            self._lines.append(line)
        return None

    def _parse(self, lines: list[str]) -> BoardTimes:
        words = lines[0].split()
        if words[1:3] != [str(PROTOCOL), self._model] or len(words) != 4:
            raise ToolError(
                f'the board runs another program: it says "{lines[0]}", expected model {self._model} by protocol '
                f"{PROTOCOL}. Let it be uploaded, or upload the right one."
            )
        values = dict(line.rsplit(" ", 1) for line in lines[1:] if " " in line)
        try:
            overhead = int(values["overhead"])
            times = tuple(max(0, int(values[f"layer {i}"]) - overhead) for i in range(self._count))
            return BoardTimes(words[3], int(values["clock"]), values["unit"], overhead, times, values["output"] == "ok")
        except (KeyError, ValueError) as error:
            raise ToolError(
                f"the board's report lacks {error}: it runs a program of another build. Let the right one be uploaded."
            ) from error


def read_report(
    readline: Callable[[], bytes],
    build: Build,
    *,
    timeout: float = REPORT_TIMEOUT_S,
    clock: Callable[[], float] = time.monotonic,
) -> BoardTimes:
    """The first whole report among the lines that `readline` gives (empty: none came yet).

    `ToolError` when none comes in `timeout` seconds or the program is of another build, `VerifyError` when the board's
    outputs are wrong.
    """
    reader = Reader(build.name, len(build.plan["layers"]))
    wanted = build_id(build)
    end = clock() + timeout
    while clock() < end:
        report = reader.feed(readline())
        if report is None:
            continue
        if report.build_id != wanted:
            raise ToolError(
                f"the board runs build {report.build_id} of {build.name}, the folder holds {wanted}. "
                "Let it be uploaded, or upload the right one."
            )
        if not report.same:
            raise VerifyError(
                f"{build.name} on the board gives other outputs than the golden sample's: the compiler or the "
                "memory settings of the board are at fault, or tinygen; please report it with the model."
            )
        return report
    raise ToolError(
        f"no report of {build.name} came within {timeout:g} s. Is it the board's port, at {BAUD} baud, and is no other "
        "program (a serial monitor) reading from it?"
    )


def build_id(build: Build) -> str:
    """The id that ties header and sources of a build together."""
    found = re.search(r"_BUILD_ID 0x([0-9A-F]+)U", build.files[f"{build.name}.h"].decode("ascii"))
    if found is None:
        raise ToolError(f"{build.name}.h has no build id: this is a fault in tinygen")
    return found[1]


def write_program(folder: Path, board: Board, out: Path) -> None:
    """Write the PlatformIO project that times the build in `folder` on a board, as the folder `out`."""
    write_folder(out, render_program(read_build(folder), board))


def profile_on_board(
    folder: Path, board: Board, port: str, *, upload: bool = True, program: Path | None = None
) -> BoardTimes:
    """Time the build in `folder` on the board at a serial port.

    With `upload`, PlatformIO first builds the program and uploads it, from `program`, where `write_program` put it, or
    from a temporary folder. The errors are those of `read_report`, and `ToolError` for a port that cannot be read.
    """
    build = read_build(folder)
    if upload and program is not None:
        pio_upload(program, "profile")
    elif upload:
        with work_folder() as work:
            write_folder(work / "program", render_program(build, board))
            pio_upload(work / "program", "profile")
    try:
        import serial
    except ImportError as error:
        raise MissingToolError("pyserial is not installed. Install it: pip install pyserial") from error
    try:
        with serial.Serial(port, BAUD, timeout=1.0) as line:
            return read_report(line.readline, build)
    except (OSError, ValueError) as error:  # serial.SerialException is an OSError
        raise ToolError(f"cannot read from {port}: {error}. List ports: python -m serial.tools.list_ports") from error
