"""Weight forms in the loop: what the forward pass sees are the values that will be stored, gradients pass through.

Rounding has no gradient, so the weights behind it get that of the rounded ones (straight-through estimator: Bengio,
Leonard and Courville 2013). Scales are learned as in LSQ (Esser et al. 2020, Learned Step Size Quantization,
equation 3), but as logarithms: a step of the optimiser then changes them by a share of themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinygen.compress.network import WeightForm, snap
from tinygen.ir.types import Const
from tinygen.numerics import Array

#: Shares of the largest weight that are tried as a channel's first full scale.
_CLIPS = np.linspace(1.0, 0.3, 29)


class _Snap(torch.autograd.Function):
    """w (O, K) to scale * q; `book`: ascending values in units of the scale, or None for whole numbers up to `top`."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, log_scale: Tensor, book: Tensor | None, mask: Tensor | None, top: int) -> Tensor:
        scale = log_scale.exp()[:, None]
        units = w / scale
        if book is None:
            index = None
            q = units.round().clamp_(-top, top)
            inside = units.abs() <= top
        else:
            values = book.round()
            index = torch.bucketize(units, (values[1:] + values[:-1]) / 2)
            q = values[index]
            inside = (units >= values[0]) & (units <= values[-1])
        if mask is not None:
            q = q * mask
            inside = inside & mask
        ctx.save_for_backward(q, inside, units, scale, index, mask)
        ctx.entries = 0 if book is None else len(book)
        return q * scale

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, inside, units, scale, index, mask = ctx.saved_tensors
        by_scale = ((q - units * inside) * grad).sum(dim=1) * scale[:, 0]
        by_book = None
        if index is not None:
            share = grad * scale if mask is None else grad * scale * mask
            by_book = torch.zeros(ctx.entries, dtype=grad.dtype, device=grad.device)
            by_book.index_add_(0, index.reshape(-1), share.reshape(-1))
        return grad * inside, by_scale, by_book, None, None


def _snap(w: Tensor, log_scale: Tensor, book: Tensor | None, mask: Tensor | None, top: int) -> Tensor:
    """`_Snap`, typed."""
    result: Tensor = _Snap.apply(w, log_scale, book, mask, top)  # type: ignore[no-untyped-call]
    return result


def first_scale(w: Array, form: WeightForm) -> Array:
    """(O,): for each channel the scale of least squared error among shares of the one that clips nothing."""
    largest = snap(w, form)[1]
    if form.codebook is None and form.bits >= 8:
        return largest
    flat = w.reshape(len(w), -1).astype(np.float64)
    best, least = largest, np.full(len(w), np.inf)
    for clip in _CLIPS:
        q, s = snap(w, form, largest * clip)
        error = ((q.reshape(flat.shape) * s[:, None] - flat) ** 2).sum(axis=1)
        best, least = np.where(error < least, s, best), np.minimum(error, least)
    return best


def zero_pattern(mask: Array) -> str:
    """ "2:4" or "1:4" (so many of every four along the innermost axis stay), "block4" (fours stay or go together), or
    "unstructured"."""
    if mask.shape[-1] % 4 == 0:
        kept = mask.reshape(-1, 4).sum(axis=1)
        for pattern, count in (("2:4", 2), ("1:4", 1)):
            if np.all(kept == count):
                return pattern
        if np.all((kept == 0) | (kept == 4)):
            return "block4"
    return "unstructured"


class FormModule(torch.nn.Module):
    """One layer's weight form. `learned`: its scales, and the entries of a codebook, are parameters."""

    log_scale: torch.nn.Parameter
    book: torch.nn.Parameter | None
    mask: Tensor | None

    def __init__(
        self,
        form: WeightForm,
        w: Array,
        scale: Array | None,
        *,
        learn_entries: bool,
        book: torch.nn.Parameter | None = None,
    ) -> None:
        """`w` (O, ...): the weights at the start; `scale` (O,): their scale, if it is known already; `book`: that of
        another layer, to share."""
        super().__init__()
        self.form = form
        self.snaps = form.codebook is not None or form.bits < 8
        start = first_scale(w, form) if scale is None else np.asarray(scale, np.float64)
        self.log_scale = torch.nn.Parameter(torch.from_numpy(np.log(start)).float(), requires_grad=self.snaps)
        self.book = book
        if form.codebook is not None and book is None:
            entries = torch.tensor(form.codebook, dtype=torch.float32)
            self.book = torch.nn.Parameter(entries, requires_grad=learn_entries and len(entries) > 1)
        mask = None if form.mask is None else torch.from_numpy(form.mask.array.reshape(len(w), -1).copy())
        self.register_buffer("mask", mask)
        self._pattern = None if form.mask is None else zero_pattern(form.mask.array)
        self._kept = 0 if mask is None else int(mask.sum())

    def forward(self, w: Tensor, snapped: bool) -> Tensor:
        """The weights that the network runs with. Not `snapped`: only the zeros are held."""
        flat = w.reshape(len(w), -1)
        if snapped and self.snaps:
            return _snap(flat, self.log_scale, self.book, self.mask, self.form.top).reshape(w.shape)
        return w if self.mask is None else (flat * self.mask).reshape(w.shape)

    @torch.no_grad()
    def restart(self, w: Tensor) -> None:
        """Scales anew for the weights of now, where snapping begins late. Codebooks keep theirs: entries and scale
        belong together."""
        if self.snaps and self.book is None:
            form = self.form if self.mask is None else replace(self.form, mask=Const(self.mask.cpu().numpy()))
            start = first_scale(w.detach().cpu().numpy().reshape(len(w), -1), form)
            self.log_scale.copy_(torch.from_numpy(np.log(start)))

    @torch.no_grad()
    def thin(self, w: Tensor, share: float) -> None:
        """A mask with `share` of the zeros that the form asks for, in its pattern, where the smallest weights are."""
        if self.mask is None:
            return
        flat = w.detach().reshape(len(w), -1)
        fours = flat.reshape(-1, 4) if self._pattern != "unstructured" else flat.reshape(-1, 1)
        worth = fours.abs() if self._pattern in ("2:4", "1:4") else fours.norm(dim=1, keepdim=True)
        keep = torch.zeros_like(worth, dtype=torch.bool)
        if self._pattern in ("2:4", "1:4"):
            left = 2 if self._pattern == "2:4" else 1
            count = 4 - int(share * (4 - left) + 1e-6)
            keep.scatter_(1, worth.argsort(dim=1, descending=True, stable=True)[:, :count], True)
        else:
            size = fours.shape[1]
            drop = int(share * (flat.numel() - self._kept) / size + 1e-6)
            order = worth.reshape(-1).argsort(stable=True)
            keep.reshape(-1)[order[drop:]] = True
        self.mask.copy_(keep.expand_as(fours).reshape(flat.shape))

    @torch.no_grad()
    def repair(self) -> None:
        """After a step of the optimiser: entries ascending, within int8 and at least one apart."""
        if self.book is None or not self.book.requires_grad:
            return
        entries = np.sort(np.clip(self.book.detach().cpu().numpy(), -127.0, 127.0))
        for i in range(1, len(entries)):
            entries[i] = max(entries[i], entries[i - 1] + 1.0)
        overflow = max(0.0, float(entries[-1]) - 127.0)
        for i in reversed(range(len(entries))):  # what was pushed beyond 127 comes back from the end
            if overflow and entries[i] > 127.0 - (len(entries) - 1 - i):
                entries[i] = 127.0 - (len(entries) - 1 - i)
        self.book.copy_(torch.from_numpy(entries))

    def finished(self, w: Array) -> FinishedWeights:
        """The weights (O, ...) as they are stored: on the grid, with the scale to pin and the form they are in."""
        form = self.form
        if self.book is not None:
            form = replace(form, codebook=tuple(int(v) for v in np.rint(self.book.detach().cpu().numpy())))
        if self.mask is not None:
            form = replace(form, mask=Const(self.mask.cpu().numpy().reshape(w.shape)))
        if not self.snaps:
            kept = w if form.mask is None else np.where(form.mask.array, w, np.float32(0.0))
            return FinishedWeights(kept, form, None)
        scale = self.log_scale.detach().exp().cpu().numpy().astype(np.float64)
        q, scale = snap(w, form, scale)
        real = (q * scale.reshape(-1, *[1] * (w.ndim - 1))).astype(np.float32)
        return FinishedWeights(real, form, tuple(float(s) for s in scale))


@dataclass(frozen=True, slots=True)
class FinishedWeights:
    """`scale`: one for each output channel where the values lie on a grid, else None."""

    values: Array
    form: WeightForm
    scale: tuple[float, ...] | None


def to_int8(w: Tensor) -> Tensor:
    """Fake quantisation as the quantiser will do it: for each output channel the largest weight becomes 127."""
    flat = w.reshape(len(w), -1)
    log_scale = (flat.detach().abs().amax(dim=1) / 127.0).clamp_min(1e-30).log()
    return _snap(flat, log_scale, None, None, 127).reshape(w.shape)
