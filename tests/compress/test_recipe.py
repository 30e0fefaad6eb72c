"""Recipes: TOML out and in again, and what is said about one that makes no sense."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tinygen.compress.forms.activations import Activations
from tinygen.compress.forms.bits import Bits
from tinygen.compress.forms.cluster import Cluster
from tinygen.compress.forms.sparsity import Sparsity
from tinygen.compress.recipe import Recipe, from_dict, read_recipe, to_toml
from tinygen.compress.repairs.ladder import Repairs
from tinygen.compress.structure.prune import Prune
from tinygen.compress.structure.rank import Rank
from tinygen.compress.structure.student import Student
from tinygen.compress.train.settings import Training
from tinygen.errors import RecipeError

FULL = Recipe(
    Student(width=0.5, separable=True),
    Prune(0.3, "weights", steps=2),
    Rank(energy=0.9),
    Sparsity(0.75, "2:4", "obs", "global"),
    Cluster(8, shared=True),
    Bits("mixed", (8, 4)),
    Activations(16),
    Training(epochs=3, learning_rate=1e-5, label_weight=0.25),
    Repairs(("equalise",)),
    seed=7,
    layers={
        'odd "name"\n/Conv': {"prune": False, "rank": False, "sparsity": 0.25, "cluster": False, "bits": 8},
        "b": {},
    },
)


def test_toml_there_and_back() -> None:
    text = to_toml(FULL)
    again = from_dict(tomllib.loads(text))
    assert again == FULL
    assert again.key == FULL.key
    assert to_toml(again) == text


def test_empty_recipe() -> None:
    assert from_dict({}) == Recipe()
    assert from_dict(tomllib.loads(to_toml(Recipe()))) == Recipe()
    assert Recipe().techniques == ()
    assert Recipe().describe() == "int8"


def test_key_tells_recipes_apart() -> None:
    keys = {Recipe().key, Recipe(seed=1).key, Recipe(Cluster()).key, Recipe(Training(epochs=2)).key}
    assert len(keys) == 4


def test_order_of_techniques_is_that_of_the_pipeline() -> None:
    assert FULL.techniques == (
        "student", "prune", "rank", "sparsity", "cluster", "bits", "activations", "training", "repairs",
    )  # fmt: skip


def test_defaults_of_training_come_from_its_own_class() -> None:
    assert from_dict({"training": {"epochs": 4}}).get(Training) == Training(epochs=4)


@pytest.mark.parametrize(
    ("text", "key", "found", "allowed"),
    [
        ("prun = 1", "prun", "no such key", "prune"),
        ("[prune]\namont = 0.5", "prune.amont", "no such key", "Did you mean amount"),
        ("prune = 0.5", "prune", "0.5", "[prune]"),
        ("[prune]\namount = 1.0", "prune.amount", "found 1", "0 to below 1"),
        ('[prune]\namount = "half"', "prune.amount", '"half"', "a number"),
        ("[prune]\namount = true", "prune.amount", "true", "a number"),
        ('[prune]\nmeasure = "bytes"', "prune.measure", '"bytes"', '"macs", "weights", "channels"'),
        ("[prune]\nsteps = 2", "prune.steps", "found 2", "allowed is 1"),
        ("[rank]", "rank", "neither", "exactly one"),
        ("[rank]\namount = 0.5\nenergy = 0.9", "rank", "both", "exactly one"),
        ('[sparsity]\npattern = "3:4"', "sparsity.pattern", '"3:4"', '"2:4"'),
        ("[cluster]\nentries = 10", "cluster.entries", "found 10", "2, 4, 8, 16"),
        ("[bits]\nweights = 9", "bits.weights", "found 9", "mixed"),
        ('[bits]\nweights = "low"', "bits.weights", '"low"', "a whole number"),
        ("[bits]\ncandidates = []", "bits.candidates", "none", "at least one"),
        ("[activations]\nbits = 32", "activations.bits", "found 32", "8, 16"),
        ("[student]\nwidth = 0.5", "student", "without training", "`epochs=N`"),
        ('[student]\nwidth = 0.5\nmodel = "s.onnx"\n[training]', "student", "s.onnx", "either"),
        ("[training]\nepochs = 0", "epochs", "0", "allowed 1"),
        ("[training]\nseed = 3", "training.seed", "no such key", "epochs"),
        ("[layers]\nconv = 1", 'layers."conv"', "found 1", "a table"),
        ("[layers.conv]\nprune = true", 'layers."conv".prune', "true", "false"),
        ("[layers.conv]\ncluster = 3", 'layers."conv".cluster', "found 3", "16"),
        ("seed = -1", "seed", "found -1", "0 to"),
        ("seed = [", "is not TOML", "recipe", "`save_recipe`"),
    ],
)
def test_errors_name_key_found_and_allowed(tmp_path: Path, text: str, key: str, found: str, allowed: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as e:
        read_recipe(path)
    for part in (str(path), key, found, allowed):
        assert part in str(e.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no\.toml cannot be read: No such file"):
        read_recipe(tmp_path / "no.toml")
