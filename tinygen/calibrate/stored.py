"""Arrays of samples where they lie: in .npz and .npy files, a folder of those, or in memory."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from tinygen.calibrate.shapes import fit, show
from tinygen.errors import DataError
from tinygen.ir.types import Port
from tinygen.numerics import Array
from tinygen.ops.base import Shape

#: Bytes of all samples that are read, as float32. Beyond, --samples or --limit asks for fewer.
MAX_BYTES = 512 << 20


#: Makes samples of an array for a port, or says why they are none: `fit`, or `fit_streams`.
Form = Callable[[Array, Port, str], Array]


class Stored:
    """An array in a .npy file, or in a .npz (`member`): its type and shape are read, its values when asked for."""

    def __init__(self, file: Path, member: str | None = None) -> None:
        self.file, self.member = file, member
        self.where = file.name if member is None else f'{file.name}: array "{member}"'
        with self._open() as (stream, size):
            self.shape, self._fortran, self.dtype = self._header(stream)
            nbytes = self.dtype.itemsize * math.prod(self.shape)
            found = size - stream.tell()
            if found < nbytes:
                self._damaged(f"shape {show(self.shape)} is {nbytes:,} bytes, found {found:,}")

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
            self._damaged(f"shape {show(shape)}")
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
                f"{self.where}: {show(shape)} are {count * max(self.dtype.itemsize, 4):,} bytes in memory, more than "
                f"{MAX_BYTES >> 20} MiB. Use fewer samples: `samples` or `limit`, or a smaller file."
            )
        with self._open() as (stream, _):
            self._header(stream)
            data = stream.read(count * self.dtype.itemsize)
            if whole:
                stream.read(1)  # the end, where a checksum is compared
            values = np.frombuffer(data, self.dtype, count)
        return values.reshape(shape[::-1]).transpose() if self._fortran else values.reshape(shape)

    def samples(self, port: Port, most: int | None, form: Form = fit) -> tuple[Array, int]:
        """(n, *port.shape), at most the first `most`; and how many there are."""
        total = len(form(self.outline, port, self.where))
        return form(self.read(most if total > 1 else None), port, self.where), total


class Given:
    """An array in memory, as `Stored` has one in a file."""

    def __init__(self, values: Array, where: str) -> None:
        self.values, self.where = values, where
        self.shape, self.dtype = values.shape, values.dtype

    def read(self, most: int | None = None) -> Array:
        """The values, of at most the first `most` slices of the first axis."""
        return self.values if most is None or not self.shape else self.values[:most]

    def samples(self, port: Port, most: int | None, form: Form = fit) -> tuple[Array, int]:
        """(n, *port.shape), at most the first `most`; and how many there are."""
        x = form(self.values, port, self.where)
        return x[:most], len(x)


#: For each port, the arrays that make it up.
Raw = list[list[Stored | Given]]


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


def read_file(file: Path, ports: Sequence[Port]) -> tuple[Raw, Stored | None]:
    if _magic(file) == "npy":
        if len(ports) > 1:
            raise DataError(
                f"{file.name}: one array, but the model has {len(ports)} inputs. "
                f"Use a .npz with the arrays {names(p.name for p in ports)}."
            )
        return [[Stored(file)]], None
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
        allowed = f'"x" or "{ports[0].name}"' if len(ports) == 1 else names(wanted)
        raise DataError(
            f"{file.name}: no array {names(missing)}. Found {names(found) or 'nothing'}, needed {allowed}. "
            "Rename the array in numpy.savez(file, name=...)."
        )
    label = "y" if "y" not in wanted else "labels"
    return (
        [[Stored(file, name)] for name in wanted],
        Stored(file, label) if label in found else None,
    )


def read_folder(folder: Path, ports: Sequence[Port], limit: int | None, form: Form = fit) -> tuple[Raw, Stored | None]:
    """Files in the order of their names; `y.npy` holds the labels."""
    if len(ports) > 1:
        raise DataError(
            f'folder "{folder.name}": a folder can feed one input, but the model has {len(ports)}. '
            f"Use a .npz with the arrays {names(p.name for p in ports)}."
        )
    try:
        files = sorted((f for f in folder.iterdir() if f.suffix == ".npy" and f.is_file()), key=lambda f: f.name)
    except OSError as error:
        raise DataError(f'folder "{folder.name}" cannot be read: {error.strerror or error}.') from error
    label_file = folder / "y.npy"
    parts: list[Stored | Given] = []
    count = 0
    for f in files:
        if f == label_file:
            continue
        stored = Stored(f)
        stored.where = f"{folder.name}/{f.name}"
        parts.append(stored)
        count += len(form(stored.outline, ports[0], stored.where))
        if limit is not None and count >= limit:
            break
    if not parts:
        raise DataError(f'folder "{folder.name}": no .npy file found. Save the samples there with numpy.save.')
    return [parts], Stored(label_file) if label_file in files else None


def names(of: Iterable[str]) -> str:
    return ", ".join(f'"{n}"' for n in of)
