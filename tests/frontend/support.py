"""Run a model through onnxruntime as it is, and as tinygen read it; compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, TensorProto, helper, parser

from tinygen.frontend.onnx_reader import Imported, read_onnx
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir import invariants
from tinygen.ir.types import Graph

Arrays = Mapping[str, np.ndarray]


def session(model: bytes, optimise: bool = True) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def real(code: np.ndarray, graph: Graph, tensor: str) -> np.ndarray:
    """The numbers that integer codes of a port stand for."""
    quant = graph.tensors[tensor].quant
    if code.dtype not in (np.int8, np.uint8) or quant is None:
        return code.astype(np.float32)
    view = code.astype(np.float32) - (128 if code.dtype == np.uint8 else 0)
    return ((view - quant.zero_point) * np.float32(quant.s)).astype(np.float32)


def run_ours(imported: Imported, feeds: Arrays, model: bytes | None = None) -> list[np.ndarray]:
    """Real outputs in ONNX layout, from ONNX inputs, through the graph written back as ONNX."""
    g = imported.graph
    ours = {}
    for port, name in zip(g.in_ports, g.inputs, strict=True):
        ours[name] = port.to_tensor(real(feeds[port.name], g, name)[None])[0]
    found = session(model or to_onnx(g)).run(list(g.outputs), ours)
    return [p.to_onnx(y[None])[0] for p, y in zip(g.out_ports, found, strict=True)]


def run_original(imported: Imported, feeds: Arrays, optimise: bool = True) -> list[np.ndarray]:
    """Real outputs of the reference."""
    g = imported.graph
    names = [p.name for p in g.in_ports]
    found = session(imported.original, optimise).run([p.name for p in g.out_ports], {n: feeds[n] for n in names})
    return [real(np.asarray(y), g, t) for y, t in zip(found, g.outputs, strict=True)]


def random_feeds(imported: Imported, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    feeds: dict[str, np.ndarray] = {}
    for port, kind in zip(imported.graph.in_ports, imported.input_types, strict=True):
        if kind in ("int8", "uint8"):
            info = np.iinfo(kind)
            feeds[port.name] = rng.integers(info.min, info.max + 1, port.shape).astype(kind)
        else:
            feeds[port.name] = rng.normal(size=port.shape).astype(kind)
    return feeds


def with_rounding(imported: Imported) -> bytes:
    """Our float graph with a real QuantizeLinear and DequantizeLinear at every pin."""
    return to_onnx(imported.graph, rounded=True)


def arr_like(shape: Sequence[int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=tuple(shape)).astype(np.float32)


def save(tmp_path: Path, model: ModelProto, name: str = "model.onnx") -> Path:
    path = tmp_path / name
    path.write_bytes(model.SerializeToString())
    return path


def parse(
    text: str, opset: int = 18, weights: Arrays | None = None, ir: int = 8, domains: Sequence[str] = ()
) -> ModelProto:
    """A model from onnx's text form of a graph, with initialisers added."""
    imports = "".join(f', "{d}" : 1' for d in domains)
    model = parser.parse_model(f'<ir_version: {ir}, opset_import: ["" : {opset}{imports}]>\n{text}')
    for name, array in (weights or {}).items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return model


def one_node(
    op_type: str,
    x: Sequence[int] | Sequence[Sequence[int]],
    weights: Sequence[np.ndarray | None] = (),
    *,
    opset: int = 18,
    outputs: int = 1,
    domain: str = "",
    **attributes: Any,
) -> ModelProto:
    """A model of one node: activations of the given shapes first, then constants (None: left out)."""
    shapes = [list(s) for s in x] if x and not isinstance(x[0], int) else [list(x)]  # type: ignore[arg-type]
    infos = [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, s) for i, s in enumerate(shapes)]
    names = [i.name for i in infos] + ["" if w is None else f"w{i}" for i, w in enumerate(weights)]
    constants = [onnx.numpy_helper.from_array(np.asarray(w), f"w{i}") for i, w in enumerate(weights) if w is not None]
    outs = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op_type, names, outs, name="the_node", domain=domain, **attributes)
    results = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outs]
    graph = helper.make_graph([node], "g", infos, results, constants)
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=imports, ir_version=8 if opset < 22 else 10)


def import_model(tmp_path: Path, model: ModelProto, **kwargs: Any) -> Imported:
    imported = read_onnx(save(tmp_path, model), **kwargs)
    invariants.check(imported.graph)
    return imported


def assert_same(imported: Imported, feeds: Arrays | None = None, tolerance: float = 1e-5) -> None:
    """Reference and re-written graph agree within `tolerance` of the output's range."""
    feeds = feeds or random_feeds(imported)
    for want, got in zip(run_original(imported, feeds), run_ours(imported, feeds), strict=True):
        assert got.shape == want.shape
        scale = max(float(np.ptp(want)), float(np.abs(want).max(initial=0)), 1e-6)
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


def check(
    tmp_path: Path, model: ModelProto, feeds: Arrays | None = None, tolerance: float = 1e-5, **kwargs: Any
) -> Imported:
    imported = import_model(tmp_path, model, **kwargs)
    assert_same(imported, feeds, tolerance)
    return imported


def ops_of(graph: Graph) -> list[str]:
    return [type(n.op).__name__ for n in graph.nodes]
