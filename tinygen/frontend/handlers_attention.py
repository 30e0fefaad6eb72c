"""Attention as operators of its own, and rotary positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from tinygen.frontend.context import Act, Builder, Handler, Known, Result, Unsupported, Value, View
from tinygen.frontend.mask import masked
from tinygen.ir.types import Tensor
from tinygen.numerics import Array
from tinygen.ops import Add, Attention, Dense, Gather, MatMul, Mul, Softmax, Unary


def no_cache(n: View) -> str | None:
    """Keys and values are given whole.

    A cache of earlier ones grows with every call: export the model without it (use_cache=False)."""
    first = {"Attention": 4, "MultiHeadAttention": 6}[n.op_type]
    given = [i for i in range(first, len(n.ins)) if n.has(i)]
    return f"input {given[0]}" if given else "a cache as output" if any(n.used[1:]) else None


def packed_without_mask(n: View) -> str | None:
    """One input, its weights and perhaps their bias.

    Export with masks and positions as constants in front of a Softmax."""
    given = [i for i in range(3, len(n.ins)) if n.has(i)]
    return f"input {given[0]}" if given else "a cache as output" if any(n.used[1:]) else None


def _rows(b: Builder, x: Tensor, heads: int) -> Tensor:
    """(B, T, heads * D), of (B, heads, T, D) where it comes so."""
    if len(x.shape) == 3:
        return x
    if len(x.shape) != 4 or x.shape[1] != heads:
        raise Unsupported(f"attention of {x.shape} with {heads} heads")
    return b.reshape(b.transpose(x, (0, 2, 1, 3)), (x.shape[0], x.shape[2], heads * x.shape[3]))


def _by_heads(b: Builder, x: Tensor, heads: int, each: int) -> Tensor:
    """(B, T, heads * D) as (B, heads, 1 or each, T, D): `each` heads of queries share those of keys."""
    batch, time, width = x.shape
    split = b.reshape(x, (batch, time, heads, each, width // heads // each))
    return b.transpose(split, (0, 2, 3, 1, 4))


def _hidden(mask: Known) -> Array:
    """A constant mask as an addend."""
    if mask.array.dtype == bool:
        return np.where(mask.array, 0.0, -np.inf)
    return np.where(mask.array <= np.float32(-1e9), -np.inf, mask.array.astype(np.float64))


def _attention(
    b: Builder, n: View, parts: Sequence[Tensor], heads: int, kv_heads: int, scale: float, *,
    causal: bool = False, mask: Value | None = None, softcap: float = 0.0,
) -> Tensor:  # fmt: skip
    """Of rows of queries, keys and values. Fused, where the mask is constant and the same for the whole batch."""
    op = Attention(heads, kv_heads, scale, causal)
    try:
        op.infer(*(t.shape for t in parts))
    except ValueError as e:
        raise Unsupported(str(e), of_sizes=True) from e
    time, keys = parts[0].shape[1], parts[1].shape[1]
    if mask is None and not softcap:
        return b.emit(op, *parts)
    full = None
    if isinstance(mask, Known):
        full = _hidden(mask)
        if full.shape[-1] < keys:  # opset 24: what is beyond the mask is hidden
            full = np.concatenate([full, np.full((*full.shape[:-1], keys - full.shape[-1]), -np.inf)], axis=-1)
        full = full.reshape((1,) * (4 - full.ndim) + full.shape)
        seen = np.where(np.tri(time, keys, dtype=bool), 0.0, -np.inf) if causal else np.zeros(())
        if np.isneginf(full + seen).all(axis=-1).any():
            raise Unsupported("a mask that hides a whole row: its softmax is not a number", "Check the mask.")
        if full.shape[0] == 1 and full.shape[1] in (1, heads) and full.shape[2] in (1, time) and not softcap:
            return b.emit(op, *parts, b.const(full[0], f"{n.name}/mask", infinite=True))
    return _spelled_out(b, n, parts, op, mask if full is None else Known(full, f"{n.name}/mask"), softcap)


def _spelled_out(
    b: Builder, n: View, parts: Sequence[Tensor], op: Attention, mask: Value | None, softcap: float
) -> Tensor:
    """Scores, softmax and values as operators of their own."""
    (batch, time, _), keys = parts[0].shape, parts[1].shape[1]
    kv, each = op.kv_heads, op.heads // op.kv_heads
    q = _by_heads(b, parts[0], kv, each)
    k, v = (_by_heads(b, x, kv, 1) for x in parts[1:])
    scores = b.emit(MatMul(b_perm=(0, 1, 2, 4, 3)), q, k)
    scores = b.emit(Mul(), scores, b.const(np.array(op.scale), f"{n.name}/scale"))
    if softcap:
        scores = b.emit(Unary(("Mul", ("Tanh", ("Div", "x", softcap)), softcap), "softcap"), scores)
    hidden = np.zeros((1, 1, 1, time, keys), bool)
    if op.causal:
        hidden = hidden | ~np.tri(time, keys, dtype=bool)
    if isinstance(mask, Known):
        shape = (mask.array.shape[0], *((1, 1) if mask.array.shape[1] == 1 else (kv, each)), *mask.array.shape[2:])
        full = mask.array.reshape(shape)
        hidden = hidden | np.isneginf(full)
        finite = np.where(np.isneginf(full), 0.0, full)
        scores = b.emit(Add(), scores, b.const(finite, f"{n.name}/bias")) if finite.any() else scores
    elif isinstance(mask, Act):
        if mask.elem == "bool":
            raise Unsupported("a mask of booleans that is computed", "Give a constant mask, or numbers to be added.")
        m = b.reshape(mask.tensor, (1,) * (4 - len(mask.tensor.shape)) + mask.tensor.shape)
        shape = (m.shape[0], *((1, 1) if m.shape[1] == 1 else (kv, each)), *m.shape[2:])
        scores = b.emit(Add(), scores, b.reshape(m, shape))
    scores = masked(b, n, scores, hidden)
    y = b.emit(MatMul(y_perm=(0, 3, 1, 2, 4)), b.emit(Softmax(), scores), v)
    return b.reshape(y, (batch, time, op.heads * v.shape[-1]))


def attention(b: Builder, n: View) -> Result:
    q, k, v = (n.act(i) for i in range(3))
    four = len(q.shape) == 4
    heads = q.shape[1] if four else n.integer("q_num_heads", 0)
    kv_heads = k.shape[1] if four else n.integer("kv_num_heads", heads)
    if heads < 1 or kv_heads < 1:
        raise Unsupported("attention of three axes without q_num_heads", "Set q_num_heads and kv_num_heads.")
    parts = [_rows(b, q, heads), _rows(b, k, kv_heads), _rows(b, v, kv_heads)]
    scale = n.real("scale", 1.0 / math.sqrt(parts[0].shape[2] // heads))
    y = _attention(
        b, n, parts, heads, kv_heads, scale, causal=bool(n.integer("is_causal", 0)),
        mask=n.ins[3] if n.has(3) else None, softcap=n.real("softcap", 0.0),
    )  # fmt: skip
    if not four:
        return y
    split = b.reshape(y, (y.shape[0], y.shape[1], heads, y.shape[2] // heads))
    return b.transpose(split, (0, 2, 1, 3))


def multi_head_attention(b: Builder, n: View) -> Result:
    """com.microsoft: query, key and value as rows, with one bias for all three."""
    if not n.has(1) or not n.has(2):
        raise Unsupported("queries, keys and values packed in one input", "Give them as three inputs.")
    heads = n.integer("num_heads", 1)
    parts = [_rows(b, n.act(i), heads) for i in range(3)]
    if n.has(3):
        bias = n.array(3, "the bias")
        ends = np.cumsum([0, *(p.shape[2] for p in parts)])
        pieces = [bias[i:j] for i, j in pairwise(ends)]
        parts = [b.emit(Add(), p, b.const(c, f"{n.name}/bias")) for p, c in zip(parts, pieces, strict=True)]
    if n.has(4):
        raise Unsupported("a key padding mask", "Give the mask as attention_bias.")
    scale = n.real("scale", 0.0) or 1.0 / math.sqrt(parts[0].shape[2] // heads)
    causal = bool(n.integer("unidirectional", 0))
    return _attention(b, n, parts, heads, heads, scale, causal=causal, mask=n.ins[5] if n.has(5) else None)


def packed_attention(b: Builder, n: View) -> Result:
    """com.microsoft Attention: rows, and the weights that make queries, keys and values of them."""
    x, heads = n.act(), n.integer("num_heads", 1)
    w = n.array(1, "the weights")
    sizes = n.ints("qkv_hidden_sizes") or (w.shape[1] // 3,) * 3
    bias = n.array(2, "the bias") if n.has(2) else np.zeros(w.shape[1], np.float32)
    ends = np.cumsum([0, *sizes])
    parts = [
        b.emit(Dense(), x, b.const(np.ascontiguousarray(w[:, i:j].T), f"{n.name}/w"), b.const(bias[i:j], f"{n.name}/b"))
        for i, j in pairwise(ends)
    ]
    scale = n.real("scale", 0.0) or 1.0 / math.sqrt(sizes[0] // heads)
    return _attention(b, n, parts, heads, heads, scale, causal=bool(n.integer("unidirectional", 0)))


def rotary_embedding(b: Builder, n: View) -> Result:
    """Pairs of values turned by the angle of their position: x * cos + partner * sin."""
    x, heads = n.act(), n.integer("num_heads", 0)
    cos, sin = n.array(1, "the cosines"), n.array(2, "the sines")
    positions = n.array(3, "the positions").astype(np.int64) if n.has(3) else None
    four = len(x.shape) == 4
    if not four and heads < 1:
        raise Unsupported("rotary positions of three axes without num_heads", "Set num_heads.")
    time = x.shape[2] if four else x.shape[1]
    d = x.shape[3] if four else x.shape[2] // heads
    turn = n.integer("rotary_embedding_dim", 0) or d
    if positions is not None:
        cos, sin = cos[positions], sin[positions]  # (batch, time, turn / 2)
    half = turn // 2
    if cos.shape[-2:] != (time, half) or sin.shape != cos.shape:
        raise Unsupported(f"cosines of shape {cos.shape} for {time} positions and {half} pairs")
    first = np.arange(0, turn, 2) if n.integer("interleaved", 0) else np.arange(half)
    second = first + (1 if n.integer("interleaved", 0) else half)
    partner = np.arange(d)
    partner[first], partner[second] = second, first
    along, across = np.ones((*cos.shape[:-1], d)), np.zeros((*cos.shape[:-1], d))
    along[..., first] = along[..., second] = cos
    across[..., first], across[..., second] = -sin, sin
    if four:
        along, across = (a.reshape(-1, 1, time, d) for a in (along, across))
    else:
        along, across = (np.tile(a.reshape(-1, time, d), heads) for a in (along, across))
        partner = np.concatenate([h * d + partner for h in range(heads)])
    other = b.emit(Gather(len(x.shape) - 1, tuple(int(p) for p in partner)), x)
    straight = b.emit(Mul(), x, b.const(along, f"{n.name}/cos"))
    return b.emit(Add(), straight, b.emit(Mul(), other, b.const(across, f"{n.name}/sin")))


ATTENTION: dict[str, Handler] = {
    "Attention": Handler(attention, (no_cache,), "fused where the mask is constant"),
    "RotaryEmbedding": Handler(rotary_embedding, notes="constant positions"),
}
#: Domain com.microsoft.
MICROSOFT_ATTENTION: dict[str, Handler] = {
    "Attention": Handler(packed_attention, (packed_without_mask,)),
    "MultiHeadAttention": Handler(multi_head_attention, (no_cache,)),
}
