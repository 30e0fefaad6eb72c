"""What training minimises: how far the student's outputs are from the teacher's and from the labels."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tinygen.errors import DataError, ModelError
from tinygen.ir.types import Affine, Graph, Port
from tinygen.numerics import Array
from tinygen.ops import ArgMax, LogSoftmax, Reshape, Softmax, Unary


class Head(enum.Enum):
    """What the last operator says about an output."""

    SOFTMAX = "classes"
    SIGMOID = "probabilities"
    PLAIN = "values"


def check_same_ports(student: Graph, teacher: Graph | None) -> None:
    """ModelError where the teacher takes or gives other things than the student."""
    if teacher is None:
        return
    for what, mine, theirs in (
        ("input", student.in_ports, teacher.in_ports),
        ("output", student.out_ports, teacher.out_ports),
    ):
        a, b = (", ".join(f'"{p.name}" {p.shape}' for p in ports) for ports in (mine, theirs))
        if [p.shape for p in mine] != [p.shape for p in theirs]:
            raise ModelError(
                f"student and teacher differ in their {what}s: found {a} in the student, {b} in the teacher; "
                "their shapes must be the same, in the same order."
            )


def turn(have: Sequence[int], want: Sequence[int]) -> tuple[int, ...]:
    """The permutation, samples first, from one tensor layout of a port to another (both as `Port.perm`)."""
    return (0, *(list(have).index(axis) + 1 for axis in want))


def turn_input(x: Tensor, have: Port, want: Port) -> Tensor:
    """A batch of an input as one network's port gives it, as another's would: its layout and its normalisation."""
    turned = turn(have.perm, want.perm)
    if have.affine == want.affine:
        return x.permute(turned)

    def along(values: Sequence[float], a: Affine) -> Tensor:
        return torch.from_numpy(a.along(values, len(have.shape))).to(x)

    if have.affine is not None:
        x = x / along(have.affine.gain, have.affine) + along(have.affine.mean, have.affine)
    x = x.permute(turned)
    if want.affine is not None:
        x = (x - along(want.affine.mean, want.affine)) * along(want.affine.gain, want.affine)
    return x


def find_head(graph: Graph, output: str) -> tuple[Head, str]:
    """The kind of a graph output, and the tensor to compare: the logits in front of a final Softmax, LogSoftmax,
    ArgMax or Sigmoid, else the output itself. Reshapes between do not matter."""
    name = output
    while name in graph.producer:
        node = graph.producer[name]
        if isinstance(node.op, Softmax | LogSoftmax | ArgMax):
            head = node.inputs[0]
            inner = graph.producer.get(head)  # ArgMax of a Softmax: the logits before both
            return Head.SOFTMAX, inner.inputs[0] if inner and isinstance(inner.op, Softmax | LogSoftmax) else head
        if isinstance(node.op, Unary) and node.op.expr == ("Sigmoid", "x"):
            return Head.SIGMOID, node.inputs[0]
        if not isinstance(node.op, Reshape):
            break
        name = node.inputs[0]
    return Head.PLAIN, output


@dataclass(frozen=True)
class Target:
    """One output to train: its kind and the tensors compared, student's and teacher's (None: no teacher).

    `classes`: length of a distribution. `spread`: variance of the teacher's values, the unit of square errors.
    """

    head: Head
    student: str
    teacher: str | None
    classes: int
    spread: float = 1.0


@dataclass(frozen=True)
class Objective:
    """The loss of a batch. `label_head`: what the labels are, which speak of the first output (None: none are used)."""

    targets: tuple[Target, ...]
    temperature: float
    label_weight: float
    label_head: Head | None

    def __call__(self, student: Sequence[Tensor], teacher: Sequence[Tensor] | None, labels: Tensor | None) -> Tensor:
        """Tensors of `targets`, (samples, ...) each; labels in the shape of the first."""
        total = student[0].new_zeros(())
        for i, target in enumerate(self.targets):
            weight = 0.0 if labels is None or i > 0 else 1.0 if teacher is None else self.label_weight
            if weight < 1.0 and teacher is not None:
                total = total + (1.0 - weight) * self._distil(target, student[i], teacher[i])
            if weight > 0.0 and labels is not None:
                total = total + weight * self._supervise(target, student[i], labels)
        return total

    def _distil(self, target: Target, y: Tensor, reference: Tensor) -> Tensor:
        """Hinton, Vinyals and Dean 2015: the divergence of softened distributions, times T^2."""
        if target.head is Head.SOFTMAX:
            t = self.temperature
            p = functional.log_softmax(reference.reshape(-1, target.classes) / t, -1)
            q = functional.log_softmax(y.reshape(-1, target.classes) / t, -1)
            return (p.exp() * (p - q)).sum(-1).mean() * t * t
        if target.head is Head.SIGMOID:
            p = torch.sigmoid(reference)
            entropy = functional.binary_cross_entropy_with_logits(reference, p)
            return functional.binary_cross_entropy_with_logits(y, p) - entropy
        return (y - reference).square().mean() / target.spread

    def _supervise(self, target: Target, y: Tensor, labels: Tensor) -> Tensor:
        y = y.reshape(labels.shape)
        if self.label_head is Head.SOFTMAX:
            return -(labels * functional.log_softmax(y, -1)).sum(-1).mean()
        if self.label_head is Head.SIGMOID:
            return functional.binary_cross_entropy_with_logits(y, labels)
        return (y - labels).square().mean() / target.spread


def label_targets(
    labels: Array, port: Port, target: Target, *, same_as_input: bool, asked: str
) -> tuple[Head, Array] | None:
    """What labels mean for the first output, and what its tensor is compared with.

    Class numbers, one for each distribution, become (n, rows, classes); arrays of the output's ONNX shape stay values,
    (n, 1, size). None: labels of another kind (a network that rebuilds its input has anomaly flags, say).
    """
    n, size = len(labels), int(np.prod(port.shape))
    numbers = bool(np.all(labels == np.rint(labels)))
    softmax = target.head is Head.SOFTMAX
    if asked != "values" and numbers and labels.size * target.classes == n * size and target.classes > 1:
        if softmax or asked == "classes" or not same_as_input:
            flat = labels.reshape(n, -1)
            if flat.min() < 0 or flat.max() >= target.classes:
                bad = int(np.flatnonzero(((flat < 0) | (flat >= target.classes)).any(axis=1))[0])
                raise DataError(
                    f"label {bad} is {labels[bad]}; the network has {target.classes} classes, allowed are the class "
                    f"numbers 0 to {target.classes - 1}."
                )
            return Head.SOFTMAX, np.eye(target.classes, dtype=np.float32)[flat.astype(np.int64)]
        return None
    if labels.size == n * size:
        values = port.to_tensor(labels.reshape(n, *port.shape)).reshape(n, 1, size).astype(np.float32)
        probabilities = values.min() >= 0.0 and values.max() <= 1.0
        if target.head is Head.SIGMOID and probabilities:
            return Head.SIGMOID, values
        if softmax and probabilities and np.allclose(values.sum(axis=-1), 1.0, atol=1e-4):
            return Head.SOFTMAX, values
        return Head.PLAIN, values
    return None
