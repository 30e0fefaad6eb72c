"""Adam whose learning rate is a share of what it changes.

Adam's step does not depend on the size of the gradients, so a weight of 0.001 moves as far as one of 10. In a network
whose batch normalisation is folded into its weights both occur side by side. Each parameter therefore has a unit (the
root mean square of its output channel, say), and its step is counted in units: the same as training weight / unit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-10
#: Gradients longer than this multiple of their running mean length are shortened to it.
_SPIKE = 4.0


class Adam:
    """Kingma and Ba 2015, with the decoupled weight decay of Loshchilov and Hutter 2019.

    `units` broadcast against `parameters`; `decays`: does weight decay pull at it?
    """

    def __init__(
        self, parameters: Sequence[torch.nn.Parameter], units: Sequence[Tensor], decays: Sequence[bool], decay: float
    ) -> None:
        self.parameters: list[Tensor] = list(parameters)
        self._units = list(units)
        self._decays = [decay if d else 0.0 for d in decays]
        self._first = [torch.zeros_like(p) for p in self.parameters]
        self._second = [torch.zeros_like(p) for p in self.parameters]
        self._count = 0
        self._length = 0.0

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step from the gradients, which are cleared."""
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        # In units: a layer of small weights has large gradients.
        length = (
            float(torch.stack([(g * u).square().sum() for g, u in zip(grads, self._units, strict=True)]).sum()) ** 0.5
        )
        limit = _SPIKE * self._length if self._count else length
        self._length = 0.9 * self._length + 0.1 * min(length, limit) if self._count else length
        if length > limit > 0.0:
            torch._foreach_mul_(grads, limit / length)
        self._count += 1
        torch._foreach_lerp_(self._first, grads, 1.0 - _BETA1)
        torch._foreach_mul_(self._second, _BETA2)
        torch._foreach_addcmul_(self._second, grads, grads, 1.0 - _BETA2)
        root = torch._foreach_sqrt(self._second)
        torch._foreach_div_(root, (1.0 - _BETA2**self._count) ** 0.5)
        torch._foreach_add_(root, _EPSILON)
        moves = torch._foreach_div(self._first, root)
        torch._foreach_mul_(moves, self._units)
        for p, decay in zip(self.parameters, self._decays, strict=True):
            if decay:
                p.mul_(1.0 - rate * decay)
        torch._foreach_add_(self.parameters, moves, alpha=-rate / (1.0 - _BETA1**self._count))
        for p in self.parameters:
            p.grad = None

    def state(self) -> dict[str, object]:
        return {"first": self._first, "second": self._second, "count": self._count, "length": self._length}

    def restore(self, state: dict[str, object]) -> None:
        """What `state` gave."""
        for mine, saved in ((self._first, state["first"]), (self._second, state["second"])):
            assert isinstance(saved, list)
            for a, b in zip(mine, saved, strict=True):
                a.copy_(b)
        assert isinstance(state["count"], int)
        assert isinstance(state["length"], float)
        self._count, self._length = state["count"], state["length"]
