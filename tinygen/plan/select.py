"""Choose a kernel for every call: the core's own variant where its predicate allows, the reference otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tinygen.ops.base import Call

#: A variant takes a reference call and gives the packed call, or the reason why it cannot.
Variant = Callable[[Call], Call | str]


def select(call: Call, kernel_sets: Sequence[str]) -> Call:
    """The call with the first variant among `kernel_sets` (best first, "ref" last) that accepts it, and why."""
    reasons: list[str] = []
    for name in kernel_sets:
        variant = VARIANTS.get((name, call.kernel))
        if variant is None:
            continue
        found = variant(call)
        if isinstance(found, Call):
            return replace(found, why=f"{name} kernel" + (f" ({'; '.join(reasons)})" if reasons else ""))
        reasons.append(f"not {name}: {found}")
    return replace(call, why="; ".join(reasons) if reasons else "reference kernel")


VARIANTS: dict[tuple[str, str], Variant] = {}
