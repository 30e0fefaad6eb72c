"""From a seed to the end of the line: import, tidy, calibrate, quantise, plan; every check that needs no compiler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx import ModelProto, printer

from tests.random.bounds import check_layers
from tests.random.floats import check_float
from tests.random.generator import batch_first, generate, operators, samples
from tests.random.net import Array, session
from tinygen import simulate
from tinygen.errors import ModelError, TinygenError
from tinygen.flow import verify
from tinygen.frontend.onnx_reader import Imported, read_onnx
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.text import dump
from tinygen.ir.types import Graph
from tinygen.ops import Recurrent
from tinygen.ops.base import Operator, int_range, need_quant, real_of
from tinygen.passes import simplify
from tinygen.passes.base import apply
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import quantise, range_tensors, ties
from tinygen.plan.planner import plan
from tinygen.plan.types import Plan
from tinygen.targets.cores import get_core

CALIBRATION = 8
CHECKED = 4
REF, M4 = "native", "cortex-m4"
#: Emulated cores of a batch where none are named.
CORES = (M4,)

#: What int8 arithmetic cannot hold is refused with these words (docs/NUMERICS.md); no sane network meets them.
DOCUMENTED_REFUSALS = (
    "can be added", "can be converted", "is too large: the output scale", "an accumulator may reach",
    "is too fine for the quotient", "is too fine for the factors of a normalisation", "cannot hold both ends",
)  # fmt: skip


def _simplify(net: Network) -> list[str]:
    """The network goes on simplified, if its bits are the same."""
    assert net.fixed is not None
    after = apply(simplify.PASS, net.fixed)
    same = all(map(np.array_equal, simulate.run(after, net.inputs), net.expected))
    again = apply(simplify.PASS, after) is after
    net.fixed = after
    return [*([] if same else ["simplified graph: other bits"]), *([] if again else ["simplifying again finds more"])]


def wide_for(seed: int, graph: Graph) -> tuple[str, ...]:
    """Activations that a seed keeps in int16: all, or some."""
    rng = np.random.default_rng([seed, 16])
    names = sorted(t.name for t in graph.tensors.values() if t.const is None)
    share = float(rng.choice([0.2, 0.5, 1.0]))
    return tuple(n for n in names if rng.random() < share)


@dataclass
class Network:
    """One seed on its way. `problems`: what went wrong; `refused`: a documented refusal. Later parts stay None then."""

    seed: int
    model: ModelProto
    operators: tuple[str, ...]
    int16: bool = False
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: str = ""
    imported: Imported | None = None
    tidy: Graph | None = None
    fixed: Graph | None = None
    plans: dict[str, Plan] = field(default_factory=dict)
    inputs: tuple[Array, ...] = ()
    expected: tuple[Array, ...] = ()
    real_inputs: tuple[Array, ...] = ()
    quantised_inputs: tuple[Array, ...] = ()
    real_outputs: tuple[Array, ...] = ()
    sqnr: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        return f"r{self.seed}"

    @property
    def again(self) -> str:
        """What repeats it."""
        return f"python -m tests.random {self.seed}{' --int16' if self.int16 else ''}"

    @property
    def usable(self) -> bool:
        """May go into C."""
        return bool(self.plans)

    def report(self) -> str:
        """Everything about a failure."""
        lines = [f"seed {self.seed} (reproduce: {self.again})"]
        lines += [f"  {p}" for p in self.problems]
        lines.append(printer.to_text(self.model) if len(self.model.graph.node) < 60 else "")
        for graph in (self.tidy, self.fixed):
            if graph is not None:
                lines.append(dump(graph))
        return "\n".join(lines)


def prepare(seed: int, folder: Path, *, int16: bool = False, cores: Sequence[str] = CORES) -> Network:
    """Run the line for one seed; `int16`: with some activations in int16; `cores`: what to plan for, beside this
    computer. Problems are collected, not raised: a batch goes on with its other networks."""
    model = generate(seed)
    net = Network(seed, model, tuple(operators(model)), int16)
    path = folder / f"{net.name}.onnx"
    path.write_bytes(batch_first(model, seed).SerializeToString())
    stage = "import"
    try:
        net.imported = read_onnx(path, name=net.name)
        stage = "tidy"
        net.tidy = tidy(net.imported.graph)
        again = tidy(net.tidy)
        if again != net.tidy:
            net.notes.append("tidying again finds more")
        feeds = samples(model, CALIBRATION, seed)
        stage = "float"
        first = {k: v[:CHECKED] for k, v in feeds.items()}
        found = check_float(model.SerializeToString(), net.tidy, first, seed)
        if not found.ok:
            net.problems.append(
                f"tidied graph: output {found.output} is {found.difference:.3g} off the model's, "
                f"at most {found.tolerance:.3g}"
            )
        stage = "calibrate"
        feeds = {p.name: feeds[p.name] for p in net.tidy.in_ports}
        reals = activations(net.tidy, feeds)
        wanted = range_tensors(net.tidy)
        endless = [n for n in wanted if not np.isfinite(reals[n]).all()]
        if endless:  # every build says so, when it calibrates
            net.refused = f"gives infinite values on some samples: {endless[0]}"
            return net
        ranges = {n: (float(reals[n].min()), float(reals[n].max())) for n in wanted}
        stage = "quantise"
        wide = wide_for(seed, net.tidy) if int16 else ()
        net.fixed = quantise(net.tidy, ranges, wide=wide)
        stage = "simulate"
        net.problems += _covers(net, reals, wanted)
        net.real_inputs = tuple(feeds[p.name] for p in net.tidy.in_ports)
        net.quantised_inputs = simulate.quantise_inputs(net.fixed, net.real_inputs)
        net.inputs = verify.make_inputs(net.fixed, net.quantised_inputs, seed)
        values: dict[str, list[Array]] = {}
        net.expected = simulate.run(net.fixed, net.inputs, lambda n, x: values.setdefault(n, []).append(x.copy()))
        net.real_outputs = simulate.dequantise_outputs(net.fixed, [y[-1:] for y in net.expected])
        stage = "layers"
        ints = {n: np.concatenate(v) for n, v in values.items()}
        if not int16:  # their conversions are nodes of their own
            net.problems += check_layers(net.tidy, net.fixed, ints)
        net.sqnr = _sqnr(net, reals)
        stage = "simplify"
        net.problems += _simplify(net)
        stage = "plan"
        net.plans = {core: plan(net.fixed, get_core(core)) for core in (REF, *cores)}
    except ModelError as e:
        documented = stage in ("quantise", "plan") and any(words in str(e) for words in DOCUMENTED_REFUSALS)
        if documented or (stage == "import" and "does not depend on the input" in str(e)):
            net.refused = str(e)
        else:
            net.problems.append(f"{stage}: refused: {e}")
    except TinygenError as e:
        net.problems.append(f"{stage}: {type(e).__name__}: {e}")
    except Exception as e:  # noqa: BLE001 - any exception is a finding, and the batch must go on
        at = e.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        where = f"{Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}" if at is not None else "?"
        net.problems.append(f"{stage}: {type(e).__name__} in {where}: {e}")
    return net


def activations(graph: Graph, feeds: dict[str, Array]) -> dict[str, Array]:
    """Every activation of a FLOAT graph in onnxruntime, (samples, *tensor shape)."""
    names = list(dict.fromkeys(o for n in graph.nodes for o in n.outputs))
    s = session(to_onnx(graph, names))
    given = {
        name: np.ascontiguousarray(port.to_tensor(feeds[port.name]), np.float32)
        for name, port in zip(graph.inputs, graph.in_ports, strict=True)
    }
    read = {v.name for v in s.get_inputs()}
    count = len(next(iter(given.values())))
    rows = [s.run(names, {k: np.asarray(v[i]) for k, v in given.items() if k in read}) for i in range(count)]
    found = {name: np.stack([np.asarray(r[k]) for r in rows]) for k, name in enumerate(names)}
    return {**found, **given}


def _covers(net: Network, reals: dict[str, Array], wanted: Sequence[str]) -> list[str]:
    """Calibrated with the extremes of these samples, a tensor must be able to say them, to within half a step (one
    where an operator such as Softmax decides). Not where a pre-quantised model decided its quantisation, or that of a
    tensor it shares integers with."""
    assert net.fixed is not None
    assert net.tidy is not None
    found, tied = [], ties(net.tidy)
    for name in wanted:
        quant = net.fixed.tensors[name].quant if name in net.fixed.tensors else None
        if (
            quant is None
            or quant.zero_points
            or any(net.tidy.tensors[member].quant is not None for member in tied[name])
        ):
            continue
        s, z = need_quant(net.fixed.tensors[name])
        least, most = int_range(net.fixed.tensors[name])
        low, high = s * (least - z), s * (most - z)
        lo, hi = float(reals[name].min()), float(reals[name].max())
        steps = 1.01 if any(_decided(net.tidy, member) for member in tied[name]) else 0.51
        if lo < low - steps * s or hi > high + steps * s:
            found.append(f"tensor {name!r} holds [{low:.4g}, {high:.4g}], calibration saw [{lo:.4g}, {hi:.4g}]")
    return found


def _decided(graph: Graph, name: str) -> bool:
    node = graph.producer.get(name)
    if node is None or not isinstance(node.op, Operator):
        return False
    return node.op.fixed_quant() is not None or isinstance(node.op, Recurrent)


def _sqnr(net: Network, reals: dict[str, Array]) -> tuple[float, ...]:
    """Signal to noise of each output over the calibration samples, in dB (inf: exact)."""
    assert net.tidy is not None
    assert net.fixed is not None
    outs = simulate.run(net.fixed, net.quantised_inputs)
    found = []
    for name, y in zip(net.tidy.outputs, outs, strict=True):
        real = reals[name].astype(np.float64)
        noise = float(np.square(real - real_of(net.fixed.tensors[name], y)).sum())
        signal = float(np.square(real).sum())
        found.append(float("inf") if noise == 0 else 10 * float(np.log10(max(signal, 1e-30) / noise)))
    return tuple(found)
