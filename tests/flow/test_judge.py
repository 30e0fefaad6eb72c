"""The verdict: who judges, by what measure, with what error; and what becomes of a network that is destroyed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.cli.support import ok, tinygen
from tests.compress.float_nets import chain
from tinygen.calibrate.data import Samples
from tinygen.calibrate.metrics import jackknife, right_answers
from tinygen.compress.finish import finish
from tinygen.compress.network import Network
from tinygen.errors import DataError, ModelError
from tinygen.flow.build import build_folder
from tinygen.flow.gates import Gates, Use, check_accuracy, check_use
from tinygen.flow.held import hold_back, unseen
from tinygen.flow.measures import Figure, Grade, Grading, figures, parts_of
from tinygen.flow.quantised import load
from tinygen.flow.types import Built, Calibration, Proof, Target
from tinygen.flow.verdict import LayerAccuracy, Verdict, damage
from tinygen.frontend.onnx_writer import to_onnx, to_qdq
from tinygen.ir.types import Const, Graph, Node, Port, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops import Concat, Conv, Dense, Reshape, Softmax
from tinygen.ops.spatial import Window
from tinygen.targets.board import load_board


def samples(x: Array, y: Array | None = None) -> Samples:
    return Samples((np.ascontiguousarray(x, np.float32),), y, f"{x.sum():.9g}", "made")


def numbered(n: int, classes: int = 4) -> Samples:
    """Sample i is i, its class i modulo `classes`."""
    return samples(np.arange(n, dtype=np.float32).reshape(n, 1, 1), np.arange(n) % classes)


# -- who judges -------------------------------------------------------------------------------------------------------


def ids(s: Samples) -> list[int]:
    return [int(v) for v in s.inputs[0].ravel()]


def test_first_samples_calibrate_and_those_behind_them_judge() -> None:
    calibration, held = hold_back(numbered(300), 200, 64)
    assert ids(calibration) == list(range(200))
    assert ids(held.samples) == list(range(200, 264))
    assert held.source == "64 samples held back"


def test_a_fifth_of_every_class_is_held_back_where_samples_are_few() -> None:
    first, again = hold_back(numbered(60), 200, 256), hold_back(numbered(60), 200, 256)
    assert ids(first[0]) == ids(again[0])
    assert ids(first[1].samples) == ids(again[1].samples)
    assert sorted(ids(first[0]) + ids(first[1].samples)) == list(range(60))
    assert np.bincount(first[1].samples.labels).tolist() == [3, 3, 3, 3]  # type: ignore[arg-type]


def test_too_few_samples_do_both_and_that_is_said() -> None:
    calibration, held = hold_back(numbered(5), 200, 256)
    assert ids(calibration) == ids(held.samples) == [0, 1, 2, 3, 4]
    assert not held.unseen
    assert "too few" in held.notes[0]


def test_duplicates_across_the_split_are_left_out() -> None:
    x = np.arange(300, dtype=np.float32)
    x[250:260] = x[:10]
    calibration, held = hold_back(samples(x.reshape(300, 1, 1)), 200, 100)
    assert held.samples.count == 90
    assert not set(ids(calibration)) & set(ids(held.samples))
    assert "10 of the 100 samples held back also calibrate" in held.notes[0]


def test_equal_sums_are_no_duplicates() -> None:
    a = samples(np.array([[[1.0, 2.0]], [[3.0, 4.0]]]))
    b = samples(np.array([[[2.0, 1.0]], [[3.0, 4.0]]]))
    assert unseen(b, a, "for testing").samples.inputs[0].tolist() == [[[2.0, 1.0]]]


def test_a_test_set_that_calibrates_is_said_to_flatter() -> None:
    held = unseen(numbered(20), numbered(20), "for testing")
    assert held.samples.count == 20
    assert not held.unseen
    assert "flatter" in held.notes[0]


def test_judges_of_one_class_are_pointed_out() -> None:
    y = np.repeat([0, 1], 150)
    _, held = hold_back(samples(np.arange(300.0).reshape(300, 1, 1), y), 200, 64)
    assert "all have the label 1" in held.notes[0]


# -- measures ---------------------------------------------------------------------------------------------------------


def dense(inputs: int, outputs: int, softmax: bool = False) -> Graph:
    steps = [("head", Dense(), (outputs, inputs))]
    return chain((1, inputs), [*steps, ("softmax", Softmax(1), None)] if softmax else steps, 0)


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_accuracy_has_the_paired_binomial_error() -> None:
    labels = np.zeros(100, np.int64)
    real, ints = np.zeros((100, 1, 2), np.float32), np.zeros((100, 1, 2), np.float32)
    real[:3, 0, 1] = 1.0  # wrong three times,
    ints[2:10, 0, 1] = 1.0  # and the integers eight times, once together
    (main, *_) = figures(dense(4, 2), [real], [ints], samples(noise(100, 1, 4), labels))
    assert (main.name, main.real, main.integer) == ("accuracy", 0.97, pytest.approx(0.92))
    b, c = 7, 2
    expected = math.sqrt((b + c - (b - c) ** 2 / 100) / 100 / 99)
    assert main.error == pytest.approx(expected)
    assert jackknife(right_answers(real, labels).without_each()) == pytest.approx(math.sqrt(0.97 * 0.03 / 99))


def test_a_fall_within_its_error_only_costs() -> None:
    limits = Grading(0.01, 0.03, 0.2)
    assert Figure("accuracy", 1.0, 0.9, error=0.06, limits=limits).grade is Grade.COSTS
    assert Figure("accuracy", 1.0, 0.9, error=0.04, limits=limits).grade is Grade.DAMAGES
    assert Figure("accuracy", 1.0, 0.5, error=0.04, limits=limits).grade is Grade.DESTROYS
    assert Figure("accuracy", 0.9, 1.0, error=0.04, limits=limits).grade is Grade.KEEPS


@pytest.mark.parametrize(("noisy", "grade"), [(0.05, Grade.KEEPS), (0.5, Grade.DAMAGES)])
def test_regression(noisy: float, grade: Grade) -> None:
    y = noise(200, 1, 1)
    found = figures(dense(4, 1), [y], [y + noisy * noise(200, 1, 1, seed=1)], samples(noise(200, 1, 4), y[:, 0, 0]))
    assert found[0].name == "explained variance"
    assert found[0].real == 1.0
    assert found[0].grade is grade
    assert {"mean square error", "mean absolute error"} <= {f.name for f in found}


def test_each_quantity_of_a_row_counts() -> None:
    """A pressure of 100,000 is kept, a temperature beside it is lost: SQNR sees nothing."""
    real = np.concatenate([1e5 + 100 * noise(50, 1, 1), noise(50, 1, 1, seed=1)], axis=2)
    ints = np.concatenate([real[..., :1], 0 * real[..., 1:]], axis=2)
    found = {f.name: f for f in figures(dense(4, 2), [real], [ints], samples(noise(50, 1, 4)))}
    assert found["SQNR"].integer > 80.0
    assert found["explained variance of float"].integer == pytest.approx(0.5, abs=0.05)
    assert found["explained variance of float"].grade >= Grade.DAMAGES


def test_classes_without_labels() -> None:
    real = noise(100, 1, 5)
    ints = real.copy()
    ints[:30] = noise(30, 1, 5, seed=1)
    main, *_ = figures(dense(4, 5, softmax=True), [real], [ints], samples(noise(100, 1, 4)))
    assert (main.name, main.grade) == ("agreement with float", Grade.DAMAGES)


def autoencoder() -> Graph:
    return chain((1, 16), [("code", Dense(0.0), (4, 16)), ("back", Dense(), (16, 4))], 0)


def test_an_autoencoder_is_judged_by_what_it_gives_back() -> None:
    x = noise(60, 1, 16)
    real, ints = x + 0.1 * noise(60, 1, 16, seed=1), x + noise(60, 1, 16, seed=2)
    found = figures(autoencoder(), [real], [ints], samples(x))
    assert found[0].name == "explained variance of the input"
    assert found[0].grade is Grade.DESTROYS
    labels = (np.arange(60) % 2).astype(np.int64)
    real = x + (0.1 + labels[:, None, None]) * noise(60, 1, 16, seed=1) * 0.5
    found = figures(autoencoder(), [real], [real], samples(x, labels))
    assert [f.name for f in found[:2]] == ["AUC of the reconstruction error", "explained variance of the input"]
    assert found[0].real == 1.0


def test_segmentation() -> None:
    graph = chain((1, 4, 4, 2), [("c", Conv(Window((1, 1), (1, 1), (0, 0, 0, 0), (1, 1)), 1), (3, 1, 1, 2))], 0)
    real = noise(20, 1, 4, 4, 3)
    masks = np.argmax(real, axis=4)[:, 0]
    found = figures(graph, [real], [-real], samples(noise(20, 1, 4, 4, 2), masks))
    assert [f.name for f in found[:2]] == ["mean intersection over union", "pixel accuracy"]
    assert (found[0].real, found[1].real) == (1.0, 1.0)
    assert found[0].grade is Grade.DESTROYS


def test_labels_that_fit_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="labels have shape"):
        figures(dense(4, 3), [noise(10, 1, 3)], [noise(10, 1, 3)], samples(noise(10, 1, 4), np.zeros((10, 7))))


def joined() -> Graph:
    """Boxes and scores in one output, transposed behind the Concat."""
    shapes = {"x": (1, 4), "box": (1, 6), "score": (1, 3), "b2": (1, 2, 3), "s2": (1, 1, 3), "y": (1, 3, 3)}
    tensors = {name: Tensor(name, shape) for name, shape in shapes.items()}
    nodes = []
    for name, n in (("box", 6), ("score", 3)):
        tensors[f"{name}_w"] = Tensor.constant(f"{name}_w", noise(n, 4))
        tensors[f"{name}_b"] = Tensor.constant(f"{name}_b", noise(n))
        nodes.append(Node(name, Dense(), ("x", f"{name}_w", f"{name}_b"), (name,), (f"/{name}",)))
    nodes += [
        Node("r1", Reshape((1, 2, 3)), ("box",), ("b2",)), Node("r2", Reshape((1, 1, 3)), ("score",), ("s2",)),
        Node("cat", Concat(1), ("b2", "s2"), ("y",)),
    ]  # fmt: skip
    ports = (Port.plain("in", (1, 4)),), (Port("out", (1, 3, 3), (0, 2, 1)),)
    return Graph("net", Stage.FLOAT, tensors, tuple(nodes), ("x",), ("y",), *ports)


def test_parts_of_a_joined_output_are_judged_on_their_own() -> None:
    graph = joined()
    assert {k: v.tolist() for k, v in parts_of(graph, 0).items()} == {"/box": [0, 1, 3, 4, 6, 7], "/score": [2, 5, 8]}
    real = 100.0 * noise(50, 1, 3, 3)
    real[..., 2] = noise(50, 1, 3, seed=1)
    ints = real.copy()
    ints[..., 2] = 0.0
    found = {f.name: f for f in figures(graph, [real], [ints], samples(noise(50, 1, 4)))}
    lost = found['explained variance of the part from "/score"']
    assert found["SQNR"].integer > 35.0
    assert lost.grade >= Grade.DAMAGES


# -- where, and what is demanded --------------------------------------------------------------------------------------


def test_damage_begins_at_the_first_layer_that_is_lost() -> None:
    graph = autoencoder()
    seen = [LayerAccuracy("code_y", "dense", ("/a",), 3.0), LayerAccuracy("back_y", "dense", ("/b",), 1.0)]
    found = damage(graph, seen)
    assert found is not None
    assert found.origin == ("/a",)
    seen = [LayerAccuracy("code_y", "dense", ("/a",), 45.0), LayerAccuracy("back_y", "dense", ("/b",), 20.0)]
    found = damage(graph, seen)
    assert found is not None
    assert str(found) == "dense (/b): 45.0 dB arrive there, 20.0 dB leave"


def verdict(real: float, integer: float, error: float) -> Verdict:
    figure = Figure("accuracy", real, integer, error, error, Grading(0.01, 0.03, 0.2))
    db = Figure("SQNR", None, 30.0, decibel=True)
    return Verdict("int8", "float", (figure, db), 100, "100 samples held back", True, "")


def test_gates_of_accuracy() -> None:
    v = verdict(0.95, 0.93, 0.005)
    assert str(v) == "int8 loses a little: 93.0 of 95.0 % accuracy (100 samples held back)"
    assert check_accuracy(Gates(), v) == ([], [])
    assert check_accuracy(Gates(min_accuracy=0.93, max_loss=0.02, min_sqnr=30.0), v) == ([], [])
    failed, warned = check_accuracy(Gates(min_accuracy=0.96, max_loss=0.005, min_sqnr=31.0), v)
    assert [f.split(",")[0] for f in failed] == [
        "93.0 % accuracy on 100 samples held back", "a fall of 2.00 points of accuracy on 100 samples held back",
        "SQNR 30.0 dB on 100 samples held back",
    ]  # fmt: skip
    assert warned == []
    failed, warned = check_accuracy(Gates(min_accuracy=0.935, max_loss=0.015), v)
    assert failed == []
    assert all("within the statistical error of ±1.0 points" in w for w in warned)
    assert len(warned) == 2
    with pytest.raises(DataError, match="give `x`"):
        check_accuracy(Gates(min_accuracy=0.5), None)


def test_gates_of_use() -> None:
    use = Use(1000, 500, True, None, "kernels never measured: tg_x")
    assert check_use(Gates(), use) == []
    failed = check_use(Gates(max_flash=999, max_ram=500, max_ms=1.0), use)
    assert failed[0] == "flash 1,000 bytes, predicted, `max_flash` allows 999."
    assert "tg_x" in failed[1]
    assert len(failed) == 2


# -- a network that is destroyed --------------------------------------------------------------------------------------


def write(folder: Path, span: float) -> tuple[Path, Path]:
    """Two inputs of one tensor, the first `span` times the second, which alone decides: a network and its data."""
    graph = chain((1, 2), [("hidden", Dense(0.0), (4, 2)), ("head", Dense(), (2, 4))], 0)
    hidden = np.array([[1e-3 / span, 1.0], [-1e-3 / span, 1.0], [0.0, -1.0], [0.0, -1.0]], np.float32)
    head = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], np.float32)
    zeros = {"hidden_b": np.zeros(4, np.float32), "head_b": np.zeros(2, np.float32)}
    new = {"hidden_w": hidden, "head_w": head, **zeros}
    graph = graph.with_(tensors=[Tensor.constant(k, v) for k, v in new.items()])
    assert all(isinstance(graph.tensors[k].const, Const) for k in new)
    model, data = folder / "net.onnx", folder / "data.npz"
    model.write_bytes(to_onnx(graph))
    x = np.random.default_rng(0).uniform(-1, 1, (300, 2)).astype(np.float32)
    y = (x[:, 1] < 0).astype(np.int64)
    x[:, 0] *= span
    np.savez(data, x=x, y=y)
    return model, data


BUILD = ("--board", "nucleo_f446re", "--verify", "none", "--output", "out")


def test_a_destroyed_network_stops_the_build(tmp_path: Path) -> None:
    model, data = write(tmp_path, 1e6)
    said = tinygen("build", model, "--data", data, *BUILD, cwd=tmp_path)
    assert said.code == 10
    for part in (
        "int8 destroys this network", "of 100.0 % accuracy (100 samples held back)", "The damage begins at", "hidden",
        "Repairs tried: equalise", "Activations in int16 do not help", "--accept-loss",
    ):  # fmt: skip
        assert part in said.err
    assert not (tmp_path / "out").exists()
    said = ok("build", model, "--data", data, *BUILD, "--accept-loss", cwd=tmp_path)
    assert "int8 destroys this network" in " ".join(said.out.replace("│", " ").split())
    certificate = json.loads((tmp_path / "out" / "certificate.json").read_text())["accuracy"]
    assert (certificate["verdict"], certificate["loss_accepted"]) == ("destroys", True)
    assert certificate["figures"][0]["float"] == 1.0


def test_a_destroyed_network_is_repaired_where_that_helps(tmp_path: Path) -> None:
    model, data = write(tmp_path, 1e3)
    off = tinygen("build", model, "--data", data, *BUILD, "--repair", "off", cwd=tmp_path)
    assert off.code == 10
    assert "--activations 16 (" in off.err
    said = ok("build", model, "--data", data, *BUILD, "--json", cwd=tmp_path)
    found = said.json["accuracy"]
    assert (found["verdict"], found["precision"]) == ("keeps", "mixed")
    assert any(step.startswith("wide: ") for step in found["repairs"])
    assert any(note.startswith("repaired (") for note in said.json["notes"])
    assert json.loads((tmp_path / "out" / "certificate.json").read_text())["accuracy"] == {
        k: found[k] for k in found if k not in ("calibration", "layers")
    }


def test_gates_end_the_build(tmp_path: Path) -> None:
    model, data = write(tmp_path, 1.0)
    ok("build", model, "--data", data, *BUILD, "--min-accuracy", "97%", "--max-loss", "3", "--min-sqnr", "20",
       "--max-flash", "64K", "--max-ram", "8K", cwd=tmp_path)  # fmt: skip
    said = tinygen("build", model, "--data", data, *BUILD, "--min-sqnr", "90", cwd=tmp_path)
    assert said.code == 10
    assert "--min-sqnr asks for 90 dB" in said.err
    said = tinygen("build", model, "--data", data, *BUILD, "--max-flash", "20", "--max-ram", "20", cwd=tmp_path)
    assert said.code == 4
    assert "--max-flash allows 20" in said.err
    assert "--max-ram allows 20" in said.err
    assert tinygen("build", model, *BUILD, "--min-accuracy", "0.9", cwd=tmp_path).code == 3
    assert tinygen("build", model, *BUILD, "--data", data, "--min-accuracy", "much", cwd=tmp_path).code == 64
    assert tinygen("build", model, *BUILD, "--test", data, cwd=tmp_path).code == 64


def test_made_up_inputs_give_no_verdict(tmp_path: Path) -> None:
    model, _ = write(tmp_path, 1.0)
    said = ok("build", model, *BUILD, cwd=tmp_path)
    assert "unknown" in said.out
    assert "noisiest" not in said.out
    assert json.loads((tmp_path / "out" / "certificate.json").read_text())["accuracy"] is None


def test_a_file_that_onnxruntime_does_not_run_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = dense(4, 3)
    pinned = finish(Network(graph), samples(noise(20, 1, 4)))
    (tmp_path / "q.onnx").write_bytes(to_qdq(pinned))
    np.savez(tmp_path / "data.npz", x=noise(20, 1, 4))

    def build(folder: str) -> Built:
        target, data = Target(load_board("nucleo_f446re")), Calibration(tmp_path / "data.npz")
        return build_folder(load(tmp_path / "q.onnx"), tmp_path / folder, target, data, proof=Proof(()))

    built = build("out")
    assert built.verdict is not None
    assert (built.verdict.reference, built.verdict.grade) == ("onnxruntime", Grade.KEEPS)

    def refuse(*_: object, **__: object) -> None:
        raise ModelError("no kernel")

    monkeypatch.setattr("tinygen.flow.judge.FloatModel", refuse)
    built = build("out2")
    assert built.verdict is None
    assert any("does not run the file" in note for note in built.notes)
