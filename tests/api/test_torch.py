"""A module of PyTorch: exported for us, and left as it was."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

import tinygen
from tinygen.errors import ModelError

torch: Any = pytest.importorskip("torch")


class Two(torch.nn.Module):  # type: ignore[misc]
    """Two inputs, two outputs, and parts that behave otherwise in training."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.drop, self.dense = torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 4)

    def forward(self, speech: Any, hint: Any) -> Any:
        y = self.dense(self.drop(self.norm(speech)))
        return torch.relu(y), y + hint


def test_a_module_is_a_model() -> None:
    net = Two()
    net.norm.eval()  # as when only the head is trained
    flags = {name: part.training for name, part in net.named_modules()}
    m = tinygen.load(net, example=(torch.zeros(5, 8), np.zeros((5, 4), np.float32)))  # a batch, as a loader gives it
    assert {name: part.training for name, part in net.named_modules()} == flags
    assert repr(m) == "<Model two: speech (1, 8), hint (1, 4) -> output_0 (1, 4), output_1 (1, 4)>"
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(64, n)).astype(np.float32) for n in (8, 4)]
    found = m.quantize(tuple(x)).run(tuple(x))
    with torch.no_grad():
        expected = net.eval()(*map(torch.tensor, x))
    for a, b in zip(found, expected, strict=True):
        assert np.abs(a - b.numpy()).max() < 0.1


def test_either_exporter_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newer one where onnxscript is there; it is asked for with the same names."""
    asked: dict[str, Any] = {}

    class Program:
        model_proto = None

    def export(module: Any, inputs: Any, **how: Any) -> Any:
        asked.update(how)
        raise RuntimeError("cannot\nexport this")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.onnx, "export", export)
    with pytest.raises(ModelError, match="PyTorch could not export Linear to ONNX: cannot export this"):
        tinygen.load(torch.nn.Linear(3, 2), example=torch.zeros(1, 3))
    assert asked["dynamo"] is True
    assert (asked["input_names"], asked["output_names"]) == (["input"], ["output"])


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (None, "needs an example input"),
        (torch.zeros(()), "tensors with a batch in front"),
        ("x", "tensors with a batch in front"),
        (torch.zeros(1, 9), "PyTorch could not export Linear to ONNX"),
    ],
)
def test_examples_that_will_not_do(example: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        tinygen.load(torch.nn.Linear(3, 2), example=example)
