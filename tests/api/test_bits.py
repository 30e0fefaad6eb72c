"""`Quantised.run` gives the bits of the chip: those of the compiled C."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.api.support import BOARD, net, samples, small


def several(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)


# Transposed ports (conv, several), several inputs and outputs, normalisations in the port, an output in parts.
@pytest.mark.parametrize(
    ("name", "bits"), [("conv", 8), ("wave", 16), ("several", 8), ("several", 16), ("normalised", 8), ("parts", 8)]
)
def test_run_equals_the_compiled_c(name: str, bits: int, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    q = net(name, bits)
    built = q.build(BOARD, verify="none")
    x = samples(q, 7, seed=1)
    ours, found = several(q.run(x)), several(built.save(tmp_path / name).run(x))
    assert [a.shape for a in ours] == [(7, *t.shape[1:]) for t in q.outputs]
    for a, b in zip(ours, found, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)
        assert np.ptp(a) > 0.0


@pytest.mark.parametrize(("name", "bits"), [("several", 8), ("wave", 16)])
def test_run_integers_is_what_was_proved(name: str, bits: int) -> None:
    """The integers that the emulated and the native C gave, in `Build.proofs` and the golden vectors."""
    built = net(name, bits).build(BOARD, verify="none")
    ours = several(net(name, bits).run_integers(built._built.inputs))
    for a, b in zip(ours, built._built.expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_golden_vectors_are_run_integers() -> None:
    text = small().build(BOARD, verify="none").files["include/digits_golden.h"].decode()
    found = {k: re.findall(rf"golden\d_{k}0\[\d+\] = {{(.*?)}}", text, re.S) for k in ("input", "output")}
    rows = {k: [np.array(t.strip(" ,\n").split(","), np.int8) for t in texts] for k, texts in found.items()}
    assert len(rows["input"]) == len(rows["output"]) == 2
    shape = np.asarray(small().quantize_input(np.zeros((1, 1, 8, 8)))).shape[1:]
    for x, y in zip(rows["input"], rows["output"], strict=True):
        np.testing.assert_array_equal(np.asarray(small().run_integers(x.reshape(1, *shape))).ravel(), y)


def test_float_and_integer_forms_agree() -> None:
    q = net("several")
    x = samples(q, 5)
    by_name = dict(zip(("image", "hint"), x, strict=True))
    for a, b in zip(several(q.run(x)), several(q.run(by_name)), strict=True):
        np.testing.assert_array_equal(a, b)
    one = q.run(tuple(a[0] for a in x))
    for a, b in zip(several(one), several(q.run(x)), strict=True):
        np.testing.assert_array_equal(a[0], b[0])
    assert [a.dtype for a in several(q.quantize_input(x))] == [np.int8, np.int8]
    assert several(net("wave", 16).quantize_input(samples(net("wave", 16), 2)))[0].dtype == np.int16
