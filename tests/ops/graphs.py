"""One-node graphs from the operators' own named cases."""

from __future__ import annotations

import numpy as np

from tinygen.ir.types import Graph, Node, Port, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops import OPERATORS, Case

CASES = [(f"{cls.__name__}-{case.name}", case) for cls in OPERATORS for case in cls.cases()]


def case_graph(case: Case) -> Graph:
    """The FLOAT graph of a case: inputs x0, x1, ..., output y."""
    tensors = [
        Tensor(f"x{i}", given) if isinstance(given, tuple) else Tensor.constant(f"k{i}", given)
        for i, given in enumerate(case.inputs)
    ]
    y = Tensor("y", case.op.infer(*(t.shape for t in tensors))[0])
    inputs = tuple(t for t in tensors if t.const is None)
    node = Node("node", case.op, tuple(t.name for t in tensors), ("y",), ("/case/node",))
    return Graph(
        "case",
        Stage.FLOAT,
        {t.name: t for t in (*tensors, y)},
        (node,),
        tuple(t.name for t in inputs),
        ("y",),
        tuple(Port.plain(t.name, t.shape) for t in inputs),
        (Port.plain("y", y.shape),),
    )


def samples(graph: Graph, count: int = 6, seed: int = 0) -> list[Array]:
    """Random float inputs, (count, *shape) each."""
    rng = np.random.default_rng(seed)
    return [(2 * rng.normal(size=(count, *graph.tensors[n].shape))).astype(np.float32) for n in graph.inputs]
