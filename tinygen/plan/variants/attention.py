"""Attention on DSP cores: keys and values of a head are packed once; two rows of queries go through them together."""

from __future__ import annotations

from dataclasses import replace

from tinygen.ops.base import Call
from tinygen.plan.variants.base import Variants, ints
from tinygen.plan.variants.elementwise import SHIFTS


def _up(n: int, step: int) -> int:
    return -(-n // step) * step


def attention_scratch(keys: int, d: int, dv: int) -> int:
    """Bytes of scratch of tg_attention_s8_dsp: keys, values, two queries, their scores."""
    words = _up(d, 2) // 2
    return 4 * (words * _up(keys, 4) + _up(keys, 4) // 2 * _up(dv, 4) + 2 * words + _up(keys, 4))


def attention_s16_scratch(keys: int, dv: int) -> int:
    """Bytes of scratch of tg_attention_s16_dsp: sums, exponentials, values of a head."""
    return 4 * _up(max(keys, dv), 2) + 2 * (_up(keys, 2) + 2) + 2 * dv * _up(keys, 2)


def _attention(call: Call) -> Call | str:
    f, (low, high) = ints(call), SHIFTS
    if f["shift"] < low or not low <= f["out_shift"] <= high:
        return f"shifts {f['shift']} and {f['out_shift']} are outside {low}..{high}"
    return replace(call, kernel="tg_attention_s8_dsp", scratch=attention_scratch(f["keys"], f["d"], f["dv"]))


def _attention_s16(call: Call) -> Call | str:
    f = ints(call)
    return replace(call, kernel="tg_attention_s16_dsp", scratch=attention_s16_scratch(f["keys"], f["dv"]))


ATTENTION: Variants = {"tg_attention_s8": (_attention,), "tg_attention_s16": (_attention_s16,)}
