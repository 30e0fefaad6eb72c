"""Builds the C library of a small network without a board, and compiles it."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from tests.emit.nets import NETS
from tinygen.emit import env, kernel_sets
from tinygen.emit.library import render_library
from tinygen.emit.view import LibraryView
from tinygen.flow import types
from tinygen.flow.library import make_library
from tinygen.flow.quantised import quantised_file
from tinygen.flow.types import Calibration, Quantised
from tinygen.numerics import Array
from tinygen.plan.planner import plan
from tinygen.plan.types import Plan
from tinygen.targets.cores import get_core

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wcast-qual", "-Werror")


@dataclass(frozen=True)
class Library:
    """A rendered library with all that it came from."""

    model: Quantised
    plan: Plan
    view: LibraryView
    files: Mapping[str, bytes]

    @property
    def name(self) -> str:
        return self.view.name

    def write(self, folder: Path) -> Path:
        """All files into `folder`, which is returned."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder

    def float_inputs(self, count: int, seed: int = 0) -> list[Array]:
        """Random floats, (count, *ONNX shape) for each input, spread over its int8 range and beyond."""
        rng = np.random.default_rng(seed)
        found = []
        for e in self.plan.inputs:
            steps = rng.uniform(-150, 150, (count, *e.port.shape)) - e.quant.zero_point
            x = (steps * e.quant.s).astype(np.float32)
            found.append(e.port.to_outside(e.port.moved(x)).astype(np.float32))
        return found


@contextmanager
def templates_of(folder: Path) -> Iterator[None]:
    """As if tinygen's templates were those of `folder`."""
    caches = (env.environment, kernel_sets.kernel_sets)
    with pytest.MonkeyPatch.context() as patch:
        for module in (env, kernel_sets):
            patch.setattr(module, "templates_dir", lambda: folder)
        for cache in caches:
            cache.cache_clear()
        yield
    for cache in caches:
        cache.cache_clear()


def quantised(model: ModelProto, name: str) -> Quantised:
    """A model through import, tidying and calibration on made-up inputs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        return quantised_file(path, Calibration(method="minmax"))


def library(model: ModelProto, name: str, core: str = "native", *, static_arena: bool = False) -> Library:
    q = quantised(model, name)
    target = get_core(core)
    p = plan(q.fixed, target)
    view = make_library(p, q, types.Library(static_arena))
    return Library(q, p, view, render_library(view))


@functools.cache
def known_library(net: str, core: str = "native", static_arena: bool = False) -> Library:
    """The library of one of NETS, named after it."""
    return library(NETS[net](), net, core, static_arena=static_arena)


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Standard output of a command; AssertionError with everything it said when it fails."""
    result = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}"
    return result.stdout


def fails(*command: str | Path, cwd: Path | None = None) -> str:
    """What a command says that must fail."""
    result = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode != 0, f"{' '.join(map(str, command))} should fail"
    return result.stdout + result.stderr


def shared_object(folder: Path, *flags: str) -> Path:
    """All C files of a folder as a shared library for ctypes."""
    target = folder / "lib.so"
    command = ("gcc", "-std=c99", "-O1", "-fPIC", "-shared", *flags, *sorted(folder.glob("*.c")), "-o", target)
    run(*command)
    return target


def names_of(symbols: str, kinds: Sequence[str]) -> list[str]:
    """Names in the output of `nm -P` whose type is among `kinds`."""
    rows = (line.split() for line in symbols.splitlines())
    return [row[0] for row in rows if len(row) >= 2 and row[1] in kinds]


def link_symbols(elf: Path) -> dict[str, int]:
    """Address of every global symbol of a program for a Cortex-M."""
    rows = (line.split() for line in run("arm-none-eabi-nm", "-P", elf).splitlines())
    return {row[0]: int(row[2], 16) for row in rows if len(row) >= 3}
