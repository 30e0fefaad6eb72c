"""The user's samples, in whatever form they come."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from tinygen.calibrate.data import Arrays, Data, Samples
from tinygen.errors import DataError
from tinygen.numerics import Array

#: A file or folder; an array of the only input, one for each in a tuple, or arrays by ONNX input name.
Inputs: TypeAlias = str | os.PathLike[str] | Array | Sequence[Array] | Mapping[str, Array] | Samples


def as_data(x: Inputs, y: Array | None = None) -> Data:
    """`x` with labels `y` as the line takes them; nothing is read or checked yet. Labels of a file stand in it."""
    if isinstance(x, str | os.PathLike):
        if y is not None:
            raise DataError(f'labels were given beside the file "{x}": those of a file stand in it, as array y.')
        return Path(x)
    if isinstance(x, Samples):
        return x
    if isinstance(x, Mapping):
        return Arrays({str(name): _array(a) for name, a in x.items()}, _labels(y))
    if isinstance(x, tuple):
        return Arrays(tuple(map(_array, x)), _labels(y))
    # A list is samples of the only input, or an array for each of several: the model's to say.
    return Arrays([_array(a) for a in x] if isinstance(x, list) else _array(x), _labels(y))


def _labels(y: Any) -> Array | None:
    return None if y is None else _array(y)


def _array(x: Any) -> Array:
    """Of numpy; a tensor of PyTorch's may be on its way through a gradient, or on another device."""
    try:
        return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
    except (ValueError, TypeError, RuntimeError) as e:
        raise DataError(f"arrays: found {type(x).__name__}, which numpy makes no array of: {e}.") from e


def data_or_none(x: Inputs | None, y: Array | None = None) -> Data | None:
    """The same, where there may be none."""
    if x is None:
        if y is not None:
            raise DataError("labels were given without samples. Give both.")
        return None
    return as_data(x, y)
