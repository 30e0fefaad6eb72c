"""Random float networks, put through onnxruntime's quantiser in all its ways: what it writes is read as it means it.

Every build checks itself (flow/check.py); here nothing but a refusal with a reason may come of it. The normal suite
takes a few networks and those that were once read wrongly; `make random` takes two thousand.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from tests.random.generator import generate, samples
from tinygen.errors import ModelError
from tinygen.flow.quantised import quantised_file
from tinygen.numerics import Array

#: (format, activations, extra options): what people choose.
WAYS: list[tuple[str, str, dict[str, Any]]] = [
    ("QDQ", "QInt8", {}),
    ("QDQ", "QUInt8", {}),
    ("QOperator", "QUInt8", {}),
    ("QOperator", "QInt8", {}),
    ("QDQ", "QUInt8", {"AddQDQPairToWeight": True}),
    ("QDQ", "QInt8", {"DedicatedQDQPair": True}),
    ("QDQ", "QInt8", {"QuantizeBias": False}),
    ("QDQ", "QInt8", {"ActivationSymmetric": True}),
    ("QDQ", "QUInt8", {"ForceQuantizeNoInputCheck": True}),
]
#: Read wrongly once, or right and called wrong.
ONCE = [32, 34, 43, 82, 86, 115, 118, 182, 196, 310, 379, 386, 419, 466, 839, 871, 940, 956, 1051, 1252, 1366, 1508]


class _Data(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: dict[str, Array], count: int) -> None:
        self.rows: Iterator[dict[str, Array]] = iter([{k: v[i] for k, v in feeds.items()} for i in range(count)])

    def get_next(self) -> dict[str, Array] | None:
        return next(self.rows, None)


def outcome(seed: int, folder: Path) -> str:
    """What came of one network: "quantiser" where onnxruntime's gave up; raises where tinygen read it wrongly."""
    model = generate(seed)
    kind, activations, extra = WAYS[seed % len(WAYS)]
    source, target = folder / "float.onnx", folder / f"q{seed}.onnx"
    onnx.save(model, str(source))
    try:
        quantize_static(
            str(source), str(target), _Data(samples(model, 8, seed), 8), quant_format=QuantFormat[kind],
            activation_type=QuantType[activations], weight_type=QuantType.QInt8 if seed % 3 else QuantType.QUInt8,
            per_channel=seed % 2 == 0, extra_options=extra,
        )  # fmt: skip
    except Exception:  # noqa: BLE001 - whatever the quantiser does not take
        return "quantiser"
    try:
        return quantised_file(target).checked.kind.split(":")[0]
    except ModelError:  # one of them is UnsupportedError: said to the user, who can do something
        return "refused"


def outcomes(seeds: range | list[int], folder: Path) -> Counter[str]:
    logging.disable(logging.WARNING)
    with np.errstate(all="ignore"):
        found = Counter(outcome(s, folder) for s in seeds if s % 4 != 1)  # those are quantised already
    logging.disable(logging.NOTSET)
    return found


@pytest.mark.filterwarnings("ignore")
def test_networks_of_the_quantiser(tmp_path: Path) -> None:
    found = outcomes(range(40), tmp_path)
    assert found["quantised"] > 12
    assert found["refused"] < 3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", ONCE)
def test_what_was_read_wrongly(seed: int, tmp_path: Path) -> None:
    assert outcome(seed, tmp_path) != "quantiser"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("first", range(0, 2000, 100))
def test_many_networks_of_the_quantiser(first: int, tmp_path: Path) -> None:
    found = outcomes(range(first, first + 100), tmp_path)
    assert found["quantised"] > 20
    assert found["refused"] < 12
