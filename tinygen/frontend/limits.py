"""What a file may claim, checked before anything is computed: a few bytes can ask for gigabytes or for ever.

The limits lie far beyond what any microcontroller holds, so that whoever meets one has a damaged or hostile file, or a
network for another kind of machine. How much a *board* holds is checked when the graph is known (flow/demands.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

from tinygen.errors import ModelError

#: Bytes of a model, external data included: 32 million float weights.
MAX_BYTES = 128 << 20
#: ONNX nodes, those of subgraphs included, functions written out.
MAX_NODES = 8192
#: Subgraphs within subgraphs, functions within functions.
MAX_DEPTH = 16
#: Axes of a tensor.
MAX_RANK = 8
#: Elements of an activation, padding included.
MAX_ELEMENTS = 1 << 26
#: Elements of all constants that are computed from others.
MAX_COMPUTED = 1 << 24
#: Inputs, and outputs.
MAX_PORTS = 256


def too_large(shape: Sequence[int]) -> str | None:
    """Why no tensor may have this shape, or None."""
    if len(shape) > MAX_RANK:
        return f"it has {len(shape)} axes; tinygen takes at most {MAX_RANK}"
    elements = math.prod(max(int(d), 1) for d in shape)
    if elements > MAX_ELEMENTS:
        return f"{show(shape)} are {elements:,} elements, more than any microcontroller holds"
    return None


def show(shape: Sequence[int]) -> str:
    """A shape as text: of a long one the beginning."""
    text = ", ".join(map(str, shape[:MAX_RANK]))
    return f"[{text}, ...]" if len(shape) > MAX_RANK else f"[{text}]"


def subgraphs(node: NodeProto) -> list[GraphProto]:
    """Graphs inside a node (If, Loop, Scan)."""
    found = []
    for a in node.attribute:
        if a.type == AttributeProto.GRAPH:
            found.append(a.g)
        found.extend(a.graphs)
    return found


def check_structure(path: Path, model: ModelProto) -> None:
    """Raise ModelError for a model that is nested, called, named or counted beyond the limits."""
    for group, kind in ((model.graph.input, "inputs"), (model.graph.output, "outputs")):
        if len(group) > MAX_PORTS:
            raise ModelError(
                f"{path}: the graph has {len(group):,} {kind}; tinygen takes at most {MAX_PORTS}. "
                f"Join them in the model (Concat), or cut it into several: onnx.utils.extract_model."
            )
    for o in model.opset_import:
        if not 0 < o.version < 1 << 31:
            raise ModelError(
                f'{path}: operator set "{o.domain}" has version {o.version}. The file is damaged: export it again.'
            )
    _check_rank(path, model)
    for n in _flat(path, model.graph.node):
        references = [a.name for a in n.attribute if a.ref_attr_name]
        if references:
            raise ModelError(
                f'{path}: node "{n.name or n.op_type}": its attribute "{references[0]}" refers to one of a function, '
                "but it stands in none. The file is damaged: export it again."
            )
    functions = {(f.domain, f.name): f.node for f in model.functions}
    nodes = _Counter(path, functions).count(model.graph.node)
    if nodes > MAX_NODES:
        raise ModelError(
            f"{path}: the graph has {nodes:,} nodes, functions written out; tinygen takes at most {MAX_NODES:,}. "
            "Simplify the model (onnxsim, or export with constant folding), or cut it into several."
        )


def _check_rank(path: Path, model: ModelProto) -> None:
    weights = {t.name: list(t.dims) for t in model.graph.initializer}
    inputs = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in model.graph.input
        if v.name not in weights and v.type.HasField("tensor_type")
    }
    for kind, shapes in (("weights", weights), ("input", inputs)):
        for name, shape in shapes.items():
            reason = too_large(shape)
            if reason is not None:
                raise ModelError(
                    f'{path}: {kind} "{name}": {reason}. Export a smaller network; if the size is wrong, the file is '
                    "damaged."
                )


class _Counter:
    """Counts nodes with functions written out, each function once, and refuses those that call themselves."""

    def __init__(self, path: Path, functions: dict[tuple[str, str], Sequence[NodeProto]]) -> None:
        self.path, self.functions = path, functions
        self.known: dict[tuple[str, str], int] = {}
        self.open: list[tuple[str, str]] = []

    def count(self, nodes: Sequence[NodeProto]) -> int:
        return sum(self._node(n) for n in _flat(self.path, nodes))

    def _node(self, node: NodeProto) -> int:
        key = (node.domain, node.op_type)
        if key not in self.functions:
            return 1
        if key in self.open:
            loop = [name for _, name in (*self.open[self.open.index(key) :], key)]
            raise ModelError(
                f'{self.path}: function "{node.op_type}" calls itself ({" -> ".join(loop[:8])}). ONNX has no '
                "recursion: the file is damaged. Export it again."
            )
        if len(self.open) >= MAX_DEPTH:
            raise ModelError(
                f"{self.path}: functions call each other more than {MAX_DEPTH} deep, at "
                f'"{node.op_type}". Write them out: onnx.inliner.inline_local_functions.'
            )
        if key not in self.known:
            self.open.append(key)
            self.known[key] = self.count(self.functions[key])
            self.open.pop()
        return self.known[key]


def _flat(path: Path, nodes: Sequence[NodeProto], depth: int = 0) -> Iterator[NodeProto]:
    """The nodes, and those of their subgraphs."""
    for n in nodes:
        yield n
        for g in subgraphs(n):
            if depth == MAX_DEPTH:
                raise ModelError(
                    f'{path}: node "{n.name or n.op_type}" has graphs within graphs, more than {MAX_DEPTH} deep. '
                    "Export the model without branches."
                )
            yield from _flat(path, g.node, depth + 1)
