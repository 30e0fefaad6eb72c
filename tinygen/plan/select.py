"""Choose a kernel for every call: the core's own variant where its predicate allows, the reference otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tinygen.ops.base import Call
from tinygen.plan.variants import PLANES, VARIANTS


def candidates(call: Call, kernel_sets: Sequence[str]) -> tuple[Call, ...]:
    """Every way to compute `call` with `kernel_sets` (best first, "ref" last), the reference at the end; `why` says
    which set it is of, and why variants before it were refused. A call with planes may have no candidates."""
    found: list[Call] = []
    planes = call.x_planes is not None or call.y_planes is not None
    reasons: list[str] = []
    for name in kernel_sets:
        for variant in VARIANTS.get(name, {}).get(call.kernel, ()):
            if planes and variant not in PLANES:
                continue
            made = variant(call)
            if isinstance(made, Call):
                why = f"{name} kernel" + (f" ({'; '.join(reasons)})" if reasons else "")
                found.append(replace(made, why=why, reference=call.kernel, geometry=call.config))
            else:
                reasons.append(f"not {name}: {made}")
    if planes:
        return tuple(found)
    return (*found, replace(call, why="; ".join(reasons) if reasons else "reference kernel"))


def select(call: Call, kernel_sets: Sequence[str]) -> Call:
    """The first candidate."""
    return candidates(call, kernel_sets)[0]
