"""LSTM, GRU and RNN. Ours reads (N, T, I) and writes (N, T, D * H) and states (N, D * H); ONNX's order of axes, and its
axis of directions, are reshapes around it where N is 1, and transposes else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygen.frontend.context import Act, Builder, Handler, Known, Result, Unsupported, View
from tinygen.ir.types import Tensor
from tinygen.numerics import Array
from tinygen.ops import Gru, Lstm, Recurrent, Rnn
from tinygen.ops.base import Shape
from tinygen.ops.recurrent import ALPHA, BETA, FUNCTIONS, Function

_KINDS: dict[str, type[Recurrent]] = {"LSTM": Lstm, "GRU": Gru, "RNN": Rnn}
#: What ONNX takes where `activations` is left out, for one direction.
_USUAL = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_REVERSE = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
#: Functions that onnxruntime reads otherwise than ONNX says, as with 0, where their parameters are left out.
_DISPUTED = ("Affine", "ScaledTanh", "ThresholdedRelu")
_SHAPES = "Check the exporter: onnxruntime must be able to run the model."


def recurrent(b: Builder, n: View) -> Result:
    x = n.act()
    layout = n.integer("layout", 0)
    if layout not in (0, 1):
        raise Unsupported(f"layout {layout}; 0 and 1 are known")
    if len(x.shape) != 3:
        raise Unsupported(f"an input of shape {x.shape}; three axes are expected", of_sizes=True)
    steps, number = x.shape[layout], x.shape[1 - layout]
    reverse = _REVERSE.get(n.text("direction", "forward"))
    if reverse is None:
        raise Unsupported(f'direction "{n.text("direction", "")}"; forward, reverse and bidirectional are known')
    kind = _KINDS[n.op_type]
    d, units = len(reverse), n.integer("hidden_size", n.array(2, "R").shape[-1])
    gates = kind.GATES * units
    weights = [
        _weights(n, 1, "W", (d, gates, x.shape[2])),
        _weights(n, 2, "R", (d, gates, units)),
        _weights(n, 3, "B", (d, 2 * gates)),
    ]
    if n.op_type == "LSTM" and n.has(7):
        weights.append(_weights(n, 7, "P", (d, 3 * units)))
    states = _states(b, n, kind.STATES, (number, d, units), layout)
    attributes: dict[str, Any] = {
        "units": units,
        "functions": _functions(n, d),
        "reverse": reverse,
        "clip": n.real("clip", 0.0),
        "lengths": _lengths(n, number, steps),
        "initial": bool(states),
    }
    if kind is Lstm:
        attributes |= {"coupled": bool(n.integer("input_forget", 0)), "peepholes": len(weights) > 3}
    if kind is Gru:
        attributes |= {"before": bool(n.integer("linear_before_reset", 0))}
    x = _moved(b, x, () if layout else (1, 0, 2), (number, steps, x.shape[2]))
    op = kind(**attributes)
    hints = (f"{n.name}/{letter}" for letter in "wrbp")
    consts = [b.const(w, hint) for w, hint in zip(weights, hints, strict=False)]
    outs = b.emit_all(op, x, *consts, *states)
    # Y (T, D, N, H), Y_h and Y_c (D, N, H); with layout 1 N stands first.
    whole, state = (number, steps, d, units), (number, d, units)
    orders = ((), (), ()) if layout else ((1, 2, 0, 3), (1, 0, 2), (1, 0, 2))
    shapes = (whole, state, state)
    return [
        _split(b, t, shape, order) if used else t
        for t, shape, order, used in zip(outs, shapes, orders, (*n.used, *(False,) * 3), strict=False)
    ]


def _split(b: Builder, t: Tensor, shape: Shape, order: Shape) -> Tensor:
    """Ours with an axis of directions, in ONNX's order."""
    final = tuple(shape[i] for i in order) or shape
    if not order or shape[0] == 1:
        return b.reshape(t, final)
    return b.transpose(b.reshape(t, shape), order)


def _moved(b: Builder, t: Tensor, order: Shape, shape: Shape) -> Tensor:
    """The way back: ONNX's axes in another order, then reshaped."""
    if order and shape[0] > 1:
        t = b.transpose(t, order)
    return b.reshape(t, shape)


def _weights(n: View, i: int, name: str, shape: Shape) -> Array:
    """Constant weights of the shape they must have; zeros for a bias left out."""
    if not n.has(i) and name == "B":
        return np.zeros(shape, np.float32)
    found = n.array(i, name)
    if found.shape != shape:
        raise Unsupported(
            f"{name} has shape {found.shape}; {shape} is needed: directions, "
            f"{'gates * units' if name != 'P' else '3 * units'}{', what is multiplied' if len(shape) > 2 else ''}",
            f"A projection (proj_size) has no form in ONNX. {_SHAPES}",
        )
    return np.asarray(found, np.float32)


def _states(b: Builder, n: View, count: int, shape: Shape, layout: int) -> list[Tensor]:
    """h, and c, before the first step, (N, D * H); none where all are left out or 0. `shape`: N, D and H."""
    given = [n.ins[i] if n.has(i) else None for i in range(5, 5 + count)]
    if all(v is None or (isinstance(v, Known) and not np.any(v.array)) for v in given):
        return []
    number, d, units = shape
    wanted = shape if layout else (d, number, units)
    ours, order = (number, d * units), () if layout else (1, 0, 2)
    found = []
    for v, name in zip(given, ("initial_h", "initial_c"), strict=False):
        got = wanted if v is None else v.tensor.shape if isinstance(v, Act) else v.array.shape
        if got != wanted:
            raise Unsupported(f"{name} has shape {got}; {wanted} is needed", _SHAPES)
        if isinstance(v, Act):
            found.append(_moved(b, v.tensor, order, ours))
            continue
        array = np.zeros(wanted, np.float32) if v is None else np.asarray(v.array, np.float32)
        found.append(b.const((array.transpose(order) if order else array).reshape(ours), f"{n.name}/{name}"))
    return found


def _lengths(n: View, number: int, steps: int) -> Shape:
    """sequence_lens; nothing where each has all steps."""
    lengths = n.int_list(4, "sequence_lens")
    if not lengths or lengths == (steps,) * number:
        return ()
    if len(lengths) != number or not all(1 <= v <= steps for v in lengths):
        raise Unsupported(f"sequence_lens {list(lengths)}; {number} numbers from 1 to {steps} are expected")
    return lengths


def _functions(n: View, directions: int) -> tuple[tuple[Function, ...], ...]:
    """The functions of each direction. Parameters are listed for those that have them, in order, as onnxruntime reads
    the lists."""
    usual = _USUAL[n.op_type]
    said = n.attrs.get("activations") or ()
    names = [v.decode() if isinstance(v, bytes) else v for v in said] or [*usual] * directions
    if len(names) != len(usual) * directions:
        raise Unsupported(f"{len(names)} activations {names}; {len(usual) * directions} are expected")
    known = {name.lower(): name for name in FUNCTIONS}
    alphas, betas = list(n.attrs.get("activation_alpha") or ()), list(n.attrs.get("activation_beta") or ())
    found = []
    for name in names:
        if name.lower() not in known:
            raise Unsupported(f'the activation "{name}"', f"Those of ONNX are {', '.join(sorted(FUNCTIONS))}.")
        proper = known[name.lower()]
        if proper in _DISPUTED and not (alphas and (betas or proper not in BETA)):
            missing = "activation_beta" if alphas else "activation_alpha"
            raise Unsupported(
                f"{proper} without {missing}: onnxruntime's default is not ONNX's",
                "Write the parameters into the node, one for each function that has any, in their order.",
            )
        alpha = _next(alphas, ALPHA.get(proper))
        found.append(Function(proper, alpha, _next(betas, BETA.get(proper))))
    per = len(usual)
    return tuple(tuple(found[i : i + per]) for i in range(0, len(found), per))


def _next(listed: list[float], usual: float | None) -> float:
    """A parameter: the next of the list, else the default; 0 where the function has none."""
    if usual is None:
        return 0.0
    return float(listed.pop(0)) if listed else usual


_NOTES = "constant weights and sequence_lens; all activations, directions and layouts"

RECURRENT: dict[str, Handler] = {
    "LSTM": Handler(recurrent, notes=f"{_NOTES}; initial states, peepholes, clip, input_forget"),
    "GRU": Handler(recurrent, notes=f"{_NOTES}; initial state, clip, linear_before_reset"),
    "RNN": Handler(recurrent, notes=f"{_NOTES}; initial state, clip"),
}
