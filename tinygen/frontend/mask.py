"""Attention masks: constants that say, in front of a Softmax, which values have no weight.

Written as a sum with -inf (or -1e9, or the smallest float) or as a Where. Here it is the smaller of the scores and a
constant, +MASKED where they stay and -MASKED where they do not: scores keep their scale, and what is masked takes the
smallest integer, whose weight is 0 because ranges in front of a Softmax reach far enough below its maximum
(calibrate/reach.py).
"""

from __future__ import annotations

import numpy as np

from tinygen.frontend.context import Act, Builder, Known, Unsupported, View
from tinygen.ir.types import Tensor
from tinygen.numerics import Array
from tinygen.ops import Add, Expand, Extreme
from tinygen.ops.extreme import MASKED

#: Constants from here on down mean "no weight" where a Softmax follows.
_LOW = -1e4
_WHOLE = "Let such a row see one value and multiply it by 0 behind; or write Attention of opset 23, whose row is 0."
_HELP = "A mask is taken in front of a Softmax, with nothing but reshapes between."


def masked(b: Builder, n: View, x: Tensor, hidden: Array) -> Tensor:
    """x without the values where `hidden`."""
    if np.all(hidden, axis=-1).any():
        raise Unsupported("a mask that hides a whole row: its softmax is not a number", _WHOLE)
    limit = np.where(hidden, np.float32(-MASKED), np.float32(MASKED))
    if not hidden.any():
        return x
    want = tuple(int(d) for d in np.broadcast_shapes(x.shape, hidden.shape))
    if want != x.shape:
        x = b.emit(Expand(want), x)
    return b.emit(Extreme(largest=False), x, b.const(limit, f"{n.name}/mask"))


def _hidden(n: View, values: Array) -> Array | None:
    """Where constants mean "no weight"; None where they are numbers like any other."""
    infinite = np.isneginf(values)
    if infinite.any() and not n.to_softmax:
        raise Unsupported("a constant of -inf that is no mask", _HELP)
    low = values <= _LOW
    return low if n.to_softmax and low.any() and not low.all() else None


def additive_mask(b: Builder, n: View) -> Tensor | None:
    """scores + mask; None when it is a sum like any other."""
    scores = [v for v in n.ins if isinstance(v, Act)]
    constants = [v for v in n.ins if isinstance(v, Known)]
    if len(scores) != 1 or len(constants) != 1:
        return None
    values = constants[0].array.astype(np.float32)
    hidden = _hidden(n, values)
    if hidden is None:
        return None
    x, rest = scores[0].tensor, np.where(hidden, np.float32(0), values)
    if rest.any():  # a mask and a position bias in one
        x = b.emit(Add(), x, b.const(rest, f"{n.name}/bias"))
    return masked(b, n, x, hidden)


def chosen_mask(b: Builder, n: View) -> Tensor | None:
    """Where(mask, scores, -inf) or Where(mask, -inf, scores); None when it is a choice like any other."""
    condition, *branches = n.ins
    if not isinstance(condition, Known):
        return None
    for value, other, where in zip(branches, branches[::-1], (True, False), strict=True):
        if isinstance(value, Known) and isinstance(other, Act) and value.array.size:
            taken = condition.array.astype(bool) == where
            shape = np.broadcast_shapes(taken.shape, value.array.shape)
            values = np.where(np.broadcast_to(taken, shape), value.array.astype(np.float32), np.float32(0))
            hidden = _hidden(n, values)
            if hidden is not None and np.array_equal(hidden, np.broadcast_to(taken, shape)):
                return masked(b, n, other.tensor, hidden)
    return None
