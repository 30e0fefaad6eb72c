"""Fine-tuning: what it restores, what it keeps to, what it survives."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.compress import float_nets as nets
from tinygen import simulate
from tinygen.calibrate.data import Samples, load_data
from tinygen.calibrate.metrics import accuracy
from tinygen.compress.network import Network, WeightForm, layers, pin_weights, snap, weights
from tinygen.compress.structure.student import student
from tinygen.compress.train import Training, fine_tune, taylor_scores
from tinygen.compress.train.augment import blend
from tinygen.compress.train.constraints import FormModule, zero_pattern
from tinygen.compress.train.fake_quant import fake_quants
from tinygen.compress.train.loss import Head, find_head
from tinygen.compress.train.module import GraphModule
from tinygen.errors import DataError, MissingToolError, ModelError, OutputError, RecipeError, TrainingError
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.ir.types import Affine, Const, Graph, Node, Port, Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops import Dense, Reshape, Softmax
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import quantise

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@functools.cache
def digits() -> tuple[Graph, Samples, Samples]:
    """The network of examples/digits, its 200 calibration samples without labels, its test samples."""
    graph = tidy(read_onnx(DIGITS / "digits.onnx").graph)
    train, test = (load_data(DIGITS / f"digits_{part}.npz", graph.in_ports) for part in ("calib", "test"))
    return graph, replace(train, labels=None), test


def score(graph: Graph, samples: Samples) -> float:
    assert samples.labels is not None
    return accuracy(nets.outputs(graph, samples), samples.labels)


def with_bits(graph: Graph, bits: int) -> Network:
    return Network(graph, {n.name: WeightForm(bits=bits) for n in layers(graph)})


def toy(count: int = 48) -> tuple[Graph, Samples]:
    graph = nets.mixed()
    return graph, nets.correlated(graph.in_ports[0].shape, count)


SHORT = Training(epochs=2, batch=16)


def test_weights_of_three_bits_are_learnt_without_labels() -> None:
    graph, train, test = digits()
    network = with_bits(graph, 3)
    before = score(pin_weights(network), test)
    tuned = fine_tune(network, graph, train, Training(epochs=12, batch=16))
    assert score(pin_weights(tuned), test) > max(before + 0.2, 0.95)


def test_labels_alone_train_a_student_from_nothing() -> None:
    graph, _, test = digits()
    fresh = student(Network(graph), width=0.75, inherit=False, seed=3)
    before = score(fresh.graph, test)
    tuned = fine_tune(fresh, None, test, Training(epochs=8, batch=16, learning_rate=0.03))
    assert score(tuned.graph, test) > max(before + 0.3, 0.7)


def test_values_are_regressed() -> None:
    """Neither Softmax nor labels: the outputs themselves come closer to the teacher's."""
    graph, samples = toy()
    network = with_bits(graph, 3)
    before = nets.distance(graph, pin_weights(network), samples)
    tuned = fine_tune(network, graph, samples, replace(SHORT, epochs=6))
    assert nets.distance(graph, pin_weights(tuned), samples) < 0.5 * before


def random_mask(shape: tuple[int, ...], kept: int, seed: int) -> Const:
    """`kept` of every four."""
    rng = np.random.default_rng(seed)
    ranks = rng.random((int(np.prod(shape)) // 4, 4)).argsort(axis=1).argsort(axis=1)
    return Const((ranks < kept).reshape(shape))


@pytest.mark.parametrize(
    "form",
    [
        WeightForm(bits=4),
        WeightForm(bits=2),
        WeightForm(codebook=(-90, -20, 0, 35, 127)),
        WeightForm(codebook=(-127, -40, 40, 127)),
        WeightForm(bits=3, mask=random_mask((32, 360), 2, 0)),
        WeightForm(codebook=(-90, -20, 35, 127), mask=random_mask((32, 360), 1, 1)),
    ],
    ids=["4bit", "2bit", "codebook", "codebook_no_zero", "3bit_masked", "codebook_masked"],
)
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_forms_hold_exactly(form: WeightForm, average: float) -> None:
    """What comes back lies on the grid of its form, its scale pinned: snapping it again changes no bit."""
    graph, samples = toy()
    network = Network(graph, {nets.HIDDEN: form})
    tuned = fine_tune(network, graph, samples, replace(SHORT, average=average))
    node = next(n for n in tuned.graph.nodes if n.name == nets.HIDDEN)
    t, after = weights(tuned.graph, node), tuned.form(nets.HIDDEN)
    assert t.const != weights(graph, node).const
    assert t.quant is not None
    q, scale = snap(t.array, after, np.asarray(t.quant.scale))
    np.testing.assert_array_equal((q * scale[:, None]).astype(np.float32), t.array)
    assert pin_weights(tuned) == tuned.graph
    assert after.mask == form.mask
    if form.mask is not None:
        assert not t.array[~form.mask.array].any()
    if form.codebook is None:
        assert np.abs(q).max() <= form.top
    else:
        assert after.codebook is not None
        assert len(after.codebook) == len(form.codebook)
        assert list(after.codebook) == sorted(set(after.codebook))
        assert set(np.unique(q)) <= {*after.codebook, 0}


def test_entries_stay_when_asked() -> None:
    graph, samples = toy()
    form = WeightForm(codebook=(-127, -40, 40, 127))
    network = Network(graph, {nets.HIDDEN: form})
    assert fine_tune(network, graph, samples, replace(SHORT, learn_entries=False)).form(nets.HIDDEN) == form
    assert fine_tune(network, graph, samples, SHORT).form(nets.HIDDEN) != form


def test_shared_codebooks_stay_shared() -> None:
    graph, samples = toy()
    one, other = WeightForm(codebook=(-127, -40, 40, 127)), WeightForm(codebook=(-127, -50, 50, 127))
    network = Network(graph, {nets.CONV: one, nets.HIDDEN: one, nets.POINTWISE: other})
    tuned = fine_tune(network, graph, samples, SHORT)
    books = [tuned.form(name).codebook for name in (nets.CONV, nets.HIDDEN, nets.POINTWISE)]
    assert books[0] == books[1] != one.codebook
    assert books[0] != books[2]
    assert pin_weights(tuned) == tuned.graph


def test_entries_are_repaired_within_int8() -> None:
    form = FormModule(WeightForm(codebook=(-9, 1, 120, 127)), np.ones((2, 3)), None, learn_entries=True)
    assert form.book is not None
    with torch.no_grad():
        form.book.copy_(torch.tensor([-140.0, 126.6, 126.7, 130.0]))
    form.repair()
    assert form.book.tolist() == [-127.0, 125.0, 126.0, 127.0]


def test_mask_without_few_bits_keeps_floats() -> None:
    graph, samples = toy()
    mask = random_mask((32, 360), 1, 2)
    tuned = fine_tune(Network(graph, {nets.HIDDEN: WeightForm(mask=mask)}), graph, samples, SHORT)
    t = tuned.graph.tensors[f"{nets.HIDDEN}_w"]
    assert t.quant is None
    assert not t.array[~mask.array].any()
    assert (t.array[mask.array] != graph.tensors[t.name].array[mask.array]).mean() > 0.5  # some ReLU are never on


@pytest.mark.parametrize(
    ("pattern", "mask"),
    [
        ("unstructured", Const(np.random.default_rng(0).random((32, 360)) < 0.3)),
        ("2:4", random_mask((32, 360), 2, 3)),
        ("1:4", random_mask((32, 360), 1, 4)),
        ("block4", Const(np.repeat(np.random.default_rng(1).random((32, 90)) < 0.4, 4, axis=1))),
    ],
)
def test_zeros_come_gradually_in_their_pattern(pattern: str, mask: Const) -> None:
    graph, samples = toy()
    assert zero_pattern(mask.array) == pattern
    w = graph.tensors[f"{nets.HIDDEN}_w"]
    start = replace(w, const=Const(np.where(mask.array, w.array, np.float32(0.0))))
    network = Network(graph.with_(tensors=[start]), {nets.HIDDEN: WeightForm(mask=mask)})
    tuned = fine_tune(network, graph, samples, replace(SHORT, gradual=0.7))
    after = tuned.form(nets.HIDDEN).mask
    assert after is not None
    assert after != mask  # chosen by the trained weights, not by chance as above
    assert zero_pattern(after.array) == pattern
    assert after.array.sum() == mask.array.sum()
    assert not tuned.graph.tensors[w.name].array[~after.array].any()
    assert nets.distance(graph, tuned.graph, samples) < nets.distance(graph, network.graph, samples)


def test_scale_is_learnt_from_a_bad_start() -> None:
    """A pinned scale ten times too large leaves nothing but zeros; LSQ's gradient brings it down."""
    graph, samples = toy()
    w = graph.tensors[f"{nets.HIDDEN}_w"]
    bad = np.abs(w.array).max(axis=1)  # 4 bits: seven times the largest weight at the top
    pinned = graph.with_(tensors=[replace(w, quant=Quant(tuple(bad.tolist()), 0, 0))])
    network = Network(pinned, {nets.HIDDEN: WeightForm(bits=4)})
    tuned = fine_tune(network, graph, samples, replace(SHORT, epochs=10, learning_rate=0.1))
    after = tuned.graph.tensors[w.name].quant
    assert after is not None
    assert np.median(np.asarray(after.scale) / bad) < 0.8
    assert nets.distance(graph, tuned.graph, samples) < 0.5 * nets.distance(graph, pin_weights(network), samples)


def fixed_outputs(graph: Graph, samples: Samples) -> Array:
    """The integers of a graph whose every activation is pinned, as real numbers."""
    fixed = quantise(graph, {})
    feeds = [p.to_tensor(x) for p, x in zip(graph.in_ports, samples.inputs, strict=True)]
    (out,) = simulate.dequantise_outputs(fixed, simulate.run(fixed, simulate.quantise_inputs(fixed, feeds)))
    return out.reshape(samples.count, -1)


def test_quantised_training_pins_everything() -> None:
    graph, train, test = digits()
    network = with_bits(graph, 4)
    tuned = fine_tune(network, graph, train, Training(epochs=3, batch=16, quantise=True, float_share=0.3))
    for t in tuned.graph.tensors.values():
        if t.const is None or t.name in {weights(tuned.graph, n).name for n in layers(tuned.graph)}:
            assert t.quant is not None, t.name
    assert test.labels is not None
    found = fixed_outputs(tuned.graph, test)
    assert accuracy(found, test.labels) > 0.95
    # The integers are what training saw, but for roundings of sums that fall the other way in float.
    pins = {t.name: t.quant for t in tuned.graph.tensors.values() if t.const is None and t.quant}
    port = tuned.graph.in_ports[0]
    x = torch.from_numpy(np.ascontiguousarray(port.to_tensor(test.inputs[0])))
    (seen,) = GraphModule(tuned.graph).run([x], tuned.graph.outputs, change=fake_quants(tuned.graph, pins))
    steps = np.abs(found - seen.detach().numpy().reshape(found.shape)) / pins[tuned.graph.outputs[0]].s
    assert steps.max() < 4.5
    assert steps.mean() < 0.5


def test_quantised_training_keeps_given_ranges_and_wide_tensors() -> None:
    graph, samples = toy()
    given = {f"{nets.CONV}_y": Quant.per_tensor(0.125, -128)}
    wide = f"{nets.HIDDEN}_y"
    network = Network(graph, wide=frozenset([wide]))
    tuned = fine_tune(network, graph, samples, replace(SHORT, quantise=True), quants=given)
    assert tuned.graph.tensors[f"{nets.CONV}_y"].quant == given[f"{nets.CONV}_y"]
    quant = tuned.graph.tensors[wide].quant
    assert quant is not None
    assert quant.bits == 16
    w = tuned.graph.tensors[f"{nets.HEAD}_w"]
    assert w.quant is not None
    units = w.array / np.asarray(w.quant.scale)[:, None]
    np.testing.assert_allclose(units, np.rint(units), rtol=0, atol=1e-4)
    assert np.abs(np.rint(units)).max() == 127


# -- repeatable, interrupted, astray ---------------------------------------------------------------------------------

LONG = Training(
    epochs=4, batch=16, average=0.8, mixup=0.5, noise=0.1, shift=1, mirror=True, quantise=True, float_share=0.3,
    gradual=0.5,
)  # fmt: skip


def harder() -> tuple[Network, Graph, Samples]:
    graph, samples = toy()
    forms = {
        nets.HIDDEN: WeightForm(bits=4, mask=random_mask((32, 360), 2, 5)),
        nets.POINTWISE: WeightForm(codebook=(-100, -30, 0, 30, 100)),
    }
    return Network(graph, forms), graph, samples


def test_same_seed_same_weights() -> None:
    """However many threads torch has."""
    network, graph, samples = harder()
    first = fine_tune(network, graph, samples, LONG)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert fine_tune(network, graph, samples, LONG) == first
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert fine_tune(network, graph, samples, replace(LONG, seed=1)) != first


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    network, graph, samples = harder()
    whole = fine_tune(network, graph, samples, LONG)
    seen: list[int] = []

    def interrupt(phase: str, done: int, total: int) -> None:
        seen.append(done)
        assert total == LONG.epochs
        if done == 2:
            raise KeyboardInterrupt

    file = tmp_path / "run.ckpt"
    with pytest.raises(KeyboardInterrupt):
        fine_tune(network, graph, samples, LONG, progress=interrupt, checkpoint=file)
    assert [p.name for p in tmp_path.iterdir()] == ["run.ckpt"]
    resumed = fine_tune(network, graph, samples, LONG, progress=lambda _p, done, _t: seen.append(done), checkpoint=file)
    assert seen == [1, 2, 3, 4]
    assert resumed == whole
    assert fine_tune(network, graph, samples, LONG, progress=interrupt, checkpoint=file) == whole  # nothing is left


def test_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    graph, samples = toy()
    file = tmp_path / "run.ckpt"
    fine_tune(Network(graph), graph, samples, SHORT, checkpoint=file)
    with pytest.raises(TrainingError, match="another run"):
        fine_tune(Network(graph), graph, samples, replace(SHORT, seed=2), checkpoint=file)
    file.write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match="cannot be read"):
        fine_tune(Network(graph), graph, samples, SHORT, checkpoint=file)


def test_checkpoint_that_cannot_be_written(tmp_path: Path) -> None:
    graph, samples = toy()
    with pytest.raises(OutputError, match=r"nowhere.*cannot be written"):
        fine_tune(Network(graph), graph, samples, SHORT, checkpoint=tmp_path / "nowhere" / "run.ckpt")


def test_loss_that_is_no_number_is_told_and_the_checkpoint_kept(tmp_path: Path) -> None:
    graph, samples = toy()
    settings, file = replace(SHORT, epochs=4), tmp_path / "run.ckpt"

    def poison(phase: str, done: int, total: int) -> None:
        if done == 2:
            samples.inputs[0][:] = np.float32(3e38)

    with pytest.raises(TrainingError, match=r"epoch 3 of 4: the loss is (inf|nan) at learning rate .*learning_rate"):
        fine_tune(Network(graph), graph, samples, replace(settings, noise=0.01), progress=poison, checkpoint=file)
    assert torch.load(file, weights_only=True)["epoch"] == 2


def test_nothing_to_learn_from() -> None:
    graph, samples = toy()
    with pytest.raises(DataError, match="needs a teacher"):
        fine_tune(Network(graph), None, samples, SHORT)
    labels = np.arange(samples.count) % 5
    labels[7] = 5
    labelled = replace(samples, labels=labels)
    with pytest.raises(DataError, match="label 7 is 5"):
        fine_tune(Network(graph), None, labelled, SHORT)


def test_no_layer_to_train() -> None:
    graph = nets.chain((1, 4), [("soft", Softmax(), None)], 0)
    with pytest.raises(ModelError, match="no layer with weights"):
        fine_tune(Network(graph), graph, nets.correlated((1, 4), 4), SHORT)


def test_teacher_of_another_shape() -> None:
    graph, samples = toy()
    other = digits()[0]
    with pytest.raises(ModelError, match=r"student and teacher differ in their inputs: found \"in\" \(1, 6, 6, 4\)"):
        fine_tune(Network(graph), other, samples, SHORT)


def test_teacher_in_another_layout() -> None:
    """Ports of one ONNX shape, tensors of another layout inside: the teacher is asked in its own."""
    onnx_shape = (1, 3, 4, 5)
    steps = [("flat", Reshape((1, 60)), None), ("d", Dense(), (6, 60))]
    first = nets.chain(onnx_shape, steps, 3)  # type: ignore[arg-type]
    last = nets.chain((1, 4, 5, 3), steps, 3)  # type: ignore[arg-type]
    # The same function of the ONNX input, channels last.
    w = first.tensors["d_w"].array.reshape(6, 3, 4, 5).transpose(0, 2, 3, 1).reshape(6, 60)
    port = Port("in", onnx_shape, (0, 2, 3, 1))
    last = replace(last.with_(tensors=[Tensor.constant("d_w", w)]), in_ports=(port,))
    samples = nets.correlated(onnx_shape, 32)
    assert nets.distance(first, last, samples) < 1e-10
    assert fine_tune(Network(last), first, samples, SHORT).graph.tensors["d_w"].array == pytest.approx(w, abs=0.01)
    worse = last.with_(tensors=[Tensor.constant("d_w", w * 0.5)])
    tuned = fine_tune(Network(worse), first, samples, replace(SHORT, epochs=20, mixup=0.5, learning_rate=0.05))
    assert nets.distance(first, tuned.graph, samples) < 0.2 * nets.distance(first, worse, samples)


def test_teacher_without_the_students_normalisation() -> None:
    """Ports of one ONNX input, one of which normalises: the teacher is asked about the same input."""
    onnx_shape = (1, 3, 4, 5)
    steps = [("flat", Reshape((1, 60)), None), ("d", Dense(), (6, 60))]
    teacher = nets.chain(onnx_shape, steps, 3)  # type: ignore[arg-type]
    affine = Affine((0.5, -1.0, 2.0), (0.25, 4.0, -2.0), axis=1)
    w, b = teacher.tensors["d_w"].array.reshape(6, 3, 20), teacher.tensors["d_b"].array
    gain, mean = (np.asarray(v, np.float32).reshape(3, 1) for v in (affine.gain, affine.mean))
    own = [
        Tensor.constant("d_w", (w / gain).reshape(6, 60)),
        Tensor.constant("d_b", b + (w * mean).sum(axis=(1, 2)).astype(np.float32)),
    ]
    student = teacher.with_(tensors=own, in_ports=(replace(teacher.in_ports[0], affine=affine),))
    samples = nets.correlated(onnx_shape, 32)
    assert nets.distance(teacher, student, samples) < 1e-8
    tuned = fine_tune(Network(student), teacher, samples, SHORT)
    assert tuned.graph.tensors["d_w"].array == pytest.approx(own[0].array, abs=0.05)
    back = fine_tune(Network(teacher), student, samples, SHORT)
    assert nets.distance(teacher, back.graph, samples) < 1e-3


@pytest.mark.parametrize("call", ["fine_tune", "taylor_scores"])
def test_without_torch(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, samples = toy()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingToolError, match=r"pip install tinygen\[train\]"):
        {"fine_tune": fine_tune, "taylor_scores": taylor_scores}[call](Network(graph), graph, samples, SHORT)


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"learning_rate": -1.0}, {"learning_rate": float("nan")}, {"mixup": 1.5}, {"loss": "hinge"}],
)
def test_settings_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=next(iter(wrong))):
        Training(**wrong)  # type: ignore[arg-type]


# -- parts -----------------------------------------------------------------------------------------------------------


def with_softmax(graph: Graph) -> Graph:
    y = Tensor("p", graph.tensors[graph.outputs[0]].shape)
    node = Node("soft", Softmax(), graph.outputs, ("p",))
    return graph.with_(nodes=[*graph.nodes, node], tensors=[y], outputs=("p",))


def test_logits_before_a_softmax_are_compared() -> None:
    graph, samples = toy()
    ends = with_softmax(graph)
    assert find_head(ends, "p") == (Head.SOFTMAX, f"{nets.HEAD}_y")
    assert find_head(graph, graph.outputs[0]) == (Head.PLAIN, f"{nets.HEAD}_y")
    # A student that ends in logits learns from a teacher that ends in Softmax, and the other way round.
    for mine, theirs in ((graph, ends), (ends, graph), (ends, ends)):
        network = with_bits(mine, 3)
        tuned = fine_tune(network, theirs, samples, SHORT)
        before, after = (
            nets.distance(ends, g if mine is ends else with_softmax(g), samples)
            for g in (pin_weights(network), tuned.graph)
        )
        assert after < before


def test_blend_is_repeatable_and_keeps_shapes() -> None:
    x = torch.arange(2 * 5 * 7 * 3, dtype=torch.float32).reshape(2, 1, 5, 7, 3)
    labels = torch.eye(2).reshape(2, 1, 2)
    settings = Training(mixup=1.0, noise=0.1, shift=2, mirror=True)
    a, b = (blend([x], labels, settings, [1.0], torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(a[0][0], b[0][0])
    assert a[0][0].shape == x.shape
    assert a[1] is not None
    torch.testing.assert_close(a[1].sum(-1), torch.ones(2, 1))


def test_shift_moves_whole_images_and_repeats_the_edge() -> None:
    x = torch.arange(30.0).reshape(1, 1, 5, 6, 1)
    found = set()
    for seed in range(40):
        ((y,), _) = blend([x], None, Training(shift=1), [1.0], torch.Generator().manual_seed(seed))
        top = int(y[0, 0, 2, 2, 0]) - 14  # 14: what stands there unmoved
        assert top in {6 * dy + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
        found.add(top)
    assert len(found) == 9


def test_scores_of_channels() -> None:
    graph, samples = toy()
    w = graph.tensors[f"{nets.POINTWISE}_w"].array.copy()
    b = graph.tensors[f"{nets.POINTWISE}_b"].array.copy()
    w[3], b[3] = 0.0, 0.0  # a channel that says nothing
    head = graph.tensors[f"{nets.HEAD}_w"].array.copy()
    head[:, 7] = 0.0  # a channel nobody listens to
    dead = graph.with_(
        tensors=[
            Tensor.constant(f"{nets.POINTWISE}_w", w),
            Tensor.constant(f"{nets.POINTWISE}_b", b),
            Tensor.constant(f"{nets.HEAD}_w", head),
        ]
    )
    scores = taylor_scores(Network(dead), None, samples, SHORT)
    for name, value in taylor_scores(Network(dead), dead, samples, SHORT).items():
        np.testing.assert_array_equal(value, scores[name])
    assert scores.keys() == {t.name for t in dead.tensors.values() if t.const is None}
    assert scores[f"{nets.POINTWISE}_y"].shape == (40,)
    assert scores[f"{nets.POINTWISE}_y"][3] == 0.0
    assert scores[f"{nets.HIDDEN}_y"][7] == 0.0
    assert np.count_nonzero(scores[f"{nets.POINTWISE}_y"]) > 30
    assert np.count_nonzero(scores[f"{nets.HIDDEN}_y"]) > 15
