"""External data: tensors of a model that are kept in files of their own.

One rule for every tensor, wherever it stands: weights, attributes (of Constant, say), sparse tensors, subgraphs,
function bodies, training graphs. The file lies in the model's folder; the model file, never the current folder, says
where that is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import Message  # type: ignore[import-untyped]
from onnx import ModelProto, TensorProto

from tinygen.errors import ModelError
from tinygen.frontend.limits import MAX_BYTES

#: Bytes of an element, where that is a whole number.
_ITEM_BYTES: dict[int, int] = {
    TensorProto.FLOAT: 4, TensorProto.DOUBLE: 8, TensorProto.FLOAT16: 2, TensorProto.BFLOAT16: 2, TensorProto.BOOL: 1,
    TensorProto.INT8: 1, TensorProto.UINT8: 1, TensorProto.INT16: 2, TensorProto.UINT16: 2, TensorProto.INT32: 4,
    TensorProto.UINT32: 4, TensorProto.INT64: 8, TensorProto.UINT64: 8,
}  # fmt: skip


def load_external(path: Path, model: ModelProto, budget: int, *, in_memory: bool = False) -> list[bytes]:
    """Bring external data into the model, at most `budget` bytes; returns it, in the order of the file. A model
    `in_memory` has no folder to look in: ModelError."""
    found = []
    for t in _external(model):
        if in_memory:
            raise ModelError(
                f'{path}: weights "{t.name}" are in an external file, and a model given as bytes has no folder where '
                "that could be. Give the model's path, or load it with its data: onnx.load(path)."
            )
        raw = _read(path, t, budget)
        budget -= len(raw)
        found.append(raw)
        t.raw_data = raw
        t.data_location = TensorProto.DEFAULT
        del t.external_data[:]
    return found


def _external(message: ModelProto) -> Iterator[TensorProto]:
    """Every tensor below `message` whose data lies outside."""
    waiting = [message]
    while waiting:
        m = waiting.pop()
        if isinstance(m, TensorProto):
            if m.data_location == TensorProto.EXTERNAL:
                yield m
            continue
        below: list[Message] = []
        for field, value in m.ListFields():
            if field.message_type is not None:
                repeated = not isinstance(value, Message)
                below.extend(value if repeated else [value])
        waiting.extend(reversed(below))


def _read(path: Path, t: TensorProto, budget: int) -> bytes:
    info = {e.key: e.value for e in t.external_data}
    name, location = f'{path}: weights "{t.name}"', info.get("location", "")
    offset, length = (_number(name, key, info.get(key, "")) for key in ("offset", "length"))
    file = _file(path, name, location)
    offset, size = offset or 0, file.stat().st_size
    wanted = _ITEM_BYTES.get(int(t.data_type), 0) * math.prod(t.dims)
    if length is None:
        length = wanted or max(size - offset, 0)
    if min(t.dims, default=0) < 0 or (wanted and length != wanted):
        raise ModelError(
            f"{name} of shape {list(t.dims)} should be {max(wanted, 0)} bytes, but the model says {length} of "
            f'"{location}". The file is damaged: export it again.'
        )
    if offset + length > size:
        raise ModelError(
            f'{name} should be {length} bytes at {offset} of "{location}"; found {max(size - offset, 0)}. '
            "The file is cut off: copy it again."
        )
    if length > budget:
        raise ModelError(
            f"{name} and those before it are more than {MAX_BYTES >> 20} MiB with the model, more than tinygen reads. "
            "Export a smaller network."
        )
    try:
        with file.open("rb") as f:
            f.seek(offset)
            return f.read(length)
    except OSError as e:
        raise ModelError(f'{name}: "{location}" cannot be read: {e.strerror}. Copy the file again.') from e


def _file(path: Path, name: str, location: str) -> Path:
    """The regular file at a location inside the model's folder."""
    folder = path.resolve().parent
    if "\0" in location:
        raise ModelError(f"{name}: the name of their external file holds a NUL byte. The file is damaged.")
    try:
        file = (folder / location).resolve()
        inside = bool(location) and not Path(location).is_absolute() and folder in file.parents
        if inside and file.is_file():
            return file
    except (OSError, RuntimeError) as e:  # a name too long, a link that leads to itself
        raise ModelError(
            f'{name}: the external file "{location[:80]}" cannot be opened: {getattr(e, "strerror", e)}.'
        ) from e
    if not inside:
        raise ModelError(
            f'{name} lie outside the model\'s folder ("{location}"); refused. '
            "Copy the file beside the model and save the model with that location."
        )
    found = "is no regular file" if file.exists() else "is missing"
    raise ModelError(
        f'{name} are in the external file "{location}", which {found}. '
        f"Copy it to {folder}, or save the model as one file: onnx.save(onnx.load(...), ...)"
    )


def _number(name: str, key: str, text: str) -> int | None:
    """`offset` or `length`: decimal digits; None when left out."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ModelError(
            f'{name}: the {key} of their external data is "{text[:40]}"; it must be a number of bytes within the file. '
            "The file is damaged: export it again."
        )
    return int(text)
