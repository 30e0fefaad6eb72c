"""A recipe: which techniques, how strong, and what single layers get instead. Kept as TOML, so that a run repeats.

A section that is absent is a technique that is not used. `techniques.py` says which there are, `docs/COMPRESSION.md`
shows a whole file.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from tinygen.compress import techniques, toml
from tinygen.compress.checks import known, made, table, typed, within
from tinygen.compress.technique import Section
from tinygen.errors import RecipeError

MAX_SEED = 2**32 - 1
#: A recipe with a table for each of many layers is smaller.
MAX_BYTES = 1 << 20

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True, init=False)
class Recipe:
    """`Recipe(Prune(0.5), Training(epochs=3), layers={"conv1": {"prune": False}})`: settings of techniques, at most one
    of each, in any order.

    `sections`: by the names of their techniques, in the order in which they are applied. `layers`: what single layers
    get instead, by ONNX node name or name of the node, then by technique; False: nothing.
    """

    seed: int
    sections: Mapping[str, Section]
    layers: Mapping[str, Mapping[str, Any]]

    def __init__(
        self, *sections: Section, seed: int = 0, layers: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    ) -> None:
        """RecipeError for settings that make no sense together; TypeError for what is no settings."""
        given: dict[str, Section] = {}
        for section in sections:
            name = techniques.of(section).name
            if name in given:
                raise RecipeError(f"{name}: found twice, allowed is one section. Give one of them.")
            given[name] = section
        within("seed", seed, 0, MAX_SEED)
        found = {name: given[name] for name in techniques.names() if name in given}
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "sections", MappingProxyType(found))
        object.__setattr__(self, "layers", MappingProxyType({name: _own(name, row) for name, row in layers.items()}))
        for technique in techniques.TECHNIQUES:
            if technique.name in found and technique.requires is not None:
                technique.requires(found[technique.name], tuple(found))

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy, which cannot take the proxies."""
        return from_dict, (to_dict(self),)

    @property
    def key(self) -> str:
        """Equal for recipes that do the same: 16 hexadecimal digits."""
        return hashlib.sha256(to_toml(self).encode()).hexdigest()[:16]

    @property
    def techniques(self) -> tuple[str, ...]:
        """Names of the sections in use, in the order in which they are applied."""
        return tuple(self.sections)

    def get(self, settings: type[S]) -> S | None:
        """The section of this class, or None: `recipe.get(Prune)`."""
        return next((s for s in self.sections.values() if isinstance(s, settings)), None)

    def with_(self, *sections: Section, seed: int | None = None) -> Recipe:
        """These sections in place of, or beside, those that there are; another seed."""
        found = {**self.sections, **{techniques.of(s).name: s for s in sections}}
        return Recipe(*found.values(), seed=self.seed if seed is None else seed, layers=self.layers)

    def without(self, *settings: type[Section]) -> Recipe:
        """Without the sections of these classes."""
        left = [s for s in self.sections.values() if type(s) not in settings]
        return Recipe(*left, seed=self.seed, layers=self.layers)

    def describe(self) -> str:
        """In a few words, for tables: "prune 0.5, cluster 16, 10 epochs"."""
        words = [word for s in self.sections.values() if (word := s.describe())]
        if self.layers:
            words.append(f"{len(self.layers)} layers of their own")
        return ", ".join(words) or "int8"


def _own(layer: str, row: Any) -> Mapping[str, Any]:
    """What one layer gets instead, checked, in the order of techniques; None is as if it were not there."""
    key, kinds = f'layers."{layer}"', {t.name: t.own for t in techniques.TECHNIQUES if t.own is not None}
    values = {name: value for name, value in table(key, row).items() if value is not None}
    known(f"{key}.", values, tuple(kinds))
    found = {}
    for name, own in kinds.items():
        if name in values:
            found[name] = typed(f"{key}.{name}", values[name], own.kind)
            if found[name] is not False:
                own.check(f"{key}.{name}", found[name])
    return MappingProxyType(found)


# -- plain data and TOML ---------------------------------------------------------------------------------------------


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
        raise RecipeError(f"recipe {path} is not TOML: {e}. `save_recipe` writes one to start from.") from e
    try:
        return from_dict(data)
    except RecipeError as e:
        raise RecipeError(f"recipe {path}: {e}") from e


def from_dict(data: Mapping[str, Any]) -> Recipe:
    """A recipe from what TOML holds."""
    known("", data, ("seed", *techniques.names(), "layers"))
    seed = typed("seed", data.get("seed", 0), int)
    sections = [made(t.name, data[t.name], t.settings, t.hidden) for t in techniques.TECHNIQUES if t.name in data]
    rows = data.get("layers", {})
    if not isinstance(rows, Mapping):
        raise RecipeError(f"layers: found {rows!r}, allowed are tables: [layers.NAME].")
    return Recipe(*sections, seed=seed, layers=rows)


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as TOML holds it, every setting spelt out; the inverse of `from_dict`."""
    rows = {name: dict(row) for name, row in recipe.layers.items()}
    sections = {name: _values(section) for name, section in recipe.sections.items()}
    return {"seed": recipe.seed, **sections, **({"layers": rows} if rows else {})}


def to_toml(recipe: Recipe) -> str:
    """The recipe as TOML: the same text for the same recipe."""
    lines = [f"seed = {recipe.seed}"]
    for name, section in recipe.sections.items():
        lines += ["", f"[{name}]", *toml.lines(_values(section))]
    for name, row in recipe.layers.items():
        lines += ["", f"[layers.{toml.quoted(name)}]", *toml.lines(row)]
    return "\n".join(lines) + "\n"


def _values(section: Any) -> dict[str, Any]:
    hidden = techniques.of(section).hidden
    values = {f.name: getattr(section, f.name) for f in fields(section) if f.name not in hidden}
    return {name: value for name, value in values.items() if value is not None}


def with_options(recipe: Recipe, given: Mapping[str, Any]) -> Recipe:
    """The recipe with what options of techniques (`Option.name`) and `seed` say in its place; None, and a tuple of
    nothing, say nothing. RecipeError names key, found and allowed."""
    data = to_dict(recipe)
    options = {o.name: (t, o) for t in techniques.TECHNIQUES for o in t.options}
    known("", given, ("seed", *options))
    for name, (technique, option) in options.items():
        value = given.get(name)
        if value is None or (option.several and not value):
            continue
        section = {**data.get(technique.name, {}), **option.values(value)}
        data[technique.name] = {key: v for key, v in section.items() if v is not None}
    if given.get("seed") is not None:
        data["seed"] = given["seed"]
    return from_dict(data)
