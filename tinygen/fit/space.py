"""The combinations that a search looks at: what each technique suggests, put together to a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tinygen.compress import techniques as all_techniques
from tinygen.compress.checks import listed
from tinygen.compress.recipe import Recipe
from tinygen.compress.technique import Section, Suggest, Trial
from tinygen.compress.train.settings import Training
from tinygen.errors import RecipeError, did_you_mean

#: How weights are stored where no technique says so: the first choice of the parameter "form".
PLAIN = "int8"


def offered() -> dict[str, Suggest[Any]]:
    """Techniques that a search may combine, in their order. Training is not one of them: it goes with all that change
    the network."""
    return {t.name: t.suggest for t in all_techniques.TECHNIQUES if t.suggest is not None}


def default() -> tuple[str, ...]:
    """What a search combines that names no techniques."""
    return tuple(name for name, s in offered().items() if s.unasked)


def need_training() -> tuple[str, ...]:
    return tuple(name for name, s in offered().items() if s.trained)


def check_techniques(names: Sequence[str]) -> None:
    """RecipeError for a name that is none."""
    for name in names:
        if name not in offered():
            near = did_you_mean(name, offered())
            raise RecipeError(f"`techniques`: found {name}, allowed: {listed(tuple(offered()))}.{near}")


def suggest(trial: Trial, techniques: Sequence[str], training: Training | None, seed: int) -> Recipe:
    """The recipe of a trial; `training` goes with everything but plain int8."""
    found: dict[str, Section] = {}
    form: str | None = None
    for name, s in _chosen(techniques, trained=training is not None):
        if found.keys() & set(s.without):
            continue
        if s.draw is not None and (section := s.draw(trial)) is not None:
            found[name] = section
        if s.forms:
            form = form or trial.suggest_categorical("form", _forms(techniques))
            if form in s.forms:
                found[name] = s.forms[form]
    sections = list(found.values())
    return Recipe(*sections, *([training] if training is not None and sections else []), seed=seed)


def starts(techniques: Sequence[str], *, trained: bool) -> list[dict[str, Any]]:
    """Combinations to look at first: nothing, each technique alone, then pairs that are known to go together."""
    chosen = sorted(_chosen(techniques, trained=trained), key=lambda row: row[1].turn)
    form = next((dict(s.start) for _, s in chosen if s.forms), {})
    alone = [(name, s) for name, s in chosen if s.start and not s.forms]
    rows: list[tuple[str, dict[str, Any]]] = [("", {}), *([("", form)] if form else [])]
    rows += [(name, dict(s.start)) for name, s in alone]
    rows += [(name, {**s.start, **form}) for name, s in alone if s.with_form and form]
    return [{**_off(techniques, name, trained=trained), **row} for name, row in rows]


def _off(techniques: Sequence[str], used: str, *, trained: bool) -> dict[str, Any]:
    """Every parameter that is always asked for, at the value that means: as it is; `used` is the technique next to
    which some are not drawn."""
    found: dict[str, Any] = {}
    for _, s in _chosen(techniques, trained=trained):
        if used not in s.without:
            found |= s.off
        if s.forms:
            found["form"] = PLAIN
    return found


def _chosen(techniques: Sequence[str], *, trained: bool) -> Iterator[tuple[str, Suggest[Any]]]:
    return ((name, s) for name, s in offered().items() if name in techniques and (trained or not s.trained))


def _forms(techniques: Sequence[str]) -> tuple[str, ...]:
    """How weights may be stored: one form at a time."""
    return (PLAIN, *(form for name, s in offered().items() if name in techniques for form in s.forms))
