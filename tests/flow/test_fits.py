"""A network too large for the board's flash: told before it is calibrated, and never one that fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tinygen.calibrate.data import Arrays
from tinygen.errors import TargetError
from tinygen.flow import build
from tinygen.flow.cost import cost
from tinygen.flow.estimate import estimate
from tinygen.flow.fits import check_fit, check_weights
from tinygen.flow.planned import Planner, predict
from tinygen.flow.quantised import load, quantised
from tinygen.flow.types import Calibration, Loaded, Target
from tinygen.numerics import Array
from tinygen.plan.planner import plan
from tinygen.targets.board import load_board
from tinygen.targets.flash import flash_of

BOARD = load_board("bluepill_f103c8")
#: The fastest kernels of a Cortex-M4 read int8, whatever the weights are.
FAST = replace(load_board("nucleo_f446re"), flash_bytes=65_536)
SIZE = 300


def dense(*weights: Array) -> Loaded:
    """Square dense layers one behind the other."""
    size = len(weights[0])
    nodes = [helper.make_node("MatMul", [f"t{i}", f"w{i}"], [f"t{i + 1}"], name=f"fc{i}") for i in range(len(weights))]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, size]) for n in ("t0", f"t{len(weights)}")]
    constants = [numpy_helper.from_array(w.astype(np.float32), f"w{i}") for i, w in enumerate(weights)]
    graph = helper.make_graph(nodes, "wide", ports[:1], ports[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return load(Path("wide.onnx"), content=model.SerializeToString())


def weights(size: int = SIZE) -> Array:
    return np.random.default_rng(0).normal(size=(size, size)) / size**0.5


def data(size: int = SIZE) -> Calibration:
    return Calibration(Arrays((np.random.default_rng(1).normal(size=(40, size)).astype(np.float32),)))


def test_told_before_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the figures and the advice of the check behind the plan."""

    def calibrated(*_: object) -> None:
        raise AssertionError("calibrated a network that cannot fit")

    monkeypatch.setattr(build, "quantised", calibrated)
    with pytest.raises(TargetError, match=r"does not fit bluepill_f103c8.*\n.*flash: 9\d,\d{3} bytes needed.*65,536"):
        build.build_folder(dense(weights()), tmp_path / "out", Target(BOARD), data())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", [Target(BOARD), Target(FAST, "speed")], ids=["balanced", "speed"])
@pytest.mark.parametrize("kept", ["two values", "few of them"])
def test_what_packs_is_not_refused(kept: str, target: Target) -> None:
    """More weights than the flash has bytes, which kernels keep in less, if not the fastest ones."""
    w = weights()
    packed = np.sign(w) / SIZE**0.5 if kept == "two values" else np.where(np.abs(w) > np.quantile(np.abs(w), 0.9), w, 0)
    check_weights(dense(packed), data(), target)


def test_smaller_kernels_where_the_fastest_do_not_fit() -> None:
    """And it is said; where all fit, or none do, the plan is the mode's own."""
    w = weights()
    model = quantised(dense(np.sign(w) / SIZE**0.5), data())
    flash = flash_of(FAST)
    own = plan(model.fixed, FAST.core, "speed", flash=flash)
    plans = Planner(model, "speed")
    found = plans.on_board(FAST)
    assert predict(own, model, flash).flash > FAST.flash_bytes >= found.prediction.flash
    assert "more than nucleo_f446re has" in found.note
    for size in (1 << 20, 1000):
        same = plans.on_board(replace(FAST, flash_bytes=size))
        assert (same.plan.kernels, same.note) == (own.kernels, "")
    # inspect and fit predict what the build takes
    (fit,) = (f for f in estimate(model, FAST, "speed").fits if f.board == FAST.id)
    assert fit.fits
    assert fit.flash == cost(model, FAST, "speed").flash == found.prediction.flash


def test_less_ram_where_the_fastest_do_not_fit() -> None:
    """Scratch for a group of tiles is worth its cycles only while the board has it; and it is said."""
    rng = np.random.default_rng(3)
    w = (rng.normal(size=(64, 64, 1, 1)) / 8).astype(np.float32)
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 64, 8, 8]) for n in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])], "pw", ports[:1], ports[1:], [numpy_helper.from_array(w, "w")]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    loaded = load(Path("pw.onnx"), content=made.SerializeToString())
    model = quantised(loaded, Calibration(Arrays((rng.normal(size=(40, 64, 8, 8)).astype(np.float32),))))
    flash = flash_of(FAST)
    own = predict(plan(model.fixed, FAST.core, "speed", flash=flash), model, flash)
    little = replace(FAST, ram_bytes=own.ram - 1, flash_bytes=1 << 20)
    plans = Planner(model, "speed")
    found = plans.on_board(little)
    assert found.prediction.ram < own.ram
    assert "bytes of RAM, more than nucleo_f446re has" in found.note
    for size in (own.ram, 100):
        assert not plans.on_board(replace(little, ram_bytes=size)).note


def test_equal_constants_count_once() -> None:
    """As they are stored."""
    w = weights(220)
    model = quantised(dense(w, w), data(220))
    check_fit(plan(model.fixed, BOARD.core, "speed"), BOARD, None, None)
