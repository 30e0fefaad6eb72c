"""Random networks that keep a state: one of `generate`, with values inside that remember what they were.

`python -m tests.random.stateful 0-99` runs seeds by hand, `... 10000-10024 native,cortex-m0,cortex-m55` on these cores.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper, shape_inference

from tests.random.flow import DOCUMENTED_REFUSALS
from tests.random.generator import LATER, generate, samples
from tests.random.net import Array
from tests.random.programs import SANITIZE
from tinygen import simulate
from tinygen.calibrate.data import Arrays
from tinygen.emit.library import render_library
from tinygen.errors import ModelError, TinygenError
from tinygen.flow import verify
from tinygen.flow.library import make_library, model_view
from tinygen.flow.quantised import Loaded, load, quantised
from tinygen.flow.types import Calibration
from tinygen.ir.types import Const
from tinygen.passes.pipeline import tidy
from tinygen.plan.planner import plan
from tinygen.targets.cores import get_core

STREAMS, STEPS = 4, 6


class NoPlaceError(Exception):
    """The network has no value that could remember."""


def stateful(seed: int) -> tuple[ModelProto, dict[str, str]]:
    """The network of a seed, and its states: one or two values t become t' = t + k * (t' of the call before), or their
    larger one, or hand on what they were. Of later seeds recurrent layers begin a call with what they ended the one
    before with, too."""
    rng = np.random.default_rng([3, seed])
    model = generate(seed)
    graph = shape_inference.infer_shapes(model).graph
    known = {v.name: v.type.tensor_type for v in (*graph.value_info, *graph.output)}
    fed = {i.name for i in model.graph.input}  # what depends on an input
    for node in model.graph.node:
        if fed.intersection(node.input):
            fed.update(node.output)
    places = [
        o
        for n in model.graph.node
        for o in n.output
        if o in fed and (t := known.get(o)) is not None and t.elem_type == TensorProto.FLOAT
        and t.HasField("shape") and all(d.HasField("dim_value") and d.dim_value > 0 for d in t.shape.dim)
    ]  # fmt: skip
    states = _carried(model, known, rng) if seed >= LATER else {}
    places = [p for p in places if p not in states.values()]
    count = int(rng.integers(0, 2) if states else rng.integers(1, 3))
    if not places and not states:
        raise NoPlaceError
    for k, name in enumerate(rng.permutation(places)[:count].tolist()):
        shape = [d.dim_value for d in known[name].shape.dim]
        h, now, told = f"state{k}", f"state{k}_next", f"state{k}_value"
        model.graph.input.append(helper.make_tensor_value_info(h, TensorProto.FLOAT, shape))
        model.graph.output.append(helper.make_tensor_value_info(now, TensorProto.FLOAT, shape))
        factor = f"{told}_k"
        model.graph.initializer.append(numpy_helper.from_array(np.float32(rng.uniform(-0.7, 0.7)), factor))
        kind = int(rng.integers(3))
        if kind == 0:  # a leak
            made = [helper.make_node("Mul", [h, factor], [told]), helper.make_node("Add", [name, told], [now])]
            reads = now
        elif kind == 1:  # the call before, and nothing else, beside the one now
            made = [helper.make_node("Identity", [name], [now]), helper.make_node("Sub", [name, h], [told])]
            reads = told
        else:  # what fades slower than it comes
            made = [helper.make_node("Mul", [h, factor], [told]), helper.make_node("Max", [name, told], [now])]
            reads = now
        for node in model.graph.node:
            for i, name_in in enumerate(node.input):
                node.input[i] = reads if name_in == name else name_in
        for node in made:
            node.name = f"{node.output[0]}_node"
        model.graph.node.extend(made)
        for out in model.graph.output:
            if out.name == name:  # an output stays one
                model.graph.node.append(helper.make_node("Identity", [reads], [f"{name}_seen"], name=f"{name}_seen"))
                out.name = f"{name}_seen"
        states[h] = now
    _sorted(model)
    onnx.checker.check_model(model)
    return model, states


def _carried(model: ModelProto, known: Mapping[str, Any], rng: np.random.Generator) -> dict[str, str]:
    """Initial states of recurrent layers that their own last ones come back as."""
    weights = {t.name: tuple(t.dims) for t in model.graph.initializer}
    known = {**known, **{i.name: i.type.tensor_type for i in model.graph.input}}
    states: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type not in ("LSTM", "GRU", "RNN") or rng.random() < 0.2:
            continue
        x = known.get(node.input[0])
        if x is None or len(x.shape.dim) != 3:
            continue
        (directions, _, units), number = weights.get(node.input[2], (0, 0, 0)), x.shape.dim[1].dim_value
        if not directions or not number:
            continue
        for i in range(2 if node.op_type == "LSTM" else 1):
            h, now = f"carried{len(states)}", f"carried{len(states)}_next"
            node.input.extend([""] * (6 + i - len(node.input)))
            node.input[5 + i] = h
            node.output.extend([""] * (2 + i - len(node.output)))
            now = node.output[1 + i] = node.output[1 + i] or now
            if now in (o.name for o in model.graph.output):  # an output stays one
                copy = helper.make_node("Identity", [now], [f"carried{len(states)}_copy"], name=f"{h}_copy")
                model.graph.node.append(copy)
                now = copy.output[0]
            shape = (directions, number, units)
            model.graph.input.append(helper.make_tensor_value_info(h, TensorProto.FLOAT, shape))
            model.graph.output.append(helper.make_tensor_value_info(now, TensorProto.FLOAT, shape))
            states[h] = now
    return states


def _started(at: Loaded, seed: int) -> Loaded:
    """With states that do not begin with zeros."""
    rng = np.random.default_rng([5, seed])
    graph = at.imported.graph
    states = tuple(
        replace(s, initial=Const(rng.uniform(-0.5, 0.5, graph.tensors[s.reads].shape).astype(np.float32)))
        for s in graph.states
    )
    graph = replace(graph, states=states)
    return replace(at, imported=replace(at.imported, graph=graph), tidy=tidy(graph))


def _sorted(model: ModelProto) -> None:
    """Nodes in an order of execution."""
    ready = {i.name for i in model.graph.input} | {t.name for t in model.graph.initializer} | {""}
    waiting, done = list(model.graph.node), []
    while waiting:
        node = next(n for n in waiting if ready.issuperset(n.input))
        waiting.remove(node)
        done.append(onnx.NodeProto.FromString(node.SerializeToString()))
        ready.update(node.output)
    del model.graph.node[:]
    model.graph.node.extend(done)


def check(seed: int, folder: Path, cores: tuple[str, ...] = ("native",), *, int16: bool = False) -> str:
    """Numpy against the C on streams, after the import was compared with the file in onnxruntime. What was left out and
    why; an exception for what is wrong."""
    try:
        model, states = stateful(seed)
    except NoPlaceError:
        return "no place"
    path = folder / f"s{seed}.onnx"
    path.write_bytes(model.SerializeToString())
    feeds = samples(model, STREAMS * STEPS, seed)
    data: dict[str, Array] = {n: x.reshape(STREAMS, STEPS, *x.shape[1:]) for n, x in feeds.items() if n not in states}
    try:
        at = load(path, states=states)
        if not at.tidy.states:
            return "nothing reads it"
        if seed >= LATER and seed % 2:
            at = _started(at, seed)
        x = {p.name: data[p.name] for p in at.tidy.in_ports}
        q = quantised(at, Calibration(Arrays(x), activations="16" if int16 else "8"))
        inputs = verify.make_inputs(q.fixed, simulate.quantise_inputs(q.fixed, q.samples.inputs), seed)
        expected = simulate.run(q.fixed, inputs)
        for core in cores:
            planned = plan(q.fixed, get_core(core))
            flags = SANITIZE if core == "native" else ()
            verify.check_core(
                get_core(core), q.fixed, planned,
                lambda trace, planned=planned: render_library(make_library(planned, q, trace=trace)),
                model_view(planned), inputs, expected, flags,
            )  # fmt: skip
    except ModelError as e:
        if any(words in str(e) for words in (*DOCUMENTED_REFUSALS, "gives NaN or infinite values")):
            return "refused"  # or what it remembers left the range of a root or a logarithm
        raise
    return ""


def main() -> int:
    first, _, last = sys.argv[1].partition("-")
    cores = tuple(sys.argv[2].split(",")) if len(sys.argv) > 2 else ("native",)
    bad = 0
    for seed in range(int(first), int(last or first) + 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                said = check(seed, Path(folder), cores, int16=seed % 3 == 2)
            except (TinygenError, AssertionError, ValueError, KeyError, IndexError) as e:
                said, bad = f"{type(e).__name__}: {e}", bad + 1
        if said:
            print(seed, said[:400], flush=True)
    print(f"{bad} failures")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
