"""Attention on DSP cores: keys and values of a head are packed once; two rows of queries go through them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tinygen.kernels.elementwise.variants import SHIFTS
from tinygen.kernels.variant import Variants, ints
from tinygen.ops.base import Call


def _up(n: int, step: int) -> int:
    return -(-n // step) * step


def attention_scratch(keys: int, d: int, dv: int) -> int:
    """Bytes of scratch of tg_attention_s8_dsp: keys, values, two queries, their scores."""
    words = _up(d, 2) // 2
    return 4 * (words * _up(keys, 4) + _up(keys, 4) // 2 * _up(dv, 4) + 2 * words + _up(keys, 4))


def attention_s16_scratch(keys: int, dv: int) -> int:
    """Bytes of scratch of tg_attention_s16_dsp: sums, exponentials, values of a head."""
    return 4 * _up(max(keys, dv), 2) + 2 * (_up(keys, 2) + 2) + 2 * dv * _up(keys, 2)


def attention_supported(f: Mapping[str, int]) -> str | None:
    """Why tg_attention_s8_dsp cannot, or None when it can: shifts of sums below 33 are made up for by shifting queries
    and keys, 7 bits each, as far as sums allow."""
    low, high = SHIFTS
    if not low <= f["out_shift"] <= high:
        return f"shift {f['out_shift']} is outside {low}..{high}"
    up = low - f["shift"]
    if up > 14 or (up > 0 and f["d"] * (128 + abs(f["q_zp"])) * (128 + abs(f["k_zp"])) << up >= 2**31):
        return f"sums of {f['d']} products leave no room for shift {f['shift']}"
    return None


def _attention(call: Call) -> Call | str:
    f = ints(call)
    scratch = attention_scratch(f["keys"], f["d"], f["dv"])
    return attention_supported(f) or replace(call, kernel="tg_attention_s8_dsp", scratch=scratch)


def _attention_s16(call: Call) -> Call | str:
    f = ints(call)
    return replace(call, kernel="tg_attention_s16_dsp", scratch=attention_s16_scratch(f["keys"], f["dv"]))


ATTENTION: Variants = {"tg_attention_s8": (_attention,), "tg_attention_s16": (_attention_s16,)}
