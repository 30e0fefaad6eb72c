"""What a variant is: another way to compute a reference call, with constants packed for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tinygen.numerics import Array
from tinygen.ops.base import Call, ConstArg

#: Takes a reference call and gives the packed call, or the reason why it cannot: empty where it is no news.
Variant = Callable[[Call], Call | str]
#: Reference kernel to its variants, the preferred first.
Variants = dict[str, tuple[Variant, ...]]


def ints(call: Call) -> dict[str, int]:
    """The config fields that are plain numbers."""
    return {name: value for name, value in call.config if isinstance(value, int)}


def consts(call: Call) -> dict[str, Array]:
    """The constants by suffix."""
    return {c.suffix: c.array for c in call.consts}


def packed(call: Call, kernel: str, scratch: int = 0, **arrays: Array) -> Call:
    """`call` as one of `kernel`, with these constants in this order."""
    return replace(call, kernel=kernel, consts=tuple(ConstArg(k, v) for k, v in arrays.items()), scratch=scratch)
