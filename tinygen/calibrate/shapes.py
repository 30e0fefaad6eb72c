"""Does an array hold samples of an input? If not, what would make it fit."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from tinygen.errors import DataError
from tinygen.ir.types import Port
from tinygen.numerics import Array
from tinygen.ops.base import Shape


def fit(x: Array, port: Port, where: str) -> Array:
    """`x` as (n, *port.shape), or a DataError that says what would help."""
    if x.size == 0:
        raise DataError(f"{where}: no samples, found shape {show(x.shape)}. At least one is needed.")
    shape = port.shape
    if x.shape[1:] == shape:
        return x
    if x.shape == shape:
        return x[None]
    rest = shape[1:]
    if shape[:1] == (1,):
        if x.shape == rest:
            return x[None, None]
        if x.ndim == len(shape) and x.shape[1:] == rest:
            return x[:, None]
        allowed = f"{show(('n', *rest))} for n samples, or {show(rest)} for one"
    else:
        allowed = f"{show(('n', *shape))} for n samples, or {show(shape)} for one"
    hint = _hint(x.shape, rest if shape[:1] == (1,) else shape)
    raise DataError(
        f'{where}: found shape {show(x.shape)}; input "{port.name}" is {show(shape)}, allowed: {allowed}. {hint}'
    )


def fit_streams(x: Array, port: Port, where: str) -> Array:
    """`x` as streams (n, steps, *port.shape), or a DataError that says what would help."""
    if x.size == 0:
        raise DataError(f"{where}: no samples, found shape {show(x.shape)}. At least one is needed.")
    shape, rest = port.shape, port.shape[1:]
    batch = shape[:1] == (1,)
    if x.shape[1:] == shape:
        return x[None]
    if x.shape[2:] == shape:
        return x
    if batch and x.ndim == len(shape) and x.shape[1:] == rest:
        return x[None, :, None]
    if batch and x.ndim == len(shape) + 1 and x.shape[2:] == rest:
        return x[:, :, None]
    want = rest if batch else shape
    raise DataError(
        f'{where}: found shape {show(x.shape)}; input "{port.name}" is {show(shape)} and the network keeps a state, so '
        f"samples are streams of calls: {show(('streams', 'steps', *want))}, or {show(('steps', *want))} for one."
    )


def show(shape: Sequence[int | str]) -> str:
    return f"({', '.join(str(d) for d in shape)}{',' if len(shape) == 1 else ''})"


def _hint(found: Shape, want: Shape) -> str:
    """What would make an array of shape `found` fit samples of shape `want`."""
    k = len(want)
    last_to_first = (k - 1, *range(k - 1))
    first_to_last = (*range(1, k), 0)
    kinds = {
        first_to_last: "channels first where the model has them last",
        last_to_first: "channels last where the model has them first",
    }
    for lead in (1, 2, 0):  # (n, *sample), (n, 1, *sample), (*sample)
        sample = found[lead:]
        if len(sample) != k or not 2 <= k <= 5 or (lead == 2 and found[1] != 1):
            continue
        others = (p for p in itertools.permutations(range(k)) if p not in kinds)
        for perm in (last_to_first, first_to_last, *others):
            if tuple(sample[p] for p in perm) == want:
                axes = (*range(lead), *(p + lead for p in perm))
                return f"It looks transposed ({kinds.get(perm, 'other order of axes')}): x.transpose{axes} would fit."
    target = show((-1, *want))
    if [d for d in found[1:] if d != 1] == [d for d in want if d != 1]:
        return f"Only axes of length 1 differ: x.reshape{target} would fit."
    size = int(np.prod(found, dtype=np.int64)), int(np.prod(want, dtype=np.int64))
    if size[1] and size[0] % size[1] == 0:
        return f"If the elements are in the model's order, x.reshape{target} would fit."
    return "Prepare the data exactly as for the float model."
