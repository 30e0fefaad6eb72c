"""What the user says of a model's edges: inputs that are constants, pairs of input and output that are a state. And
pairs that look like one, where nothing was said.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto, ValueInfoProto, helper, numpy_helper

from tinygen.errors import ModelError, did_you_mean
from tinygen.numerics import Array

# -- constants -------------------------------------------------------------------------------------------------------


def freeze(path: Path, model: ModelProto, constants: Mapping[str, object]) -> list[str]:
    """Make inputs of the model constants, in place; returns notes. `constants`: a number, or an array, by input name.

    ModelError for a name that is no input, or values that the input cannot have.
    """
    inputs = {i.name: i for i in model.graph.input}
    for name, value in constants.items():
        if name not in inputs:
            raise ModelError(
                f'{path}: `constants` sets "{name}"; the model\'s inputs are {", ".join(inputs)}.'
                f"{did_you_mean(name, list(inputs))}"
            )
        model.graph.initializer.append(numpy_helper.from_array(_value(path, inputs[name], value), name))
    rest = [type(i).FromString(i.SerializeToString()) for i in model.graph.input if i.name not in constants]
    if not rest:
        raise ModelError(f"{path}: `constants` sets every input; nothing is left to compute with.")
    if constants:
        del model.graph.input[:]
        model.graph.input.extend(rest)
    return [f'input "{name}" is always {_shown(value)}' for name, value in constants.items()]


def _value(path: Path, v: ValueInfoProto, value: object) -> Array:
    """A value in the type and shape of an input; one number fills it."""
    where = f'{path}: `constants` sets "{v.name}"'
    dtype = helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type)
    given = np.asarray(value)
    if given.dtype.kind not in "biuf":
        raise ModelError(f"{where}: found {_shown(value)}, allowed are numbers.")
    with np.errstate(all="ignore"):
        found = given.astype(dtype)
    if not np.array_equal(found.astype(np.float64), given.astype(np.float64)) and dtype.kind in "biu":
        raise ModelError(f"{where}: found {_shown(value)}; the input is {dtype.name}, allowed are its numbers.")
    if not np.isfinite(found.astype(np.float64)).all():
        raise ModelError(f"{where}: found {_shown(value)}, allowed are finite numbers.")
    dims = [d.dim_value if d.HasField("dim_value") else None for d in v.type.tensor_type.shape.dim]
    if found.ndim == 0:
        return np.full([d or 1 for d in dims], found, dtype)
    if found.ndim == 1 and len(dims) != 1 and found.size == math.prod(d or 1 for d in dims):
        found = found.reshape([d or 1 for d in dims])
    fits = found.ndim == len(dims) and all(d in (None, n) for d, n in zip(dims, found.shape, strict=True))
    if not fits:
        shape = [d if d is not None else "?" for d in dims]
        raise ModelError(
            f"{where} to {list(found.shape)} values; the input is {shape}. Give one for each, or one number."
        )
    return found


def _shown(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:37]}..."


# -- states ----------------------------------------------------------------------------------------------------------


def check_states(path: Path, model: ModelProto, states: Mapping[str, str]) -> None:
    """ModelError unless every pair is an input and an output of the model, each in one pair."""
    ends = [v.name for v in model.graph.input], [v.name for v in model.graph.output]
    for pair in states.items():
        for name, kind, names in zip(pair, ("input", "output"), ends, strict=True):
            if name not in names:
                raise ModelError(
                    f'{path}: `states` says {pair[0]}={pair[1]}, but the model has no {kind} "{name}"; its {kind}s are '
                    f"{', '.join(names)}.{did_you_mean(name, names)}"
                )
    twice = [o for o in states.values() if list(states.values()).count(o) > 1]
    if twice:
        raise ModelError(f'{path}: `states` says that output "{twice[0]}" is carried to two inputs; allowed is one.')
    if states and len(states) == len(ends[0]):
        raise ModelError(f"{path}: `states` takes every input, {', '.join(states)}: nothing comes in from outside.")


#: Element type and shape of an input or output.
Kind = tuple[str, tuple[int, ...]]
#: Operators that only move values on the way between an edge and a recurrent layer.
_MOVING = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Slice", "Split", "Gather", "Concat", "Cast")
_RECURRENT = ("LSTM", "GRU", "RNN")
#: What a name says beside whose state it is: h_out, next_h, present.0.key, hn.
_WAYS = re.compile(
    r"(?<![a-z])(in|out|input|output|past|present|prev|previous|next|new|cur|current|init|initial|last|old|[0tn])(?![a-z])"
)
_HELD = re.compile(r"state|hidden|cell|cache|past|present|memory|context|(?<![a-z])[hc](?![a-z])")


def propose(model: ModelProto, inputs: Mapping[str, Kind], outputs: Mapping[str, Kind]) -> dict[str, str]:
    """Pairs of input and output of one type and shape that look like a state: their names differ in no more than what
    says before or after, and say what is held or which way it goes; or both ends hang on one recurrent layer.

    `inputs`, `outputs`: those that nobody spoke of."""
    found: dict[str, str] = {}
    starts, ends = _layers(model)
    for a, kind in inputs.items():
        rivals = [b for b, other in outputs.items() if other == kind and b not in found.values()]
        likely = [b for b in rivals if starts.get(a, set()) & ends.get(b, set())]
        likely += [b for b in rivals if _alike(a, b)]
        if not likely and len(rivals) == 1 and list(inputs.values()).count(kind) == 1 and _HELD.search(_plain(a)):
            likely = rivals
        if likely:
            found[a] = likely[0]
    return {} if len(found) == len(inputs) else found


def _plain(name: str) -> str:
    """A name in small letters, its words apart: hidden_state, from hiddenState; h 0, from h0."""
    name = re.sub(r"([a-z])([A-Z0-9])", r"\1_\2", name).lower()
    return re.sub(r"(?<=\b[hc])([tnx0])\b", r" \1", re.sub(r"[^a-z0-9]+", " ", name))


def _alike(a: str, b: str) -> bool:
    """Do two names say the same, but for what says before or after?"""
    x, y = _plain(a), _plain(b)
    stem = [" ".join(_WAYS.sub(" ", n).split()) for n in (x, y)]
    if stem[0] == stem[1]:
        return bool(stem[0] or _HELD.search(x) or _HELD.search(y))
    return stem[1] == f"{stem[0]}n" and bool(_HELD.search(x))  # stateN


def _layers(model: ModelProto) -> tuple[dict[str, set[object]], dict[str, set[object]]]:
    """What begins as the initial state of recurrent layers, and what comes from their final state, moved at most: for
    each name the layers' numbers, with h and c told apart."""
    sources: dict[str, set[object]] = {v.name: {v.name} for v in model.graph.input}
    starts: dict[str, set[object]] = {}
    ends: dict[str, set[object]] = {}
    for number, node in enumerate(model.graph.node):
        if node.op_type in _RECURRENT:
            for which, name in enumerate(node.input[5:7]):
                for source in sources.get(name, ()):
                    starts.setdefault(str(source), set()).add((number, which))
            ends.update({name: {(number, which)} for which, name in enumerate(node.output[1:3]) if name})
        elif node.op_type == "TensorScatter":
            for source in sources.get(node.input[0], ()):
                starts.setdefault(str(source), set()).add(number)
            ends[node.output[0]] = {number}
        elif node.op_type in _MOVING:
            for known in (sources, ends):
                there = set[object]().union(*(known.get(i, set()) for i in node.input))
                known.update({o: there for o in node.output if o and there})
    return starts, ends


def note(found: Mapping[str, str]) -> Sequence[str]:
    """What is said of pairs that look like a state."""
    if not found:
        return ()
    pairs = ", ".join(f'"{a}" and "{b}"' for a, b in found.items())
    return (
        f"input and output {pairs} look like a state that goes from call to call. As it is, the application has to "
        "carry it, and its integers mean one thing on the way out and another on the way in. To keep it in the "
        f"context, in one scale: {' '.join(f'`states` {a}={b}' for a, b in found.items())}",
    )
