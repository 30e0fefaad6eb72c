"""The combinations that a search looks at: a few numbers of Optuna's to a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygen.compress.recipe import Activations, Bits, Cluster, Prune, Rank, Recipe, Sparsity, Student
from tinygen.compress.train.settings import Training
from tinygen.errors import RecipeError, did_you_mean

#: Techniques that a search may combine; training is not one of them but goes with all that change the network.
TECHNIQUES = ("student", "prune", "rank", "sparsity", "cluster", "bits", "activations")
DEFAULT = ("student", "prune", "rank", "sparsity", "cluster", "bits")
NEED_TRAINING = ("student",)

_PATTERNS = ("unstructured", "2:4", "1:4", "block4")
_CLUSTERS = (64, 32, 16, 8, 4)
_BITS = (6, 5, 4)
#: Noise that mixed bits may add: fine-tuning takes most of it back.
_MIXED_DB = 12.0
_ENERGIES = (1.0, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7)
#: What every parameter means when it is off: the network as it is.
_OFF: dict[str, Any] = {"width": 1.0, "prune": 0.0, "energy": 1.0, "pattern": "dense", "form": "int8", "wide": False}

Trial = Any  # optuna.trial.BaseTrial: an optional dependency


def check_techniques(names: Sequence[str]) -> None:
    """RecipeError for a name that is none."""
    for name in names:
        if name not in TECHNIQUES:
            raise RecipeError(
                f"--techniques: found {name}, allowed: {', '.join(TECHNIQUES)}.{did_you_mean(name, TECHNIQUES)}"
            )


def suggest(trial: Trial, techniques: Sequence[str], training: Training | None, seed: int) -> Recipe:
    """The recipe of a trial; `training` goes with everything but plain int8."""
    found: dict[str, Any] = {}
    if "student" in techniques and training is not None:
        width = trial.suggest_float("width", 0.25, 1.0, step=0.125)
        if width < 1.0:
            found["student"] = Student(width=width)
    # A student is pruned already.
    if "prune" in techniques and "student" not in found:
        amount = trial.suggest_float("prune", 0.0, 0.9, step=0.1)
        if amount > 0.0:
            found["prune"] = Prune(round(amount, 2))
    if "rank" in techniques:
        # Energy, unlike a share of the weights, can be kept by every network: no trial is lost.
        energy = trial.suggest_categorical("energy", _ENERGIES)
        if energy < 1.0:
            found["rank"] = Rank(energy=energy)
    if "sparsity" in techniques:
        pattern = trial.suggest_categorical("pattern", ("dense", *_PATTERNS))
        if pattern in ("2:4", "1:4"):
            found["sparsity"] = Sparsity(pattern=pattern)
        elif pattern != "dense":
            amount = trial.suggest_float("sparsity", 0.5, 0.95, step=0.05)
            found["sparsity"] = Sparsity(round(amount, 2), pattern, distribution="global")
    form = trial.suggest_categorical("form", _forms(techniques)) if len(_forms(techniques)) > 1 else "int8"
    kind, _, number = form.partition(" ")
    if kind == "cluster":
        found["cluster"] = Cluster(int(number))
    elif kind == "bits":
        found["bits"] = Bits("mixed", max_loss_db=_MIXED_DB) if number == "mixed" else Bits(int(number))
    if "activations" in techniques and trial.suggest_categorical("wide", (False, True)):
        found["activations"] = Activations(16)
    if training is not None and found:
        found["training"] = training
    return Recipe(seed=seed, **found)


def _forms(techniques: Sequence[str]) -> tuple[str, ...]:
    """How weights may be stored: one form at a time."""
    forms = ["int8"]
    if "cluster" in techniques:
        forms += [f"cluster {n}" for n in _CLUSTERS]
    if "bits" in techniques:
        forms += [*(f"bits {n}" for n in _BITS), "bits mixed"]
    return tuple(forms)


def starts(techniques: Sequence[str], *, trained: bool) -> list[dict[str, Any]]:
    """Combinations to look at first: nothing, each technique alone, then pairs that are known to go together."""
    form = "cluster 16" if "cluster" in techniques else "bits 4"
    wanted: list[dict[str, Any]] = [
        {},
        {"form": form},
        {"prune": 0.5},
        {"energy": 0.95},
        {"width": 0.5},
        {"pattern": "unstructured", "sparsity": 0.8},
        {"prune": 0.5, "form": form},
        {"width": 0.5, "form": form},
        {"pattern": "unstructured", "sparsity": 0.8, "form": form},
    ]
    allowed = _parameters(techniques, trained=trained)
    off = {name: value for name, value in _OFF.items() if name in allowed}
    found: list[dict[str, Any]] = []
    for row in wanted:
        # Sparsity's amount is only asked for when its pattern needs it.
        if all(name in allowed or name == "sparsity" for name in row) and (
            "form" not in row or row["form"] in _forms(techniques)
        ):
            found.append({k: v for k, v in {**off, **row}.items() if k != "prune" or "width" not in row})
    return found


def _parameters(techniques: Sequence[str], *, trained: bool) -> set[str]:
    names = {"width": "student", "prune": "prune", "energy": "rank", "pattern": "sparsity", "wide": "activations"}
    found = {p for p, technique in names.items() if technique in techniques}
    if not trained:
        found.discard("width")
    if len(_forms(techniques)) > 1:
        found.add("form")
    return found
