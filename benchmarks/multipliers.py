"""MobileNetV1 0.25 of 96 x 96 x 1 with 8 channels first and large multipliers, on every emulated core.

    python -m benchmarks.multipliers [--cores cortex-m4 ...]

Two networks, made here with seeded random weights. `channels`: depthwise layers with 2 or 4 output channels for an
input channel. `gains`: as batch norms of channels that hardly ever fire leave it, one channel in eight of each
pointwise layer is 1/60 as large and its depthwise weights 60 times as large, so that multipliers of the
requantisation are large and shifts short. Each is counted (every output equal to numpy's) and written to
benchmarks/results/multipliers.json with the cycles that its depthwise layers take.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks import record
from benchmarks.emulate import counting_core
from tinygen import simulate
from tinygen.emit.library import render_library
from tinygen.emit.view import library_view
from tinygen.flow.quantised import quantised_file
from tinygen.flow.types import Calibration
from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.plan.planner import plan
from tinygen.profile import profile_plan
from tinygen.targets.cores import COUNTED_CORES, get_core
from tinygen.version import ABI, NUMERICS

#: Multiplier of `channels`, stride and output channels of each block behind the first layer.
BLOCKS = (
    *((4, 1, 16), (2, 2, 32), (2, 1, 32), (2, 2, 64), (2, 1, 64), (2, 2, 128)),
    *((1, 1, 128),) * 5,
    *((1, 2, 256), (1, 1, 256)),
)
GAIN = 60.0
MODES = ("speed", "balanced", "size")
#: Cycles (instructions) of each when such layers fell to the reference kernel.
BEFORE: dict[str, dict[str, int]] = {
    "channels": {
        "cortex-m0 balanced": 58236212,
        "cortex-m3 balanced": 45173882,
        "cortex-m4 speed": 64965576,
        "cortex-m4 balanced": 67527509,
        "cortex-m4 size": 73414097,
        "cortex-m7 balanced": 46791371,
        "cortex-m33 balanced": 47039972,
        "cortex-m55 balanced": 3317303,
    },
    "gains": {
        "cortex-m0 balanced": 40743353,
        "cortex-m3 balanced": 36064446,
        "cortex-m4 speed": 20926363,
        "cortex-m4 balanced": 22327350,
        "cortex-m4 size": 27255237,
        "cortex-m7 balanced": 17132233,
        "cortex-m33 balanced": 17092677,
        "cortex-m55 balanced": 8903426,
    },
}


def network(kind: str) -> onnx.ModelProto:
    """`channels` or `gains`."""
    rng = np.random.default_rng(11)
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []

    def conv(x: str, w: Array, stride: int, group: int, clip: bool = True) -> str:
        i = len(tensors)
        name, k = f"conv{i}", w.shape[2]
        bias = np.full(w.shape[0], 0.05, np.float32)
        tensors.extend(numpy_helper.from_array(a, n) for n, a in ((f"w{i}", w.astype(np.float32)), (f"b{i}", bias)))
        nodes.append(helper.make_node("Conv", [x, f"w{i}", f"b{i}"], [name], name, kernel_shape=[k, k], group=group,
                                      strides=[stride, stride], pads=[k // 2] * 4))  # fmt: skip
        if clip:
            nodes.append(helper.make_node("Clip", [name, "zero", "six"], [f"{name}_relu6"]))
        return f"{name}_relu6" if clip else name

    def normal(*shape: int) -> Array:
        return rng.normal(size=shape) * (1.6 / np.sqrt(np.prod(shape[1:])))

    x, c = conv("image", normal(8, 1, 3, 3), 2, 1), 8
    quiet = np.ones(8)
    for multiplier, stride, out_c in BLOCKS:
        each = multiplier if kind == "channels" else 1
        w = normal(c * each, 1, 3, 3) * np.repeat(1 / quiet, each)[:, None, None, None]
        x = conv(x, w, stride, c)
        quiet = np.where(np.arange(out_c) % 8 == 3, 1 / GAIN, 1.0) if kind == "gains" else np.ones(out_c)
        x = conv(x, normal(out_c, c * each, 1, 1) * quiet[:, None, None, None], 1, 1)
        c = out_c
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["mean"]))
    nodes.append(helper.make_node("Flatten", ["mean"], ["flat"]))
    tensors.append(numpy_helper.from_array(normal(2, c).astype(np.float32), "w_out"))
    nodes.append(helper.make_node("Gemm", ["flat", "w_out"], ["score"], transB=1))
    tensors += [numpy_helper.from_array(np.array(v, np.float32), n) for n, v in (("zero", 0.0), ("six", 6.0))]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
            for n, s in (("image", (1, 1, 96, 96)), ("score", (1, 2)))]  # fmt: skip
    graph = helper.make_graph(nodes, f"mobilenet_{kind}", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def quantised(kind: str) -> Graph:
    """Its FIXED graph, calibrated with noise."""
    samples = np.random.default_rng(5).normal(size=(16, 1, 96, 96)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(network(kind), str(path))
        np.savez(Path(folder) / "calib.npz", image=samples)
        return quantised_file(path, Calibration(Path(folder) / "calib.npz", samples=16), name=f"mobilenet_{kind}").fixed


def measure(graph: Graph, core: str, mode: str) -> dict[str, Any]:
    """Cycles (instructions where there is no model) of the network and of its depthwise layers, arena and kernels."""
    p = plan(graph, get_core(core), mode)
    files = render_library(
        library_view(p, version="0", abi=ABI, numerics=NUMERICS, build_id="00000000", sha256="0", model_file="m")
    )
    sample = [np.random.default_rng(0).integers(-128, 128, (1, *graph.tensors[n].shape)).astype(np.int8)
              for n in graph.inputs]  # fmt: skip
    measured = profile_plan(p, files, counting_core(core), sample=b"".join(x.tobytes() for x in sample))
    wanted = b"".join(y.tobytes() for y in simulate.run(graph, sample))
    assert measured.outputs == wanted, f"{graph.name} on {core}, {mode}: output differs from numpy"
    deep = [(s, layer) for s, layer in zip(p.steps, measured.layers, strict=True) if s.title.startswith("depthwise")]
    return {
        "cycles": measured.total.cycles or measured.total.instructions,
        "depthwise": sum(layer.counts.cycles or layer.counts.instructions for _, layer in deep),
        "macs": p.macs, "depthwise_macs": sum(s.macs for s, _ in deep), "arena": p.arena_len,
        "kernels": sorted({c.call.library[0] if c.call.library else "made" for s, _ in deep for c in s.calls}),
    }  # fmt: skip


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", nargs="+", default=list(COUNTED_CORES), choices=COUNTED_CORES)
    options = parser.parse_args(argv)
    results: dict[str, dict[str, Any]] = {}
    for kind in ("channels", "gains"):
        graph = quantised(kind)
        for core in options.cores:
            for mode in MODES if core == "cortex-m4" else ("balanced",):
                found = results.setdefault(kind, {})[f"{core} {mode}"] = measure(graph, core, mode)
                print(kind, core, mode, found, flush=True)
    if len(options.cores) == len(COUNTED_CORES):
        record.write("multipliers", results, results, depth=2)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
