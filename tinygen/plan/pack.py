"""How constants lie in flash for each kernel set: pure numpy, no knowledge of graphs.

Names: `w_ohwi` is [out_c][k_h][k_w][in_c / groups] int8, `b` [out_c] int32, `m` [out_c] int32.
"""

from __future__ import annotations

import numpy as np

from tinygen.numerics import Array


def fold_bias(w_ohwi: Array, b: Array, in_zp: int) -> Array:
    """b - in_zp * sum(w) as int32, for any weights whose first axis is the output channel.

    With it `b' + sum w * x` over all taps, those outside the image reading `in_zp`, is `b + sum w * (x - in_zp)`.
    """
    sums = w_ohwi.reshape(w_ohwi.shape[0], -1).astype(np.int64).sum(axis=1)
    folded: Array = b.astype(np.int64) - in_zp * sums
    if np.any(np.abs(folded) >= 2**31):
        raise ValueError("a folded bias does not fit int32: quantise must give the channel a larger weight scale")
    return folded.astype(np.int32)
