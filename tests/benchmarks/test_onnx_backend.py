"""The backend tests of the onnx package: a few of each kind, and a judge that can say no."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from benchmarks import onnx_backend as backend
from benchmarks.onnx_cases import every_test, unsuitable

#: A frozen sample of the tests that pass: of every kind of operand and of every way of being judged.
SAMPLE = (
    "test_acosh_example",
    "test_add_bcast",
    "test_argmax_keepdims_example",
    "test_basic_conv_with_padding",
    "test_gelu_tanh_1_expanded",
    "test_maxpool_2d_uint8",
    "test_quantizelinear",
    "test_split_variable_parts_1d_opset18",
    "test_tensorscatter_circular",
)


def test_the_list_is_of_this_onnx() -> None:
    listed = backend.frozen()
    if listed["onnx"] != onnx.__version__:
        pytest.skip(f"the list is of onnx {listed['onnx']}, installed is {onnx.__version__}")
    found = {name: unsuitable(t) for name, t in every_test().items()}
    assert sorted(n for n, why in found.items() if not why) == listed["tests"]
    assert {n: why for n, why in found.items() if why} == {
        n: why for why, names in listed["left out"].items() for n in names
    }


@pytest.mark.parametrize("name", SAMPLE)
def test_a_test_passes_and_can_fail(name: str) -> None:
    outcome, ran = backend.attempt(every_test()[name])
    assert outcome.verdict == backend.PASSED, outcome
    assert outcome.can_fail
    assert ran is not None


def test_a_refusal_has_its_reason() -> None:
    outcome, ran = backend.attempt(every_test()["test_det_2d"])
    assert outcome.verdict == backend.REFUSED
    assert ran is None
    assert outcome.why
    assert outcome.help


def test_close() -> None:
    want = np.arange(8.0)
    step = np.ones(())
    assert backend.is_close(want, want + 2.0, step)
    assert not backend.is_close(want, want + 2.5, step)
    assert backend.is_close(100 * want, 100 * want + 2.5, step)
    assert not backend.is_close(np.full(8, 255.0), np.full(8, 247.0), step)  # 30.07 dB, were the mean a signal
