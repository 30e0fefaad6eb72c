"""A technique is one object: once it is in the list, recipes, the pipeline, the command line and the search know it."""

from __future__ import annotations

import contextlib
import importlib
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import click
import numpy as np
import optuna
import pytest
from click.testing import CliRunner

from tests.compress.float_nets import CONV, HEAD, HIDDEN, POINTWISE, correlated, mixed
from tinygen.cli import compress as cli_compress
from tinygen.cli import fit as cli_fit
from tinygen.compress import techniques
from tinygen.compress.checks import typed, within
from tinygen.compress.network import Network, layers
from tinygen.compress.pipeline import compress
from tinygen.compress.recipe import Recipe, from_dict, read_recipe, to_toml, with_options
from tinygen.compress.structure.prune import Prune
from tinygen.compress.technique import Option, Own, Suggest, Technique, Trial, Work
from tinygen.compress.train.settings import Training
from tinygen.errors import RecipeError
from tinygen.fit import space
from tinygen.frontend.onnx_writer import to_qdq
from tinygen.ir.types import Const, Graph

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "examples" / "digits"
GRAPH = mixed()
SAMPLES = correlated((1, 6, 6, 4), 24)

# -- the toy: all of it ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shrink:
    """Weights by a factor."""

    factor: float = 0.5

    def __post_init__(self) -> None:
        within("shrink.factor", self.factor, 0.1, 1.0)

    def describe(self) -> str:
        return f"shrink {self.factor:g}"


def _apply(work: Work, network: Network, settings: Shrink | None) -> Network:
    changed = []
    for value, names in work.groups(network.graph, "shrink", None if settings is None else settings.factor):
        for node in layers(network.graph):
            if names is None or node.name in names:
                t = network.graph.tensors[node.inputs[1]]
                changed.append(replace(t, const=Const(t.array * np.float32(value))))
    return replace(network, graph=network.graph.with_(tensors=changed))


def _draw(trial: Trial) -> Shrink | None:
    factor = trial.suggest_float("shrink", 0.5, 1.0, step=0.25)
    return Shrink(factor) if factor < 1.0 else None


TOY = Technique(
    "shrink",
    Shrink,
    "structure",
    _apply,
    options=(Option("--shrink", float, "Weights by this factor.", "factor"),),
    own=Own(float, lambda key, value: within(key, value, 0.1, 1.0)),
    suggest=Suggest(_draw, off={"shrink": 1.0}, start={"shrink": 0.5}),
)

# -- that is all -----------------------------------------------------------------------------------------------------


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    old = techniques.TECHNIQUES
    monkeypatch.setattr(techniques, "TECHNIQUES", (*old[:2], TOY, *old[2:]))


@pytest.fixture
def commands(listed: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, click.Command]]:
    """The commands made anew with the list as it is; afterwards as it was."""
    yield {"compress": importlib.reload(cli_compress).compress, "fit": importlib.reload(cli_fit).fit}
    monkeypatch.undo()
    importlib.reload(cli_compress)
    importlib.reload(cli_fit)


def weight(graph: Graph, name: str) -> np.ndarray:
    node = next(n for n in graph.nodes if n.name == name)
    return graph.tensors[node.inputs[1]].array


def test_unknown_while_it_is_not_listed() -> None:
    with pytest.raises(RecipeError, match="shrink: no such key"):
        from_dict({"shrink": {"factor": 0.5}})
    with pytest.raises(TypeError, match="found Shrink, allowed are the settings of a technique: Student, Prune"):
        Recipe(Shrink())


@pytest.mark.usefixtures("listed")
def test_recipes_read_and_write_it() -> None:
    recipe = Recipe(Prune(0.25), Shrink(0.25), layers={HIDDEN: {"shrink": 0.75}})
    assert from_dict(tomllib.loads(to_toml(recipe))) == recipe
    assert recipe.techniques == ("prune", "shrink")
    assert recipe.describe() == "prune 0.25, shrink 0.25, 1 layers of their own"
    assert recipe.get(Shrink) == Shrink(0.25)
    with pytest.raises(RecipeError, match=r"shrink\.factor: found 2, allowed 0\.1 to 1"):
        from_dict({"shrink": {"factor": 2.0}})
    with pytest.raises(RecipeError, match=r'layers."c".shrink: found 3, allowed 0\.1 to 1'):
        from_dict({"layers": {"c": {"shrink": 3.0}}})


@pytest.mark.usefixtures("listed")
def test_the_pipeline_applies_it() -> None:
    done = compress(GRAPH, SAMPLES, Recipe(Shrink(0.25), layers={HIDDEN: {"shrink": 0.75}})).network.graph
    for name, factor in ((CONV, 0.25), (HIDDEN, 0.75)):
        np.testing.assert_array_equal(weight(done, name), weight(GRAPH, name) * np.float32(factor))


@pytest.mark.usefixtures("listed")
def test_the_search_draws_it() -> None:
    assert "shrink" in space.default()
    space.check_techniques(("shrink",))
    rows = space.starts(("cluster", "shrink"), trained=False)
    assert rows == [
        {"shrink": 1.0, "form": "int8"}, {"shrink": 1.0, "form": "cluster 16"}, {"shrink": 0.5, "form": "int8"},
    ]  # fmt: skip
    recipes = [space.suggest(optuna.trial.FixedTrial(row), ("cluster", "shrink"), None, 0) for row in rows]
    assert [r.describe() for r in recipes] == ["int8", "cluster 16", "shrink 0.5"]


def test_the_commands_offer_it(commands: dict[str, click.Command], tmp_path: Path) -> None:
    assert "Weights by this factor." in CliRunner().invoke(commands["compress"], ["--help"]).output
    fit_help = CliRunner().invoke(commands["fit"], ["--help"]).output
    assert "student,prune,shrink,rank" in "".join(fit_help.split())
    recipe, out = tmp_path / "r.toml", tmp_path / "small.onnx"
    command = [str(DIGITS / "digits.onnx"), "--data", str(DIGITS / "digits_calib.npz"), "--shrink", "0.75",
               "-o", str(out), "--save-recipe", str(recipe)]  # fmt: skip
    result = CliRunner().invoke(commands["compress"], command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert read_recipe(recipe) == Recipe(Shrink(0.75))
    assert out.exists()


@pytest.mark.usefixtures("listed")
def test_options_change_what_a_recipe_says() -> None:
    found = with_options(Recipe(Shrink(0.75), Prune(0.5)), {"shrink": 0.25, "prune_steps": None, "repair": ("bias",)})
    assert found.describe() == "prune 0.5, shrink 0.25, repairs bias"


@pytest.mark.parametrize(
    ("before", "given", "after"),
    [
        ({"rank": {"energy": 0.9}}, {"rank": 0.3}, "rank 0.3"),
        ({"bits": {"weights": 3}}, {"bits": "mixed"}, "bits mixed"),
        ({}, {"bits": "5", "pattern": None}, "bits 5"),
        ({"student": {"depth": 0.5}, "training": {}}, {"student": "width=0.25,separable", "epochs": 2},
         "student width 0.25 separable, 2 epochs"),
        ({"student": {"depth": 0.5}, "training": {}}, {"student": "mine.onnx"}, "student mine.onnx, 10 epochs"),
        ({"repairs": {"steps": ["round"]}}, {"repair": ()}, "repairs round"),
        ({"bits": {"weights": 3}}, {"bits": 4, "repair": "bias"}, "bits 4, repairs bias"),
        ({"training": {}}, {"student": {"width": 0.5}, "repair": ["bias", "round"]},
         "student width 0.5, 10 epochs, repairs bias round"),
    ],
)  # fmt: skip
def test_options_of_ours(before: dict[str, object], given: dict[str, object], after: str) -> None:
    assert with_options(from_dict(before), given).describe() == after


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"prune": "half"}, 'prune.amount: found "half", allowed: a number'),
        ({"bits": 4.5}, "bits.weights: found 4.5, allowed: a whole number"),
        ({"cluster": [16]}, "cluster.entries: found [16], allowed: a whole number"),
        ({"repair": "tape"}, 'repairs.steps: found "tape", allowed: "all"'),
        ({"student": {"wide": 2}}, "student.wide: no such key"),
        ({"student": 0.5, "epochs": 1}, "student: found 0.5"),
        ({"seed": "x"}, 'seed: found "x", allowed: a whole number'),
    ],
)
def test_options_of_other_types(given: dict[str, object], said: str) -> None:
    """From Python they may be anything."""
    with pytest.raises(RecipeError) as e:
        with_options(Recipe(), given)
    assert said in str(e.value)


def test_options_that_are_none() -> None:
    with pytest.raises(RecipeError, match=r"prune_step: no such key; .* Did you mean prune_steps"):
        with_options(Recipe(), {"prune_step": 3})


def test_one_section_of_each() -> None:
    with pytest.raises(RecipeError, match="prune: found twice"):
        Recipe(Prune(0.25), Prune(0.5))
    assert Recipe(Prune(0.25)).with_(Prune(0.5)) == Recipe(Prune(0.5))


# -- the list as it is -----------------------------------------------------------------------------------------------

EVERY = techniques.TECHNIQUES


def test_nothing_has_two_meanings() -> None:
    flags = [o.flag for t in EVERY for o in t.options]
    assert len(set(flags)) == len(flags)
    for given in (techniques.names(), tuple(t.settings for t in EVERY)):
        assert len(set(given)) == len(EVERY)
    own = {p.name for p in cli_compress.compress.params} - {o.name for t in EVERY for o in t.options}
    assert not own & {o.name for t in EVERY for o in t.options}
    parameters = [name for t in EVERY if t.suggest is not None for name in t.suggest.off]
    assert len(set(parameters)) == len(parameters)
    assert "form" not in parameters
    forms = [name for t in EVERY if t.suggest is not None for name in t.suggest.forms]
    assert len(set(forms)) == len(forms)
    assert sum(t.end is not None for t in EVERY) == 1


@pytest.mark.parametrize("technique", EVERY, ids=techniques.names())
def test_its_parts_fit_together(technique: Technique[Any]) -> None:
    keys = {f.name for f in fields(technique.settings)}
    assert set(technique.hidden) <= keys
    hints = get_type_hints(technique.settings)
    for field in fields(technique.settings):
        assert field.default is not MISSING
        assert field.default is None or typed(field.name, field.default, hints[field.name]) == field.default
    assert technique.settings.__dataclass_params__.frozen
    for option in technique.options:
        given: object = {int: 4, float: 0.5, str: "model.onnx"}[option.kind]
        said = option.values((given,) if option.several else given)
        assert set(said) <= keys, option.flag
        assert option.help.endswith(".")
    s = technique.suggest
    if s is not None:
        assert bool(s.forms) != (s.draw is not None)
        assert bool(s.off) == (s.draw is not None)
        assert set(s.without) <= set(techniques.names())
        assert not s.start or set(s.start) >= set(s.off) or s.forms


def _uses(t: Technique[Any]) -> list[Recipe]:
    """Recipes of this technique alone, but for training: those that a search draws first, and those with a form."""
    if (s := t.suggest) is None:
        return [Recipe(t.settings())]
    if not s.start:
        return [with_options(Recipe(), {t.options[0].name: 16})]
    trained = Training(epochs=1) if s.trained else None
    rows = space.starts((t.name,), trained=s.trained)[1:]
    drawn = [space.suggest(optuna.trial.FixedTrial(row), (t.name,), trained, 0) for row in rows]
    return drawn + [Recipe(settings) for settings in s.forms.values()]


def _own(t: Technique[Any]) -> Recipe | None:
    """The technique on one layer alone, where that may have a value of its own."""
    for value in (0.5, 4, 16):
        with contextlib.suppress(RecipeError):
            return Recipe(layers={HIDDEN: {t.name: value}})
    return None


@pytest.mark.parametrize("technique", EVERY, ids=techniques.names())
def test_its_recipes_are_kept(technique: Technique[Any]) -> None:
    """What a search draws of it, and what one layer may have."""
    for recipe in (*_uses(technique), *filter(None, [_own(technique)])):
        assert from_dict(tomllib.loads(to_toml(recipe))) == recipe
        assert recipe.describe() != "int8"


@pytest.mark.parametrize("technique", [t for t in EVERY if t.own is not None], ids=lambda t: t.name)
def test_its_own_values_are_checked(technique: Technique[Any]) -> None:
    for value in (-1000, 1000, -1000.0, 1000.0, "magic"):
        with pytest.raises(RecipeError, match=rf'layers\."{HIDDEN}"\.{technique.name}'):
            Recipe(layers={HIDDEN: {technique.name: value}})


#: Training, and what needs it, has tests of its own; the ladder of repairs keeps only what helps.
UNTRAINED = [t for t in EVERY if t.suggest is not None and not t.suggest.trained]


@pytest.mark.parametrize("technique", UNTRAINED, ids=lambda t: t.name)
def test_it_does_something_and_the_same_again(technique: Technique[Any]) -> None:
    """In a recipe, and on one layer alone: then other weights stay as they are."""
    plain = to_qdq(compress(GRAPH, SAMPLES, Recipe()).graph)
    recipe = _uses(technique)[0]
    first, second = (to_qdq(compress(GRAPH, SAMPLES, recipe).graph) for _ in range(2))
    assert plain != first == second
    if (alone := _own(technique)) is not None:
        done = compress(GRAPH, SAMPLES, alone)
        assert plain != to_qdq(done.graph)
        for name in (CONV, POINTWISE, HEAD):
            np.testing.assert_array_equal(weight(done.network.graph, name), weight(GRAPH, name))


def test_the_documentation_has_the_options() -> None:
    text = (ROOT / "docs" / "COMPRESSION.md").read_text(encoding="utf-8")
    missing = [t.options[0].flag for t in EVERY if t.options and f"`{t.options[0].flag}" not in text]
    assert not missing
