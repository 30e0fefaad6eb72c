"""Helpers that take a sensor's own integers, without float: code to q, exactly, for every code.

What is exact: clamp(rint((code * unit - mean) / step) + zero point) with all numbers as the rational numbers they are,
half to even. It is worked out here for each of the 256 or 65,536 codes; a table holds it, or

    q = clamp((min(max(code, first), last) * m + b) >> shift), less one where a tie is to go down,

in 64 bits, whose numbers are looked for and then tried on every code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import numpy as np

from tinygen.errors import DataError, did_you_mean
from tinygen.numerics import Array
from tinygen.plan.types import Endpoint

KINDS = {"uint8": "u8", "int8": "s8", "int16": "s16"}
#: Inputs with so many different channels at most are converted by tables of 256 entries.
MOST_TABLES = 4

_ASKED = re.compile(r"(?:(?P<name>.*)=)?(?P<kind>[a-z]+\d+)(?:(?P<op>[*/])(?P<number>[0-9.eE+-]+))?")


@dataclass(frozen=True, slots=True)
class Line:
    """One channel's conversion. `tie` and `period`: codes tie, tie + period, ... give one less; period 0: none do."""

    m: int
    b: int
    shift: int
    first: int
    last: int
    tie: int = 0
    period: int = 0

    def run(self, codes: Array, low: int, high: int) -> Array:
        """What the C does, for int64 codes."""
        x = np.clip(codes, self.first, self.last)
        q = (x * self.m + self.b) >> self.shift
        if self.period:
            q = q - ((x >= self.tie) & ((x - self.tie) % self.period == 0))
        clamped: Array = np.clip(q, low, high)
        return clamped


@dataclass(frozen=True, slots=True)
class Sensor:
    """The conversion of one input from integers of type `kind`. `channel`: which of `tables` or `lines` each channel
    takes (one entry: all the same); `tables` are empty where `lines` are used. `unit`: what one code is worth."""

    kind: str
    unit: Fraction
    channel: tuple[int, ...]
    tables: tuple[tuple[int, ...], ...]
    lines: tuple[Line, ...]


def parse(asked: Sequence[str], names: Sequence[str], codes: Sequence[str]) -> dict[int, tuple[str, Fraction]]:
    """Input number to its sensor's type and the worth of one code. `asked`: [NAME=]TYPE, TYPE*NUMBER, TYPE/NUMBER.

    Inputs that take integers themselves (`codes`) have theirs unasked. Raises DataError for what cannot be read."""
    found = {i: (kind, Fraction(1)) for i, kind in enumerate(codes) if kind}
    for text in asked:
        match = _ASKED.fullmatch(text)
        if match is None or match["kind"] not in KINDS:
            near = did_you_mean("" if match is None else match["kind"], KINDS)
            raise DataError(
                f'sensor "{text}": found no type; allowed is [NAME=]TYPE, TYPE*NUMBER or TYPE/NUMBER (of what one step '
                f"of the sensor is worth to the model), with TYPE one of {', '.join(KINDS)}.{near}"
            )
        name = match["name"] if match["name"] is not None else names[0] if len(names) == 1 else None
        if name is None or name not in names:
            what = f'no input "{name}"' if name is not None else f"{len(names)} inputs and no name"
            raise DataError(f'sensor "{text}": found {what}; the model\'s inputs: {", ".join(names)}. Give NAME=TYPE.')
        try:
            number = Fraction(match["number"] or 1)
            unit = 1 / number if match["op"] == "/" else number
        except (ValueError, ZeroDivisionError):
            unit = Fraction(0)
        if unit <= 0:
            raise DataError(f'sensor "{text}": found the number {match["number"]}; allowed is one above 0.')
        i = list(names).index(name)
        if codes[i] and (match["kind"] != codes[i] or unit != 1):
            raise DataError(
                f'sensor "{text}": input "{name}" itself takes {codes[i]}, so that is what its helper takes.'
            )
        found[i] = match["kind"], unit
    return found


@lru_cache(64)
def convert(e: Endpoint, kind: str, unit: Fraction) -> Sensor:
    """The conversion for an input."""
    a = e.port.affine
    steps = (float(np.float32(e.quant.s)),) if a is None else a.steps(e.quant.s)
    means = (0.0,) if a is None else a.mean
    pairs = list(zip(means, steps, strict=True))
    different = list(dict.fromkeys(pairs))
    channel = tuple(different.index(p) for p in pairs)
    info = np.iinfo(kind)
    codes = np.arange(info.min, info.max + 1, dtype=np.int64)
    low, high = e.quant.low, e.quant.high
    exact = [_exact(codes, unit, *p) for p in different]
    wanted = [(q + e.quant.zero_point, down) for q, down in exact]
    if codes.size == 256 and len(different) <= MOST_TABLES:
        tables = tuple(tuple(np.clip(q, low, high).astype(int).tolist()) for q, _ in wanted)
        return Sensor(kind, unit, channel, tables, ())
    slopes = [unit / Fraction(step) for _, step in different]
    lines = (_line(codes, *w, slope, low, high) for w, slope in zip(wanted, slopes, strict=True))
    return Sensor(kind, unit, channel, (), tuple(lines))


def _exact(codes: Array, unit: Fraction, mean: float, step: float) -> tuple[Array, Array]:
    """(code * unit - mean) / step, rounded half to even, as Python integers; and where a tie was rounded down."""
    top, bottom = unit / Fraction(step), Fraction(mean) / Fraction(step)
    d = top.denominator * bottom.denominator
    n = codes.astype(object) * (top.numerator * bottom.denominator) - bottom.numerator * top.denominator
    floor = n // d
    rest = 2 * (n - floor * d)
    tie, odd = (rest == d).astype(bool), (floor % 2 == 1).astype(bool)
    up = (rest > d).astype(bool) | (tie & odd)
    return floor + up.astype(object), tie & ~odd


def _line(codes: Array, wanted: Array, down: Array, slope: Fraction, low: int, high: int) -> Line:
    """A line that gives `wanted`, clamped, on every code; `down`: its ties that were rounded down."""
    y = np.clip(wanted, low, high).astype(np.int64)
    changed = np.flatnonzero(y[1:] != y[:-1])
    if changed.size == 0:
        return Line(0, int(y[0]), 0, int(codes[0]), int(codes[0]))
    part = slice(int(changed[0]), int(changed[-1]) + 2)  # beyond, every code gives the same as at the end
    x, y, down = codes[part], y[part], down[part] & (wanted[part] >= low) & (wanted[part] <= high)
    for shift in range(_LONGEST_SHIFT, -1, -1):
        m = round(slope * 2**shift)
        if (abs(m) + 1) * int(np.abs(x).max() + 1) >= 2**62:
            continue
        for line in (_fit(x, y, m, shift, low, high), _up(_fit(x, y + down, m, shift, low, high), x[down])):
            if line is not None and np.array_equal(line.run(codes, low, high), np.clip(wanted, low, high)):
                return line
    raise AssertionError(f"no line of slope {float(slope)} gives every code")


#: With 2^46 a line is right to 2^-29 of a step over 65,536 codes: closer than float32 means and steps come to a tie.
_LONGEST_SHIFT = 46


def _fit(x: Array, y: Array, m: int, shift: int, low: int, high: int) -> Line | None:
    """The line of slope m in the middle of those whose values are y; low and high may be overshot."""
    at = x * m
    lowest = [int(v) for v in ((y << shift) - at)[y > low]]
    highest = [int(v) for v in (((y + 1) << shift) - 1 - at)[y < high]]
    least, most = max(lowest, default=-(2**61)), min(highest, default=2**61)
    return None if least > most else Line(m, (least + most) // 2, shift, int(x[0]), int(x[-1]))


def _up(line: Line | None, down: Array) -> Line | None:
    """The line that rounds every tie up, with what it needs to round some of them down."""
    gaps = np.diff(down)
    if line is None or down.size == 0 or (gaps.size and np.any(gaps != gaps[0])):
        return None
    return replace(line, tie=int(down[0]), period=int(gaps[0]) if gaps.size else 2**16)
