"""Builds kernels into a shared library and calls them with numpy arrays. Struct layouts are read from the C headers."""

from __future__ import annotations

import ctypes
import hashlib
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygen.emit.kernel_sets import folders
from tinygen.emit.library import kernel_files
from tinygen.kernels.library import PRINTED

KERNELS = Path(__file__).resolve().parents[2] / "templates_c" / "kernels"
#: Those of the library that are printed, for all tests of this process.
_PRINTED = tempfile.TemporaryDirectory(prefix="tinygen-kernels-")
for _name in PRINTED:
    for _file, _content in kernel_files((_name,)).items():
        if _file.startswith(f"{_name}."):
            (Path(_PRINTED.name) / _file).write_bytes(_content)
FOLDERS = (*folders(), Path(_PRINTED.name))
INCLUDES = [f"-I{folder}" for folder in FOLDERS]
WARNINGS = [
    *("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wcast-qual"),
    *("-Wcast-align", "-Werror"),
]
GUARD = 64
GUARD_BYTE = 0x5A

_C_TYPES = {
    "int8_t": ctypes.c_int8,
    "uint8_t": ctypes.c_uint8,
    "int16_t": ctypes.c_int16,
    "uint16_t": ctypes.c_uint16,
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
}


def sources() -> list[Path]:
    """Every kernel's C file."""
    return [path for folder in FOLDERS for path in sorted(folder.glob("*.c"))]


def headers() -> list[Path]:
    """Every header of the kernels."""
    return [path for folder in FOLDERS for path in sorted(folder.glob("*.h"))]


def fields(kernel: str) -> list[tuple[str, str, int]]:
    """(name, C type, array length or 0) of each field of `<kernel>_cfg_t`, in order."""
    for folder in FOLDERS:
        path = folder / f"{kernel}.h"
        if path.exists():
            text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
            found = re.search(r"typedef struct \{(.*?)\} " + kernel + "_cfg_t;", text, flags=re.S)
            if found:
                body = re.findall(r"(\w+) (\w+)(?:\[(\d+)\])?;", found.group(1))
                return [(name, kind, int(length or 0)) for kind, name, length in body]
    raise AssertionError(f"no configuration of {kernel} found")


def config_type(kernel: str) -> type[ctypes.Structure]:
    """The ctypes twin of `<kernel>_cfg_t`."""
    members = [(n, _C_TYPES[k] * length if length else _C_TYPES[k]) for n, k, length in fields(kernel)]
    return type(kernel, (ctypes.Structure,), {"_fields_": members})


def build(folder: Path, compiler: str = "gcc", extra: tuple[str, ...] = ()) -> ctypes.CDLL:
    """All kernels as one library, under the undefined-behaviour sanitizer: any finding aborts the test."""
    flags = ["-std=c99", "-O1", "-g", "-fPIC", "-shared", "-fsanitize=undefined", "-fno-sanitize-recover=all", *extra]
    command = [compiler, *flags, *WARNINGS, *INCLUDES, *map(str, sources())]
    made = _once(folder, ".so", command, lambda target: subprocess.run([*command, "-o", str(target)], check=True))
    return ctypes.CDLL(str(made))


def archive(folder: Path, compiler: str, flags: Sequence[str]) -> Path:
    """All kernels, compiled with `flags`, for programs to link."""
    command = [compiler, *flags, *INCLUDES, "-c", *map(str, sources())]

    def make(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent) as objects:
            subprocess.run(command, check=True, cwd=objects)
            tool = "arm-none-eabi-ar" if compiler.startswith("arm") else "ar"
            subprocess.run([tool, "rcs", str(target), *map(str, sorted(Path(objects).glob("*.o")))], check=True)

    return _once(folder, ".a", command, make)


def _once(folder: Path, suffix: str, key: Sequence[str], make: Callable[[Path], object]) -> Path:
    """A file that all tests of a run share, made by the first that wants it. `folder`: one of a test's own."""
    run = folder.parent.parent if folder.parent.name.startswith("popen-") else folder.parent  # one for each worker
    made = run / f"kernels_{hashlib.sha256(' '.join(key).encode()).hexdigest()[:16]}{suffix}"
    lock = made.with_name(f"{made.name}.lock")
    while not made.exists():
        try:
            lock.touch(exist_ok=False)
        except FileExistsError:  # somebody makes it; where that fails the lock goes, and we try
            time.sleep(0.2)
            continue
        try:
            half = made.with_name(f"half_{made.name}")
            make(half)
            half.rename(made)
        finally:
            lock.unlink()
    return made


def call(library: Any, function: str, config: str, values: dict[str, Any], *arrays: Any, outputs: int = 1) -> None:
    """`function(&cfg, arrays...)`, of which the last `outputs` are written; every field of the configuration must be
    given, and no other.

    `library` is what `build` gives, or a `record.Recorder` around it.
    """
    kind = config_type(config)
    cfg = kind()
    names = [name for name, _, _ in fields(config)]
    assert sorted(names) == sorted(values), f"{config}: {sorted(set(names) ^ set(values))}"
    for name, c_type, length in fields(config):
        value = values[name]
        if length:
            getattr(cfg, name)[:] = [int(v) for v in value]
        else:
            assert _C_TYPES[c_type](int(value)).value == int(value), f"{config}.{name} = {value} does not fit {c_type}"
            setattr(cfg, name, int(value))
    pointers = []
    for array in arrays:
        assert array.flags["C_CONTIGUOUS"]
        pointers.append(ctypes.c_void_p(array.ctypes.data))
    if isinstance(library, ctypes.CDLL):
        getattr(library, function)(ctypes.byref(cfg), *pointers)
    else:
        done = library.record(function, config, values, arrays, outputs)
        getattr(library.library, function)(ctypes.byref(cfg), *pointers)
        done()


class Guarded:
    """An output array between two runs of guard bytes."""

    def __init__(self, length: int, fill: np.ndarray | None = None) -> None:
        self.raw = np.full(length + 2 * GUARD, GUARD_BYTE, dtype=np.uint8)
        self.array = self.raw[GUARD : GUARD + length].view(np.int8)
        self.array[:] = 77 if fill is None else fill.reshape(-1)

    def check(self) -> np.ndarray:
        """The output; fails when a byte outside was written."""
        assert np.all(self.raw[:GUARD] == GUARD_BYTE), "written before the output"
        assert np.all(self.raw[GUARD + self.array.size :] == GUARD_BYTE), "written behind the output"
        return self.array


def run(
    lib: ctypes.CDLL, function: str, cfg: dict[str, Any], *arrays: np.ndarray, scratch: int = 0, size: int
) -> np.ndarray:
    """Output of a kernel, `size` bytes; it and the scratch (none when 0) are guarded. A variant takes the reference's
    config."""
    out, room = Guarded(size), Guarded(scratch)
    extra = (room.array,) if scratch else ()
    width = "_s16" if "_s16" in function else "_s8"
    call(lib, function, function[: function.index(width) + len(width)], cfg, *arrays, *extra, out.array)
    room.check()
    return out.check()


def equal(got: np.ndarray, want: np.ndarray, cfg: dict[str, Any]) -> None:
    """Every value; the message says where the first differs."""
    flat = want.reshape(-1)
    assert flat.size > 0
    wrong = np.flatnonzero(got != flat)
    assert wrong.size == 0, f"{cfg}: {wrong.size} differ, first [{wrong[0]}]: {got[wrong[0]]} != {flat[wrong[0]]}"
