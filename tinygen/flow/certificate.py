"""certificate.json: what was proved, on what, by what."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from tinygen.flow import verify
from tinygen.flow.private import hidden_verdict
from tinygen.flow.types import Built
from tinygen.flow.verdict import verdict_json
from tinygen.passes import simplify
from tinygen.version import ABI, NUMERICS, VERSION

FILE = "certificate.json"
#: Of the file's form: docs/SCHEMAS.md.
SCHEMA = 1


def render_certificate(built: Built) -> bytes:
    """The file's content."""
    return (json.dumps(certificate_of(built), indent=2) + "\n").encode()


def certificate_of(built: Built) -> dict[str, Any]:
    """What was proved, on what, by what. No dates, no paths."""
    m, asked, target, verdict = built.model, built.calibration, built.target, built.verdict
    private, activations = target.library.private, asked.activations
    if private:
        verdict = None if verdict is None else hidden_verdict(verdict, m.tidy)
        activations = activations if activations in ("8", "16") else "mixed"
    return {
        "schema": SCHEMA,
        "tinygen": VERSION,
        "numerics": NUMERICS,
        "abi": ABI,
        "model": {
            "name": m.imported.graph.name,
            "sha256": None if private else m.imported.sha256,
            "opset": m.imported.opset,
        },
        "options": {
            "board": built.board.id,
            "core": built.board.core.name,
            "calibration": "scales of the model" if m.imported.quantised else asked.method,
            "activations": activations,
            "calibration_data_sha256": None if m.synthetic or private else m.samples.sha256,
            "calibration_samples": len(m.samples.inputs[0]),
            "arena": "static" if target.library.static_arena else "caller",
            "optimize": target.optimize,
            "plain_stack": target.plain_stack,
            "zero_wait": built.board.zero_wait,
            "code_in_ram": built.board.code_in_ram,
            "sensors": list(target.library.sensors),
            "private": private,
            **_edges(built),
        },
        "build_id": built.library.build_id,
        "inputs_sha256": hashlib.sha256(verify.sample_bytes(built.inputs)).hexdigest(),
        "outputs_sha256": {
            "numpy": hashlib.sha256(verify.sample_bytes(built.expected)).hexdigest(),
            **{r.core: r.outputs_sha256 for r in built.results},
        },
        "samples": len(built.inputs[0]),
        "import": m.checked.record(),
        # No partial sum of a layer can go beyond its figure, whatever the input and the order of the terms.
        "accumulators": {"below": 2**31, "layers": simplify.largest_sums(m.fixed)},
        "accuracy": None if verdict is None else verdict_json(verdict),
        "verified": bool(built.results),
        "not_verified": list(built.not_verified),
    }


def _edges(built: Built) -> dict[str, Any]:
    """What was said of the model's edges, where something was: pairs that are states, inputs that are constants."""
    m = built.model.imported
    if built.target.library.private:
        return {"states": len(m.states)} if m.states else {}
    found: dict[str, Any] = {"states": dict(m.states)} if m.states else {}
    return found | ({"constants": {k: np.asarray(v).tolist() for k, v in m.constants.items()}} if m.constants else {})
