"""Quantisations that a QDQ file tells beside its graph: of what an operator keeps inside, and no QuantizeLinear stands
behind (a cell of 24 bits, the sums of gates). They are a property of the model, `tinygen.scales`: JSON, for the name of
each such node a table of its outputs (`Operator.told`): scale, zero point and bits. What is tied to them follows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from onnx import ModelProto

from tinygen.errors import ModelError
from tinygen.ir.types import Graph, Quant
from tinygen.ops.base import Operator

KEY = "tinygen.scales"
#: `producer_name` of files that tinygen wrote.
PRODUCER = "tinygen"
#: Bits of activations that QuantizeLinear has.
BITS = (8, 16)
#: By the name of a node, then of its outputs.
Told = Mapping[str, Mapping[str, Quant]]


def record(graph: Graph) -> str:
    """The property of a graph whose activations are all pinned; "" where nothing is to be told."""
    found: dict[str, dict[str, list[float]]] = {}
    for node in graph.nodes:
        assert isinstance(node.op, Operator)
        names = node.op.told
        for name, t in zip(names, graph.outs(node) if names else (), strict=True):
            if t.quant is None:
                raise ValueError(f'tensor "{t.name}" has no scale: to_qdq writes graphs with every activation pinned')
            found.setdefault(node.name, {})[name] = [t.quant.s, t.quant.zero_point, t.quant.bits]
    return json.dumps(found, separators=(",", ":")) if found else ""


def told(path: Path, model: ModelProto) -> Told:
    """What a file tells; ModelError for a property that is none."""
    text = next((p.value for p in model.metadata_props if p.key == KEY), "")
    try:
        return {
            node: {name: Quant.per_tensor(float(s), int(z), int(bits)) for name, (s, z, bits) in outs.items()}
            for node, outs in (json.loads(text) if text else {}).items()
        }
    except (ValueError, TypeError, AttributeError) as e:
        raise ModelError(
            f'{path}: its property "{KEY}" is no table of scales ({e}). tinygen writes it beside recurrent layers: '
            "write the file again, or remove the property (model.metadata_props) and build with data."
        ) from e
