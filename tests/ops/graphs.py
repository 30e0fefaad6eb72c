"""One-node graphs from the operators' own named cases."""

from __future__ import annotations

import numpy as np

from tinygen.ir.types import Graph, Node, Port, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops import OPERATORS, Case

CASES = [(f"{cls.__name__}-{case.name}", case) for cls in OPERATORS for case in cls.cases()]


def case_graph(case: Case) -> Graph:
    """The FLOAT graph of a case: inputs x0, x1, ..., outputs y, y1, ...; what only calibration sees is none."""
    tensors = [
        Tensor(f"x{i}", given) if isinstance(given, tuple) else Tensor.constant(f"k{i}", given)
        for i, given in enumerate(case.inputs)
    ]
    shapes = case.op.infer(*(t.shape for t in tensors))
    types = case.op.types(*(t.dtype for t in tensors))
    outs = [Tensor(f"y{i or ''}", s, t) for i, (s, t) in enumerate(zip(shapes, types, strict=True))]
    shown = outs[: len(outs) - case.op.watched]
    inputs = tuple(t for t in tensors if t.const is None)
    node = Node("node", case.op, tuple(t.name for t in tensors), tuple(t.name for t in outs), ("/case/node",))
    return Graph(
        "case",
        Stage.FLOAT,
        {t.name: t for t in (*tensors, *outs)},
        (node,),
        tuple(t.name for t in inputs),
        tuple(t.name for t in shown),
        tuple(Port.plain(t.name, t.shape) for t in inputs),
        tuple(Port.plain(t.name, t.shape) for t in shown),
    )


def samples(graph: Graph, count: int = 6, seed: int = 0) -> list[Array]:
    """Random float inputs, (count, *shape) each."""
    rng = np.random.default_rng(seed)
    return [(2 * rng.normal(size=(count, *graph.tensors[n].shape))).astype(np.float32) for n in graph.inputs]
