"""Constants of channels that give one value whatever the input."""

from __future__ import annotations

import numpy as np
import pytest

from tests.c import oracle
from tinygen.ops.base import Call, ConstArg
from tinygen.plan.steady import MULTIPLIER, settle
from tinygen.plan.variants.base import consts

CHANNELS = 6
FIELDS = {
    "in_h": 4, "in_w": 5, "in_c": CHANNELS, "out_h": 4, "out_w": 5, "out_c": CHANNELS, "k_h": 3, "k_w": 3,
    "stride_h": 1, "stride_w": 1, "dil_h": 1, "dil_w": 1, "pad_top": 1, "pad_left": 1, "groups": 1, "in_zp": 0,
}  # fmt: skip


def layer(kernel: str, seed: int) -> Call:
    """Channel 0 is an ordinary one; 1 has an enormous bias and tiny weights, 2 a large multiplier; 3 is clamped to an
    end; 4 has no weights, 5 a bias just too small to be steady."""
    rng = np.random.default_rng(seed)
    out_zp, shift = int(rng.choice([-128, -3, 127])), int(rng.integers(36, 44))
    q = {"out_zp": out_zp, "lo": int(rng.choice([-128, -90])), "hi": int(rng.choice([127, 100])), "shift": shift}
    w = rng.integers(-127, 128, (CHANNELS, 3, 3, CHANNELS)).astype(np.int8)
    w[1] = rng.integers(-1, 2, w[1].shape)
    w[4] = 0
    m = np.full(CHANNELS, 768 * (2**shift // 768 // 3000), np.int64)
    m[1] = 768
    half = 2**shift // 768
    b = np.array([100, 40 * half, 0, -(10**9), 5000, 3000 * 130], np.int64)
    b[1] = min(b[1], 2**30)
    m[2] = 2**31 // 768 * 768 - 768
    b[2] = 10**9
    arrays = {"w": w, "b": b.astype(np.int32), "m": m.astype(np.int32)}
    if kernel == "tg_dwconv_s8":
        arrays["w"] = np.ascontiguousarray(np.moveaxis(w[..., 0], 0, 2))
    return Call(kernel, tuple({**FIELDS, **q}.items()), ("x",), tuple(ConstArg(k, v) for k, v in arrays.items()), "y")


def output(call: Call, x: np.ndarray) -> np.ndarray:
    c = consts(call)
    run = oracle.conv if call.kernel == "tg_conv_s8" else oracle.dwconv
    return run(dict(call.config), x, c["w"], c["b"], c["m"])


@pytest.mark.parametrize("kernel", ["tg_conv_s8", "tg_dwconv_s8"])
@pytest.mark.parametrize("seed", range(12))
def test_no_bit_changes(kernel: str, seed: int) -> None:
    given = layer(kernel, seed)
    made = settle(given)
    rng = np.random.default_rng(seed)
    shape = (4, 5, CHANNELS)
    for x in (*(np.full(shape, v, np.int8) for v in (-128, 127)), *rng.integers(-128, 128, (20, *shape), np.int8)):
        assert np.array_equal(output(given, x), output(made, x))
    for sign in (1, -1):  # the least and the greatest sum of every channel, where the whole window is in the image
        w = np.moveaxis(consts(given)["w"], 2, 0) if kernel == "tg_dwconv_s8" else consts(given)["w"]
        for channel in range(CHANNELS):
            x = np.zeros(shape, np.int8)
            window = sign * w[channel].astype(int)
            x[:3, :3] = np.where(window > 0, 127, -128).reshape(3, 3, -1)
            assert np.array_equal(output(given, x), output(made, x))


def test_constants_are_small() -> None:
    given = layer("tg_conv_s8", 0)
    before, after = consts(given), consts(settle(given))
    changed = [c for c in range(CHANNELS) if after["m"][c] == MULTIPLIER]
    assert {2, 3} <= set(changed)
    assert 0 not in changed
    for c in changed:
        assert not after["w"][c].any()
        assert abs(int(after["b"][c])) < abs(int(before["b"][c]))
        assert abs(int(after["b"][c])) * MULTIPLIER <= 256 * 2 ** dict(given.config)["shift"]
    for c in set(range(CHANNELS)) - set(changed):
        assert all(np.array_equal(before[k][c], after[k][c]) for k in "wbm")
    assert {k: v.dtype for k, v in after.items()} == {k: v.dtype for k, v in before.items()}


def test_multiplier_suits_every_kernel() -> None:
    """A multiple of 768 that stays one when halved 20 times over, within int32."""
    assert MULTIPLIER % 768 == 0
    assert MULTIPLIER // 768 == 1 << 20
    assert MULTIPLIER < 2**31


def test_nothing_to_settle() -> None:
    given = layer("tg_conv_s8", 0)
    c = consts(given)
    ordinary = {"w": c["w"][[0]], "b": c["b"][[0]], "m": c["m"][[0]]}
    call = Call(given.kernel, given.config, ("x",), tuple(ConstArg(k, v) for k, v in ordinary.items()), "y")
    assert settle(call) is call
    other = Call("tg_add_s8", (), ("a", "b"), (), "y")
    assert settle(other) is other
