"""Recurrent layers with torch, step by step, gradients included."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from tinygen.ops import Gru, Lstm, Recurrent
from tinygen.ops.base import Shape
from tinygen.ops.recurrent import Function


def recurrent_step(op: Recurrent, x_shape: Shape) -> Callable[..., tuple[Tensor, ...]]:
    """Step by step: y, the states behind the last one, and what only calibration sees (`Recurrent.told`)."""
    units, gates, lengths = op.units, op.GATES, op.steps(x_shape)

    def clip(p: Tensor) -> Tensor:
        return torch.clamp(p, -op.clip, op.clip) if op.clip else p

    def lstm(k: int, px: Tensor, r: Tensor, _: Tensor, p: Tensor | None, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        assert isinstance(op, Lstm)
        f, g, t = (_function(each) for each in op.functions[k])
        i, o, forget, inner = torch.chunk(px + h @ r.T, 4, dim=-1)
        to_i, to_o, to_f = torch.chunk(p, 3) if p is not None else (torch.zeros(()),) * 3
        enter = f(clip(i + to_i * c))
        keep = 1.0 - enter if op.coupled else f(clip(forget + to_f * c))
        c = keep * c + enter * g(clip(inner))
        h = f(clip(o + to_o * c)) * t(c)
        return h, c

    def gru(k: int, px: Tensor, r: Tensor, b: Tensor, _: Tensor | None, h: Tensor) -> tuple[Tensor, ...]:
        assert isinstance(op, Gru)
        f, g = (_function(each) for each in op.functions[k])
        to_z, to_r, to_n = torch.chunk(r, 3)
        b_z, b_r, b_n = torch.chunk(b, 3)
        p_z, p_r, p_n = torch.chunk(px - b, 3, dim=-1)
        z, reset = f(clip(p_z + h @ to_z.T + b_z)), f(clip(p_r + h @ to_r.T + b_r))
        inside = reset * (h @ to_n.T + b_n) if op.before else (reset * h) @ to_n.T + b_n
        return (z * h + (1.0 - z) * g(clip(p_n + inside)),)

    def rnn(k: int, px: Tensor, r: Tensor, _: Tensor, __: Tensor | None, h: Tensor) -> tuple[Tensor, ...]:
        return (_function(op.functions[k][0])(clip(px + h @ r.T)),)

    kinds: dict[str, Callable[..., tuple[Tensor, ...]]] = {"LSTM": lstm, "GRU": gru, "RNN": rnn}
    one_step = kinds[op.ONNX]

    def run(x: Tensor, w: Tensor, r: Tensor, b: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        peepholes, states = (more[0], more[1:]) if isinstance(op, Lstm) and op.peepholes else (None, more)
        zeros = x.new_zeros((*x.shape[:2], op.width))
        starts = [s.expand(zeros.shape) for s in states] or [zeros] * op.STATES
        sequences, ends, sums = [], [], []
        for i, steps in enumerate(lengths):
            parts, last = [], []
            for k, reverse in enumerate(op.reverse):
                own = slice(k * units, (k + 1) * units)
                inputs, hidden = b[k, : gates * units], b[k, gates * units :]
                px = x[:, i, :steps] @ w[k].T + inputs + hidden
                now = tuple(s[:, i, own] for s in starts)
                peep = None if peepholes is None else peepholes[k]
                found: dict[int, tuple[Tensor, ...]] = {}
                for t in reversed(range(steps)) if reverse else range(steps):
                    if op.is_open:
                        sums += [px[:, t], now[0].abs() @ r[k].abs().T if op.gates_h else now[0] @ r[k].T]
                    now = found[t] = one_step(k, px[:, t], r[k], hidden, peep, *now)
                rest = [tuple(torch.zeros_like(s) for s in now)] * (x_shape[1] - steps)
                rows = [*(found[t] for t in range(steps)), *rest]
                parts.append([torch.stack(each, dim=1) for each in zip(*rows, strict=True)])
                last.append(now)
            sequences.append([torch.cat(each, dim=-1) for each in zip(*parts, strict=True)])
            ends.append([torch.cat(each, dim=-1) for each in zip(*last, strict=True)])
        finals = [torch.stack(each, dim=1) for each in zip(*ends, strict=True)]
        every = [torch.stack(each, dim=1) for each in zip(*sequences, strict=True)]
        known = dict(zip(("h", "c"), finals, strict=False)) | {"y": every[0] if op.sequence else finals[0]}
        known |= {"steps": every[0], "cells": every[-1], "start": starts[0]}
        if op.is_open:
            known["sums"] = torch.cat(sums, dim=-1)
        if isinstance(op, Gru) and "limit" in op.told:
            slope, least = op.bounding_line()
            known["limit"] = slope * known["sums"].abs().amax(dim=-1, keepdim=True) + least
        return tuple(known[name] for name in op.told)

    return run


def _function(f: Function) -> Callable[[Tensor], Tensor]:
    """A function of ONNX's recurrent operators."""
    a, b = f.alpha, f.beta
    known: dict[str, Callable[[Tensor], Tensor]] = {
        "Sigmoid": torch.sigmoid,
        "Tanh": torch.tanh,
        "Relu": torch.relu,
        "LeakyRelu": lambda x: functional.leaky_relu(x, a),
        "ThresholdedRelu": lambda x: torch.where(x > a, x, torch.zeros_like(x)),
        "Elu": lambda x: functional.elu(x, a),
        "Affine": lambda x: a * x + b,
        "ScaledTanh": lambda x: a * torch.tanh(b * x),
        "HardSigmoid": lambda x: torch.clamp(a * x + b, 0.0, 1.0),
        "Softsign": functional.softsign,
        "Softplus": functional.softplus,
    }
    return known[f.name]
