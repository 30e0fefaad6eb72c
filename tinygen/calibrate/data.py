"""Calibration and evaluation data: from the user's files, or made up when there are none.

A sample always has the shape of the ONNX input, batch of 1 included, so n samples are an array (n, *port.shape).
"""

from __future__ import annotations

import hashlib
import itertools
import math
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from tinygen.errors import DataError
from tinygen.ir.types import Port, Quant
from tinygen.numerics import Array, dequantise

Shape = tuple[int, ...]

#: Bytes of all samples that are read, as float32. Beyond, --samples or --limit asks for fewer.
MAX_BYTES = 512 << 20
_RAW_TYPES = ("int8", "uint8")


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """`inputs`: float32 (n, *onnx shape), one array for each ONNX input; `labels`: (n, ...) or None.

    `sha256` covers the values that are used, not the file they came from; `source` is a phrase for reports.
    """

    inputs: tuple[Array, ...]
    labels: Array | None
    sha256: str
    source: str

    @property
    def count(self) -> int:
        return len(self.inputs[0])


def load_data(
    path: str | Path,
    ports: Sequence[Port],
    *,
    need_labels: bool = False,
    limit: int | None = None,
    input_types: Sequence[str] | None = None,
    quants: Sequence[Quant | None] | None = None,
) -> Samples:
    """Read a `.npz` (`x`, optionally `y`; or one array for each ONNX input), a `.npy`, or a folder of `.npy` files.

    Shapes for an ONNX input (1, *rest): (n, *rest), (n, 1, *rest), or (*rest) for one sample. Integers become
    float32 unscaled, except arrays of the type the model itself takes (`input_types[i]` is int8 or uint8): those hold
    quantised values and are dequantised by `quants[i]`, which speaks of that same type. At most the first `limit`
    samples are used and checked.
    """
    file = Path(path)
    if limit is not None and limit < 1:
        raise DataError(f"limit on the number of samples: found {limit}, allowed 1 or more.")
    try:
        is_folder, exists = file.is_dir(), file.exists()
    except (OSError, ValueError) as error:
        raise DataError(f'data file "{file}" cannot be opened: {error}.') from error
    if not exists:
        raise DataError(f'data file "{file}" does not exist. Give a .npz, a .npy or a folder of .npy files.')
    if not is_folder and not file.is_file():  # a pipe may never end
        raise DataError(f'data file "{file}" is no regular file (a pipe, a device). Give a .npz, a .npy or a folder.')
    if is_folder:
        raw, stored_labels = _read_folder(file, ports, limit)
    else:
        raw, stored_labels = _read_file(file, ports)
    arrays: list[Array] = []
    totals: list[int] = []
    for i, port in enumerate(ports):
        parts: list[tuple[Array, str]] = []
        left, total = limit, 0
        for stored in raw[i]:
            part, there = stored.samples(port, left)
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
                f'{file.name}: found {totals[0]} samples of "{ports[0].name}" but {found} of "{port.name}"; '
                "every input needs the same number."
            )
    if stored_labels is None and need_labels:
        raise DataError(
            f"{file.name}: no labels found. Accuracy needs an array y with one label for each sample: "
            "numpy.savez(file, x=..., y=...)."
        )
    total, count = totals[0], len(arrays[0])
    # With a limit, the rest of a folder is not read, so its number of samples is not known.
    whole = not (is_folder and limit is not None)
    labels = None
    if stored_labels is not None:
        labels = _check_labels(stored_labels, total, count, file.name, whole=whole)
    of = f" of {total}" if whole and total != count else ""
    return _samples(arrays, labels, f"{file.name}: {count}{of} sample{'' if count == 1 and not of else 's'}")


def part(samples: Samples, at: slice | Array) -> Samples:
    """The samples at these places; where that is all of them, the same object."""
    inputs = tuple(np.ascontiguousarray(x[at]) for x in samples.inputs)
    if len(inputs[0]) == samples.count:
        return samples
    labels = None if samples.labels is None else np.ascontiguousarray(samples.labels[at])
    return _samples(inputs, labels, samples.source)


def _samples(arrays: Sequence[Array], labels: Array | None, source: str) -> Samples:
    digest = hashlib.sha256()
    for a in (*arrays, *(() if labels is None else (labels,))):
        digest.update(f"{a.dtype.str}{a.shape}".encode())
        digest.update(np.ascontiguousarray(a).tobytes())
    return Samples(tuple(arrays), labels, digest.hexdigest(), source)


# -- reading ---------------------------------------------------------------------------------------------------------


class _Stored:
    """An array in a .npy file, or in a .npz (`member`): its type and shape are read, its values when asked for."""

    def __init__(self, file: Path, member: str | None = None) -> None:
        self.file, self.member = file, member
        self.where = file.name if member is None else f'{file.name}: array "{member}"'
        with self._open() as (stream, size):
            self.shape, self._fortran, self.dtype = self._header(stream)
            nbytes = self.dtype.itemsize * math.prod(self.shape)
            found = size - stream.tell()
            if found < nbytes:
                self._damaged(f"shape {_show(self.shape)} is {nbytes:,} bytes, found {found:,}")

    @contextmanager
    def _open(self) -> Iterator[tuple[IO[bytes], int]]:
        """The stream and its length. Whatever numpy and zipfile raise on a file they cannot read, of which there is
        much (a method of compression nobody knows, a header that is no Python), becomes a DataError."""
        try:
            if self.member is None:
                with self.file.open("rb") as plain:
                    yield plain, self.file.stat().st_size
            else:
                with zipfile.ZipFile(self.file) as z, z.open(f"{self.member}.npy") as packed:
                    yield packed, z.getinfo(f"{self.member}.npy").file_size
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001 - as said above
            lines = str(error).strip().splitlines()
            self._damaged(lines[0][:200] if lines else type(error).__name__)

    def _damaged(self, detail: str) -> NoReturn:
        raise DataError(f"{self.where} cannot be read ({detail}). The file is damaged: write it again.")

    def _header(self, stream: IO[bytes]) -> tuple[Shape, bool, np.dtype[Any]]:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            self._damaged(f"version {version} of the format, for arrays with named fields")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, fortran, dtype = read(stream)
        if dtype.hasobject:
            raise DataError(
                f"{self.where} holds Python objects, which would have to be unpickled; allowed are plain arrays of "
                "numbers. Convert it with numpy.asarray(..., dtype=numpy.float32) and save it again."
            )
        if min(shape, default=0) < 0:
            self._damaged(f"shape {_show(shape)}")
        return tuple(int(d) for d in shape), bool(fortran), dtype

    @property
    def outline(self) -> Array:
        """An array of the shape that takes no memory, to check."""
        try:
            return np.broadcast_to(np.zeros((), self.dtype), self.shape)
        except ValueError as error:
            self._damaged(str(error))

    def read(self, most: int | None = None) -> Array:
        """The values, of at most the first `most` slices of the first axis."""
        whole = self._fortran or not self.shape or most is None or self.shape[0] <= most
        rows = self.shape[:1] if whole else (most,)
        shape = (*rows, *self.shape[1:])
        count = math.prod(shape)
        if count * max(self.dtype.itemsize, 4) > MAX_BYTES:
            raise DataError(
                f"{self.where}: {_show(shape)} are {count * max(self.dtype.itemsize, 4):,} bytes in memory, more than "
                f"{MAX_BYTES >> 20} MiB. Use fewer samples: --samples or --limit, or a smaller file."
            )
        with self._open() as (stream, _):
            self._header(stream)
            data = stream.read(count * self.dtype.itemsize)
            if whole:
                stream.read(1)  # the end, where a checksum is compared
            values = np.frombuffer(data, self.dtype, count)
        return values.reshape(shape[::-1]).transpose() if self._fortran else values.reshape(shape)

    def samples(self, port: Port, most: int | None) -> tuple[Array, int]:
        """(n, *port.shape), at most the first `most`; and how many there are."""
        total = len(_fit(self.outline, port, self.where))
        return _fit(self.read(most if total > 1 else None), port, self.where), total


#: For each port, the arrays that make it up.
_Raw = list[list[_Stored]]


def _magic(file: Path) -> str:
    """What the first bytes say: npz, npy or nothing we know."""
    try:
        with file.open("rb") as stream:
            head = stream.read(6)
    except OSError as error:
        raise DataError(f'data file "{file}" cannot be opened: {error.strerror or error}.') from error
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "npz"
    if head == b"\x93NUMPY":
        return "npy"
    found = "an empty file" if not head else "something else"
    if head[:1] == b"\x80":
        found = "a Python pickle"
    raise DataError(
        f"{file.name}: found {found}, allowed is a .npz or .npy file as numpy writes it. Use numpy.savez(file, x=...)."
    )


def _read_file(file: Path, ports: Sequence[Port]) -> tuple[_Raw, _Stored | None]:
    if _magic(file) == "npy":
        if len(ports) > 1:
            raise DataError(
                f"{file.name}: one array, but the model has {len(ports)} inputs. "
                f"Use a .npz with the arrays {_names(p.name for p in ports)}."
            )
        return [[_Stored(file)]], None
    try:
        with zipfile.ZipFile(file) as z:
            found = [name.removesuffix(".npy") for name in z.namelist() if name.endswith(".npy")]
    except Exception as error:
        raise DataError(f"{file.name} cannot be read ({error}). The file is damaged: write it again.") from error
    wanted = [p.name for p in ports]
    if len(ports) == 1 and "x" in found:
        wanted = ["x"]
    missing = [name for name in wanted if name not in found]
    if missing:
        allowed = f'"x" or "{ports[0].name}"' if len(ports) == 1 else _names(wanted)
        raise DataError(
            f"{file.name}: no array {_names(missing)}. Found {_names(found) or 'nothing'}, needed {allowed}. "
            "Rename the array in numpy.savez(file, name=...)."
        )
    label = "y" if "y" not in wanted else "labels"
    return (
        [[_Stored(file, name)] for name in wanted],
        _Stored(file, label) if label in found else None,
    )


def _read_folder(folder: Path, ports: Sequence[Port], limit: int | None) -> tuple[_Raw, _Stored | None]:
    """Files in the order of their names; `y.npy` holds the labels."""
    if len(ports) > 1:
        raise DataError(
            f'folder "{folder.name}": a folder can feed one input, but the model has {len(ports)}. '
            f"Use a .npz with the arrays {_names(p.name for p in ports)}."
        )
    try:
        files = sorted((f for f in folder.iterdir() if f.suffix == ".npy" and f.is_file()), key=lambda f: f.name)
    except OSError as error:
        raise DataError(f'folder "{folder.name}" cannot be read: {error.strerror or error}.') from error
    label_file = folder / "y.npy"
    parts: list[_Stored] = []
    count = 0
    for f in files:
        if f == label_file:
            continue
        parts.append(_Stored(f))
        parts[-1].where = f"{folder.name}/{f.name}"
        count += len(_fit(parts[-1].outline, ports[0], parts[-1].where))
        if limit is not None and count >= limit:
            break
    if not parts:
        raise DataError(f'folder "{folder.name}": no .npy file found. Save the samples there with numpy.save.')
    return [parts], _Stored(label_file) if label_file in files else None


def _names(names: Sequence[str] | Iterator[str]) -> str:
    return ", ".join(f'"{n}"' for n in names)


# -- checking --------------------------------------------------------------------------------------------------------


def _fit(x: Array, port: Port, where: str) -> Array:
    """`x` as (n, *port.shape), or a DataError that says what would help."""
    if x.size == 0:
        raise DataError(f"{where}: no samples, found shape {_show(x.shape)}. At least one is needed.")
    shape = port.shape
    if x.shape[1:] == shape:
        return x
    if x.shape == shape:
        return x[None]
    rest = shape[1:]
    if shape[:1] == (1,):
        if x.shape == rest:
            return x[None, None]
        if x.ndim == len(shape) and x.shape[1:] == rest:
            return x[:, None]
        allowed = f"{_show(('n', *rest))} for n samples, or {_show(rest)} for one"
    else:
        allowed = f"{_show(('n', *shape))} for n samples, or {_show(shape)} for one"
    hint = _hint(x.shape, rest if shape[:1] == (1,) else shape)
    raise DataError(
        f'{where}: found shape {_show(x.shape)}; input "{port.name}" is {_show(shape)}, allowed: {allowed}. {hint}'
    )


def _show(shape: Sequence[int | str]) -> str:
    return f"({', '.join(str(d) for d in shape)}{',' if len(shape) == 1 else ''})"


def _hint(found: Shape, want: Shape) -> str:
    """What would make an array of shape `found` fit samples of shape `want`."""
    k = len(want)
    last_to_first = (k - 1, *range(k - 1))
    first_to_last = (*range(1, k), 0)
    kinds = {
        first_to_last: "channels first where the model has them last",
        last_to_first: "channels last where the model has them first",
    }
    for lead in (1, 2, 0):  # (n, *sample), (n, 1, *sample), (*sample)
        sample = found[lead:]
        if len(sample) != k or not 2 <= k <= 5 or (lead == 2 and found[1] != 1):
            continue
        others = (p for p in itertools.permutations(range(k)) if p not in kinds)
        for perm in (last_to_first, first_to_last, *others):
            if tuple(sample[p] for p in perm) == want:
                axes = (*range(lead), *(p + lead for p in perm))
                return f"It looks transposed ({kinds.get(perm, 'other order of axes')}): x.transpose{axes} would fit."
    target = _show((-1, *want))
    if [d for d in found[1:] if d != 1] == [d for d in want if d != 1]:
        return f"Only axes of length 1 differ: x.reshape{target} would fit."
    size = int(np.prod(found, dtype=np.int64)), int(np.prod(want, dtype=np.int64))
    if size[1] and size[0] % size[1] == 0:
        return f"If the elements are in the model's order, x.reshape{target} would fit."
    return "Prepare the data exactly as for the float model."


def _join(parts: Sequence[tuple[Array, str]]) -> Array:
    """The files of a folder as one array; of one type, so that raw values never mix with real ones."""
    first, first_name = parts[0]
    for part, name in parts[1:]:
        if part.dtype != first.dtype:
            raise DataError(
                f"{name}: found elements of type {part.dtype}, but {first.dtype} in {first_name}; "
                "all files of a folder need the same type."
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
            f"{where}: sample {sample} holds {kind} at index {_show(at[1:])}. "
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


def _check_labels(stored: _Stored, total: int, count: int, where: str, *, whole: bool) -> Array:
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


# -- making up -------------------------------------------------------------------------------------------------------


def synthetic(ports: Sequence[Port], n: int, seed: int, quants: Sequence[Quant | None] | None = None) -> Samples:
    """Random inputs: in turn normal, uniform, sparse and smooth ones; within the range of `quants` where one is given.
    Behind a port that normalises they are so, and the inputs what they come from; for one that takes integers, whole.

    Only the raw bits of PCG64 (which numpy promises not to change) and exact integer sums are used, so the same seed
    gives the same bytes with every version of numpy on every machine.
    """
    arrays = []
    for index, port in enumerate(ports):
        quant = quants[index] if quants is not None else None
        bits = np.random.PCG64([seed, index])
        x = np.stack([_sample(bits, port.shape, i % 4, quant) for i in range(n)])
        if port.affine is not None:
            x = port.to_outside(port.moved(x)).astype(np.float32)
        if port.largest is not None:
            x = np.mod(np.rint(x), port.largest + 1)  # every row of the table
        arrays.append(port.whole(x))
    return _samples(arrays, None, f"synthetic: {n} random samples (seed {seed})")


def _uniform(bits: np.random.PCG64, shape: Shape) -> Array:
    """Integers in [0, 2^24), int64."""
    size = int(np.prod(shape, dtype=np.int64))
    raw = np.atleast_1d(np.asarray(bits.random_raw(size), dtype=np.uint64))
    return (raw >> np.uint64(40)).astype(np.int64).reshape(shape)


def _sample(bits: np.random.PCG64, shape: Shape, kind: int, quant: Quant | None) -> Array:
    lo, hi = (0.0, 1.0) if quant is None else (quant.s * (q - quant.zero_point) for q in (-128, 127))
    if kind == 0:
        # The sum of 12 uniforms has variance 1: normal up to +-6.
        z = sum(_uniform(bits, shape) for _ in range(12)) / 2.0**24 - 6.0
        x = z if quant is None else np.clip((lo + hi) / 2 + z * ((hi - lo) / 6), lo, hi)
    elif kind == 1:
        x = lo + (hi - lo) * (_uniform(bits, shape) / 2.0**24)
    elif kind == 2:
        x = lo + (hi - lo) * (_uniform(bits, shape) / 2.0**24)
        x = np.where(_uniform(bits, shape) < 2**24 // 10, x, 0.0)
    else:
        v = _uniform(bits, shape)
        for axis, length in enumerate(shape):
            if length > 1:
                v = np.asarray(sum(np.roll(v, k, axis) for k in range(max(2, min(8, length // 4)))))
        span = max(1, int(v.max() - v.min()))
        x = lo + (hi - lo) * ((v - v.min()) / span)
    return np.asarray(x, dtype=np.float32)
