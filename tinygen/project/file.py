"""tinygen.toml: models, the boards each is built for, options, and limits that must hold (docs/PROJECT.md).

What is said of one model on one board goes before what is said of the model, that before what is said of the board, and
that before what is said for all: [models.M.on.B], [models.M], [on.B], then [options] and [limits].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tinygen.calibrate.methods import CALIBRATION_SAMPLES, DEFAULT_METHOD, METHODS
from tinygen.emit.programs import Package
from tinygen.errors import ProjectError, TargetError, did_you_mean
from tinygen.flow.gates import Gates, Terms
from tinygen.flow.types import PROOFS, Calibration, Library, Proof, Target
from tinygen.names import model_name
from tinygen.plan.modes import MODES
from tinygen.project.table import TomlTable, read_toml
from tinygen.targets.board import Board, load_board, with_code_in_ram

FILE, LOCK = "tinygen.toml", "tinygen.lock"
#: Where builds go unless the file says otherwise: a folder for each model, in it one for each board.
OUTPUT = "build"


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """A model on a board: how it is built, what it may take, and where it goes."""

    model: str
    target: Target
    proof: Proof
    gates: Gates
    folder: Path

    @property
    def board(self) -> Board:
        return self.target.board

    @property
    def name(self) -> str:
        """kws/nucleo_f446re, which `--only` takes."""
        return f"{self.model}/{self.board.id}"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model, quantised in one way for all of its boards. `key`: its name in the file; `name`: in C; `recipe`: how it
    is compressed first, if it is."""

    key: str
    name: str
    path: Path
    calibration: Calibration
    terms: Terms
    targets: tuple[TargetSpec, ...]
    recipe: Path | None = None
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Project:
    """What a project file says."""

    file: Path
    package: Package
    output: Path
    models: tuple[ModelSpec, ...]

    @property
    def lock(self) -> Path:
        """What was recorded lies beside the file."""
        return self.file.with_name(LOCK)

    @property
    def targets(self) -> tuple[TargetSpec, ...]:
        return tuple(t for m in self.models for t in m.targets)

    def only(self, names: Sequence[str]) -> Project:
        """The models and targets of these names (kws, kws/nucleo_f446re); all where there are none."""
        if not names:
            return self
        known = [*(m.key for m in self.models), *(t.name for t in self.targets)]
        for name in names:
            if name not in known:
                raise ProjectError(
                    f"{self.file} has no model or target {name}; it has {', '.join(known)}.{did_you_mean(name, known)}"
                )
        models = [
            replace(m, targets=tuple(t for t in m.targets if m.key in names or t.name in names)) for m in self.models
        ]
        return replace(self, models=tuple(m for m in models if m.targets))


def find_project(start: Path) -> Path:
    """The project file of a folder, or of the nearest folder above it that has one."""
    for folder in (start, *start.absolute().parents):
        if (folder / FILE).is_file():
            return folder / FILE
    raise ProjectError(
        f"no {FILE} in {start.absolute()} or a folder above it. Make one (tinygen new MODEL), or say which it is "
        "(`project`)."
    )


# -- what may stand where --------------------------------------------------------------------------------------------

_PACKAGE = ("name", "version", "vendor", "author", "maintainer", "url", "licence")
#: Of a model, whatever the board: all boards compute the same integers.
_OF_MODEL: Mapping[str, Callable[[TomlTable, str], Any]] = MappingProxyType(
    {
        "calibration": lambda t, k: t.choice(k, METHODS),
        "samples": TomlTable.whole,
        "activations": TomlTable.text,
        "repair": lambda t, k: t.choice(k, ("auto", "off")),
        "accept_loss": TomlTable.flag,
    }
)
_OF_TARGET: Mapping[str, Callable[[TomlTable, str], Any]] = MappingProxyType(
    {
        "optimize": lambda t, k: t.choice(k, MODES),
        "arena": lambda t, k: t.choice(k, ("caller", "static")),
        "plain_stack": TomlTable.flag,
        "code_in_ram": TomlTable.size,
        "assume_zero_wait": TomlTable.flag,
        "sensors": TomlTable.texts,
        "private": TomlTable.flag,
        "verify": lambda t, k: t.choice(k, ("board", "all", "none")),
    }
)
_ACCURACY: Mapping[str, Callable[[TomlTable, str], Any]] = MappingProxyType(
    {"min_accuracy": TomlTable.share, "max_loss": TomlTable.points, "min_sqnr": TomlTable.decibel}
)
_USE: Mapping[str, Callable[[TomlTable, str], Any]] = MappingProxyType(
    {"max_flash": TomlTable.size, "max_ram": TomlTable.size, "max_ms": TomlTable.positive}
)
_MODEL = ("path", "data", "test", "name", "input_shapes", "states", "constants", "recipe", "boards", "on", "limits")

Said = Mapping[str, Any]


def _read(table: TomlTable, kinds: Mapping[str, Callable[[TomlTable, str], Any]]) -> Said:
    """What a table says of these keys."""
    return {key: kind(table, key) for key, kind in kinds.items() if key in table}


@dataclass(frozen=True, slots=True)
class _Of:
    """What one place of the file says: options and limits."""

    options: Said = field(default_factory=dict)
    limits: Said = field(default_factory=dict)

    def before(self, other: _Of) -> _Of:
        """This, and of the other what this does not say."""
        return _Of({**other.options, **self.options}, {**other.limits, **self.limits})


def _of_model(table: TomlTable) -> _Of:
    return _Of(_read(table, {**_OF_MODEL, **_OF_TARGET}), _read(table.table("limits", _LIMITS), {**_ACCURACY, **_USE}))


_LIMITS = (*_ACCURACY, *_USE)


def _of_boards(table: TomlTable) -> dict[str, _Of]:
    """[on.BOARD] tables: they say nothing of what is a model's on all boards."""
    found = {}
    for board in table:
        rows = table.table(board)
        for key in (k for k in rows if k in _OF_MODEL):
            rows.fault(key, "is said of a model for all its boards, as all compute the same integers. Move it there.")
        rows = table.table(board, (*_OF_TARGET, "limits"))
        limits = rows.table("limits")
        for key in (k for k in limits if k in _ACCURACY):
            limits.fault(key, "is said of a model for all its boards, as all compute the same integers. Move it there.")
        found[board] = _Of(_read(rows, _OF_TARGET), _read(rows.table("limits", _USE), _USE))
    return found


# -- reading ---------------------------------------------------------------------------------------------------------


def read_project(path: Path) -> Project:
    """A project file, whole and checked: files that it names are there, boards are known. ProjectError names file, key,
    what was found and what is allowed."""
    path = path / FILE if path.is_dir() else path
    data = read_toml(path, f"a project file ({FILE})", "docs/PROJECT.md shows a whole one.")
    top = TomlTable(path, "", data, ("boards", "output", "package", "options", "limits", "on", "models"))
    package = _package(top.table("package", _PACKAGE))
    every = _Of(
        _read(top.table("options", (*_OF_MODEL, *_OF_TARGET)), {**_OF_MODEL, **_OF_TARGET}),
        _read(top.table("limits", _LIMITS), {**_ACCURACY, **_USE}),
    )
    output = path.parent / (top.text("output") or OUTPUT)
    common = _Common(_boards(top, "boards"), every, _of_boards(top.table("on")), output, package)
    models = top.table("models")
    if not list(models):
        top.fault("models", "no model. Add a table for each: [models.NAME] with path and data.")
    found = tuple(_model(models.table(key, (*_MODEL, *_OF_MODEL, *_OF_TARGET)), key, common) for key in models)
    used = {t.board.id for m in found for t in m.targets}
    _only_used(top.table("on"), used, "no model is built for it")
    return Project(path, package, output, found)


def _package(table: TomlTable) -> Package:
    said = {key: table.text(key) for key in _PACKAGE}
    for key, text in said.items():
        if text and ("*/" in text or "/*" in text):
            table.fault(key, "holds the begin or end of a comment in C, where it will stand.")
    if said["url"] and not said["url"].startswith(("https://", "http://")):
        table.fault("url", f'found "{said["url"]}", allowed: an address that begins with https:// or http://.')
    return Package(**{key: text for key, text in said.items() if text})


def _boards(table: TomlTable, key: str) -> tuple[str, ...] | None:
    """A list of boards that are known, each once."""
    found = table.texts(key)
    if found is None:
        return None
    if not found:
        table.fault(key, "found no board; allowed is a list of at least one: tinygen boards shows all.")
    for i, board in enumerate(found):
        if board in found[:i]:
            table.fault(key, f'"{board}" stands there twice.')
        try:
            load_board(board)
        except TargetError as e:
            table.fault(key, f"{e}")
    return found


def _only_used(table: TomlTable, used: Iterable[str], why: str) -> None:
    for board in table:
        if board not in used:
            table.fault(board, f"{why}; allowed: {', '.join(sorted(used))}.{did_you_mean(board, used)}")


@dataclass(frozen=True, slots=True)
class _Common:
    """What the file says outside of its models: of all, and of boards."""

    boards: tuple[str, ...] | None
    every: _Of
    on: Mapping[str, _Of]
    output: Path
    package: Package


def _model(table: TomlTable, key: str, common: _Common) -> ModelSpec:
    if not key.isascii() or not key.replace("_", "").replace("-", "").isalnum():
        table.fault("", "cannot be the name of a folder; allowed are letters, digits, _ and -.")
    boards = _boards(table, "boards") or common.boards
    if boards is None:
        table.fault("boards", 'missing. Say which boards: boards = ["nucleo_f446re"], here or at the top.')
    table.need("path", "Say where the ONNX file lies.")
    path, data, test, recipe = (table.path(k, folder=k in ("data", "test")) for k in ("path", "data", "test", "recipe"))
    assert path is not None
    for needs, value in (("test", test), ("recipe", recipe)):
        if value is not None and data is None:
            table.fault(needs, "found without data. Say which samples calibrate: data = FILE.")
    if recipe is not None and test is None:
        table.fault("recipe", "found without test. Compression fits to data; say which samples judge: test = FILE.")
    of_model = _of_model(table)
    own = _of_boards(table.table("on"))
    _only_used(table.table("on"), boards, f"{key} is not built for it")
    whole = of_model.before(common.every)
    gates = Gates(**{k: v for k, v in whole.limits.items() if k in _ACCURACY})
    if gates.of_accuracy and data is None:
        table.fault("data", "missing, and its limits of accuracy need it to judge by. Say which samples: data = FILE.")
    o = whole.options
    calibration = Calibration(
        data, o.get("calibration", DEFAULT_METHOD), o.get("samples", CALIBRATION_SAMPLES), o.get("activations", "8"),
        test, hold_back=True,
    )  # fmt: skip
    none = _Of()
    targets = tuple(
        _target(key, b, own.get(b, none).before(of_model).before(common.on.get(b, none)).before(common.every), common)
        for b in boards
    )
    return ModelSpec(
        key, _name(table, key), path, calibration,
        Terms(o.get("repair", "auto") == "auto", o.get("accept_loss", False), gates),
        targets, recipe, _shapes(table.table("input_shapes")), _states(table.table("states")),
        _constants(table.table("constants")),
    )  # fmt: skip


def _target(model: str, board: str, of: _Of, common: _Common) -> TargetSpec:
    o = of.options
    library = Library(o.get("arena", "caller") == "static", o.get("sensors", ()), o.get("private", False))
    optimize, plain_stack = o.get("optimize", "balanced"), o.get("plain_stack", False)
    found = replace(load_board(board), zero_wait=o.get("assume_zero_wait", False))
    target = Target(with_code_in_ram(found, o.get("code_in_ram", 0)), optimize, plain_stack, library, common.package)
    gates = Gates(**{k: v for k, v in of.limits.items() if k in _USE})
    return TargetSpec(model, target, Proof(PROOFS[o.get("verify", "board")]), gates, common.output / model / board)


def _name(table: TomlTable, key: str) -> str:
    """What the model is called in C: as asked for, or not at all; taken from the table's key it is made to fit."""
    asked = table.text("name")
    if asked is not None and asked.lower() != model_name(asked):
        table.fault("name", f'"{asked}" cannot be a name in C. Take {model_name(asked)}, say.')
    return model_name(asked or key)


def _states(table: TomlTable) -> dict[str, str]:
    """Outputs that are kept for the next call, by the inputs that take them: h = "h_out"."""
    found = {}
    for name in table:
        found[name] = table.text(name) or ""
    return found


def _constants(table: TomlTable) -> dict[str, Any]:
    """What inputs always are: sr = 16000, or a list of numbers."""
    return {name: table.numbers(name) for name in table}


def _shapes(table: TomlTable) -> dict[str, tuple[int, ...]]:
    """Shapes of inputs that the model leaves open: image = [1, 3, 32, 32]."""
    return {name: table.wholes(name) for name in table}
