"""Calibration and evaluation data of the user's, from files or in memory.

A sample always has the shape of the ONNX input, batch of 1 included, so n samples are an array (n, *port.shape).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinygen.calibrate.shapes import fit, fit_streams, show
from tinygen.calibrate.stored import Given, Raw, Stored, names, read_file, read_folder
from tinygen.errors import DataError
from tinygen.ir.types import Port, Quant
from tinygen.numerics import Array, dequantise

_RAW_TYPES = ("int8", "uint8")


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """`inputs`: float32 (n, *onnx shape), one array for each ONNX input, or streams of a network that keeps a state,
    (n, steps, *onnx shape); `labels`: (n, ...) or None, for streams or for their steps, (n, steps, ...).

    `sha256` covers the values that are used, not the file they came from; `source` is a phrase for reports.
    """

    inputs: tuple[Array, ...]
    labels: Array | None
    sha256: str
    source: str

    @property
    def count(self) -> int:
        return len(self.inputs[0])


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """Samples in memory as the user has them, not looked at yet: an array for the only input, one for each in their
    order, or arrays by ONNX input name; and labels."""

    inputs: Array | Sequence[Array] | Mapping[str, Array]
    labels: Array | None = None


#: Where samples come from: a file or folder, arrays, or samples that were read already.
Data = Path | Arrays | Samples


def read_data(
    data: Data,
    ports: Sequence[Port],
    *,
    limit: int | None = None,
    input_types: Sequence[str] | None = None,
    quants: Sequence[Quant | None] | None = None,
    streams: bool = False,
) -> Samples:
    """Samples from wherever they are, as `load_data` reads files; samples that were read already as they are."""
    check_limit(limit)
    if isinstance(data, Samples):
        return data
    if isinstance(data, Arrays):
        return _of_arrays(data, ports, limit, input_types, quants, streams=streams)
    return load_data(data, ports, limit=limit, input_types=input_types, quants=quants, streams=streams)


def load_data(
    path: str | Path,
    ports: Sequence[Port],
    *,
    limit: int | None = None,
    input_types: Sequence[str] | None = None,
    quants: Sequence[Quant | None] | None = None,
    streams: bool = False,
) -> Samples:
    """Read a `.npz` (`x`, optionally `y`; or one array for each ONNX input), a `.npy`, or a folder of `.npy` files.

    Shapes for an ONNX input (1, *rest): (n, *rest), (n, 1, *rest), or (*rest) for one sample. Integers become
    float32 unscaled, except arrays of the type the model itself takes (`input_types[i]` is int8 or uint8): those hold
    quantised values and are dequantised by `quants[i]`, which speaks of that same type. At most the first `limit`
    samples are used and checked. `streams`: for a network that keeps a state; samples are streams of calls, (n, steps,
    *rest), or (steps, *rest) for one, all of the same length.
    """
    file = Path(path)
    check_limit(limit)
    try:
        is_folder, exists = file.is_dir(), file.exists()
    except (OSError, ValueError) as error:
        raise DataError(f'data file "{file}" cannot be opened: {error}.') from error
    if not exists:
        raise DataError(f'data file "{file}" does not exist. Give a .npz, a .npy or a folder of .npy files.')
    if not is_folder and not file.is_file():  # a pipe may never end
        raise DataError(f'data file "{file}" is no regular file (a pipe, a device). Give a .npz, a .npy or a folder.')
    if is_folder:
        raw, stored_labels = read_folder(file, ports, limit, fit_streams if streams else fit)
    else:
        raw, stored_labels = read_file(file, ports)
    return _gathered(
        raw, stored_labels, ports, file.name, limit, input_types, quants, whole=not (is_folder and limit is not None),
        streams=streams,
    )  # fmt: skip


def _array(name: str, x: object) -> Array:
    try:
        return np.asarray(x)
    except (ValueError, TypeError, RuntimeError) as e:
        raise DataError(f'array "{name}": found {type(x).__name__}, which numpy makes no array of: {e}.') from e


def _of_arrays(
    data: Arrays,
    ports: Sequence[Port],
    limit: int | None,
    input_types: Sequence[str] | None,
    quants: Sequence[Quant | None] | None,
    *,
    streams: bool,
) -> Samples:
    """Samples of arrays in memory, held to the same rules as those of files."""
    wanted = [p.name for p in ports]
    if isinstance(data.inputs, Mapping):
        found = {name: _array(name, x) for name, x in data.inputs.items()}
        missing = [name for name in wanted if name not in found]
        strange = [name for name in found if name not in wanted]
        if missing or strange:
            what = f"no array {names(missing)}" if missing else f"no input {names(strange)}"
            raise DataError(f"arrays: {what}. Found {names(found) or 'nothing'}, needed {names(wanted)}.")
    else:
        given = [data.inputs] if len(ports) == 1 and not isinstance(data.inputs, tuple) else list(data.inputs)
        if len(given) != len(ports):
            raise DataError(
                f"arrays: found {len(given)}, but the model has {len(ports)} inputs: {names(wanted)}. "
                "Give one for each, in a tuple or by name."
            )
        found = {name: _array(name, x) for name, x in zip(wanted, given, strict=True)}
    raw: Raw = [[Given(found[name], f'array "{name}"')] for name in wanted]
    labels = None if data.labels is None else Given(np.asarray(data.labels), "labels")
    samples = _gathered(raw, labels, ports, "arrays", limit, input_types, quants, whole=True, streams=streams)

    def own(x: Array, given: Array) -> Array:
        """What the user writes into an array later changes nothing here."""
        return x.copy() if np.may_share_memory(x, given) else x

    kept = None if labels is None or samples.labels is None else own(samples.labels, labels.values)
    return replace(
        samples, inputs=tuple(own(x, found[n]) for x, n in zip(samples.inputs, wanted, strict=True)), labels=kept
    )


def _gathered(
    raw: Raw,
    stored_labels: Stored | Given | None,
    ports: Sequence[Port],
    name: str,
    limit: int | None,
    input_types: Sequence[str] | None,
    quants: Sequence[Quant | None] | None,
    *,
    whole: bool,
    streams: bool = False,
) -> Samples:
    """The first `limit` samples, checked. `whole`: how many there are is known; not of a folder that is not read to
    its end."""
    arrays: list[Array] = []
    totals: list[int] = []
    for i, port in enumerate(ports):
        parts: list[tuple[Array, str]] = []
        left, total = limit, 0
        for stored in raw[i]:
            part, there = stored.samples(port, left, fit_streams if streams else fit)
            parts.append((part, stored.where))
            total += there
            left = None if left is None else max(left - len(part), 1)
        x = parts[0][0] if len(parts) == 1 else _join(parts)
        totals.append(total)
        x = x[:limit]
        kind = input_types[i] if input_types is not None else "float32"
        if port.codes:
            real = _as_float(x, [(len(part), where) for part, where in parts])
            _check_codes(real, port, parts[0][1])
            arrays.append(real)
        elif kind in _RAW_TYPES and x.dtype == np.dtype(kind):
            quant = quants[i] if quants is not None else None
            if quant is None:
                raise ValueError(f'input "{port.name}" takes {kind}: its Quant must be given')
            arrays.append(dequantise(x, quant.s, quant.zero_point))
        else:
            arrays.append(_as_float(x, [(len(part), where) for part, where in parts]))
    for port, found in zip(ports, totals, strict=True):
        if found != totals[0]:
            raise DataError(
                f'{name}: found {totals[0]} samples of "{ports[0].name}" but {found} of "{port.name}"; '
                "every input needs the same number."
            )
    total, count = totals[0], len(arrays[0])
    steps = arrays[0].shape[1] if streams else None
    for port, x in zip(ports, arrays, strict=True):
        if streams and x.shape[1] != steps:
            raise DataError(
                f'{name}: found {steps} steps of "{ports[0].name}" but {x.shape[1]} of "{port.name}"; every input '
                "needs the same number."
            )
    labels = None
    if stored_labels is not None:
        if steps is not None and total == 1 and stored_labels.shape[:1] == (steps,):  # of its steps
            stored_labels = Given(stored_labels.read()[None], stored_labels.where)
        labels = _check_labels(stored_labels, total, count, name, whole=whole)
    of = f" of {total}" if whole and total != count else ""
    what = "sample" if steps is None else "stream"
    ending = "" if steps is None else f" of {steps} steps"
    return samples_of(arrays, labels, f"{name}: {count}{of} {what}{'' if count == 1 and not of else 's'}{ending}")


def part(samples: Samples, at: slice | Array) -> Samples:
    """The samples at these places; where that is all of them, the same object."""
    inputs = tuple(np.ascontiguousarray(x[at]) for x in samples.inputs)
    if len(inputs[0]) == samples.count:
        return samples
    labels = None if samples.labels is None else np.ascontiguousarray(samples.labels[at])
    return samples_of(inputs, labels, samples.source)


def samples_of(arrays: Sequence[Array], labels: Array | None, source: str) -> Samples:
    digest = hashlib.sha256()
    for a in (*arrays, *(() if labels is None else (labels,))):
        digest.update(f"{a.dtype.str}{a.shape}".encode())
        digest.update(np.ascontiguousarray(a).tobytes())
    return Samples(tuple(arrays), labels, digest.hexdigest(), source)


def check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise DataError(f"limit on the number of samples: found {limit}, allowed 1 or more.")


# -- checking ---------------------------------------------------------------------------------------------------------


def _join(parts: Sequence[tuple[Array, str]]) -> Array:
    """The files of a folder as one array; of one type, so that raw values never mix with real ones."""
    first, first_name = parts[0]
    for part, name in parts[1:]:
        if part.dtype != first.dtype:
            raise DataError(
                f"{name}: found elements of type {part.dtype}, but {first.dtype} in {first_name}; "
                "all files of a folder need the same type."
            )
        if part.shape[1:] != first.shape[1:]:  # streams
            raise DataError(
                f"{name}: found {part.shape[1]} steps, but {first.shape[1]} in {first_name}; all streams need the same "
                "number. Cut them to the length of the shortest, or to pieces of one length."
            )
    return np.concatenate([part for part, _ in parts])


def _as_float(x: Array, parts: Sequence[tuple[int, str]]) -> Array:
    """Finite float32, or a DataError naming the first bad element. `parts`: length and name of the pieces of `x`."""
    if x.dtype.kind not in "fiub":
        raise DataError(
            f"{parts[0][1]}: found elements of type {x.dtype}, allowed are real numbers (float or integer). "
            "Convert with x.astype(numpy.float32)."
        )
    with np.errstate(over="ignore"):
        y = np.ascontiguousarray(x, dtype=np.float32)
    finite = np.isfinite(y)
    if not finite.all():
        at = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), y.shape))
        sample, where = at[0], parts[0][1]
        for length, name in parts:
            where = name
            if sample < length:
                break
            sample -= length
        value = x[at]
        kind = "NaN" if np.isnan(value) else "an infinite value" if np.isinf(value) else f"{value} (beyond float32)"
        raise DataError(
            f"{where}: sample {sample} holds {kind} at index {show(at[1:])}. "
            "Only finite numbers are allowed: repair or drop that sample."
        )
    return y


def _check_codes(x: Array, port: Port, where: str) -> None:
    """Raise DataError unless the numbers can be given to an input of integers that mean themselves."""
    low, high = port.ends
    wrong = (x != np.rint(x)) | (x < low) | (x > high)
    if wrong.any():
        raise DataError(
            f'{where}: found {x[wrong][0]:g}; input "{port.name}" takes {port.codes}, allowed are whole numbers from '
            f"{low} to {high}. Give the values as the sensor has them; the network itself scales them."
        )


def _check_labels(stored: Stored | Given, total: int, count: int, where: str, *, whole: bool) -> Array:
    found = stored.shape[0] if stored.shape else 0
    labels = stored.read(count)
    if labels.dtype.kind not in "fiub":
        raise DataError(
            f"{where}: labels are of type {labels.dtype}, allowed are numbers (class 0, 1, 2, ...). "
            "Replace names by class numbers."
        )
    if found != total and (whole or found < total):
        raise DataError(f"{where}: found {total} samples but {found} labels; every sample needs one.")
    labels = labels[:count]
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        row = int(np.argmin(np.isfinite(labels.reshape(count, -1)).all(axis=1)))
        raise DataError(f"{where}: label {row} is NaN or infinite. Only finite numbers are allowed.")
    return np.ascontiguousarray(labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels)
