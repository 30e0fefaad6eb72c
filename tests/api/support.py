"""What the tests of the API work with: the examples, and tiny networks with samples."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

import tinygen
from tests.emit.nets import NETS
from tinygen.numerics import Array

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "examples" / "digits"
BOARD = "nucleo_f446re"


@cache
def digits() -> tuple[Array, Array]:
    with np.load(DIGITS / "digits_calib.npz") as file:
        return file["x"], file["y"]


@cache
def model() -> tinygen.Model:
    return tinygen.load(DIGITS / "digits.onnx")


@cache
def small() -> tinygen.Quantised:
    """The digits, quantised with labels."""
    return model().quantize(*digits())


def samples(m: tinygen.Model | tinygen.Quantised, count: int = 24, seed: int = 0) -> tuple[Array, ...]:
    """Of each input, values from well within to beyond what calibration sees."""
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(0.0, 1.0, (count, *t.shape[1:])).astype(np.float32) for t in m.inputs)


@cache
def net(name: str, activations: int = 8) -> tinygen.Quantised:
    """One of tests/emit/nets.py, whatever integers make of it."""
    m = tinygen.load(NETS[name](), name=name)
    return m.quantize(samples(m), activations=activations, accept_loss=True, repair="off")
