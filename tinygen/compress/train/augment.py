"""Inputs that differ from epoch to epoch. The teacher answers for what the student sees, so no label is needed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tinygen.compress.train.settings import Training


def blend(
    inputs: Sequence[Tensor], labels: Tensor | None, settings: Training, spread: Sequence[float], dice: torch.Generator
) -> tuple[list[Tensor], Tensor | None]:
    """The batch (samples, 1, ...) changed as `settings` ask: mirrored, shifted, mixed, made noisy, in this order.

    `spread`: standard deviation of each input over the data. All inputs of a network are mixed alike.
    """
    count = len(inputs[0])
    changed = list(inputs)
    if settings.mirror:
        flip = torch.rand(count, generator=dice) < 0.5
        changed = [_where(flip, x.flip(-2), x) if x.dim() >= 4 else x for x in changed]
    if settings.shift:
        changed = [_shifted(x, settings.shift, dice) if x.dim() >= 4 else x for x in changed]
    if settings.mixup and float(torch.rand((), generator=dice)) < settings.mixup:
        order = torch.randperm(count, generator=dice)
        share = torch.rand(count, generator=dice)
        changed = [_mixed(x, order, share) for x in changed]
        labels = None if labels is None else _mixed(labels, order, share)
    if settings.noise:
        changed = [
            x + settings.noise * s * torch.randn(x.shape, generator=dice).to(x.device)
            for x, s in zip(changed, spread, strict=True)
        ]
    return changed, labels


def _along(v: Tensor, x: Tensor) -> Tensor:
    """One value for each sample, shaped to broadcast against x."""
    return v.to(x.device).reshape(-1, *(1,) * (x.dim() - 1))


def _where(flag: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(_along(flag, a), a, b)


def _mixed(x: Tensor, order: Tensor, share: Tensor) -> Tensor:
    """Zhang et al. 2018, mixup, with shares drawn evenly."""
    return torch.lerp(x, x[order.to(x.device)], _along(share, x))


def _shifted(x: Tensor, most: int, dice: torch.Generator) -> Tensor:
    """(samples, 1, [H,] W, C), each moved along its rows and columns by up to `most`, the edge repeated."""
    for axis in range(2, x.dim() - 1):
        length = x.shape[axis]
        reach = min(most, length - 1)
        by = torch.randint(-reach, reach + 1, (len(x), 1), generator=dice)
        index = (torch.arange(length) + by).clamp_(0, length - 1).to(x.device)
        shape = [len(x)] + [1] * (x.dim() - 1)
        shape[axis] = length
        x = x.gather(axis, index.reshape(shape).expand_as(x))
    return x
