"""What an importer of one ONNX operator works with: the values it reads, the graph it adds to, and how it refuses.

A value of the ONNX graph is `Known` (an array, worked out while importing) or `Act` (a tensor of the graph we build).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinygen.frontend.limits import too_large
from tinygen.frontend.told import Told
from tinygen.ir.types import Const, Node, Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops import Reshape, Transpose
from tinygen.ops.base import Operator, Shape

FLOAT_TYPES = ("float32", "float16", "float64", "bfloat16")


class Unsupported(Exception):
    """One node cannot be imported: what is not supported, and what would help. `of_sizes`: with other dimensions of
    the inputs it might be."""

    def __init__(self, what: str, help_: str = "", *, of_sizes: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.help = help_
        self.of_sizes = of_sizes


@dataclass(frozen=True, eq=False)
class Known:
    """A constant. `quant` is set when it came through DequantizeLinear: the int8 codes it stands for."""

    array: Array
    name: str = ""
    quant: Quant | None = None


@dataclass(frozen=True)
class Act:
    """An activation. `elem` is the ONNX element type; with `code`, the ONNX value is the integer code of `tensor`
    under that quantisation (int8 view), not its real value."""

    tensor: Tensor
    elem: str = "float32"
    code: Quant | None = None


Value = Known | Act
Result = Tensor | Value | Sequence[Tensor | Value]


@dataclass(frozen=True)
class View:
    """An ONNX node, as its importer sees it. Inputs left out are None; `used` says which outputs somebody reads, and
    `to_softmax` that the first goes into softmaxes and nowhere else."""

    name: str
    op_type: str
    version: int
    attrs: Mapping[str, Any]
    ins: tuple[Value | None, ...]
    outs: tuple[str, ...]
    used: tuple[bool, ...]
    to_softmax: bool = False

    def integer(self, name: str, default: int) -> int:
        return int(self.attrs.get(name, default))

    def real(self, name: str, default: float) -> float:
        return float(self.attrs.get(name, default))

    def text(self, name: str, default: str) -> str:
        value = self.attrs.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def ints(self, name: str, default: Sequence[int] = ()) -> Shape:
        return tuple(int(v) for v in self.attrs.get(name, default))

    def has(self, i: int) -> bool:
        return i < len(self.ins) and self.ins[i] is not None

    def is_known(self, i: int) -> bool:
        return self.has(i) and isinstance(self.ins[i], Known)

    def act(self, i: int = 0) -> Tensor:
        """Input i, which must be an activation."""
        value = self.ins[i] if self.has(i) else None
        if not isinstance(value, Act):
            found, what = ("missing", "") if value is None else ("constant", "Make it an input of the model.")
            raise Unsupported(f"input {i} is {found}, an activation is expected", what)
        return value.tensor

    def known(self, i: int, what: str) -> Known:
        """Input i, which must be constant; `what` names it in the refusal."""
        value = self.ins[i] if self.has(i) else None
        if not isinstance(value, Known):
            raise Unsupported(
                f"{what} {'is missing' if value is None else 'is computed from the input'}; it must be constant",
                "Export with constant folding and static shapes.",
            )
        return value

    def array(self, i: int, what: str) -> Array:
        return self.known(i, what).array

    def int_list(self, i: int, what: str) -> Shape | None:
        """Constant integers at input i, None when left out."""
        if not self.has(i):
            return None
        return tuple(int(v) for v in self.array(i, what).reshape(-1))

    def scalar(self, i: int, what: str) -> float | None:
        """A constant of one element at input i, None when left out."""
        if not self.has(i):
            return None
        a = self.array(i, what)
        if a.size != 1:
            raise Unsupported(f"{what} has {a.size} values; one is expected")
        return float(a.reshape(-1)[0])


Limit = Callable[[View], "str | None"]


@dataclass(frozen=True)
class Handler:
    """The importer of one operator. A limit says what was found when it does not hold; the first line of its docstring
    is the rule, the rest what would help: both the error message and the row of the supported operators."""

    build: Callable[[Builder, View], Result]
    limits: tuple[Limit, ...] = ()
    notes: str = ""


def check_limits(handler: Handler, n: View) -> None:
    """Raises Unsupported for the first limit that does not hold."""
    for limit in handler.limits:
        found = limit(n)
        if found is not None:
            rule, help_ = limit_text(limit)
            raise Unsupported(f"{rule}; found {found}", help_)


def limit_text(limit: Limit) -> tuple[str, str]:
    """Rule and help of a limit."""
    rule, _, rest = (limit.__doc__ or "").strip().partition("\n")
    return rule.rstrip("."), " ".join(rest.split())


@dataclass
class Builder:
    """The graph being built. `emit` adds nodes; `finish` names what one ONNX node became."""

    reserved: set[str] = field(default_factory=set)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    made: dict[str, Node] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    #: 16-bit activations with a zero point, by their ONNX name: how many of the file's steps one of ours is.
    coarser: dict[str, float] = field(default_factory=dict)
    #: Quantisations that the file tells beside its graph.
    told: Told = field(default_factory=dict)
    _pending: list[Node] = field(default_factory=list)
    _node_names: set[str] = field(default_factory=set)
    #: The node of the file inside which the present one stands (a loop), and which nodes of the graph then stem from.
    within: str = ""
    _base: str = ""

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def begin(self, base: str) -> None:
        self._base = base
        self._pending = []

    def fresh(self, name: str) -> str:
        """`name`, or name_2, name_3...: free among tensors and ONNX names."""
        candidate, i = name, 2
        while candidate in self.tensors or candidate in self.reserved:
            candidate, i = f"{name}_{i}", i + 1
        return candidate

    def emit(self, op: Operator, *inputs: Tensor, quant: Quant | None = None) -> Tensor:
        """Apply `op`; the new tensor of its one output."""
        (out,) = self.emit_all(op, *inputs, quant=quant)
        return out

    def emit_all(self, op: Operator, *inputs: Tensor, quant: Quant | None = None) -> tuple[Tensor, ...]:
        """Apply `op`; the new tensors of its outputs. `quant`: a pin of each; else what the file tells of them."""
        try:
            shapes = op.infer(*(t.shape for t in inputs))
            types = op.types(*(t.dtype for t in inputs))
        except ValueError as e:
            raise Unsupported(str(e), of_sizes=True) from e
        outs = []
        of = self.told.get(self._base, {})
        told = [of.get(name) for name in op.told] or [None] * len(shapes)
        for shape, dtype, own in zip(shapes, types, told, strict=True):
            if 0 in shape:
                raise Unsupported(f"the output is empty, shape {shape}", of_sizes=True)
            reason = too_large(shape)
            if reason is not None:
                raise Unsupported(
                    f"the output is too large: {reason}", "Check the sizes in the model; shrink its input."
                )
            name = self.fresh(f"{self._base}/{type(op).__name__.lower()}")
            outs.append(Tensor(name, tuple(int(d) for d in shape), dtype, quant or own))
            self.tensors[name] = outs[-1]
        self._pending.append(Node(outs[0].name, op, tuple(t.name for t in inputs), tuple(t.name for t in outs)))
        return tuple(outs)

    def const(
        self, value: Known | Array, hint: str = "const", quant: Quant | None = None, infinite: bool = False
    ) -> Tensor:
        """A float32 constant tensor; equal ones of the same name are one tensor. `infinite`: it may hold -inf."""
        if isinstance(value, Known):
            hint, array = value.name or hint, value.array
            # An operand has one scale; weights, which have one for each output, bring their `quant` along.
            quant = value.quant if value.quant is not None and value.quant.axis is None else None
        else:
            array = value
        with np.errstate(over="ignore"):
            array = np.asarray(array, np.float32)
        bad = int(array.size - (np.isfinite(array) | (infinite & np.isneginf(array))).sum())
        if bad:
            raise Unsupported(
                f'constant "{hint}" {list(array.shape)} holds NaN or infinite values: {bad} of {array.size}',
                "Where they are weights the training diverged: export a good state. A mask of -inf is taken where a "
                "Softmax follows it.",
            )
        if array.size == 0:
            raise Unsupported(f'constant "{hint}" is empty')
        name, i, const = hint, 2, Const(array)
        while name in self.tensors:
            old = self.tensors[name]
            if old.const == const and old.quant == quant:
                return old
            name, i = f"{hint}_{i}", i + 1
        self.tensors[name] = Tensor(name, array.shape, quant=quant, const=const)
        return self.tensors[name]

    def tensor(self, value: Value | None, hint: str = "const") -> Tensor:
        """An operand: an activation, or a constant made a tensor."""
        if isinstance(value, Act):
            return value.tensor
        if value is None:
            raise Unsupported("an operand is missing")
        return self.const(value, hint)

    def transpose(self, x: Tensor, perm: Sequence[int]) -> Tensor:
        """Transpose; nothing when it moves nothing."""
        return x if list(perm) == list(range(len(perm))) else self.emit(Transpose(tuple(int(p) for p in perm)), x)

    def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """Reshape; nothing when the shape is the same."""
        want = tuple(int(d) for d in shape)
        return x if x.shape == want else self.emit(Reshape(want), x)

    def finish(self, results: Sequence[tuple[str, Value]], base: str, code: Quant | None) -> dict[str, Value]:
        """Name the pending nodes and tensors; `results` pairs ONNX names with values. With `code`, the results are
        pinned to it. Returns the values by ONNX name."""
        made = {out for n in self._pending for out in n.outputs}
        rename: dict[str, str] = {}
        for name, value in results:
            if isinstance(value, Act) and value.tensor.name in made and value.tensor.name not in rename:
                rename[value.tensor.name] = name if name not in self.tensors else self.fresh(name)
        # The ONNX node's name goes to the operator proper, not to the transposes around it.
        proper = [n for n in self._pending if not isinstance(n.op, Transpose | Reshape)] or self._pending
        for n in self._pending:
            for out in n.outputs:
                t = self.tensors.pop(out)
                quant = code if code is not None and out in rename else t.quant
                t = replace(t, name=rename.get(out, out), quant=quant)
                self.tensors[t.name] = t
            label = base if n is proper[-1] else f"{base}/{type(n.op).__name__.lower()}"
            label, stem, i = label, label, 2
            while label in self._node_names:
                label, i = f"{stem}_{i}", i + 1
            self._node_names.add(label)
            names = tuple(rename.get(i, i) for i in n.inputs), tuple(rename.get(o, o) for o in n.outputs)
            node = Node(label, n.op, *names, (self.within or base,))
            self.nodes.append(node)
            self.made |= dict.fromkeys(node.outputs, node)
        self._pending = []
        values: dict[str, Value] = {}
        for name, value in results:
            if isinstance(value, Act):
                t = self.tensors[rename.get(value.tensor.name, value.tensor.name)]
                values[name] = replace(value, tensor=t, code=value.code or code)
            else:
                values[name] = value if value.name else replace(value, name=name)
        return values

    def abandon(self) -> None:
        """Forget what the current ONNX node added."""
        for n in self._pending:
            for out in n.outputs:
                self.tensors.pop(out, None)
        self._pending = []
