"""Which of its candidates each call becomes: cycles against flash and RAM, kernels and constants that layers share
counted once."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tinygen.ops.base import Call
from tinygen.plan import cost
from tinygen.targets.flash import Flash
from tinygen.targets.kernel_sizes import known_bytes

#: What a kibibyte of flash is worth, as a part of the network's time.
KIB_WORTH = {"speed": 1e-6, "balanced": 0.01, "size": 0.25}
#: What all constants of the network are worth where compression left them few values or many zeros: who compressed it
#: asked for flash, so halving them may cost 1.5 times the network's time, whatever its size. Not for `speed`.
COMPRESSED_WORTH = {"speed": 0.0, "balanced": 3.0, "size": 3.0}
#: What all of the network's activations as stack or scratch again would be worth, likewise.
RAM_WORTH = {"speed": 0.0, "balanced": 0.3, "size": 0.3}
#: For a flash that nobody described: an instruction cache of a kibibyte holds loops up to so many bytes; longer ones
#: wait. Measured in KERNELS terms (128-bit flash, 5 wait states): 1.3 to 1.5 times the cycles. Not for `speed`.
HOT_BYTES, HOT_FACTOR = 1000, 1.35
#: Flash of a kernel whose size was never recorded.
UNKNOWN_BYTES = 1024
SWEEPS = 20
#: Units of a cycle in which options are compared.
UNIT = 1 << 24


@dataclass(frozen=True)
class _Priced:
    """A candidate: cycles, bytes of RAM, and the worth of bytes of flash, as parts of the network's time: of code by
    kernel, and of constants by content: layers share what is equal."""

    call: Call
    cycles: float
    ram: int
    code: tuple[tuple[str, float], ...]
    constants: tuple[tuple[str, float], ...]

    def in_units(self, fastest: float) -> _Option:
        """`fastest`: cycles of the network if every call took its fastest candidate."""
        worths: dict[str, float] = {**dict(self.code), **dict(self.constants)}
        shared = {key: round(UNIT * fastest * worth) for key, worth in worths.items()}
        return _Option(self.call, round(UNIT * self.cycles), self.ram, shared, frozenset(k for k, _ in self.code))


@dataclass(frozen=True)
class _Option:
    """A candidate in units: cycles, and what each kernel and constant is worth; `ram`: bytes that it takes beyond the
    least arena: stack, and scratch that finds no room beside its input and output."""

    call: Call
    cycles: int
    ram: int
    shared: Mapping[str, int]
    kernels: frozenset[str]


class _Chosen:
    """One option of each row, and what the whole is worth: kernels and constants that several share count once.

    In whole units, so that the order of adding does not matter and a change costs what it touches.
    """

    def __init__(self, options: Sequence[_Option], byte_of_ram: float) -> None:
        self.options = list(options)
        self.byte_of_ram = byte_of_ram
        self._sum = 0
        self._users: Counter[str] = Counter()
        self._worth: dict[str, int] = {}
        self._rams: Counter[int] = Counter()
        for o in options:
            self._add(o)

    @property
    def value(self) -> int:
        return self._sum + self._ram(max(self._rams, default=0))

    def change(self, i: int, option: _Option) -> None:
        """Row i takes another option."""
        self._remove(self.options[i])
        self._add(option)
        self.options[i] = option

    def best(self, i: int, row: Sequence[_Option]) -> _Option:
        """The option of row i that makes the whole best, the first of equals."""
        self._remove(self.options[i])
        most = max(self._rams, default=0)

        def value(o: _Option) -> int:
            new = sum(worth for key, worth in o.shared.items() if not self._users[key])
            return o.cycles + new + self._ram(max(most, o.ram))

        found = min(row, key=value)
        self._add(self.options[i])
        return found

    def _ram(self, most: int) -> int:
        return round(self.byte_of_ram * most)

    def _add(self, o: _Option) -> None:
        self._sum += o.cycles
        self._rams[o.ram] += 1
        for key, worth in o.shared.items():
            self._users[key] += 1
            if self._users[key] == 1:
                self._worth[key] = worth
                self._sum += worth

    def _remove(self, o: _Option) -> None:
        self._sum -= o.cycles
        self._rams[o.ram] -= 1
        if not self._rams[o.ram]:
            del self._rams[o.ram]
        for key in o.shared:
            self._users[key] -= 1
            if not self._users[key]:
                self._sum -= self._worth[key]


def choose(
    candidates: Sequence[Sequence[Call]],
    core: str,
    optimize: str,
    *,
    activations: int,
    free: Sequence[int] = (),
    flash: Flash | None = None,
    in_ram: Collection[str] = (),
    kib_worth: float | None = None,
    ram_worth: float | None = None,
) -> tuple[Call, ...]:
    """One call of each row. `activations`: bytes of the largest input and output of a layer, the least arena; `free`:
    how many of them a row's own layer leaves free, for scratch (where not given, scratch counts nothing). `flash`:
    where code and constants are read from; None where nobody described it. Kernels and contents of constants `in_ram`
    never wait. `kib_worth`, `ram_worth`: instead of the mode's own.

    Starts from the best of each by itself, then changes one call, or many, as long as the whole gets better:
    deterministic, and never worse than the start.
    """
    total = sum(k.array.nbytes for row in candidates for k in row[-1].consts)
    byte = (KIB_WORTH[optimize] if kib_worth is None else kib_worth) / 1024
    spare = free or [sys.maxsize] * len(candidates)
    priced = [
        _options(row, core, optimize, flash, total, in_ram, byte, room)
        for row, room in zip(candidates, spare, strict=True)
    ]
    fastest = sum(min(o.cycles for o in row) for row in priced)
    rows = [[o.in_units(fastest) for o in row] for row in priced]
    byte_of_ram = UNIT * fastest * (RAM_WORTH[optimize] if ram_worth is None else ram_worth) / max(activations, 1)
    chosen = _Chosen([min(row, key=lambda o: _Chosen([o], byte_of_ram).value) for row in rows], byte_of_ram)
    for _ in range(SWEEPS):
        before = chosen.value
        for i, row in enumerate(rows):
            if len(row) > 1:
                chosen.change(i, chosen.best(i, row))
        _all_at_once(rows, chosen)
        if chosen.value >= before:
            break
    return tuple(
        replace(o.call, why=f"{o.call.why}, one of {len(row)} for {optimize}" if len(row) > 1 else o.call.why)
        for o, row in zip(chosen.options, rows, strict=True)
    )


def _all_at_once(rows: Sequence[Sequence[_Option]], chosen: _Chosen) -> None:
    """For each kernel: all that can use it do, or nobody does; for each amount of RAM: nobody takes more. Where the
    whole is better so."""
    with_kernel: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        for kernel in dict.fromkeys(k for o in row for k in o.kernels):
            with_kernel.setdefault(kernel, []).append(i)
    for kernel in sorted(with_kernel):
        here = with_kernel[kernel]
        _try(rows, chosen, here, lambda o, k=kernel: k in o.kernels)  # type: ignore[misc]
        _try(rows, chosen, here, lambda o, k=kernel: k not in o.kernels)  # type: ignore[misc]
    for ram in sorted({o.ram for row in rows for o in row}):
        above = [i for i, o in enumerate(chosen.options) if o.ram > ram]
        _try(rows, chosen, above, lambda o, r=ram: o.ram <= r)  # type: ignore[misc]


def _try(
    rows: Sequence[Sequence[_Option]], chosen: _Chosen, where: Iterable[int], wanted: Callable[[_Option], bool]
) -> None:
    """The fastest option that is wanted in each row that has one; undone where the whole is no better."""
    before, undo = chosen.value, []
    for i in where:
        fits = [] if wanted(chosen.options[i]) else [o for o in rows[i] if wanted(o)]
        if fits:
            undo.append((i, chosen.options[i]))
            chosen.change(i, min(fits, key=lambda o: o.cycles))
    if chosen.value >= before:
        for i, option in undo:
            chosen.change(i, option)


def _options(
    row: Sequence[Call],
    core: str,
    optimize: str,
    flash: Flash | None,
    total: int,
    in_ram: Collection[str],
    byte: float,
    free: int,
) -> list[_Priced]:
    """The candidates with what they cost, on a core that nobody measured the preferred one alone. `total`: bytes of the
    network's constants; `byte`: what a byte of flash is worth; `free`: bytes of the arena for scratch. KeyError for a
    kernel without a cost."""
    constant = byte
    if any(c.compressed for c in row):
        constant = max(constant, COMPRESSED_WORTH[optimize] / max(total, 1))
    priced = row if cost.measured(core) else row[:1]
    return [_option(c, core, optimize, flash, byte, constant, in_ram, free) for c in priced]


def _option(
    call: Call,
    core: str,
    optimize: str,
    flash: Flash | None,
    byte: float,
    constant: float,
    in_ram: Collection[str] = (),
    free: int = 0,
) -> _Priced:
    """`byte` of code and `constant` of the call's constants: what one is worth."""
    cycles = cost.cycles(call, core) if cost.measured(core) else 0.0
    waits = None if flash is None else cost.stalls(call, core, flash, in_ram)
    if waits is not None:
        cycles += waits
    elif optimize == "balanced" and any(g.hot > HOT_BYTES for g in call.generated):
        cycles *= HOT_FACTOR
    code = [(name, byte * size) for name, size in code_bytes(call, core).items()]
    constants = [(c.content, constant * c.array.nbytes) for c in call.consts]
    ram = call.stack + max(call.scratch - free, 0)
    return _Priced(call, cycles, ram, tuple(code), tuple(constants))


def code_bytes(call: Call, core: str) -> dict[str, int]:
    """Bytes of each kernel that a call needs."""
    found = {name: known_bytes(core, name) or UNKNOWN_BYTES for name in call.library}
    return found | {g.name: g.code for g in call.generated}
