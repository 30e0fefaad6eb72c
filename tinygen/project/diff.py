"""Two built folders side by side, layer by layer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from tinygen.emit.stamp import plain
from tinygen.errors import MissingToolError, OutputError, TargetError
from tinygen.flow import certificate
from tinygen.profile.counter import Counts
from tinygen.profile.folder import Build, profile_folder, read_build
from tinygen.profile.types import Profile
from tinygen.project.compare import Standing, State, compare_quality, compare_size
from tinygen.project.lock import ModelFigures

#: Measures that count samples: their error is that of so many throws of a coin.
_COUNTED = ("accuracy", "agreement with float")


@dataclass(frozen=True, slots=True)
class BuiltLayer:
    """A layer of a build. `constants`: bytes; `arrays`: their initialisers, in order; time where it was counted."""

    name: str
    operator: str
    onnx: tuple[str, ...]
    shape: tuple[int, ...]
    kernels: tuple[str, ...]
    macs: int
    constants: int
    arrays: tuple[str, ...]
    cycles: int | None = None
    instructions: int | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One build. Bytes; `flash`, `stack`, `ram` and time only where its C was compiled and counted, and so `kernels`:
    bytes of code by name. `facts`: what it was made from and with, by name; `proof`: hashes of numpy's inputs and
    outputs."""

    folder: Path
    model: str
    board: str
    layers: tuple[BuiltLayer, ...]
    facts: Mapping[str, str]
    quality: ModelFigures
    proof: tuple[str, str]
    constants: int
    arena: int
    flash: int | None = None
    ram: int | None = None
    stack: int | None = None
    cycles: int | None = None
    instructions: int | None = None
    kernels: Mapping[str, int] | None = None

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)


@dataclass(frozen=True, slots=True)
class LayerPair:
    """A layer in both builds, or in one of them; `what` differs, in words, nothing where it is the same."""

    before: BuiltLayer | None
    after: BuiltLayer | None
    what: tuple[str, ...]

    @property
    def name(self) -> str:
        layer = self.after or self.before
        assert layer is not None
        return layer.name


@dataclass(frozen=True, slots=True)
class BuildDiff:
    """Two builds. `facts` and `figures` as `compare` has them; `same_integers`: whether both give the same outputs for
    the same inputs, None where they were proved on others."""

    before: Side
    after: Side
    facts: tuple[Standing, ...]
    figures: tuple[Standing, ...]
    layers: tuple[LayerPair, ...]
    same_integers: bool | None
    notes: tuple[str, ...]


def diff_folders(a: Path, b: Path, *, count: bool = True) -> BuildDiff:
    """Both builds, read and, with `count`, compiled and counted in the emulator where that is there. OutputError for a
    folder that is no build, or was edited."""
    notes: list[str] = []
    before, after = (_side(folder, notes, count=count) for folder in (a, b))
    same = before.proof[1] == after.proof[1] if before.proof[0] == after.proof[0] else None
    figures = tuple(_figures(before, after))
    layers = tuple(pair(before.layers, after.layers))
    return BuildDiff(before, after, tuple(_facts(before, after)), figures, layers, same, tuple(dict.fromkeys(notes)))


# -- one side --------------------------------------------------------------------------------------------------------


def _side(folder: Path, notes: list[str], *, count: bool) -> Side:
    build = read_build(folder)
    try:
        proved = json.loads((folder / certificate.FILE).read_text(encoding="utf-8"))
        side = _read(build, proved)
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise OutputError(f"{folder}: {certificate.FILE} cannot be read: {e}. Build again.") from e
    if not count:
        return side
    try:
        return _counted(side, profile_folder(folder))
    except MissingToolError as e:
        notes.append(f"flash, stack and time are not known: {e}")
    except TargetError:
        notes.append(f"{folder} was built for {side.board}, which no emulator stands for: nothing is counted.")
    return side


def _read(build: Build, proved: Mapping[str, Any]) -> Side:
    plan, options = build.plan, proved["options"]
    arrays = _arrays(build.files[f"{build.name}_weights.c"].decode("ascii"))
    layers = tuple(
        BuiltLayer(
            str(x["name"]), str(x["operator"]), tuple(x["onnx"]), tuple(x["shape"]),
            tuple(plain(c["kernel"]) for c in x["calls"]), int(x["macs"]), sum(x["constants"].values()),
            tuple(arrays[name] for name in x["constants"]),
        )
        for x in plan["layers"]
    )  # fmt: skip
    facts = {
        "model": build.name,
        "model sha256": proved["model"]["sha256"],
        "tinygen": proved["tinygen"],
        "numerics": str(proved["numerics"]),
        "abi": str(proved["abi"]),
        "verified on": ", ".join(k for k in proved["outputs_sha256"] if k != "numpy"),
        **{key: ", ".join(v) if isinstance(v, list) else str(v) for key, v in options.items()},
    }
    shared = {name: size for x in plan["layers"] for name, size in x["constants"].items()}
    proof = str(proved["inputs_sha256"]), str(proved["outputs_sha256"]["numpy"])
    return Side(
        build.folder, build.name, str(plan["board"]), layers, facts, _quality(proved), proof, sum(shared.values()),
        int(plan["arena"]),
    )  # fmt: skip


def _arrays(source: str) -> dict[str, str]:
    """Initialisers of all arrays in the model's constants, by name."""
    return {name: " ".join(body.split()) for name, body in re.findall(r"\b(\w+)\[\d+\] = \{(.*?)\};", source, re.S)}


def _quality(proved: Mapping[str, Any]) -> ModelFigures:
    """The main figure of a certificate's verdict."""
    said, sha256 = proved["accuracy"], str(proved["model"]["sha256"])
    outputs = str(proved["outputs_sha256"]["numpy"])
    if said is None:
        return ModelFigures(sha256, outputs)
    main, n = said["figures"][0], int(said["samples"])
    value = float("inf") if main["integer"] is None else float(main["integer"])
    error = (value * (1.0 - value) / n) ** 0.5 if main["measure"] in _COUNTED else 0.0
    return ModelFigures(sha256, outputs, None, main["measure"], value, error, n, said["samples_sha256"])


def _counted(side: Side, p: Profile) -> Side:
    """The same with what compiling and counting showed."""

    def time(c: Counts) -> tuple[int | None, int | None]:
        return c.cycles if p.has_cycles else None, c.instructions

    layers = []
    for layer, counted in zip(side.layers, p.layers, strict=True):
        cycles, instructions = time(counted.counts)
        layers.append(replace(layer, cycles=cycles, instructions=instructions))
    cycles, instructions = time(p.total)
    return replace(
        side, layers=tuple(layers), flash=p.flash_use.total, ram=p.ram, stack=p.stack, kernels=p.flash_use.kernels,
        cycles=cycles, instructions=instructions,
    )  # fmt: skip


# -- both ------------------------------------------------------------------------------------------------------------


def _facts(a: Side, b: Side) -> Iterator[Standing]:
    for name in dict.fromkeys((*b.facts, *a.facts)):
        was, now = a.facts.get(name), b.facts.get(name)
        yield Standing(name, "", was, now, State.SAME if was == now else State.CHANGED)


def _figures(a: Side, b: Side) -> Iterator[Standing]:
    other = f"{a.facts['core']} and {b.facts['core']}" if a.facts["core"] != b.facts["core"] else ""
    rows = [("MACs", "", "macs"), *((n, "bytes", n.lower()) for n in ("flash", "constants", "RAM", "arena", "stack"))]
    for what, unit, key in (*rows, ("cycles", "cycles", "cycles"), ("instructions", "instructions", "instructions")):
        was, now = getattr(a, key), getattr(b, key)
        if was is not None or now is not None:
            time = other if unit in ("cycles", "instructions") else ""
            state, why = compare_size(was, now, time, None, new=False)
            yield Standing(what, unit, was, now, state, why)
    yield compare_quality(a.quality, b.quality)


def pair(a: Sequence[BuiltLayer], b: Sequence[BuiltLayer]) -> Iterator[LayerPair]:
    """Layers of both in order: those of one name belong together; between such, those of one operator."""
    for old, new in _matched(a, b, lambda x: x.name):
        if old and new and old[0].name == new[0].name:
            yield from (LayerPair(x, y, _what(x, y)) for x, y in zip(old, new, strict=True))
            continue
        for left, right in _matched(old, new, lambda x: x.operator):
            if left and right and left[0].operator == right[0].operator:
                yield from (LayerPair(x, y, _what(x, y)) for x, y in zip(left, right, strict=True))
            else:
                yield from (LayerPair(x, None, ("gone",)) for x in left)
                yield from (LayerPair(None, y, ("new",)) for y in right)


def _matched(
    a: Sequence[BuiltLayer], b: Sequence[BuiltLayer], key: Callable[[BuiltLayer], str]
) -> Iterator[tuple[Sequence[BuiltLayer], Sequence[BuiltLayer]]]:
    """Runs of both: those with equal keys side by side, and what stands between."""
    matcher = SequenceMatcher(None, [key(x) for x in a], [key(x) for x in b], autojunk=False)
    for _, i, j, k, m in matcher.get_opcodes():
        yield a[i:j], b[k:m]


def _what(a: BuiltLayer, b: BuiltLayer) -> tuple[str, ...]:
    """What differs, in words."""
    found = []
    if a.operator != b.operator:
        found.append(f"{a.operator} → {b.operator}")
    if a.shape != b.shape:
        found.append(f"{_shape(a)} → {_shape(b)}")
    if a.kernels != b.kernels:
        found.append("other kernels")
    if a.arrays != b.arrays:
        # Each set of kernels has a layout of its own for the same weights.
        found.append("other constants" if a.kernels == b.kernels else "constants laid out otherwise, or others")
    return tuple(found)


def _shape(layer: BuiltLayer) -> str:
    return "x".join(map(str, layer.shape))
