"""The pipeline: what each section of a recipe does to a network, alone and with others, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.compress.forms.activations import Activations
from tinygen.compress.forms.bits import Bits
from tinygen.compress.forms.cluster import Cluster
from tinygen.compress.forms.sparsity import Sparsity
from tinygen.compress.network import layers
from tinygen.compress.pipeline import Compressed, compress
from tinygen.compress.recipe import Recipe
from tinygen.compress.repairs.ladder import Repairs
from tinygen.compress.structure.prune import Prune
from tinygen.compress.structure.rank import Rank
from tinygen.compress.structure.student import Student
from tinygen.compress.train.settings import Training
from tinygen.errors import RecipeError
from tinygen.flow.compress import read_back
from tinygen.flow.source import Source, load_source
from tinygen.frontend.onnx_writer import to_qdq
from tinygen.ir.types import Graph, Stage
from tinygen.ops import MaxPool

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
WIDE_LAYER = "/pointwise2/pointwise2.0/Conv"
TINY = Training(epochs=1, batch=32)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def source() -> Source:
    return load_source(DIGITS / "digits.onnx", DIGITS / "digits_calib.npz", seed=0, input_shapes={})


def run(source: Source, recipe: Recipe, workdir: Path | None = None) -> Compressed:
    return compress(source.graph, source.fit, recipe, workdir=workdir)


def weights(graph: Graph) -> int:
    return sum(graph.tensors[n.inputs[1]].size for n in layers(graph))


def integers(done: Compressed, name: str) -> np.ndarray:
    """The weights of a layer in units of their scales."""
    node = next(n for n in layers(done.graph) if name in (n.name, *n.origin))
    t = done.graph.tensors[node.inputs[1]]
    assert t.quant is not None
    scale = np.asarray(t.quant.scale).reshape(-1, *[1] * (t.array.ndim - 1))
    q = t.array / scale
    assert np.abs(q - np.rint(q)).max() < 1e-3
    return np.rint(q).astype(int)


def test_plain_recipe_is_int8_and_every_activation_is_pinned(source: Source) -> None:
    done = run(source, Recipe())
    assert done.changes == ()
    assert all(t.quant is not None for t in done.graph.tensors.values() if t.const is None)
    assert np.abs(integers(done, WIDE_LAYER)).max() == 127


def test_each_technique_does_its_own(source: Source) -> None:
    before = weights(source.graph)
    assert weights(run(source, Recipe(Prune(0.4))).graph) < before
    assert weights(run(source, Recipe(Rank(amount=0.15))).graph) < before
    sparse = run(source, Recipe(Sparsity(0.75)))
    assert (integers(sparse, WIDE_LAYER) == 0).mean() >= 0.75
    pattern = run(source, Recipe(Sparsity(pattern="2:4")))
    assert ((integers(pattern, WIDE_LAYER).reshape(-1, 4) != 0).sum(axis=1) <= 2).all()
    clustered = run(source, Recipe(Cluster(8)))
    assert len(np.unique(integers(clustered, WIDE_LAYER))) <= 8
    narrow = run(source, Recipe(Bits(4)))
    assert np.abs(integers(narrow, WIDE_LAYER)).max() == 7
    mixed = [run(source, Recipe(Bits("mixed", max_loss_db=db))) for db in (0.1, 40.0)]
    assert [np.abs(integers(m, WIDE_LAYER)).max() for m in mixed] == [127, 7]
    wide = run(source, Recipe(Activations(16)))
    kinds = {t.quant.bits for t in wide.graph.tensors.values() if t.const is None and t.quant is not None}
    assert kinds == {16}


def test_all_together_with_training(source: Source) -> None:
    recipe = Recipe(
        Prune(0.2), Rank(energy=0.99), Sparsity(0.5), Cluster(16), Bits(6),
        TINY, Repairs(("bias",)),
    )  # fmt: skip
    done = run(source, recipe)
    assert {c.technique for c in done.changes} >= {"prune", "factorise", "sparsify", "cluster", "bits"}
    assert done.changes == run(source, recipe).changes
    for name, form in done.network.forms.items():
        if form.codebook is not None:
            assert set(np.unique(integers(done, name))) <= {0, *form.codebook}


def test_same_seed_same_bytes_and_the_file_gives_the_same_integers(source: Source) -> None:
    recipe = Recipe(Prune(0.3, steps=2), Cluster(16), TINY, seed=5)
    files = [to_qdq(run(source, recipe).graph) for _ in range(2)]
    assert files[0] == files[1]
    other = to_qdq(run(source, recipe.with_(seed=6)).graph)
    assert other != files[0]
    fixed = read_back(files[0], "digits", source.validation).fixed
    outputs = simulate.run(fixed, simulate.quantise_inputs(fixed, source.validation.inputs))
    assert len(np.unique(outputs[0].reshape(source.validation.count, -1).argmax(axis=1))) > 3


def test_student_learns_before_it_is_compressed(source: Source) -> None:
    done = run(source, Recipe(Student(width=0.5), Cluster(8), TINY))
    assert weights(done.graph) < weights(source.graph) / 2
    assert done.changes[0].technique.startswith("student")
    assert done.changes[-1].technique == "cluster"


def test_own_student_takes_the_place_of_the_network(source: Source) -> None:
    small = run(source, Recipe(Prune(0.5))).network.graph
    recipe = Recipe(Student(model="mine.onnx"), TINY)
    done = compress(source.graph, source.fit, recipe, own_student=small)
    assert weights(done.graph) == weights(small)
    assert "mine.onnx" in done.changes[0].text


def test_layers_of_their_own(source: Source) -> None:
    rows = {WIDE_LAYER: {"cluster": 4, "sparsity": False}, "/classifier/Gemm": {"sparsity": 0.5, "bits": 5}}
    done = run(source, Recipe(Cluster(16), layers=rows))
    assert len(np.unique(integers(done, WIDE_LAYER))) <= 4
    last = integers(done, "/classifier/Gemm")
    assert np.abs(last).max() == 15
    assert (last == 0).mean() >= 0.5
    assert {c.layer for c in done.changes if c.technique == "sparsify" and c.before != c.after} == {"/classifier/Gemm"}
    kept = run(source, Recipe(Prune(0.3), layers={WIDE_LAYER: {"prune": False}}))
    node = next(n for n in layers(kept.graph) if WIDE_LAYER in n.origin)
    assert kept.graph.tensors[node.inputs[1]].shape[0] == 32


def test_wide_activations_of_one_layer(source: Source) -> None:
    done = run(source, Recipe(layers={WIDE_LAYER: {"activations": 16}}))
    wide = {t.name for t in done.graph.tensors.values() if t.quant is not None and t.quant.bits == 16}
    node = next(n for n in layers(done.graph) if WIDE_LAYER in n.origin)
    assert set(node.outputs) <= wide
    assert not wide & set(done.graph.inputs)


def test_checkpoints_are_kept_and_gone_on_from(source: Source, tmp_path: Path) -> None:
    recipe = Recipe(Cluster(8), TINY)
    first = run(source, recipe, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [f"{recipe.key}-final.checkpoint"]
    again = run(source, recipe, tmp_path)
    assert to_qdq(first.graph) == to_qdq(again.graph) == to_qdq(run(source, recipe).graph)


def test_unlabelled_samples_are_enough(source: Source) -> None:
    bare = Samples(source.fit.inputs, None, "x", "unlabelled")
    done = compress(source.graph, bare, Recipe(Sparsity(0.5), TINY))
    assert (integers(done, WIDE_LAYER) == 0).mean() >= 0.5


def test_wrong_layer(source: Source) -> None:
    with pytest.raises(RecipeError, match=r'"/pointwise2/Conv": no such layer.*Did you mean "/pointwise'):
        run(source, Recipe(layers={"/pointwise2/Conv": {"bits": 8}}))


def test_nothing_to_compress(source: Source) -> None:
    pool = next(n for n in source.graph.nodes if isinstance(n.op, MaxPool))
    names = (*pool.inputs, *pool.outputs)
    graph = Graph(
        "pooled", Stage.FLOAT, {n: source.graph.tensors[n] for n in names}, (pool,), pool.inputs, pool.outputs,
        source.graph.in_ports, source.graph.out_ports,
    )  # fmt: skip
    with pytest.raises(
        RecipeError,
        match="no dense layer with constant weights, and no recurrent one: found MaxPool",
    ):
        compress(graph, source.fit, Recipe())
