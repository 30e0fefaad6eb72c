"""tinygen.lock: the figures that a project was accepted with. TOML in a stable order: a change is read in review.

What is the same on all boards stands once a model, what is a board's below it, what all were measured with at the top.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from tinygen.project.table import TomlTable, read_toml

#: Changes when a reader of an older file would misunderstand it.
FORMAT = 1
#: What figures are by that no tool measured: the cost model.
PREDICTED = "predicted"

_HEAD = """\
# The figures that `tinygen check` compares with. Written by `tinygen check --renew`: read what changed, and commit it.
"""


@dataclass(frozen=True, slots=True)
class TargetFigures:
    """A model on a board: bytes, and the time of one inference. `sizes_by`: the compiler that flash, RAM and stack are
    of, `time_by`: the emulator that counted, or "predicted"; None: not known, as on this computer. `cycles` are
    modelled, with memory that never waits; `instructions` are counted where no cycle model is."""

    arena: int
    sizes_by: str | None = None
    flash: int | None = None
    ram: int | None = None
    stack: int | None = None
    time_by: str | None = None
    cycles: int | None = None
    instructions: int | None = None


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """A model, whatever the board. Hashes of its file, of what a recipe made of it, and of numpy's integers for the
    inputs that prove a build. `quality` by `measure`, with its standard error, on so many samples; None: not judged."""

    sha256: str
    outputs_sha256: str
    compressed_sha256: str | None = None
    measure: str | None = None
    quality: float | None = None
    error: float | None = None
    samples: int | None = None
    samples_sha256: str | None = None
    targets: Mapping[str, TargetFigures] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LockFile:
    """Figures by model and board, and the versions of what they were measured with, by name."""

    tools: Mapping[str, str]
    models: Mapping[str, ModelFigures]

    def with_models(self, newer: LockFile) -> LockFile:
        """This, with the models and targets of another in the place of its own."""
        models = dict(self.models)
        for key, m in newer.models.items():
            before = models[key].targets if key in models else {}
            models[key] = _replaced(m, {**before, **m.targets})
        return LockFile({**self.tools, **newer.tools}, models)


def _replaced(m: ModelFigures, targets: Mapping[str, TargetFigures]) -> ModelFigures:
    return ModelFigures(**{f.name: getattr(m, f.name) for f in fields(m) if f.name != "targets"}, targets=targets)


# -- text ------------------------------------------------------------------------------------------------------------


def render_lock(lock: LockFile) -> bytes:
    """The file's content, the same for the same figures."""
    lines = [_HEAD, f"format = {FORMAT}", "", "[tools]"]
    lines += [f"{_key(name)} = {_value(version)}" for name, version in sorted(lock.tools.items())]
    for key, m in sorted(lock.models.items()):
        lines += ["", f"[models.{_key(key)}]", *_lines(m)]
        for board, t in sorted(m.targets.items()):
            lines += ["", f"[models.{_key(key)}.on.{_key(board)}]", *_lines(t)]
    return ("\n".join(lines) + "\n").encode()


def _lines(figures: ModelFigures | TargetFigures) -> list[str]:
    values = {f.name: getattr(figures, f.name) for f in fields(figures) if f.name != "targets"}
    return [f"{name} = {_value(value)}" for name, value in values.items() if value is not None]


def _key(text: str) -> str:
    plain = text.isascii() and text.replace("_", "").replace("-", "").isalnum()
    return text if plain else json.dumps(text)


def _value(value: str | int | float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "inf" if value > 0.0 else "-inf"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_lock(path: Path) -> LockFile:
    """The figures in a lock; ProjectError names file, key, what was found and what is allowed."""
    data = read_toml(path, "a lock (tinygen.lock)", "Was it merged? `tinygen check --renew` writes it anew.")
    top = TomlTable(path, "", data)
    top.need("format", "Is it a lock? `tinygen check --renew` writes one.")
    if data["format"] != FORMAT:
        top.fault(
            "format", f"found {data['format']}, this tinygen reads {FORMAT}. Write it anew: tinygen check --renew"
        )
    top = TomlTable(path, "", data, ("format", "tools", "models"))
    tools, models = top.table("tools"), top.table("models")
    return LockFile(
        {name: tools.text(name) or "" for name in tools},
        {key: _model(models.table(key, (*_names(ModelFigures), "on"))) for key in models},
    )


def _model(table: TomlTable) -> ModelFigures:
    on = table.table("on")
    targets = {board: TargetFigures(**_read(on.table(board, _names(TargetFigures)), TargetFigures)) for board in on}
    return ModelFigures(**_read(table, ModelFigures), targets=targets)


def _names(kind: type) -> tuple[str, ...]:
    return tuple(name for name in get_type_hints(kind) if name != "targets")


def _read(table: TomlTable, kind: type) -> dict[str, Any]:
    """Values of a dataclass's fields, by the types it declares; what has no default must be there."""
    found: dict[str, Any] = {}
    hints = get_type_hints(kind)
    for name in _names(kind):
        wanted = hints[name]
        if name not in table:
            if wanted in (str, int):
                table.need(name, "Write the lock anew: tinygen check --renew")
            continue
        if wanted in (str, str | None):
            found[name] = table.text(name)
        elif wanted in (int, int | None):
            found[name] = table.whole(name, 0)
        else:
            found[name] = table.number(name)
    return found
