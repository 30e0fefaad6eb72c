"""How much each channel matters to the outputs, by gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tinygen.calibrate.data import Samples
from tinygen.compress.network import Network
from tinygen.compress.train.loss import Head, check_same_ports, find_head, turn_input
from tinygen.compress.train.module import Change, GraphModule
from tinygen.compress.train.settings import Training
from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.progress import Progress

#: Answers drawn for each sample.
_DRAWS = 2


def channel_scores(
    network: Network, teacher: Graph | None, samples: Samples, settings: Training, progress: Progress
) -> dict[str, Array]:
    """See `tinygen.compress.train.taylor_scores`."""
    graph = network.graph
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = GraphModule(graph).to(device)
    for p in model.parameters():
        p.requires_grad_(False)
    inputs = [
        torch.from_numpy(np.ascontiguousarray(q.to_tensor(x)))
        for q, x in zip(graph.in_ports, samples.inputs, strict=True)
    ]
    check_same_ports(graph, teacher)
    reference = GraphModule(graph if teacher is None else teacher).to(device)
    heads = [find_head(graph, name) for name in graph.outputs]
    asked = [find_head(reference.graph, name)[1] for name in reference.graph.outputs]
    names = [t.name for t in graph.tensors.values() if t.const is None]
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Change:
        def run(x: Tensor) -> Tensor:
            # A leaf needs to be told to have a gradient; what is computed from one, to keep it.
            x = x.detach().requires_grad_() if not x.requires_grad else x
            x.retain_grad()
            seen[name] = x
            return x

        return run

    change = {name: keep(name) for name in names}
    totals = {name: np.zeros(graph.tensors[name].shape[-1] if graph.tensors[name].shape else 1) for name in names}
    dice = torch.Generator().manual_seed(settings.seed)
    count = samples.count
    for start in range(0, count, settings.batch):
        batch = [x[start : start + settings.batch].to(device) for x in inputs]
        with torch.no_grad():
            theirs = [
                turn_input(x, mine, own)
                for x, mine, own in zip(batch, graph.in_ports, reference.graph.in_ports, strict=True)
            ]
            answers = reference.run(theirs, asked)
        for _ in range(_DRAWS):
            seen.clear()
            outputs = model.run(batch, [tensor for _, tensor in heads], change=change)
            surprise = sum(
                _surprise(head, y, answer, settings.temperature, dice)
                for (head, _), y, answer in zip(heads, outputs, answers, strict=True)
            )
            assert isinstance(surprise, Tensor)
            surprise.backward()  # type: ignore[no-untyped-call]
            for name, x in seen.items():
                if x.grad is not None:
                    effect = (x.grad * x.detach()).reshape(len(x), -1, len(totals[name])).sum(dim=1)
                    totals[name] += effect.double().square().sum(dim=0).cpu().numpy()
        progress("channel scores", min(start + settings.batch, count), count)
    return {name: total / (count * _DRAWS) for name, total in totals.items()}


def _surprise(head: Head, y: Tensor, answer: Tensor, temperature: float, dice: torch.Generator) -> Tensor:
    """Minus the log-likelihood of answers drawn from the distribution `answer`; of values, with noise of one spread."""
    if head is Head.SOFTMAX:
        p = torch.softmax(answer / temperature, -1).reshape(-1, y.shape[-1])
        drawn = torch.multinomial(p.cpu(), 1, generator=dice).to(y.device)
        return -torch.log_softmax(y / temperature, -1).reshape(p.shape).gather(1, drawn).sum()
    if head is Head.SIGMOID:
        p = torch.sigmoid(answer)
        drawn = (torch.rand(p.shape, generator=dice).to(y.device) < p).to(y.dtype)
        return torch.nn.functional.binary_cross_entropy_with_logits(y, drawn, reduction="sum")
    spread = answer.std().clamp_min(1e-12)
    drawn = answer + spread * torch.randn(y.shape, generator=dice).to(y.device)
    return (y - drawn).square().sum() / (2.0 * spread**2)
