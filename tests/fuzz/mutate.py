"""Mutations: of the fields of a model, of bytes, of names, of data and of recipes. The same seed, the same mutation."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import ModelProto

from tests.fuzz.words import INTEGERS, NAMES, REALS

Random = np.random.Generator

_INT32 = (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_ENUM)
_INTEGER = (*_INT32, FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64)
_REAL = (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE)


def pick(rng: Random, options: Any) -> Any:
    return options[int(rng.integers(len(options)))]


# -- bytes -----------------------------------------------------------------------------------------------------------


def damage(rng: Random, data: bytes, other: bytes = b"") -> bytes:
    """Some bytes changed, cut, doubled, moved, or taken from another file."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(len(out) + 1))
        length = int(rng.integers(1, 40))
        match int(rng.integers(7)):
            case 0 if out:
                out[at % len(out)] ^= 1 << int(rng.integers(8))
            case 1 if out:
                out[at % len(out)] = int(rng.integers(256))
            case 2:
                del out[at : at + length]
            case 3:
                out[at:at] = rng.bytes(length)
            case 4:
                out[at:at] = out[at : at + length]
            case 5 if other:
                start = int(rng.integers(len(other)))
                out[at : at + length] = other[start : start + length]
            case _ if rng.random() < 0.2:
                del out[at:]
    return bytes(out)


# -- fields of a model -----------------------------------------------------------------------------------------------


def _messages(root: Message) -> Iterator[Message]:
    waiting = [root]
    while waiting:
        m = waiting.pop()
        yield m
        for field, value in m.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if isinstance(value, Message) else value)


def change_fields(rng: Random, model: ModelProto) -> None:
    """One to four fields, anywhere."""
    for _ in range(pick(rng, (1, 1, 1, 2, 2, 4))):
        messages = list(_messages(model))
        message = pick(rng, messages)
        with suppress(ValueError):  # an enumerator that protobuf does not let in
            _change(rng, message, pick(rng, message.DESCRIPTOR.fields), messages)


def _change(rng: Random, m: Message, field: FieldDescriptor, all_: list[Message]) -> None:
    repeated = field.is_repeated
    if field.message_type is not None:
        same = [o for o in all_ if o.DESCRIPTOR is field.message_type]
        target = getattr(m, field.name)
        if repeated and len(target) and rng.random() < 0.6:
            at = int(rng.integers(len(target)))
            copy = type(target[at])()
            copy.CopyFrom(target[at])
            if rng.random() < 0.5:
                del target[at]
            if rng.random() < 0.5:
                target.add().CopyFrom(copy)
        elif same and rng.random() < 0.5:
            copy = type(pick(rng, same))()
            copy.CopyFrom(pick(rng, same))
            (target.add() if repeated else target).CopyFrom(copy)
        elif not repeated:
            m.ClearField(field.name)
        return
    value = _value(rng, m, field)
    if not repeated:
        if rng.random() < 0.2:
            m.ClearField(field.name)
        else:
            setattr(m, field.name, value)
        return
    values = list(getattr(m, field.name))
    at = int(rng.integers(len(values) + 1))
    if values and rng.random() < 0.6:
        values[at % len(values)] = value
    elif values and rng.random() < 0.5:
        del values[at % len(values)]
    else:
        values.insert(at, value)
    m.ClearField(field.name)
    getattr(m, field.name).extend(values)


def _value(rng: Random, m: Message, field: FieldDescriptor) -> Any:
    """A value for a field: hard ones, or near the one that is there."""
    old = getattr(m, field.name)
    if field.is_repeated:
        old = pick(rng, list(old)) if len(old) else None
    if field.type in _INTEGER:
        v = pick(rng, INTEGERS) if rng.random() < 0.6 or old is None else int(old) + int(rng.integers(-2, 3))
        if field.type in _INT32:
            v = (v + (1 << 31)) % (1 << 32) - (1 << 31)
        return v % (1 << 64) if field.type == FieldDescriptor.TYPE_UINT64 else (v + (1 << 63)) % (1 << 64) - (1 << 63)
    if field.type in _REAL:
        return pick(rng, REALS)
    if field.type == FieldDescriptor.TYPE_STRING:
        return pick(rng, NAMES)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return damage(rng, old) if old else pick(rng, NAMES).encode()
    return bool(rng.integers(2))


def change_names(rng: Random, model: ModelProto) -> None:
    """Tensors, nodes, the graph: other names, the same network."""
    graph = model.graph
    tensors = [v.name for v in (*graph.input, *graph.output, *graph.initializer)]
    tensors += [o for n in graph.node for o in n.output if o]
    new: dict[str, str] = {}
    for name in dict.fromkeys(tensors):
        if rng.random() < 0.5:
            word = pick(rng, NAMES)
            new[name] = word if word and word not in new.values() and word not in tensors else f"{word}{len(new)}"
    for v in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        v.name = new.get(v.name, v.name)
    for n in graph.node:
        n.input[:] = [new.get(i, i) for i in n.input]
        n.output[:] = [new.get(o, o) for o in n.output]
        if rng.random() < 0.5:
            n.name = pick(rng, NAMES)
    graph.name = pick(rng, NAMES)
    model.producer_name = pick(rng, NAMES)


def file_stem(rng: Random) -> str:
    """A hard name that a file can have."""
    word = pick(rng, NAMES).replace("\0", "").replace("/", "_")
    return word.encode()[:200].decode(errors="ignore") or "net"


# -- data and recipes ------------------------------------------------------------------------------------------------

_TYPES = ("float16", "float64", "int8", "uint8", "int64", "bool", "complex64", "S3", "U3", "M8[s]", "V4", "O")


def data_file(rng: Random, shape: tuple[int, ...]) -> tuple[str, bytes]:
    """A .npz or .npy: sound samples in a damaged file, or other arrays than wanted."""
    n = int(rng.integers(1, 9))
    good = rng.standard_normal((n, *shape[1:])).astype(np.float32)
    kind = int(rng.integers(4))
    array: Any = good
    if kind == 0:
        array = good.copy()
        array.flat[int(rng.integers(array.size))] = pick(rng, REALS)
    elif kind == 1:
        dtype = pick(
            rng, ("float16", "float64", "int8", "uint8", "int64", "bool", "complex64", "S3", "U3", "M8[s]", "V4", "O")
        )
        with np.errstate(all="ignore"):
            array = np.zeros(good.shape, dtype) if dtype[0] in "SUMVO" else (good * 50).astype(dtype)
    elif kind == 2:
        array = np.zeros(tuple(int(v) for v in rng.integers(0, 4, int(rng.integers(0, 6)))), np.float32)
    if rng.random() < 0.2:
        array = np.asfortranarray(array)
    out = io.BytesIO()
    if rng.random() < 0.4:
        np.save(out, array, allow_pickle=True)
        name, data = "data.npy", out.getvalue()
    else:
        arrays = (
            {"x": array, "y": np.arange(n)}
            if rng.random() < 0.8
            else {pick(rng, NAMES).replace("\0", "") or "z": array}
        )
        with zipfile.ZipFile(out, "w", pick(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))) as z:
            for key, value in arrays.items():
                part = io.BytesIO()
                np.save(part, value, allow_pickle=True)
                content = part.getvalue()
                z.writestr(f"{key}.npy", damage(rng, content) if rng.random() < 0.3 else content)
        name, data = "data.npz", out.getvalue()
    return name, damage(rng, data) if kind == 3 or rng.random() < 0.4 else data


def recipe_text(rng: Random, text: str) -> bytes:
    """A recipe with other values, keys and lines, or other bytes."""
    lines = text.splitlines()
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(lines)))
        key, sign, _ = lines[at].partition("=")
        word = pick(rng, NAMES)
        value = pick(
            rng, (str(pick(rng, INTEGERS)), str(pick(rng, REALS)), repr(word), "true", "[]", "{}", "[1, 'a']", "''")
        )
        match int(rng.integers(5)):
            case 0 | 1 if sign:
                lines[at] = f"{key}= {value}"
            case 2:
                lines.insert(at, f"{pick(rng, ('a', 'prune', word))} = {value}")
            case 3:
                section = pick(rng, ("prune", "layers.a", 'layers."x"', word, "layers"))
                lines.insert(at, f"[{section}]")
            case _:
                lines[at] = pick(rng, ("", "[" * 3000, lines[at] * 2, '"""'))
    data = "\n".join(lines).encode(errors="ignore")
    return damage(rng, data) if rng.random() < 0.3 else data
