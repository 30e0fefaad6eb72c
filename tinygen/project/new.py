"""A project folder made from a model: tinygen.toml with comments, a README, where data goes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinygen.calibrate.methods import DEFAULT_METHOD
from tinygen.emit.env import render
from tinygen.emit.swap import create
from tinygen.errors import DataError, ModelError, OutputError
from tinygen.files import DISK
from tinygen.flow.quantised import load
from tinygen.ir.types import Port
from tinygen.project.file import FILE
from tinygen.targets.board import Board


@dataclass(frozen=True, slots=True)
class NewView:
    """What the templates print. TOML already: `boards`, `name`, `model`, `data`, `test` ("" where there is none),
    `shapes`, `states`, `constants`. `arrays`: (name, shape, meaning) of the samples."""

    title: str
    key: str
    name: str
    boards: tuple[str, ...]
    board: str
    board_names: tuple[str, ...]
    model: str
    model_path: str
    data: str
    test: str
    shapes: tuple[str, ...]
    method: str
    arrays: tuple[tuple[str, str, str], ...]
    savez: str
    states: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()


def new_project(
    model: Path,
    folder: Path,
    boards: Sequence[Board],
    *,
    data: Path | None = None,
    test: Path | None = None,
    name: str | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    states: Mapping[str, str] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> tuple[str, ...]:
    """Make the folder, with a copy of the model, unless that has files beside it; data stays where it is. Names of its
    files.

    ModelError for a model that cannot be built, OutputError for a folder that holds anything: nothing is overwritten.
    """
    _check_empty(folder)
    for path in (data, test):
        if path is not None and not path.exists():
            raise DataError(f'data file "{path}" does not exist. Give a .npz, a .npy or a folder of .npy files.')
    loaded = load(model, name=name, input_shapes=input_shapes, states=states, constants=constants)
    try:
        content = model.read_bytes()
    except OSError as e:
        raise ModelError(f"{model} cannot be read: {e.strerror or e}.") from e
    alone = hashlib.sha256(content).hexdigest() == loaded.imported.sha256
    place = f"models/{loaded.name}.onnx" if alone else _from(folder, model)
    view = _view(
        loaded.name, place, loaded.tidy.in_ports, folder, boards, data, test, input_shapes or {},
        streams=bool(states),
    )  # fmt: skip
    view = replace(
        view,
        states=tuple(f"{_toml(a)} = {_toml(b)}" for a, b in (states or {}).items()),
        constants=tuple(f"{_toml(k)} = {json.dumps(v)}" for k, v in (constants or {}).items()),
    )
    files = {
        FILE: render("project/tinygen.toml.j2", v=view),
        "README.md": render("project/README.md.j2", v=view),
        ".gitignore": render("project/gitignore.j2", v=view),
        "data/README.md": render("project/data.md.j2", v=view),
    }
    made = {k: text.encode() for k, text in files.items()} | ({place: content} if alone else {})
    try:
        there = not create(folder.absolute(), made, DISK)
    except OSError as e:
        raise OutputError(f"cannot write {folder}: {e.strerror or e}. Choose another --output.") from e
    if there:
        _check_empty(folder)
        raise OutputError(f"{folder} was made meanwhile by somebody else. Choose another --output.")
    return tuple(sorted(made))


def _check_empty(folder: Path) -> None:
    try:
        if not folder.exists():
            return
        held = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else [folder.name]
    except OSError as e:
        raise OutputError(f"cannot use {folder}: {e.strerror or e}. Choose another --output.") from e
    if held:
        more = f" and {len(held) - 1} more" if len(held) > 1 else ""
        raise OutputError(
            f"{folder} holds {held[0]}{more}. A project is made in a new or empty folder, and nothing is overwritten. "
            "Choose another --output."
        )


def _view(
    name: str, model: str, ports: Sequence[Port], folder: Path, boards: Sequence[Board], data: Path | None,
    test: Path | None, shapes: Mapping[str, tuple[int, ...]], *, streams: bool,
) -> NewView:  # fmt: skip
    return NewView(
        name,
        name,
        _toml(name),
        tuple(_toml(b.id) for b in boards),
        boards[0].id,
        tuple(b.name for b in boards),
        _toml(model),
        model,
        "" if data is None else _toml(_from(folder, data)),
        "" if test is None else _toml(_from(folder, test)),
        tuple(f"{_toml(k)} = {list(v)}" for k, v in shapes.items()),
        DEFAULT_METHOD,
        tuple(_array(p, single=len(ports) == 1, streams=streams) for p in ports),
        "x=x" if len(ports) == 1 else f"**{{{', '.join(repr(p.name) + ': ...' for p in ports)}}}",
    )


def _array(port: Port, *, single: bool, streams: bool) -> tuple[str, str, str]:
    axes = [*(("streams", "steps") if streams else ("n",)), *map(str, port.shape[1:])]
    return "x" if single else port.name, f"({', '.join(axes)}{',' if len(axes) == 1 else ''})", f"input {port.name}"


def _from(folder: Path, path: Path) -> str:
    """A path as tinygen.toml has it: from the folder, with slashes."""
    try:
        found = os.path.relpath(path, folder)
    except ValueError:  # another drive
        found = str(path.absolute())
    return Path(found).as_posix()


def _toml(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, DEL aside."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
