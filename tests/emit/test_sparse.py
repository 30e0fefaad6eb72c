"""Networks with zeros: layers take kernels that skip them where that pays, and the emitted C gives the same bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

from tests.emit.library import quantised
from tests.emit.nets import Net
from tinygen import simulate
from tinygen.flow import verify
from tinygen.flow.types import Calibration
from tinygen.plan.modes import MODES
from tinygen.plan.planner import plan
from tinygen.plan.types import Plan
from tinygen.targets.cores import get_core

Need = Callable[[str], None]
CALIBRATION = Calibration(method="minmax")


def network(zeros: float) -> ModelProto:
    """Two convolutions, a pointwise one and a dense layer."""
    n = Net(3)
    x = n.op("Relu", n.conv(n.input("image", 1, 3, 10, 9), 3, 16, (3, 3), pads=[1, 1, 1, 1], name="/stem/Conv"))
    x = n.op("Relu", n.conv(x, 16, 24, (3, 3), strides=[2, 2], name="/middle/Conv"))
    x = n.op("Relu", n.conv(x, 24, 32, (1, 1), name="/pointwise/Conv"))
    return with_zeros(n.model(n.dense(n.op("Flatten", x), 32 * 16, 40, name="/dense/Gemm")), zeros)


def with_zeros(model: ModelProto, zeros: float) -> ModelProto:
    """So many of the smallest weights of each layer become zero."""
    for tensor in model.graph.initializer:
        w = numpy_helper.to_array(tensor)
        if w.ndim > 1:
            kept = np.where(np.abs(w) > np.quantile(np.abs(w), zeros), w, 0).astype(w.dtype)
            tensor.CopyFrom(numpy_helper.from_array(kept, tensor.name))
    return model


def sparse_steps(made: Plan) -> list[str]:
    """Names of the steps with a kernel that skips zeros."""
    return [s.name for s in made.steps if any("sparse" in k for c in s.calls for k in c.call.library)]


@pytest.mark.parametrize("core", ["native", "cortex-m0", "cortex-m4"])
def test_same_bits(core: str, require_tool: Need) -> None:
    require_tool("gcc")
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    q = quantised(network(0.85), "sparse")
    made = plan(q.fixed, get_core("cortex-m4" if core == "native" else core), "size")
    assert len(sparse_steps(made)) >= 3
    inputs = verify.make_inputs(q.fixed, simulate.quantise_inputs(q.fixed, [x[:4] for x in q.samples.inputs]))
    verify.verify_plan(q, made, core, inputs, simulate.run(q.fixed, inputs))


@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m55"])
@pytest.mark.parametrize("optimize", MODES)
def test_chosen_only_for_zeros(core: str, optimize: str) -> None:
    """Never without zeros; with nearly nothing but zeros, in every mode, unless vectors are faster."""
    assert sparse_steps(plan(quantised(network(0.0), "full").fixed, get_core(core), optimize)) == []
    some = sparse_steps(plan(quantised(network(0.97), "empty").fixed, get_core(core), optimize))
    assert bool(some) == (core != "cortex-m55" or optimize != "speed")


def test_weights_take_less_flash() -> None:
    """By about what the form says: a weight that is kept takes two bytes at most."""

    def constants(zeros: float) -> int:
        made = plan(quantised(network(zeros), "some").fixed, get_core("cortex-m4"), "size")
        return sum(c.array.nbytes for s in made.steps for p in s.calls for c in p.call.consts)

    full, sparse = constants(0.0), constants(0.9)
    assert sparse < 0.35 * full


def test_planes_for_a_depthwise_layer(require_tool: Need) -> None:
    """A sparse convolution writes them as any other does."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    n = Net(5)
    x = n.op("Relu", n.conv(n.input("image", 1, 64, 9, 8), 64, 64, (1, 1), name="/pointwise/Conv"))
    x = n.op("Relu", n.conv(x, 64, 64, (3, 3), groups=64, pads=[1, 1, 1, 1], name="/depthwise/Conv"))
    q = quantised(with_zeros(n.model(n.conv(x, 64, 8, (1, 1), name="/last/Conv")), 0.9), "planes")
    made = plan(q.fixed, get_core("cortex-m4"))
    assert made.steps[0].outputs[0].planes is not None
    assert made.steps[0].name in sparse_steps(made)
    inputs = verify.make_inputs(q.fixed, simulate.quantise_inputs(q.fixed, [x[:4] for x in q.samples.inputs]))
    verify.verify_plan(q, made, "cortex-m4", inputs, simulate.run(q.fixed, inputs))
