"""A recipe: which techniques, how strong, and what single layers get instead. Kept as TOML, so that a run repeats.

A section that is absent is a technique that is not used. `docs/COMPRESSION.md` shows a whole file.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tinygen.compress.train.settings import Training
from tinygen.errors import RecipeError, did_you_mean

Pattern = Literal["unstructured", "2:4", "1:4", "block4"]
Repair = Literal["all", "equalise", "bias", "round", "wide"]
Measure = Literal["macs", "weights", "channels"]

MAX_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Student:
    """A smaller network of the same family, which starts with what it can inherit of the weights and is trained from
    the network's answers; or the user's own (`model`, ONNX)."""

    width: float = 1.0
    depth: float = 1.0
    separable: bool = False
    inherit: bool = True
    model: str | None = None

    def __post_init__(self) -> None:
        _within("student.width", self.width, 0.01, 1.0)
        _within("student.depth", self.depth, 0.01, 1.0)
        if self.model is not None and (self.width, self.depth, self.separable) != (1.0, 1.0, False):
            raise RecipeError(
                f'student: found model "{self.model}" together with width, depth or separable; allowed is either a '
                "model of your own or one derived from the network. Drop one of them."
            )


@dataclass(frozen=True, slots=True)
class Prune:
    """Channels removed: `amount` is the share of `measure` that goes, in `steps` with fine-tuning between. The
    criterion "taylor" asks gradients of the training's loss."""

    amount: float = 0.5
    measure: Measure = "macs"
    criterion: Literal["activation", "magnitude", "taylor"] = "activation"
    steps: int = 1

    def __post_init__(self) -> None:
        _share("prune.amount", self.amount)
        _within("prune.steps", self.steps, 1, 100)


@dataclass(frozen=True, slots=True)
class Rank:
    """Layers in thinner parts: `amount` is the share of the network's `measure` that goes; or `energy`, the share of
    every layer's output power that stays."""

    amount: float | None = None
    energy: float | None = None
    measure: Literal["weights", "macs"] = "weights"
    method: Literal["auto", "lowrank", "tucker", "cp", "spatial", "depthwise"] = "auto"

    def __post_init__(self) -> None:
        if (self.amount is None) == (self.energy is None):
            found = "both" if self.amount is not None else "neither"
            raise RecipeError(f"rank: found {found} of amount and energy; allowed is exactly one of them.")
        if self.amount is not None:
            _within("rank.amount", self.amount, 0.01, 0.99)
        if self.energy is not None:
            _within("rank.energy", self.energy, 0.01, 0.9999)


@dataclass(frozen=True, slots=True)
class Sparsity:
    """Zeros among the weights: `amount` of them; "2:4" and "1:4" say themselves how many."""

    amount: float = 0.5
    pattern: Pattern = "unstructured"
    criterion: Literal["magnitude", "activation", "obs"] = "activation"
    distribution: Literal["uniform", "global"] = "global"

    def __post_init__(self) -> None:
        _share("sparsity.amount", self.amount)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Weights that share values: codebooks of `entries`, one a layer or one for all."""

    entries: int = 16
    shared: bool = False

    def __post_init__(self) -> None:
        _one_of("cluster.entries", self.entries, ENTRIES)


@dataclass(frozen=True, slots=True)
class Bits:
    """Weights of fewer bits: one number for all; or "mixed", of `candidates` for each layer the fewest, as long as the
    outputs' noise stays within `max_loss_db` of that of int8."""

    weights: int | Literal["mixed"] = 4
    candidates: tuple[int, ...] = (8, 6, 5, 4)
    max_loss_db: float = 6.0

    def __post_init__(self) -> None:
        _within("bits.max_loss_db", self.max_loss_db, 0.1, 60.0)
        if self.weights != "mixed":
            _one_of("bits.weights", self.weights, (*BITS, "mixed"))
        for bits in self.candidates:
            _one_of("bits.candidates", bits, BITS)
        if not self.candidates:
            raise RecipeError(f"bits.candidates: found none, allowed are {_list(BITS)}; give at least one.")


@dataclass(frozen=True, slots=True)
class Activations:
    """Activations of 16 bits, in the whole network; `layers` has single ones."""

    bits: int = 16

    def __post_init__(self) -> None:
        _one_of("activations.bits", self.bits, WIDTHS)


@dataclass(frozen=True, slots=True)
class Repairs:
    """What is tried against losses of quantisation; each step is kept only where it helps."""

    steps: tuple[Repair, ...] = ("all",)


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer gets instead, by technique; None: what all get. False: nothing. `rank` is an energy."""

    prune: Literal[False] | None = None
    rank: float | Literal[False] | None = None
    sparsity: float | Literal[False] | None = None
    cluster: int | Literal[False] | None = None
    bits: int | None = None
    activations: int | None = None

    def __post_init__(self) -> None:
        if self.rank is not None and self.rank is not False:
            _within("layers.rank", self.rank, 0.01, 0.9999)
        if self.sparsity is not None and self.sparsity is not False:
            _share("layers.sparsity", self.sparsity)
        if self.cluster is not None and self.cluster is not False:
            _one_of("layers.cluster", self.cluster, ENTRIES)
        if self.bits is not None:
            _one_of("layers.bits", self.bits, BITS)
        if self.activations is not None:
            _one_of("layers.activations", self.activations, WIDTHS)


ENTRIES = (2, 4, 8, 16, 32, 64)
BITS = (2, 3, 4, 5, 6, 7, 8)
WIDTHS = (8, 16)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Techniques by name, None where not used; `layers` by ONNX node name or name of the node."""

    seed: int = 0
    student: Student | None = None
    prune: Prune | None = None
    rank: Rank | None = None
    sparsity: Sparsity | None = None
    cluster: Cluster | None = None
    bits: Bits | None = None
    activations: Activations | None = None
    training: Training | None = None
    repairs: Repairs | None = None
    layers: Mapping[str, Layer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _within("seed", self.seed, 0, MAX_SEED)
        object.__setattr__(self, "layers", MappingProxyType(dict(self.layers)))
        if self.student is not None and self.training is None:
            raise RecipeError(
                "student: found without training; a student has to learn from the network. Add a [training] section "
                "(--epochs N)."
            )
        if self.prune is not None and self.prune.criterion == "taylor" and self.training is None:
            raise RecipeError(
                'prune.criterion: found "taylor" without training, whose loss it asks. Add a [training] section '
                "(--epochs N), or take activation or magnitude."
            )
        if self.prune is not None and self.prune.steps > 1 and self.training is None:
            raise RecipeError(
                f"prune.steps: found {self.prune.steps} without training; allowed is 1, as there is nothing to do "
                "between the steps. Add a [training] section (--epochs N)."
            )

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def key(self) -> str:
        """Equal for recipes that do the same: 16 hexadecimal digits."""
        return hashlib.sha256(to_toml(self).encode()).hexdigest()[:16]

    @property
    def techniques(self) -> tuple[str, ...]:
        """Names of the sections in use, in the order in which they are applied."""
        return tuple(name for name in SECTIONS if getattr(self, name) is not None)

    def describe(self) -> str:
        """In a few words, for tables: "prune 0.5, cluster 16, 10 epochs"."""
        words = []
        if (s := self.student) is not None:
            size = [f"{name} {value:g}" for name, value in (("width", s.width), ("depth", s.depth)) if value != 1.0]
            words.append(" ".join(["student", s.model or " ".join([*size, *(["separable"] if s.separable else [])])]))
        if (p := self.prune) is not None:
            words.append(f"prune {p.amount:g}" + (f" in {p.steps}" if p.steps > 1 else ""))
        if (r := self.rank) is not None:
            words.append(f"rank {r.amount:g}" if r.amount is not None else f"rank energy {r.energy:g}")
        if (z := self.sparsity) is not None:
            words.append(z.pattern if z.pattern in ("2:4", "1:4") else f"sparsity {z.amount:g} {z.pattern}")
        if (c := self.cluster) is not None:
            words.append(f"{'shared ' if c.shared else ''}cluster {c.entries}")
        if (b := self.bits) is not None:
            words.append(f"bits {b.weights}")
        if (a := self.activations) is not None:
            words.append(f"int{a.bits} activations")
        if (t := self.training) is not None:
            words.append(f"{t.epochs} epochs")
        if self.repairs is not None and self.repairs.steps:
            words.append(f"repairs {' '.join(self.repairs.steps)}")
        if self.layers:
            words.append(f"{len(self.layers)} layers of their own")
        return ", ".join(words) or "int8"


SECTIONS = ("student", "prune", "rank", "sparsity", "cluster", "bits", "activations", "training", "repairs")
#: Settings of training that a recipe says elsewhere.
_NOT_TRAINING = ("seed",)


# -- checking --------------------------------------------------------------------------------------------------------


def _list(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


def _within(key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise RecipeError(f"{key}: found {value:g}, allowed {low:g} to {high:g}.")


def _share(key: str, value: float) -> None:
    if not 0.0 <= value < 1.0:
        raise RecipeError(f"{key}: found {value:g}, allowed is a share from 0 to below 1.")


def _one_of(key: str, value: object, allowed: Sequence[object]) -> None:
    if value not in allowed:
        near = did_you_mean(value, map(str, allowed)) if isinstance(value, str) else ""
        raise RecipeError(f"{key}: found {value}, allowed: {_list(allowed)}.{near}")


# -- TOML ------------------------------------------------------------------------------------------------------------


#: A recipe with a table for each of many layers is smaller.
MAX_BYTES = 1 << 20


def read_recipe(path: Path) -> Recipe:
    """The recipe in a TOML file; RecipeError names file, key, what was found and what is allowed."""
    try:
        if path.exists() and not path.is_file():
            raise RecipeError(f"recipe {path} is no regular file. Give the path of a TOML file.")
        if path.stat().st_size > MAX_BYTES:
            raise RecipeError(f"recipe {path} has {path.stat().st_size:,} bytes; a recipe has a few thousand.")
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as e:
        raise RecipeError(f"recipe {path} cannot be read: {e.strerror or e}.") from e
    except RecursionError as e:
        raise RecipeError(f"recipe {path}: brackets within brackets, deeper than any recipe. It is damaged.") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise RecipeError(f"recipe {path} is not TOML: {e}. --save-recipe writes one to start from.") from e
    try:
        return from_dict(data)
    except RecipeError as e:
        raise RecipeError(f"recipe {path}: {e}") from e


def from_dict(data: Mapping[str, Any]) -> Recipe:
    """A recipe from what TOML holds."""
    kinds = {name: _plain(kind) for name, kind in get_type_hints(Recipe).items() if name in SECTIONS}
    _known("", data, ("seed", *SECTIONS, "layers"))
    found: dict[str, Any] = {"seed": _value("seed", data.get("seed", 0), int)}
    for name, kind in kinds.items():
        if name in data:
            found[name] = _section(name, data[name], kind)
    rows = data.get("layers", {})
    if not isinstance(rows, Mapping):
        raise RecipeError(f"layers: found {_show(rows)}, allowed are tables: [layers.NAME].")
    found["layers"] = {name: _section(f'layers."{name}"', row, Layer) for name, row in rows.items()}
    return Recipe(**found)


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as TOML holds it, every setting spelt out; the inverse of `from_dict`."""
    sections = {name: _values(getattr(recipe, name)) for name in recipe.techniques}
    rows = {name: _values(layer) for name, layer in recipe.layers.items()}
    return {"seed": recipe.seed, **sections, **({"layers": rows} if rows else {})}


def to_toml(recipe: Recipe) -> str:
    """The recipe as TOML: the same text for the same recipe."""
    data = to_dict(recipe)
    lines = [f"seed = {recipe.seed}"]
    for name in recipe.techniques:
        lines += ["", f"[{name}]", *_lines(data[name])]
    for name, row in data.get("layers", {}).items():
        lines += ["", f"[layers.{_string(name)}]", *_lines(row)]
    return "\n".join(lines) + "\n"


def _values(section: Any) -> dict[str, Any]:
    skip = _NOT_TRAINING if isinstance(section, Training) else ()
    values = {f.name: getattr(section, f.name) for f in fields(section) if f.name not in skip}
    return {name: value for name, value in values.items() if value is not None}


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {_toml(value)}" for name, value in values.items()]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value)


def _string(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, DEL aside."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(kind: Any) -> Any:
    """The class of an optional section."""
    return next(k for k in get_args(kind) if k is not NoneType)


def _section(key: str, data: object, kind: Any) -> Any:
    if not isinstance(data, Mapping):
        raise RecipeError(f"{key}: found {_show(data)}, allowed is a table: [{key}].")
    hints = {n: k for n, k in get_type_hints(kind).items() if not (kind is Training and n in _NOT_TRAINING)}
    _known(f"{key}.", data, tuple(hints))
    values = {name: _value(f"{key}.{name}", value, hints[name]) for name, value in data.items()}
    try:
        return kind(**values)
    except ValueError as e:  # Training's own checks
        raise RecipeError(f"{e}.") from e


def _known(prefix: str, data: Mapping[str, Any], allowed: Sequence[str]) -> None:
    for name in data:
        if name not in allowed:
            close = difflib.get_close_matches(name, allowed, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise RecipeError(f"{prefix}{name}: no such key; allowed: {_list(allowed)}.{hint}")


def _value(key: str, value: Any, kind: Any) -> Any:
    """`value` as a field of type `kind`, or a RecipeError."""
    options = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    for option in options:
        if get_origin(option) is Literal and any(value is a or (value == a and type(value) is type(a))
                                                 for a in get_args(option)):  # fmt: skip
            return value
        if get_origin(option) is tuple and isinstance(value, list | tuple):
            return tuple(_value(key, v, get_args(option)[0]) for v in value)
        if option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if option in (int, bool, str) and type(value) is option:
            return value
    raise RecipeError(f"{key}: found {_show(value)}, allowed: {' or '.join(_kind(o) for o in options)}.")


def _kind(option: Any) -> str:
    """A type in words."""
    if get_origin(option) is Literal:
        return ", ".join("false" if a is False else f'"{a}"' for a in get_args(option))
    if get_origin(option) is tuple:
        return f"a list of {_kind(get_args(option)[0])}s"
    names = {float: "a number", int: "a whole number", bool: "true or false", str: "a text", NoneType: "nothing"}
    return names[option]


def _show(value: object) -> str:
    return json.dumps(value, default=str)[:60]


def with_training(recipe: Recipe, **settings: Any) -> Recipe:
    """The recipe with other settings of training; those not named stay, or are the defaults."""
    return replace(recipe, training=replace(recipe.training or Training(), **settings))
