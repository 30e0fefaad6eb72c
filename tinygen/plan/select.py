"""The ways to compute a call: a core's own variants where their predicates allow, and the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tinygen.kernels.registry import ways
from tinygen.ops.base import Call
from tinygen.plan.lift import lift


def candidates(call: Call, kernel_sets: Sequence[str]) -> tuple[Call, ...]:
    """Every way to compute `call` with `kernel_sets` (best first, "ref" last), the reference at the end; `why` says
    which set it is of, or why there is none but the reference. A call with planes may have no candidates."""
    if "dsp" in kernel_sets:
        call = lift(call)
    found: list[Call] = []
    planes = call.x_planes is not None or call.y_planes is not None
    reasons: list[str] = []
    for name in kernel_sets:
        for way in ways(call.kernel, name):
            if planes and not way.planes:
                continue
            made = way.variant(call)
            if isinstance(made, Call):
                found.append(
                    replace(
                        made,
                        why=f"{name} kernel",
                        reference=call.kernel,
                        geometry=call.config,
                        compressed=way.compressed,
                    )
                )
            elif made and name != "ref":  # that most layers are neither sparse nor of few values is no news
                reasons.append(f"not {name}: {made}")
    if planes:
        return tuple(found)
    refused = f" ({'; '.join(dict.fromkeys(reasons))})" if reasons and not found else ""
    return (*found, replace(call, why=f"reference kernel{refused}"))
