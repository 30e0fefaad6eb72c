"""A plan as the C library: its words, and what programs around it must know."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction

from tinygen.emit.programs import ModelView, PortView
from tinygen.emit.view import LibraryView, library_view
from tinygen.flow.types import Library, Quantised
from tinygen.ir.text import dump
from tinygen.ir.types import Graph
from tinygen.plan import sensor
from tinygen.plan.types import Plan
from tinygen.version import ABI, NUMERICS, VERSION


def sensors_of(fixed: Graph, library: Library) -> Mapping[int, tuple[str, Fraction]]:
    """Type and worth of a step of the sensors that inputs have a helper for: those asked for, and of inputs that take
    integers. Raises DataError for what cannot be read."""
    ports = fixed.in_ports
    return sensor.parse(library.sensors, [p.name for p in ports], [p.codes for p in ports])


def make_library(plan: Plan, model: Quantised, library: Library | None = None, *, trace: bool = False) -> LibraryView:
    """The library's words; the build id is a hash of all that decides its bytes."""
    library = library or Library()
    what = json.dumps(
        [
            VERSION,
            dump(model.fixed),
            plan.core,
            plan.arena_len,
            library.static_arena,
            [asdict(b) for b in plan.buffers],
            *library.sensors,
            *plan.in_ram,
        ]
    )
    sensors = {
        i: sensor.convert(plan.inputs[i], kind, unit) for i, (kind, unit) in sensors_of(model.fixed, library).items()
    }
    return library_view(
        plan,
        version=VERSION,
        abi=ABI,
        numerics=NUMERICS,
        build_id=hashlib.sha256(what.encode()).hexdigest()[:8].upper(),
        sha256="" if library.private else model.imported.sha256,
        model_file=f"{model.imported.graph.name}.onnx",
        static_arena=library.static_arena,
        trace=trace,
        sensors=sensors,
    )


def model_view(plan: Plan) -> ModelView:
    """Names and lengths for the programs around the library."""
    return ModelView(
        plan.name,
        plan.name.upper(),
        VERSION,
        tuple(PortView(e.name, e.length, e.quant.bits) for e in plan.inputs),
        tuple(PortView(e.name, e.length, e.quant.bits) for e in plan.outputs),
        bool(plan.states),
    )
