"""Weights of a pre-quantised model as they are: every integer of the file, with one scale for each output channel."""

from __future__ import annotations

import numpy as np

from tinygen.frontend.context import Builder, Known, Unsupported
from tinygen.ir.types import Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops import Gather

#: Positions along an axis that a Gather can name.
LONGEST = 65535


def weight_quant(b: Builder, w: Known, out_channels: int, axis: int, repeat: int = 1) -> Quant | None:
    """The quantisation of weights whose output channel is ONNX axis `axis`, as one scale for each output channel.

    Weight / scale is the file's integer less its zero point, in [-255, 255]. None for float weights, and with a note
    for those whose scales belong to something else than outputs.
    """
    q = w.quant
    if q is None:
        return None
    if q.axis is None:
        return Quant(q.scale * out_channels, 0, 0, pin=q.pin)
    if q.axis == axis and len(q.scale) * repeat == out_channels:
        return Quant(q.scale * repeat, 0, 0, pin=q.pin)
    b.note(f'weights "{w.name}" have a scale for each slice of axis {q.axis}, not for each output; quantised again')
    return None


def in_int8(
    b: Builder, x: Tensor, name: str, array: Array, quant: Quant | None, groups: int = 1
) -> tuple[Tensor, Array]:
    """(x, weights) with all weights int8 at their scales, which compute the same: what is beyond int8 (uint8 with a
    zero point) is the sum of several int8, so the input channels that need it are read several times.

    x: (..., C); array: (out channels, ..., C / groups), real values.
    """
    if quant is None:
        return x, array
    scale = np.reshape(np.asarray(quant.scale, np.float64), (-1, *(1,) * (array.ndim - 1)))
    codes = np.rint(array.astype(np.float64) / scale)
    outs, per = len(array), array.shape[-1]
    beyond = int(((codes < -128) | (codes > 127)).sum())
    if not beyond:
        return x, array
    parts, index = [np.clip(codes, -128, 127)], np.arange(groups * per).reshape(groups, per)
    taken = [index]
    rest = codes - parts[0]
    while rest.any():
        used = rest.reshape(groups, outs // groups, -1, per).any(axis=(1, 2))  # [groups][per]
        count = int(used.sum(axis=1).max())
        which = np.argsort(~used, axis=1, kind="stable")[:, :count]  # those used first
        part = np.clip(rest, -128, 127)
        group = np.repeat(np.arange(groups), outs // groups)
        at = which[group].reshape(outs, *(1,) * (array.ndim - 2), count)
        parts.append(np.take_along_axis(part, np.broadcast_to(at, (*array.shape[:-1], count)), axis=-1))
        taken.append(np.take_along_axis(index, which, axis=1))
        rest = rest - part
    order = np.concatenate(taken, axis=1).reshape(-1)
    more = order.size - groups * per
    if order.max() > LONGEST:
        raise Unsupported(
            f'{beyond} of {array.size} weights "{name}" are beyond int8 less their zero point, in more than {LONGEST} '
            "inputs", "Quantise weights symmetrically: weight_type=QInt8.",
        )  # fmt: skip
    b.note(
        f'weights "{name}": {beyond} of {array.size} are beyond int8 once their zero point is taken off; {more} of '
        f"{groups * per} inputs are read again for them, exactly, with {100 * more / (groups * per):.0f} % more "
        "multiplications. Symmetric int8 weights (weight_type=QInt8) need none"
    )
    wide = np.concatenate(parts, axis=-1) * scale
    return b.emit(Gather(len(x.shape) - 1, tuple(int(i) for i in order)), x), wide.astype(np.float32)
