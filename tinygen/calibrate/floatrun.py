"""The float network, executed by onnxruntime one sample at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto
from onnxruntime.capi import onnxruntime_pybind11_state as _state

from tinygen.errors import ModelError
from tinygen.numerics import Array
from tinygen.threads import in_order

#: Called with (done, total).
Progress = Callable[[int, int], None]


def quiet(done: int, total: int) -> None:
    """The Progress that says nothing."""


# onnxruntime's exceptions share no base class of their own; which of them exist depends on its version.
_NAMES = (
    "EPFail",
    "EngineError",
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "ModelLoaded",
    "NoModel",
    "NoSuchFile",
    "NotFound",
    "NotImplemented",
    "RuntimeException",
)
_FAILURES: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(getattr(_state, name) for name in _NAMES if hasattr(_state, name)),
)
_NODE = (
    re.compile(r"running (?P<op>\w+) node\. Name:'(?P<name>[^']*)'"),
    re.compile(r'In Node, \("(?P<name>[^"]*)", (?P<op>\w+),'),
    re.compile(r"Node:? ?\((?P<name>[^)]*)\) Op \((?P<op>\w+)\)"),
    re.compile(r"for (?:the node )?(?P<op>\w+)\(\d+\) node with name '(?P<name>[^']*)'"),
    re.compile(r"[Nn]ode with name '(?P<name>[^']+)'"),
    re.compile(r"[Nn]ode \((?P<name>[^)]+)\)"),
)
#: Rewrites of onnxruntime that change values. Pad_Fusion gives zero padding to a MaxPool, which then ignores it (1.31).
_WRONG_OPTIMIZERS = ["Pad_Fusion"]
_TYPES = {
    "tensor(bool)": np.bool_, "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int8)": np.int8, "tensor(uint8)": np.uint8, "tensor(int16)": np.int16,
    "tensor(int32)": np.int32, "tensor(int64)": np.int64,
}  # fmt: skip


def _failure(action: str, error: Exception) -> ModelError:
    """A ModelError that names the node, if onnxruntime's message does."""
    text = " ".join(str(error).split())
    where = ""
    for pattern in _NODE:
        match = pattern.search(text)
        if match:
            parts = match.groupdict()
            name = f' "{parts["name"]}"' if parts["name"] else ""
            where = f"{parts.get('op') or 'node'}{name}: "
            break
    # The prefix holds an error code and paths of onnxruntime's own sources.
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"\S*/onnxruntime/\S+(:\d+)? ?", "", text)
    return ModelError(
        f"{where}onnxruntime cannot {action} the float model: {text[:400]}. "
        "Check the model with onnx.checker and run it in onnxruntime first."
    )


@dataclass(frozen=True, slots=True)
class Loop:
    """An output that comes back as an input of the next run: the names of both, and what the input is at first."""

    reads: str
    writes: str
    initial: Array


#: Samples that one thread runs at a time.
_AHEAD = 8
#: Nodes of a model that onnxruntime optimises.
MOST_OPTIMISED = 3000


class FloatModel:
    """An ONNX model with a fixed batch of 1; one thread, so that every run gives the same bits. `as_written`: without
    onnxruntime's optimisations, so that every QuantizeLinear rounds where the file says."""

    def __init__(self, onnx_bytes: bytes, *, as_written: bool = False) -> None:
        options = ort.SessionOptions()
        if as_written:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong is raised, and said once
        options.use_deterministic_compute = True
        # Of thousands of nodes its optimisations take longer than they save, and more than in proportion. An If whose
        # condition they find constant they put in its place: with one inside it they refuse the file, or crash (1.31).
        with suppress(DecodeError):  # onnxruntime says what is wrong
            nodes = ModelProto.FromString(onnx_bytes).graph.node
            if len(nodes) > MOST_OPTIMISED or any(n.op_type == "If" for n in nodes):
                options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = ort.InferenceSession(
                onnx_bytes, options, providers=["CPUExecutionProvider"], disabled_optimizers=_WRONG_OPTIMIZERS
            )
        except _FAILURES as error:
            raise _failure("load", error) from error
        self._inputs = tuple((i.name, _TYPES.get(i.type)) for i in self._session.get_inputs())
        self.input_names: tuple[str, ...] = tuple(name for name, _ in self._inputs)
        self.output_names: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())

    def run(self, inputs: Sequence[Array], outputs: Sequence[str] | None = None) -> list[Array]:
        """One sample: arrays in the shapes of the ONNX inputs, batch of 1 included. All outputs, or those named."""
        if len(inputs) != len(self._inputs):
            raise ValueError(f"{len(inputs)} arrays for {len(self._inputs)} inputs {self.input_names}")
        feed = {
            name: np.ascontiguousarray(x if dtype is None else x.astype(dtype, copy=False))
            for (name, dtype), x in zip(self._inputs, inputs, strict=True)
        }
        try:
            results: list[Array] = self._session.run(None if outputs is None else list(outputs), feed)
        except _FAILURES as error:
            raise _failure("run", error) from error
        return results

    def run_each(self, inputs: Sequence[Array], outputs: Sequence[str] | None = None) -> Iterator[list[Array]]:
        """`run` of each of the samples (n, *input shape), in their order, some ahead of who reads."""

        def some(first: int) -> list[list[Array]]:
            last = min(first + _AHEAD, len(inputs[0]))
            return [self.run([x[i] for x in inputs], outputs) for i in range(first, last)]

        for results in in_order(some, range(0, len(inputs[0]), _AHEAD)):
            yield from results

    def run_many(self, inputs: Sequence[Array], progress: Progress = quiet) -> list[Array]:
        """Samples (n, *input shape) one by one; each output stacked as (n, *output shape)."""
        total = len(inputs[0])
        stacked: list[Array] = []
        for i, results in enumerate(self.run_each(inputs)):
            if not stacked:
                stacked = [np.empty((total, *r.shape), r.dtype) for r in results]
            for name, store, result in zip(self.output_names, stacked, results, strict=True):
                if store.shape[1:] != result.shape:
                    raise ModelError(
                        f'output "{name}": shape {store.shape[1:]} for one sample, {result.shape} for another; '
                        "only shapes that do not depend on the data are supported."
                    )
                store[i] = result
            progress(i + 1, total)
        return stacked

    def run_streams(
        self, inputs: Mapping[str, Array], loops: Sequence[Loop], progress: Progress = quiet
    ) -> dict[str, Array]:
        """Streams (n, steps, *input shape) by input name, each from the start of every loop on; all outputs by name,
        (n, steps, *output shape)."""
        count, steps = next(iter(inputs.values())).shape[:2]
        stacked: dict[str, Array] = {}
        for i in range(count):
            held = {loop.reads: loop.initial for loop in loops}
            for step in range(steps):
                given = {name: x[i, step] for name, x in inputs.items()} | held
                found = dict(zip(self.output_names, self.run([given[n] for n in self.input_names]), strict=True))
                if not stacked:
                    stacked = {n: np.empty((count, steps, *y.shape), y.dtype) for n, y in found.items()}
                for name, y in found.items():
                    stacked[name][i, step] = y
                held = {loop.reads: found[loop.writes] for loop in loops}
            progress(i + 1, count)
        return stacked
