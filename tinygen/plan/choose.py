"""Which of its candidates each call becomes: cycles against flash and stack, kernels and constants that layers share
counted once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.numerics import Array
from tinygen.ops.base import Call
from tinygen.plan import cost
from tinygen.targets.kernel_sizes import known_bytes

#: What to optimise for: cycles with memory that never waits; time and flash, on a part whose flash waits; flash.
MODES = ("speed", "balanced", "size")
#: What a kibibyte of flash is worth, as a part of the network's time.
KIB_WORTH = {"speed": 1e-6, "balanced": 0.01, "size": 0.25}
#: What all constants of the network are worth where compression left them few values or many zeros: who compressed it
#: asked for flash, so halving them may cost 1.5 times the network's time, whatever its size. Not for `speed`.
COMPRESSED_WORTH = {"speed": 0.0, "balanced": 3.0, "size": 3.0}
#: Kernels that read weights in a form that is smaller than int8.
COMPRESSED = ("_pal", "_sparse_")
#: What all of the network's activations as stack again would be worth, likewise.
STACK_WORTH = {"speed": 0.0, "balanced": 0.3, "size": 0.3}
#: An instruction cache of a kibibyte holds loops up to so many bytes; longer ones wait for the flash. Measured in
#: KERNELS terms (128-bit flash, 5 wait states): 1.3 to 1.5 times the cycles.
HOT_BYTES, HOT_FACTOR = 1000, 1.35
#: Flash of a kernel whose size was never recorded.
UNKNOWN_BYTES = 1024
SWEEPS = 20


@dataclass(frozen=True)
class _Option:
    call: Call
    cycles: float
    #: Worth of bytes: of code by kernel, and of constants by content: layers share what is equal.
    code: tuple[tuple[str, float], ...]
    constants: tuple[tuple[bytes, float], ...]


def choose(
    candidates: Sequence[Sequence[Call]], core: str, optimize: str, *, activations: int, slow_loops: bool = True
) -> tuple[Call, ...]:
    """One call of each row. `activations`: bytes of the largest input and output of a layer, the least arena.

    Starts from the best of each by itself, then changes one call, or many, as long as the whole gets better:
    deterministic, and never worse than the start.
    """
    total = sum(k.array.nbytes for row in candidates for k in row[-1].consts)
    rows = [_options(row, core, optimize, slow_loops, total) for row in candidates]
    fastest = sum(min(o.cycles for o in row) for row in rows)
    stack_worth = STACK_WORTH[optimize] / max(activations, 1)

    def value(chosen: Sequence[_Option]) -> float:
        code = {name: worth for o in chosen for name, worth in o.code}
        constants = {content: worth for o in chosen for content, worth in o.constants}
        stack = max((o.call.stack for o in chosen), default=0)
        return sum(o.cycles for o in chosen) + fastest * (
            sum(code.values()) + sum(constants.values()) + stack_worth * stack
        )

    chosen = [min(row, key=lambda o: value([o])) for row in rows]
    for _ in range(SWEEPS):
        before = value(chosen)
        chosen = _one_by_one(rows, chosen, value)
        chosen = _all_at_once(rows, chosen, value)
        if value(chosen) >= before:
            break
    return tuple(
        replace(o.call, why=f"{o.call.why}, one of {len(row)} for {optimize}" if len(row) > 1 else o.call.why)
        for o, row in zip(chosen, rows, strict=True)
    )


def _one_by_one(
    rows: Sequence[Sequence[_Option]], chosen: Sequence[_Option], value: Callable[[Sequence[_Option]], float]
) -> list[_Option]:
    """Each call in turn takes its best candidate beside what the others use already."""
    result = list(chosen)
    for i, row in enumerate(rows):
        if len(row) > 1:
            result[i] = min(row, key=lambda o: value([*result[:i], o, *result[i + 1 :]]))
    return result


def _all_at_once(
    rows: Sequence[Sequence[_Option]], chosen: Sequence[_Option], value: Callable[[Sequence[_Option]], float]
) -> list[_Option]:
    """For each kernel: all that can use it do, or nobody does; for each amount of stack: nobody takes more. Where the
    whole is better so."""
    best, best_value = list(chosen), value(chosen)
    kernels = sorted({name for row in rows for o in row for name, _ in o.code})
    tests: list[Callable[[_Option], bool]] = []
    for kernel in kernels:
        tests += [lambda o, k=kernel: k in dict(o.code), lambda o, k=kernel: k not in dict(o.code)]  # type: ignore[misc]
    for stack in sorted({o.call.stack for row in rows for o in row}):
        tests.append(lambda o, s=stack: o.call.stack <= s)  # type: ignore[misc]
    for wanted in tests:
        trial = []
        for row, o in zip(rows, best, strict=True):
            fits = [c for c in row if wanted(c)]
            trial.append(o if wanted(o) or not fits else min(fits, key=lambda c: c.cycles))
        trial_value = value(trial)
        if trial_value < best_value:
            best, best_value = trial, trial_value
    return best


def _options(row: Sequence[Call], core: str, optimize: str, slow_loops: bool, total: int) -> list[_Option]:
    """The candidates with what they cost; those that nobody measured only where there is nothing else. `total`: bytes
    of the network's constants."""
    measured = [c for c in row if cost.known(c, core)] or list(row[:1])
    constant = KIB_WORTH[optimize] / 1024
    if any(part in name for c in row for name in (c.kernel, *c.uses) for part in COMPRESSED):
        constant = max(constant, COMPRESSED_WORTH[optimize] / max(total, 1))
    return [_option(c, core, optimize, optimize == "balanced" and slow_loops, constant) for c in measured]


def _option(call: Call, core: str, optimize: str, slow_loops: bool, constant: float) -> _Option:
    """`constant`: what a byte of the call's constants is worth."""
    cycles = cost.cycles(call, core) if cost.known(call, core) else 0.0
    if slow_loops and any(g.hot > HOT_BYTES for g in call.generated):
        cycles *= HOT_FACTOR
    byte = KIB_WORTH[optimize] / 1024
    code = [(name, byte * (known_bytes(core, name) or UNKNOWN_BYTES)) for name in call.library]
    code += [(g.name, byte * g.code) for g in call.generated]
    constants = [(_content(c.array), constant * c.array.nbytes) for c in call.consts]
    return _Option(call, cycles, tuple(code), tuple(constants))


def _content(a: Array) -> bytes:
    """Equal for arrays of which emit keeps one."""
    return hashlib.blake2b(a.dtype.str.encode() + np.ascontiguousarray(a).tobytes(), digest_size=16).digest()
