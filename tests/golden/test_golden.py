"""Emitted files of three small models, byte for byte. After an intended change: `pytest tests/golden --update-golden`,
then read the difference as a reviewer of generated code would.

All weights and inputs are multiples of 1/8, so that float sums are exact and no computer calibrates another scale.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from tests.emit.nets import Net
from tinygen.calibrate.data import Samples
from tinygen.emit.library import render_library
from tinygen.flow.library import make_library
from tinygen.flow.quantised import quantised_file
from tinygen.flow.types import Calibration, Library
from tinygen.ir.text import dump
from tinygen.plan.planner import plan
from tinygen.targets.cores import get_core

HERE = Path(__file__).parent


class Exact(Net):
    """Weights in eighths."""

    def weight(self, *shape: int) -> str:
        return self.const(self.rng.integers(-8, 9, shape) / 8)


def tiny() -> ModelProto:
    """Two dense layers and a softmax."""
    n = Exact(1)
    x = n.op("Gemm", n.input("features", 1, 4), n.weight(6, 4), n.weight(6), name="/fc1/Gemm", transB=1)
    x = n.op("Gemm", n.op("Relu", x, name="/act/Relu"), n.weight(3, 6), n.weight(3), name="/fc2/Gemm", transB=1)
    return n.model(n.op("Softmax", x, name="/Softmax", axis=1))


def edge() -> ModelProto:
    """A residual block: strided stem, depthwise and pointwise convolution, addition, mean, dense."""
    n = Exact(2)
    x = n.input("image", 1, 3, 8, 8)
    stem = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    x = n.op("Relu", n.op("Conv", x, n.weight(4, 3, 3, 3), n.weight(4), name="/stem/Conv", **stem), name="/stem/Relu")
    around = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "group": 4}
    y = n.op("Conv", x, n.weight(4, 1, 3, 3), n.weight(4), name="/block/depthwise/Conv", **around)
    y = n.op("Conv", y, n.weight(4, 4, 1, 1), n.weight(4), name="/block/pointwise/Conv", kernel_shape=[1, 1])
    x = n.op("Relu", n.op("Add", x, y, name="/block/Add"), name="/block/Relu")
    x = n.op("Flatten", n.op("GlobalAveragePool", x, name="/pool/GlobalAveragePool"), name="/Flatten")
    return n.model(n.op("Gemm", x, n.weight(2, 4), n.weight(2), name="/head/Gemm", transB=1))


def pair() -> ModelProto:
    """Two inputs, two outputs; a concatenation without a copy, a table, a 1-D convolution."""
    n = Exact(3)
    a, b = n.input("left", 1, 2, 8), n.input("right", 1, 4)
    kernel = {"kernel_shape": [3], "pads": [1, 1]}
    x = n.op("Conv", a, n.weight(4, 2, 3), n.weight(4), name="/left/Conv", **kernel)
    x = n.op("Tanh", n.op("ReduceMax", x, axes=[2], keepdims=0, name="/left/ReduceMax"), name="/left/Tanh")
    y = n.op("Gemm", b, n.weight(4, 4), n.weight(4), name="/right/Gemm", transB=1)
    z = n.op("Concat", x, y, axis=1, name="/Concat")
    return n.model(n.op("Gemm", z, n.weight(3, 8), n.weight(3), name="/head/Gemm", transB=1), y)


#: Model, core, arena.
MODELS: Mapping[str, tuple[Callable[[], ModelProto], str, bool]] = {
    "tiny": (tiny, "cortex-m0", False),
    "edge": (edge, "cortex-m4", False),
    "pair": (pair, "native", True),
}


def rendered(name: str) -> dict[str, bytes]:
    """The model's own files (kernels have tests of their own), and the graph in fixed point as text."""
    make, core_name, static_arena = MODELS[name]
    model = make()
    rng = np.random.default_rng(0)
    shapes = [[d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input]
    data = tuple((rng.integers(-16, 17, (8, *s)) / 8).astype(np.float32) for s in shapes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        q = quantised_file(path, Calibration(Samples(data, None, "0" * 64, "golden"), "minmax"))
    core = get_core(core_name)
    # What onnx's serialisation makes of the model is not ours to fix.
    q = replace(q, imported=replace(q.imported, sha256="0" * 64))
    p = plan(q.fixed, core)
    view = replace(make_library(p, q, Library(static_arena)), version="X.Y.Z")
    own = {n: c.decode() for n, c in render_library(view).items() if not n.startswith("tg_")}
    # Which version a kernel has is no matter of these files.
    files = {n: re.sub(r'(?<=#include "tg_)(\w+)_[0-9a-f]{8}\.h', r"\1_XXXXXXXX.h", c).encode() for n, c in own.items()}
    text = "".join(line.rstrip() + "\n" for line in dump(q.fixed).splitlines())
    return {**files, "graph.txt": text.encode()}


@pytest.mark.parametrize("name", MODELS)
def test_emitted_files(name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # The build id hashes tinygen's version: a release must not renew every golden file.
    monkeypatch.setattr("tinygen.flow.library.VERSION", "X.Y.Z")
    folder = HERE / name
    files = rendered(name)
    if request.config.getoption("--update-golden"):
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for file, content in files.items():
            (folder / file).write_bytes(content)
    known = {p.name: p.read_text(encoding="ascii") for p in sorted(folder.iterdir())}
    assert sorted(files) == sorted(known)
    for file, content in files.items():
        assert content.decode() == known[file], f"{name}/{file} changed; if so intended: pytest --update-golden"


def test_golden_files_are_small() -> None:
    """A reviewer reads them."""
    assert sum(p.stat().st_size for name in MODELS for p in (HERE / name).iterdir()) < 60_000
