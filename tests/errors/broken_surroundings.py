"""Cases: boards that are unknown or too small, options, output folders and tools."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.errors import models as m
from tests.errors.cases import OUTPUT, TARGET, TOOL, USAGE, Case, Command, Place
from tinygen.build import discover
from tinygen.files import Disk


def _on(board: str) -> Callable[[Place], Command]:
    return lambda p: p.build(p.model(), board=board)


def _options(*options: str) -> Callable[[Place], Command]:
    return lambda p: p.build(p.model(), *options)


def _named(name: str) -> Callable[[Place], Command]:
    return _options("--name", name)


OPTIONS = [
    Case("board_unknown", _on("nucleo_f446"), TARGET, '"nucleo_f446"', "no board", "Did you mean nucleo_f446re"),
    Case(
        "board_in_capitals", _on("NUCLEO_F446RE"), TARGET, '"NUCLEO_F446RE"', "no board", "Did you mean nucleo_f446re"
    ),
    Case("board_far_off", _on("commodore64"), TARGET, '"commodore64"', "no board", "tinygen boards"),
    Case("board_empty", _on(""), TARGET, 'no board ""', "among the", "tinygen boards"),
    Case("board_path", _on("../boards/nucleo_f446re"), TARGET, "../boards/nucleo_f446re", "no board", "tinygen boards"),
    Case("board_left_out", lambda p: ["build", str(p.model())], USAGE, "--board", "issing option", "--help"),
    Case(
        "too_large_for_flash",
        lambda p: p.build(p.model(m.dense(dims=(1, 2048), w=m.weights("w", 2048, 512), b=512)), board="nucleo_f446re"),
        TARGET,
        "nucleo_f446re",
        "flash: 1,05",
        "Boards with enough of both: ",
    ),
    Case(
        "too_large_for_ram",
        lambda p: p.build(p.model(m.conv(size=128, filters=16)), board="nucleo_f446re"),
        TARGET,
        "nucleo_f446re",
        "RAM: ",
        "a board with more RAM",
    ),
    Case(
        "too_large_for_both",
        lambda p: p.build(p.model(m.dense(dims=(1, 32768), w=m.weights("w", 32768, 16), b=16)), board="bbcmicrobit"),
        TARGET,
        "bbcmicrobit",
        "flash: 556,",
        "RAM: 33,",
    ),
    Case("name_keyword", _named("int"), USAGE, "--name", '"int"', "m_int"),
    Case("name_of_a_header", _named("string"), USAGE, "--name", '"string"', "m_string"),
    Case("name_of_ours", _named("tg_dense"), USAGE, "--name", '"tg_dense"', "m_tg_dense"),
    Case("name_digit", _named("9kws"), USAGE, "--name", '"9kws"', "n9kws"),
    Case("name_empty", _named(""), USAGE, "--name", '""', "letters, digits and underscores"),
    Case("name_unicode", _named("größe"), USAGE, "--name", '"größe"', "letters, digits and underscores"),
    Case("name_path", _named("../kws"), USAGE, "--name", '"../kws"', "kws"),
    Case("name_long", _named("k" * 80), USAGE, "--name", "80 characters", "at most 40"),
    Case("calibration_unknown", _options("--calibration", "magic"), USAGE, "--calibration", "'magic'", "'minmax'"),
    Case("samples_0", _options("--samples", "0"), USAGE, "--samples", "0 is not in the range", "x>=1"),
    Case("samples_text", _options("--samples", "many"), USAGE, "--samples", "'many'", "integer"),
    Case("arena_unknown", _options("--arena", "heap"), USAGE, "--arena", "'heap'", "'static'"),
    Case("option_unknown", _options("--fast"), USAGE, "--fast", "No such option", "--help"),
    Case("command_unknown", lambda p: ["bild", "x.onnx"], USAGE, "bild", "there are boards", "--help"),
]


def _file_as_output(p: Place) -> Command:
    p.file("out", "mine")
    return p.build(p.model())


def _below_a_file(p: Place) -> Command:
    return p.build(p.model(), "--output", p.file("notes.txt", "mine") / "out")


def _foreign(p: Place) -> Command:
    p.file("out/thesis.tex", "years of work")
    return p.build(p.model())


def _foreign_forced(p: Place) -> Command:
    return [*_foreign(p), "--force"]


def _added_to_ours(*more: str) -> Callable[[Place], Command]:
    def arrange(p: Place) -> Command:
        p.built()
        p.file("out/src/sensor.c", "int sensor;\n")
        return p.build(p.model(), *more)

    return arrange


def _edited(p: Place) -> Command:
    file = p.built() / "platformio.ini"
    file.write_text(file.read_text() + "; mine\n")
    return p.build(p.model())


def _edited_then_other_board(p: Place) -> Command:
    file = p.built() / "lib" / "net" / "src" / "net.c"
    file.write_bytes(file.read_bytes()[:-20])
    return p.build(p.model(), board="bbcmicrobit")


def _manifest_of_others(p: Place) -> Command:
    p.file("out/MANIFEST.json", '{"files": 3}')
    p.file("out/data.txt", "theirs")
    return p.build(p.model())


def _manifest_damaged(p: Place) -> Command:
    (p.built() / "MANIFEST.json").write_text('{"generator": "tinygen", "fi')
    return p.build(p.model())


def _name_too_long(p: Place) -> Command:
    return p.build(p.model(), "--output", p.folder / ("o" * 300))


def _loop(p: Place) -> Command:
    (p.folder / "out").symlink_to("out")
    return p.build(p.model())


def _disk_full(after: int) -> Callable[[Place], Command]:
    """The disk is full at the so-many-th file."""

    def arrange(p: Place) -> Command:
        command = p.build(p.model(), "--output", p.folder / "new" / "deep" / "out")
        _fill_disk(p, Disk, "write", after)
        return command

    return arrange


def _disk_full_over_old(p: Place) -> Command:
    p.built()
    _fill_disk(p, Disk, "write", 3)
    return p.build(p.model(m.dense(layer="/other")))


def _fill_disk(p: Place, kind: type, method: str, after: int) -> None:
    """Half of the so-many-th file is written by `method` of `kind`, which gets a path and bytes last."""
    real, count = getattr(kind, method), 0

    def write(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == after:
            *others, path, data = arguments
            real(*others, path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real(*arguments)

    p.patch.setattr(kind, method, write)


def _rename_fails(p: Place) -> Command:
    """The old files are out of the way already when the new ones cannot be moved in."""
    p.built()
    command = p.build(p.model(m.dense(layer="/other")))
    real, count = Disk.rename, 0

    def rename(disk: Disk, path: Path, target: Path) -> None:
        nonlocal count
        count += 1
        if count == 6:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        real(disk, path, target)

    p.patch.setattr(Disk, "rename", rename)
    return command


def _read_only(p: Place) -> Command:
    """As root nothing is read-only, so the question itself is answered with no."""
    (p.folder / "locked").mkdir()
    real = os.access
    p.patch.setattr(os, "access", lambda path, mode: "locked" not in str(path) and real(path, mode))
    return p.build(p.model(), "--output", p.folder / "locked" / "out")


FOLDERS = [
    Case("output_is_file", _file_as_output, OUTPUT, "out", "is a file", "The output is a folder"),
    Case("output_below_file", _below_a_file, OUTPUT, "notes.txt", "is a file", "Choose another folder"),
    Case("output_foreign", _foreign, OUTPUT, "out", "thesis.tex", "Choose another folder"),
    Case("output_foreign_forced", _foreign_forced, OUTPUT, "out", "thesis.tex", "Choose another folder"),
    Case("output_added_to", _added_to_ours(), OUTPUT, "out", "src/sensor.c", "Move them, or choose another"),
    Case("output_added_to_forced", _added_to_ours("--force"), OUTPUT, "out", "src/sensor.c", "Move them"),
    Case("output_edited", _edited, OUTPUT, "out", "platformio.ini", "overwrite them with --force"),
    Case("output_edited_board", _edited_then_other_board, OUTPUT, "out", "net.c", "--force"),
    Case("output_manifest_of_others", _manifest_of_others, OUTPUT, "out", "data.txt", "Choose another folder"),
    Case("output_manifest_damaged", _manifest_damaged, OUTPUT, "out", "no MANIFEST.json of tinygen", "another folder"),
    Case("output_name_too_long", _name_too_long, OUTPUT, "ooo", "File name too long", "Choose another folder"),
    Case("output_link_to_itself", _loop, OUTPUT, "out", "symbolic link that leads nowhere", "choose another"),
    Case("output_read_only", _read_only, OUTPUT, "locked", "no permission", "Choose another folder"),
    Case("disk_full_at_first", _disk_full(1), OUTPUT, "deep/out", "No space left", "Nothing was changed"),
    Case("disk_full_at_last", _disk_full(30), OUTPUT, "deep/out", "No space left", "Nothing was changed"),
    Case("disk_full_over_old", _disk_full_over_old, OUTPUT, "out", "No space left", "Nothing was changed"),
    Case("rename_fails", _rename_fails, OUTPUT, "out", "Input/output error", "Nothing was changed"),
    Case(
        "output_in_proc",
        lambda p: p.build(p.model(), "--output", "/proc/tinygen"),
        OUTPUT,
        "/proc",
        "cannot",
        "another folder",
    ),
    Case("output_empty_name", _options("--output", ""), OUTPUT, "net.onnx", ". holds a file", "another folder"),
]


def program(p: Place, name: str, script: str) -> Path:
    path = p.file(f"bin/{name}", f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def only(p: Place, *programs: str) -> None:
    """A PATH with these programs, and nothing else anywhere."""
    (p.folder / "bin").mkdir(exist_ok=True)
    for name in programs:
        found = shutil.which(name)
        if found is not None:
            (p.folder / "bin" / name).symlink_to(found)
    p.patch.setenv("PATH", str(p.folder / "bin"))
    p.patch.setattr(discover, "HERE", discover.Computer("linux", p.folder / "nothing"))
    p.patch.delenv("CC", raising=False)


def _cc(value: str) -> Callable[[Place], Command]:
    def arrange(p: Place) -> Command:
        p.patch.setenv("CC", value)
        return p.build(p.model(), verify="board", board="native")

    return arrange


def _compiler(script: str, name: str = "gcc", board: str = "native") -> Callable[[Place], Command]:
    def arrange(p: Place) -> Command:
        only(p, *({"gcc", "sh", "as", "ld"} - {name}))
        program(p, name, script)
        return p.build(p.model(), verify="board", board=board)

    return arrange


def _no_temporary_folder(p: Place) -> Command:
    p.patch.setattr(tempfile, "tempdir", str(p.folder / "gone"))
    return p.build(p.model(), verify="board", board="native")


def _temporary_folder_full(p: Place) -> Command:
    command = p.build(p.model(), verify="board", board="native")
    _fill_disk(p, Path, "write_bytes", 4)
    return command


def _verify_edited(p: Place) -> Command:
    file = p.built() / "lib" / "net" / "src" / "net_weights.c"
    file.write_text(file.read_text().replace("1", "2", 1))
    return ["verify", str(p.out)]


def _verify_missing_file(p: Place) -> Command:
    (p.built() / "lib" / "net" / "src" / "net.h").unlink()
    return ["verify", str(p.out)]


TOOLS = [
    Case("cc_missing", _cc("no-such-cc"), TOOL, "no-such-cc", "there is no program", "unset it"),
    Case("cc_not_quoted", _cc('gcc "-O2'), TOOL, "CC", "No closing quotation", "Correct CC"),
    Case(
        "cc_fails",
        _compiler("echo 'fatal error: the disk is on fire' >&2; exit 1"),
        TOOL,
        "gcc failed on",
        "the disk is on fire",
        "CC",
    ),
    Case("cc_fails_silently", _compiler("exit 3"), TOOL, "gcc failed on", "exit code 3", "CC"),
    Case("cc_makes_nothing", _compiler("exit 0"), TOOL, "verify.elf", "it is no C compiler", "Set CC"),
    Case("cc_killed", _compiler("kill -9 $$"), TOOL, "gcc failed on", "killed", "CC"),
    Case(
        "arm_gcc_fails",
        _compiler("echo 'error: no newlib' >&2; exit 1", "arm-none-eabi-gcc", "nucleo_f446re"),
        TOOL,
        "arm-none-eabi-gcc failed on",
        "no newlib",
        "--verify none",
    ),
    Case("no_temporary_folder", _no_temporary_folder, TOOL, "temporary", "gone", "TMPDIR"),
    Case("temporary_folder_full", _temporary_folder_full, TOOL, "temporary", "No space left", "TMPDIR"),
    Case(
        "verify_missing",
        lambda p: ["verify", str(p.folder / "no")],
        OUTPUT,
        "no",
        "no such folder",
        "folder that tinygen built",
    ),
    Case(
        "verify_file",
        lambda p: ["verify", str(p.model())],
        OUTPUT,
        "net.onnx",
        "not a folder made by tinygen",
        "folder that tinygen built",
    ),
    Case(
        "verify_foreign",
        lambda p: ["verify", str(p.folder)],
        OUTPUT,
        "test_",
        "no MANIFEST.json",
        "folder that tinygen built",
    ),
    Case("verify_edited", _verify_edited, OUTPUT, "out", "net_weights.c", "Build again"),
    Case("verify_incomplete", _verify_missing_file, OUTPUT, "out", "net.h", "Build again"),
]

CASES = [*OPTIONS, *FOLDERS, *TOOLS]
