"""Attention as operators of its own, and rotary positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from tinygen.frontend.context import Act, Builder, Handler, Known, Result, Unsupported, View
from tinygen.frontend.mask import masked
from tinygen.ir.types import Tensor
from tinygen.numerics import Array
from tinygen.ops import Add, Attention, Concat, Dense, Extreme, Gather, Lookup, MatMul, Mul, Slice, Softmax, Unary
from tinygen.ops.extreme import MASKED
from tinygen.ops.lookup import MAX_ROWS


def no_cache(n: View) -> str | None:
    """Keys and values are given whole.

    A cache of earlier ones grows with every call: export the model without it (use_cache=False)."""
    given = [i for i in range(6, len(n.ins)) if n.has(i)]
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


def _added(mask: Known, keys: int) -> Array:
    """A constant mask as an addend of four axes; from opset 24 on, keys beyond its end are hidden."""
    if mask.array.dtype == bool:
        full = np.where(mask.array, 0.0, -np.inf)
    else:
        full = np.where(mask.array <= np.float32(-1e9), -np.inf, mask.array.astype(np.float64))
    full = full.reshape((1,) * (4 - full.ndim) + full.shape)
    beyond = keys - full.shape[-1] if full.shape[-1] > 1 else 0
    return np.pad(full, ((0, 0), (0, 0), (0, 0), (0, beyond)), constant_values=-np.inf) if beyond > 0 else full


@dataclass(frozen=True)
class _Asked:
    """Attention, and what the fused operator does not say. `full`: constants added to the scores, (batch or 1, heads
    or 1, time or 1, keys), -inf where a key is hidden; `mask`: one that is computed; `limits`: what scores are cut to;
    `level`: which scores are an output too, as ONNX counts them, -1 for none."""

    op: Attention
    full: Array | None = None
    mask: Act | None = None
    limits: Tensor | None = None
    softcap: float = 0.0
    level: int = -1


def _attention(b: Builder, n: View, parts: Sequence[Tensor], asked: _Asked) -> tuple[Tensor, Tensor | None]:
    """Of rows of queries, keys and values: (rows, scores). Fused, where nothing but a constant mask stands between;
    scores that are an output are then computed apart."""
    op, full = asked.op, asked.full
    try:
        op.infer(*(t.shape for t in parts))
    except ValueError as e:
        raise Unsupported(str(e), of_sizes=True) from e
    (batch, time, _), keys = parts[0].shape, parts[1].shape[1]
    empty: Array = np.zeros(1, bool)
    if full is not None:
        if any(d not in (1, w) for d, w in zip(full.shape, (batch, op.heads, time, keys), strict=True)):
            raise Unsupported(f"a mask of {full.shape} for scores of {(batch, op.heads, time, keys)}", of_sizes=True)
        seen = np.tri(time, keys, dtype=bool) if op.causal else np.ones((1, 1), bool)
        empty = ~(np.isfinite(full) & seen).any(axis=-1, keepdims=True)
        # Of a query that sees no key ONNX says that the row is 0: it may see all, and is multiplied by 0.
        full = np.where(empty, 0.0, full)
        if op.causal and empty.any():
            op, full = replace(op, causal=False), np.where(seen | empty, full, -np.inf)
    asked = replace(asked, op=op, full=full)
    fused = asked.mask is None and asked.limits is None and not asked.softcap
    y, scores = (None, None) if fused and asked.level < 0 else _spelled_out(b, n, parts, asked)
    y = _fused(b, n, parts, op, full) if fused or y is None else y
    if empty.any():
        if scores is not None and asked.level == 3:
            scores = b.emit(Mul(), scores, b.const((~empty).astype(np.float32), f"{n.name}/some"))
        width = y.shape[-1] // op.heads
        some = (~empty).transpose(0, 2, 1, 3).repeat(width, axis=3)  # (batch, time, heads, width)
        some = np.broadcast_to(some, (*some.shape[:2], op.heads, width)).reshape(*some.shape[:2], -1)
        y = b.emit(Mul(), y, b.const(some.astype(np.float32), f"{n.name}/seen"))
    return y, scores


def _fused(b: Builder, n: View, parts: Sequence[Tensor], op: Attention, full: Array | None) -> Tensor:
    """The operator, or one for each of the batch where they have masks of their own: slices and a Concat of whole
    rows, which cost nothing."""
    masks = np.zeros((1, 1, 1, 1)) if full is None else full
    found = []
    for i, mask in enumerate(masks):
        mine = parts
        if len(masks) > 1:
            mine = [b.emit(Slice((i, 0, 0), (1, 1, 1), (1, *x.shape[1:])), x) for x in parts]
        constant = (b.const(mask, f"{n.name}/mask", infinite=True),) if mask.any() else ()
        found.append(b.emit(op, *mine, *constant))
    return found[0] if len(found) == 1 else b.emit(Concat(0), *found)


def _spelled_out(b: Builder, n: View, parts: Sequence[Tensor], asked: _Asked) -> tuple[Tensor, Tensor | None]:
    """Scores, softmax and values as operators of their own: (rows, the scores that are an output)."""
    op, mask = asked.op, asked.mask
    (batch, time, _), keys = parts[0].shape, parts[1].shape[1]
    kv, each = op.kv_heads, op.heads // op.kv_heads
    q = _by_heads(b, parts[0], kv, each)
    k, v = (_by_heads(b, x, kv, 1) for x in parts[1:])
    scores = b.emit(MatMul(b_perm=(0, 1, 2, 4, 3)), q, k)
    scores = b.emit(Mul(), scores, b.const(np.array(op.scale), f"{n.name}/scale"))
    levels = [scores]
    if asked.softcap:
        capped = ("Mul", ("Tanh", ("Div", "x", asked.softcap)), asked.softcap)
        scores = b.emit(Unary(capped, "softcap"), scores)
    levels.append(scores)
    hidden = np.zeros((1, 1, 1, time, keys), bool)
    if op.causal:
        hidden = hidden | ~np.tri(time, keys, dtype=bool)
    if asked.full is not None:
        shape = (asked.full.shape[0], *((1, 1) if asked.full.shape[1] == 1 else (kv, each)), *asked.full.shape[2:])
        full = asked.full.reshape(shape)
        hidden = hidden | np.isneginf(full)
        finite = np.where(np.isneginf(full), 0.0, full)
        scores = b.emit(Add(), scores, b.const(finite, f"{n.name}/bias")) if finite.any() else scores
    if mask is not None:
        m = b.reshape(mask.tensor, (1,) * (4 - len(mask.tensor.shape)) + mask.tensor.shape)
        shape = (m.shape[0], *((1, 1) if m.shape[1] == 1 else (kv, each)), *m.shape[2:])
        scores = b.emit(Add(), scores, b.reshape(m, shape))
    if asked.limits is not None:
        scores = b.emit(Extreme(largest=False), scores, asked.limits)
    if asked.level == 2 and (hidden.any() or asked.limits is not None):
        raise Unsupported("scores behind a mask as an output, which are infinite", "Set qk_matmul_output_mode to 1.")
    levels.append(scores)
    levels.append(b.emit(Softmax(), masked(b, n, scores, hidden)))
    y = b.emit(MatMul(y_perm=(0, 3, 1, 2, 4)), levels[-1], v)
    seen = b.reshape(levels[asked.level], (batch, op.heads, time, keys)) if asked.level >= 0 else None
    return b.reshape(y, (batch, time, op.heads * v.shape[-1])), seen


def _visible(n: View, valid: Array | None, time: int, keys: int, past: int) -> Array | None:
    """(number of `valid` or 1, 1, time, keys): which keys a query sees by its position, of so many that are valid;
    None: all. A causal attention without a cache is left to the operator."""
    valid = None if valid is None else valid.reshape(-1, 1, 1, 1)
    offset = np.full((1, 1, 1, 1), past) if valid is None or past else valid - time
    i, j = offset + np.arange(time).reshape(1, 1, -1, 1), np.arange(keys)
    left, right = n.integer("left_window_size", -1), n.integer("right_window_size", -1)
    causal = n.integer("is_causal", 0) and (past or valid is not None)
    if valid is None and not causal and left < 0 and right < 0:
        return None
    seen = np.broadcast_to(j < (keys if valid is None else valid), (len(offset), 1, time, keys))
    seen = seen & (j <= i) if causal else seen
    seen = seen & (j >= i - left) if left >= 0 else seen
    return seen & (j <= i + right) if right >= 0 else seen


def _limits(b: Builder, n: View, time: int, keys: int) -> Tensor:
    """(batch, 1, 1, time, keys): what scores are cut to where the number of valid keys comes in, a row of a table for
    each number."""
    count = n.act(6)
    if keys >= MAX_ROWS:
        raise Unsupported(f"a computed number of {keys} valid keys", f"At most {MAX_ROWS - 1} keys: shorten the cache.")
    seen = _visible(n, np.arange(keys + 1), time, keys, 0)
    assert seen is not None
    table = np.where(seen, np.float32(MASKED), np.float32(-MASKED)).reshape(keys + 1, -1)
    b.note(f'"{n.name}": where no key is valid its output is the mean of all values; ONNX says 0')
    return b.reshape(b.emit(Lookup(), count, b.const(table, f"{n.name}/seen")), (count.shape[0], 1, 1, time, keys))


def _grown(b: Builder, n: View, i: int, x: Tensor, heads: int) -> Tensor:
    """Keys or values behind the earlier ones of input i, (B, heads, time, D)."""
    if len(x.shape) == 3:
        batch, time, width = x.shape
        x = b.transpose(b.reshape(x, (batch, time, heads, width // heads)), (0, 2, 1, 3))
    return b.emit(Concat(2), n.act(i), x) if n.has(i) else x


def attention(b: Builder, n: View) -> Result:
    q, k, v = (n.act(i) for i in range(3))
    four = len(q.shape) == 4
    heads = q.shape[1] if four else n.integer("q_num_heads", 0)
    kv_heads = k.shape[1] if four else n.integer("kv_num_heads", heads)
    if heads < 1 or kv_heads < 1:
        raise Unsupported("attention of three axes without q_num_heads", "Set q_num_heads and kv_num_heads.")
    if n.has(4) != n.has(5):
        raise Unsupported("earlier keys without values, or values without keys", "Give past_key and past_value.")
    past = n.act(4).shape[2] if n.has(4) else 0
    present: list[Tensor] = []
    if past or any(n.used[1:3]):
        k, v = present = [_grown(b, n, i, x, kv_heads) for i, x in ((4, k), (5, v))]
    parts = [_rows(b, q, heads), _rows(b, k, kv_heads), _rows(b, v, kv_heads)]
    (batch, time, width), keys = parts[0].shape, parts[1].shape[1]
    mask, limits, valid = n.ins[3] if n.has(3) else None, None, None
    if n.is_known(6):
        valid = n.array(6, "the number of valid keys").reshape(-1)
        if len(valid) != batch:
            raise Unsupported(f"{len(valid)} numbers of valid keys for a batch of {batch}", of_sizes=True)
    elif n.has(6):
        limits = _limits(b, n, time, keys)
    seen = None if limits is not None else _visible(n, valid, time, keys, past)
    if isinstance(mask, Act) and mask.elem == "bool":
        raise Unsupported("a mask of booleans that is computed", "Give a constant mask, or numbers to be added.")
    full = _added(mask, keys) if isinstance(mask, Known) else None
    if seen is not None:
        full = np.where(seen, 0.0 if full is None else full, -np.inf)
    op = Attention(
        heads, kv_heads, n.real("scale", 1.0 / math.sqrt(width // heads)),
        causal=bool(n.integer("is_causal", 0)) and not past and not n.has(6),
    )  # fmt: skip
    level = n.integer("qk_matmul_output_mode", 0) if any(n.used[3:]) else -1
    asked = _Asked(op, full, mask if isinstance(mask, Act) else None, limits, n.real("softcap", 0.0), level)
    y, scores = _attention(b, n, parts, asked)
    if four:
        split = b.reshape(y, (y.shape[0], y.shape[1], heads, y.shape[2] // heads))
        y = b.transpose(split, (0, 2, 1, 3))
    return (y, *(present or parts[1:]), *(() if scores is None else (scores,)))[: len(n.outs)]


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
    mask, keys = n.ins[5] if n.has(5) else None, parts[1].shape[1]
    full = _added(mask, keys) if isinstance(mask, Known) else None
    asked = _Asked(Attention(heads, heads, scale, causal), full, mask if isinstance(mask, Act) else None)
    return _attention(b, n, parts, asked)[0]


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
    return _attention(b, n, parts, _Asked(Attention(heads, heads, scale, bool(n.integer("unidirectional", 0)))))[0]


def rotary_embedding(b: Builder, n: View) -> Result:
    """Pairs of values turned by the angle of their position: x * cos + partner * sin."""
    x, heads = n.act(), n.integer("num_heads", 0)
    cos, sin = n.array(1, "the cosines"), n.array(2, "the sines")
    four, computed = len(x.shape) == 4, n.has(3) and not n.is_known(3)
    if not four and heads < 1:
        raise Unsupported("rotary positions of three axes without num_heads", "Set num_heads.")
    time = x.shape[2] if four else x.shape[1]
    d = x.shape[3] if four else x.shape[2] // heads
    turn = n.integer("rotary_embedding_dim", 0) or d
    if n.is_known(3):
        positions = n.array(3, "the positions").astype(np.int64)
        cos, sin = cos[positions], sin[positions]  # (batch, time, turn / 2)
    half = turn // 2
    if cos.shape[-1] != half or sin.shape != cos.shape or not (computed or cos.shape[-2] == time):
        raise Unsupported(f"cosines of shape {cos.shape} for {time} positions and {half} pairs", of_sizes=True)
    first = np.arange(0, turn, 2) if n.integer("interleaved", 0) else np.arange(half)
    second = first + (1 if n.integer("interleaved", 0) else half)
    partner = np.arange(d)
    partner[first], partner[second] = second, first
    along, across = np.ones((*cos.shape[:-1], d)), np.zeros((*cos.shape[:-1], d))
    along[..., first] = along[..., second] = cos
    across[..., first], across[..., second] = -sin, sin
    shape = x.shape
    if computed:  # rows of a table
        if cos.ndim != 2 or len(cos) > MAX_ROWS:
            raise Unsupported(f"cosines of shape {cos.shape} for computed positions", f"At most {MAX_ROWS} positions.")
        x = x if four else b.reshape(x, (*shape[:2], heads, d))
        at = (-1, 1, time, d) if four else (-1, time, 1, d)
        found = (b.emit(Lookup(), n.act(3), b.const(a, f"{n.name}/rows")) for a in (along, across))
        along_, across_ = (b.reshape(t, (t.shape[0], *at[1:])) for t in found)
    else:
        if four:
            along, across = (a.reshape(-1, 1, time, d) for a in (along, across))
        else:
            along, across = (np.tile(a.reshape(-1, time, d), heads) for a in (along, across))
            partner = np.concatenate([h * d + partner for h in range(heads)])
        along_, across_ = b.const(along, f"{n.name}/cos"), b.const(across, f"{n.name}/sin")
    other = b.emit(Gather(len(x.shape) - 1, tuple(int(p) for p in partner)), x)
    y = b.emit(Add(), b.emit(Mul(), x, along_), b.emit(Mul(), other, across_))
    return b.reshape(y, shape)


ATTENTION: dict[str, Handler] = {
    "Attention": Handler(attention, notes="fused where the mask is constant"),
    "RotaryEmbedding": Handler(rotary_embedding, notes="constant positions, or at most 256 computed ones"),
}
#: Domain com.microsoft.
MICROSOFT_ATTENTION: dict[str, Handler] = {
    "Attention": Handler(packed_attention, (packed_without_mask,)),
    "MultiHeadAttention": Handler(multi_head_attention, (no_cache,)),
}
