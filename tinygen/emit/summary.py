"""plan.json: what a build holds, for programs: layers, kernels, constants, and the arena over time.

Names and numbers only; sizes in bytes. `tinygen profile` reads it, and it is there for anybody's own tools.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import Any

import numpy as np

from tinygen.emit.stamp import plain
from tinygen.emit.view import ConstTable
from tinygen.ops.base import ConstArg
from tinygen.passes.simplify import Size
from tinygen.plan.types import Endpoint, Kept, Place, Plan, PlannedCall, Step

FILE = "plan.json"
#: Changes when a reader of an older file would misunderstand it.
FORMAT = 1


def render_summary(
    plan: Plan, board: str, before: Size, after: Size, sources: Collection[str], types: Sequence[str] = ()
) -> bytes:
    """The file's content, the same for the same plan. `sources`: names of the library's files; `types`: of the ONNX
    model's inputs.

    `inputs` and `outputs` are `length` integers of `bits`: real = scale * (q - zero_point) + offset (0 where there is
    none), one of each or one for each slice along `axis` of the ONNX tensor; `type`: of an input
    that is no float in ONNX, whose numbers may mean themselves (`codes`). `layers` are in order of execution; `output`
    is where a layer writes, `macs` its multiply-accumulates, `calls` the kernels it calls with the source file of each,
    `constants` names of arrays in <model>_weights.c with their bytes (an array that several layers share is
    named by each). `simplified` says what the network had before parts without any effect were removed, and after.
    `buffers` are pieces of the arena, in use from layer `first` to layer `last`; `states`, where there are any, lie at
    its front and are kept from call to call. `in_ram`: kernels and arrays that are to lie in RAM, where there are any.
    """
    consts = ConstTable(plan.name, plan.in_ram)
    files = {plain(name.removesuffix(".c")): name for name in sources if name.endswith(".c")}
    data = {
        "format": FORMAT,
        "model": plan.name,
        "board": board,
        "core": plan.core,
        "macs": plan.macs,
        "simplified": {"before": asdict(before), "after": asdict(after)},
        "inputs": [{**_port(e), **_input(e, t)} for e, t in zip_longest(plan.inputs, types[: len(plan.inputs)])],
        "outputs": [_port(e) for e in plan.outputs],
        "arena": plan.arena_len,
        "buffers": [
            {"name": b.name, "offset": b.offset, "size": b.size, "first": b.first, "last": b.last} for b in plan.buffers
        ],
        "layers": [_layer(s, consts, files) for s in plan.steps],
    }
    if plan.states:
        data["states"] = [_state(s) for s in plan.states]
    if plan.in_ram:
        moved = [v.name for v in consts.views if v.in_ram]
        data["in_ram"] = {"kernels": list(plan.kernels_in_ram), "constants": moved}
    return (json.dumps(data, indent=2) + "\n").encode()


def _state(s: Kept) -> dict[str, Any]:
    return {
        "name": s.name,
        "shape": list(s.shape),
        "bits": s.quant.bits,
        "scale": [float(np.float32(v)) for v in s.quant.scale],
        "zero_point": [s.quant.zero_point],
        "offset": s.offset,
        "bytes": s.nbytes,
    }


def _port(e: Endpoint) -> dict[str, Any]:
    found = {"name": e.port.name, "length": e.length, "bits": e.quant.bits, "shape": list(e.port.shape)}
    a, q = e.port.affine, e.quant
    scales = q.scale if a is None else a.steps(q.s)
    found["scale"] = [float(np.float32(s)) for s in scales]
    found["zero_point"] = list(q.zero_points) or [q.zero_point]
    if a is not None:
        found["offset"] = list(a.mean)
    axis = q.axis if q.zero_points else a.axis if a is not None and len(a.mean) > 1 else None
    if axis is not None:
        found["axis"] = e.port.perm[axis]
    return found


def _input(e: Endpoint, kind: str | None) -> dict[str, Any]:
    """What a reader of sample files must know of an input that takes integers."""
    if kind is None or kind.startswith("float"):
        return {}
    return {"type": kind, **({"codes": e.port.codes} if e.port.codes else {})}


def _layer(step: Step, consts: ConstTable, files: Mapping[str, str]) -> dict[str, Any]:
    constants: dict[str, int] = {}
    for call in step.calls:
        for const in _constants(call):
            constants[consts.name(step.name, const)] = const.array.nbytes
    first, *also = step.outputs
    layer: dict[str, Any] = {
        "name": step.name,
        "operator": step.title,
        "onnx": list(step.origin),
        "inputs": [list(s) for s in step.in_shapes],
        "shape": list(first.shape),
        "macs": step.macs,
        "output": _place(first.place),
        "calls": [{"kernel": c.call.kernel, "file": files[c.call.kernel], "why": c.call.why} for c in step.calls],
        "constants": constants,
    }
    return layer | ({"also": [{"shape": list(w.shape), "output": _place(w.place)} for w in also]} if also else {})


def _place(p: Place) -> dict[str, Any]:
    return {"space": p.space, "offset": p.offset, "size": p.size}


def _constants(call: PlannedCall) -> list[ConstArg]:
    """In the order in which view.py names them."""
    return [*(i for i in call.inputs if not isinstance(i, Place)), *call.call.consts]
