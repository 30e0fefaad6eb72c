"""Every ONNX operator tinygen reads, and what it says about those it does not."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from tinygen.errors import did_you_mean
from tinygen.frontend.context import Handler, limit_text
from tinygen.frontend.handlers_attention import ATTENTION, MICROSOFT_ATTENTION
from tinygen.frontend.handlers_einsum import EINSUM
from tinygen.frontend.handlers_linear import LINEAR
from tinygen.frontend.handlers_logic import LOGIC
from tinygen.frontend.handlers_math import MATH
from tinygen.frontend.handlers_norm import NORM
from tinygen.frontend.handlers_pick import PICK
from tinygen.frontend.handlers_recurrent import RECURRENT
from tinygen.frontend.handlers_shape import SHAPE
from tinygen.frontend.handlers_spatial import SPATIAL
from tinygen.frontend.opsets import MIN_OPSET
from tinygen.frontend.quantised import QLINEAR, QUANTISED, REWRITES

#: Default domain.
HANDLERS: dict[str, Handler] = {
    **SPATIAL, **NORM, **ATTENTION, **MATH, **LOGIC, **RECURRENT, **SHAPE, **PICK, **LINEAR, **EINSUM, **QUANTISED
}  # fmt: skip
#: Domain com.microsoft: the QLinear forms are rewritten before (quantised.py), these two are read as they are.
MICROSOFT: dict[str, Handler] = {
    **{name: QUANTISED[name] for name in ("QuantizeLinear", "DequantizeLinear")},
    **MICROSOFT_ATTENTION,
}
#: What can be done to a published file, which nobody can export again.
_CUT = "Cut the model there: onnx.utils.extract_model."
_FLOW = (
    "control flow: which nodes run depends on the data",
    f"Where an input decides that never changes, say what it is: `constants` NAME=NUMBER. {_CUT}",
)
_DYNAMIC = (
    "dynamic quantisation: scales computed at run time",
    "Take the float model that this one was made from, or static quantisation (QDQ).",
)

#: Operators with a known reason. Anything else: "not an operator tinygen knows".
REASONS: dict[str, tuple[str, str]] = {
    "If": _FLOW,
    "ConvInteger": _DYNAMIC, "MatMulInteger": _DYNAMIC, "DynamicQuantizeLinear": _DYNAMIC,
    "LRN": ("normalisation across channels comes in a later version", f"Use BatchNormalization. {_CUT}"),
    "GridSample": ("values at computed places", f"Use Resize, Slice or Gather where the places are known. {_CUT}"),
    "DeformConv": ("a convolution at computed places", f"Use Conv. {_CUT}"),
    "Mod": ("a remainder: a rounding error turns it from its largest value to 0", f"Wrap what comes in. {_CUT}"),
    "LpPool": ("this pooling", f"Use AveragePool of Abs, or ReduceL2. {_CUT}"),
    "CumProd": ("running products", f"Use CumSum of logarithms. {_CUT}"),
    "Det": ("determinants", _CUT),
    "ReduceProd": ("this reduction", "Use ReduceSum, ReduceMean, ReduceMax or ReduceMin."),
    "NonMaxSuppression": ("a result of variable length", _CUT),
    "NonZero": ("a result of variable length", _CUT),
    "TopK": ("sorting", _CUT),
    "Constant": ("a constant that is not a dense tensor of numbers", "Store it as a dense tensor."),
}  # fmt: skip


@dataclass(frozen=True)
class SupportedOp:
    """A row of docs/SUPPORTED_OPS: `versions` are the opsets in which the operator changed, of those tinygen reads."""

    onnx_name: str
    versions: tuple[int, ...]
    notes: tuple[str, ...]


def why_not(domain: str, op_type: str) -> tuple[str, str]:
    """What is not supported about an operator without importer, and what would help."""
    if (domain, op_type) == ("com.microsoft", "FusedConv"):
        return "this activation", "Save the model with onnxruntime's optimisations off."
    if (domain, op_type) in QLINEAR:
        return "this form of the operator", "Save the model in QDQ form (QuantFormat.QDQ)."
    if domain == "ai.onnx.ml":
        return (
            "classical machine learning (ai.onnx.ml)",
            "Only neural networks are supported; use emlearn or m2cgen for trees.",
        )
    if domain not in ("", "com.microsoft"):
        return f'operators of domain "{domain}"', "Export with standard ONNX operators, or as a model-local function."
    if op_type in REASONS:
        return REASONS[op_type]
    ours = "Run `tinygen ops` for those that are."
    if not domain and not onnx.defs.has(op_type):
        standard = {*HANDLERS, *(s.name for s in onnx.defs.get_all_schemas() if not s.domain)}
        return "no ONNX operator has that name", did_you_mean(op_type, standard) or ours
    return "the operator is not known to tinygen", f"{ours} {_CUT}"


def _versions(name: str) -> tuple[int, ...]:
    all_ = sorted(
        s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == name and s.domain == ""
    )
    first = [v for v in all_ if v <= MIN_OPSET][-1:]
    return tuple(first + [v for v in all_ if v > MIN_OPSET])


def supported_ops() -> tuple[SupportedOp, ...]:
    """Every operator read, by name."""
    rows = [
        SupportedOp(name, _versions(name), tuple(filter(None, (h.notes, *(limit_text(x)[0] for x in h.limits)))))
        for name, h in HANDLERS.items()
    ]
    rows += [
        SupportedOp(
            f"{domain}:{name}" if domain else name,
            (1,) if domain else _versions(name),
            (
                "read as DequantizeLinear, operator, QuantizeLinear"
                if (domain, name) in QLINEAR
                else "Relu, LeakyRelu, Clip, Sigmoid, HardSigmoid or Tanh; with or without an addend",
            ),
        )
        for domain, name in REWRITES
    ]
    rows += [
        SupportedOp(f"com.microsoft:{name}", (1,), tuple(limit_text(x)[0] for x in h.limits))
        for name, h in MICROSOFT_ATTENTION.items()
    ]
    steps = "written out, where the number of steps is known; cells in them become LSTM, GRU and RNN"
    rows += [SupportedOp("If", _versions("If"), ("a condition that is known: the branch taken",))]
    rows += [SupportedOp(name, _versions(name), (steps,)) for name in ("Loop", "Scan")]
    rows += [SupportedOp("Upsample", (7, 9), ("opset 7 to 9; read as Resize",))]
    rows += [SupportedOp("Constant", _versions("Constant"), ("folded, like every node of constants",))]
    return tuple(sorted(rows, key=lambda r: r.onnx_name))
