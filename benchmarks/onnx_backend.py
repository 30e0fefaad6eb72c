"""The backend tests of the onnx package in int8: how many of ONNX's operators tinygen takes, and takes right.

    python -m benchmarks.onnx_backend [--native N] [NAME ...]     table; benchmarks/results/onnx_backend.json
    python -m benchmarks.onnx_backend --freeze                    renews the list of names, for a new onnx

Every test that says something about a network in fixed point (onnx_tests.json has the names, and why the others do
not), with its weights, axes and shapes as constants, goes through the line: import, calibration on the test's own
inputs, quantisation, and the integers in numpy. N of those that pass, spread over all, are also built and run as C on
this computer.

A test passes when every output is within STEPS steps of what onnx says, or ENOUGH dB apart, the mean of the signal not
counted; integers and truth values must be equal. Where a function jumps (a comparison, Round) or is as steep as can be
(Acosh at 1), a step of the input may turn it: then what counts is what onnx says of the inputs as the network holds
them. That each test can fail is shown by judging it again with every integer of its outputs moved by SHIFT steps.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from rich.console import Console
from rich.table import Table

from benchmarks import record
from benchmarks.onnx_cases import Test, every_test, fair, unsuitable
from tinygen import simulate
from tinygen.calibrate.data import Arrays
from tinygen.errors import TinygenError, UnsupportedError, VerifyError
from tinygen.flow import verify
from tinygen.flow.gates import Terms
from tinygen.flow.judge import judged
from tinygen.flow.quantised import load, quantised, read_samples
from tinygen.flow.types import Calibration, Quantised
from tinygen.ir.types import Tensor
from tinygen.numerics import Array
from tinygen.ops import Unary
from tinygen.ops.base import int_range, real_of
from tinygen.ops.unary import Expr
from tinygen.plan.planner import plan
from tinygen.targets.cores import get_core

NAMES = Path(__file__).parent / "onnx_tests.json"
STEPS, ENOUGH, SHIFT = 2, 30.0, 8
#: Tests run as C on this computer, unless told otherwise.
NATIVE = 40
#: Functions without jumps whose slope has no bound.
STEEP = {"Acosh", "Acos", "Asin", "Atanh", "Sqrt"}
PASSED, REFUSED, WRONG, FAULT = "passed", "refused", "wrong", "fault"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a test. `db`: of its worst output, None where all are exact; `why`: of a refusal or a fault, with
    `help`, what would help; `rounded`: equal only for the inputs as the network holds them; `can_fail`: does the judge
    see a shift?"""

    name: str
    operators: str
    is_twin: bool
    verdict: str
    db: float | None = None
    why: str = ""
    help: str = ""
    rounded: bool = False
    can_fail: bool = True


@dataclass(frozen=True, slots=True)
class Ran:
    """A network on a test's inputs: its integers going in and coming out."""

    model: Quantised
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]


def run(model: ModelProto, feeds: Mapping[str, Array]) -> Ran:
    """Through the line, calibrated on the inputs themselves; TinygenError where it is refused."""
    shapes = {name: x.shape for name, x in feeds.items()}
    content = model.SerializeToString()
    loaded = load(Path("test.onnx"), name="test", input_shapes=shapes, content=content)
    used = [p.name for p in loaded.imported.graph.in_ports]
    data = Arrays({name: _as_numpy(feeds[name])[None] for name in used})
    asked = Calibration(data, hold_back=True)
    done = judged(quantised(loaded, asked), asked.method, asked.activations, Terms()).model
    samples = read_samples(data, loaded, None)
    inputs = simulate.quantise_inputs(done.fixed, samples.inputs)
    return Ran(done, inputs, simulate.run(done.fixed, inputs))


def _as_numpy(x: Array) -> Array:
    """Types that numpy itself does not have as float32."""
    return x if x.dtype.kind in "fiub" else x.astype(np.float32)


# The judge ------------------------------------------------------------------------------------------------------------


def distance(want: Array, got: Array) -> float:
    """Signal to noise in dB, the signal less its mean; inf where they are equal."""
    want, got = want.astype(np.float64), got.astype(np.float64)
    noise = float(np.mean((want - got) ** 2)) if want.size else 0.0
    signal = float(np.mean((want - want.mean()) ** 2)) if want.size else 0.0
    if noise == 0.0:
        return np.inf
    return 10.0 * float(np.log10(signal / noise)) if signal > 0.0 else -np.inf


def is_close(want: Array, got: Array, step: Array) -> bool:
    """Within STEPS steps each, or ENOUGH dB altogether. `step` broadcasts against them."""
    return bool(np.all(np.abs(want - got) <= STEPS * step * (1 + 1e-6))) or distance(want, got) >= ENOUGH


def _is_code(ran: Ran, k: int) -> bool:
    """Is output k, an ONNX integer, the code of a real number?"""
    kind, t = ran.model.imported.output_types[k], ran.model.imported.graph.tensors
    q = t[ran.model.imported.graph.outputs[k]].quant
    return kind in ("int8", "uint8", "int16", "uint16") and q is not None


def judge(ran: Ran, outputs: Sequence[Array], expected: Mapping[str, Array]) -> tuple[bool, float]:
    """(do the integers `outputs` say what is expected, dB of the worst)."""
    fixed, worst, good = ran.model.fixed, np.inf, True
    reals = simulate.dequantise_outputs(fixed, outputs)
    for k, (port, name, real) in enumerate(zip(fixed.out_ports, fixed.outputs, reals, strict=True)):
        t, want, got = fixed.tensors[name], _as_numpy(expected[port.name]), real[0]
        if got.shape != want.shape:
            return False, -np.inf
        if _is_code(ran, k):
            q = ran.model.imported.graph.tensors[ran.model.imported.graph.outputs[k]].quant
            assert q is not None
            shift = 128 if ran.model.imported.output_types[k] == "uint8" else 0
            want = (want.astype(np.float64) - shift - q.zero_point) * q.s
        elif want.dtype.kind in "iub":
            whole = want.astype(np.float64)
            apart = np.abs(got - whole)
            good &= bool(np.array_equal(np.rint(got), whole) and np.all(apart <= STEPS * _step(t, port.perm)))
            continue
        worst = min(worst, distance(want, got))
        good &= is_close(want.astype(np.float64), got.astype(np.float64), _step(t, port.perm))
    return good, worst


def _step(t: Tensor, perm: Sequence[int]) -> Array:
    """A step of int8 over the range of a tensor, as it broadcasts against the ONNX layout. States have finer ones of
    their own, but are worked out from int8."""
    if t.quant is None:
        return np.ones(())
    scale, _ = t.quant.along(len(t.shape))
    scale = scale * ((t.quant.high - t.quant.low + 1) // 256)
    if scale.ndim == 0:
        return scale
    whole = np.broadcast_to(scale, t.shape)
    return np.ascontiguousarray(whole.transpose(np.argsort(perm)))


def shifted(ran: Ran) -> tuple[Array, ...]:
    """The outputs, every integer moved by SHIFT steps of int8, away from the nearer end."""
    moved = []
    for name, y in zip(ran.model.fixed.outputs, ran.outputs, strict=True):
        low, high = int_range(ran.model.fixed.tensors[name])
        by = SHIFT * (high - low + 1) // 256 or SHIFT
        wide = y.astype(np.int64)
        moved.append(np.where(wide + by <= high, wide + by, wide - by).astype(y.dtype))
    return tuple(moved)


def reference_on_rounded(ran: Ran, model: ModelProto, feeds: Mapping[str, Array]) -> Mapping[str, Array] | None:
    """What onnx's own evaluator says of the inputs as the network holds them; None where it cannot."""
    fixed = ran.model.fixed
    held = dict(feeds)
    for port, name, x in zip(fixed.in_ports, fixed.inputs, ran.inputs, strict=True):
        real = port.to_outside(real_of(fixed.tensors[name], x))[0]
        held[port.name] = (
            real.astype(feeds[port.name].dtype) if feeds[port.name].dtype.kind == "f" else feeds[port.name]
        )
    try:
        found = ReferenceEvaluator(model).run(None, held)
    except Exception:  # noqa: BLE001 - it has no rule about what it raises
        return None
    return dict(zip([o.name for o in model.graph.output], map(np.asarray, found), strict=True))


def _jumps(ran: Ran, expected: Mapping[str, Array]) -> bool:
    """Has it outputs that are no real numbers, or a function that jumps, or whose slope has no bound?"""
    if any(a.dtype.kind in "iub" for a in expected.values()):
        return True
    functions = [n.op for n in ran.model.fixed.nodes if isinstance(n.op, Unary)]
    return any(op.has_steps or names_in(op.expr) & STEEP for op in functions)


def names_in(expr: Expr) -> set[str]:
    """The functions an expression is made of."""
    return {expr[0]}.union(*map(names_in, expr[1:])) if isinstance(expr, tuple) else set()


def attempt(test: Test) -> tuple[Outcome, Ran | None]:
    """A test from beginning to end."""
    model, feeds = fair(test)
    operators = " ".join(dict.fromkeys(n.op_type for n in model.graph.node if n.op_type != "Constant"))

    def outcome(verdict: str, **more: Any) -> Outcome:
        return Outcome(test.name, operators, test.is_twin, verdict, **more)

    try:
        ran = run(model, feeds)
    except UnsupportedError as e:
        first = e.problems[0]
        return outcome(REFUSED, why=f"{first.operator}: {first.what}", help=first.help), None
    except VerifyError as e:
        return outcome(FAULT, why=f"import: {e}"), None
    except TinygenError as e:
        first, *rest = str(e).splitlines()
        first, _, last = (first, "", rest[-1].strip()) if rest else first.rpartition(". ")  # what to do comes last
        return outcome(REFUSED, why=f"{e.kind}: {first or last}", help=last if first else ""), None
    except Exception as e:  # noqa: BLE001 - counted, whatever it is
        return outcome(FAULT, why=f"{type(e).__name__}: {e}"), None
    expected = dict(zip([o.name for o in test.model.graph.output], test.outs, strict=False))
    rounded = False
    good, db = judge(ran, ran.outputs, expected)
    if not good and _jumps(ran, expected):
        instead = reference_on_rounded(ran, model, feeds)
        rounded = instead is not None and judge(ran, ran.outputs, instead)[0]
        expected, good = (instead, True) if rounded and instead is not None else (expected, good)
    can_fail = not (good and judge(ran, shifted(ran), expected)[0])
    verdict = PASSED if good else WRONG
    return outcome(verdict, db=None if np.isinf(db) else round(db, 1), rounded=rounded, can_fail=can_fail), ran


def equal_in_c(ran: Ran) -> None:
    """The library, compiled for this computer; VerifyError where it gives other integers than numpy."""
    model = ran.model
    verify.verify_plan(model, plan(model.fixed, get_core("native")), "native", ran.inputs, ran.outputs)


# The command ----------------------------------------------------------------------------------------------------------


def frozen() -> dict[str, Any]:
    """The list of names."""
    found: dict[str, Any] = json.loads(NAMES.read_text(encoding="utf-8"))
    return found


def freeze() -> None:
    """Write the list anew."""
    reasons: dict[str, list[str]] = {}
    for name, test in sorted(every_test().items()):
        reasons.setdefault(unsuitable(test), []).append(name)
    taken = reasons.pop("")
    found = {"onnx": onnx.__version__, "tests": taken, "left out": dict(sorted(reasons.items()))}
    NAMES.write_text(record.text_of(found, 3) + "\n", encoding="utf-8")


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """For results/: how many of each verdict, and the names of all that did not pass, by verdict and reason."""
    figures = {
        kind: {v: sum(o.verdict == v and o.is_twin == twins for o in outcomes) for v in (PASSED, REFUSED, WRONG, FAULT)}
        for kind, twins in (("tests", False), ("twins", True))
    }
    others: dict[str, dict[str, list[str]]] = {}
    for o in outcomes:
        if o.verdict != PASSED:
            others.setdefault(o.verdict, {}).setdefault(o.why, []).append(o.name)
    return {"onnx": onnx.__version__, **figures, "others": others}


def show(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title=f"ONNX {onnx.__version__} backend tests, int8")
    for column in ("", "tests", PASSED, REFUSED, WRONG, FAULT, "median dB"):
        table.add_column(column, justify="left" if not column else "right")
    rows = (("tests of operators", False), ("their function bodies written out", True))
    for title, twins in (*rows, ("all", None)):
        found = [o for o in outcomes if twins is None or o.is_twin == twins]
        count = Counter(o.verdict for o in found)
        db = [o.db for o in found if o.verdict == PASSED and o.db is not None]
        middle = f"{np.median(db):.1f}" if db else ""
        table.add_row(title, str(len(found)), *(str(count[v]) for v in (PASSED, REFUSED, WRONG, FAULT)), middle)
    return table


def reasons(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="What is refused, wrong or a fault")
    for column in ("tests", "", "why", "what would help"):
        table.add_column(column)
    found = Counter((o.verdict, o.why, o.help) for o in outcomes if o.verdict != PASSED)
    for (verdict, why, help_), count in sorted(found.items(), key=lambda kv: (kv[0][0], -kv[1], kv[0])):
        table.add_row(str(count), verdict, why, help_)
    return table


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.onnx_backend")
    parser.add_argument("--native", type=int, default=NATIVE, help="so many tests as C on this computer")
    parser.add_argument("--freeze", action="store_true", help="renew the list of names")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args(arguments)
    if args.freeze:
        freeze()
    listed = frozen()
    if listed["onnx"] != onnx.__version__:
        print(f"the list is that of onnx {listed['onnx']}, installed is {onnx.__version__}: --freeze", file=sys.stderr)
        return 2
    began, every = time.monotonic(), every_test()
    outcomes, ran, differ, as_c = [], [], [], 0
    for i, name in enumerate(args.names or listed["tests"]):
        outcome, done = attempt(every[name])
        outcomes.append(outcome)
        if done is not None and outcome.verdict == PASSED:
            ran.append((name, done))
        if i % 100 == 99:
            print(f"{i + 1} tests, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    for name, done in ran[:: max(1, len(ran) // max(args.native, 1))][: args.native]:
        as_c += 1
        try:
            equal_in_c(done)
        except VerifyError as e:
            differ.append(f"{name}: {e}")
    console = Console(width=160)
    console.print(reasons(outcomes))
    console.print(show(outcomes))
    blind = [o.name for o in outcomes if not o.can_fail]
    print(f"moved by {SHIFT} steps, {sum(o.verdict == PASSED for o in outcomes) - len(blind)} of those that pass fail"
          + (f"; not: {', '.join(blind)}" if blind else ""))  # fmt: skip
    helpless = [o.name for o in outcomes if o.verdict == REFUSED and not (o.why and o.help)]
    print(f"refused without a reason or what would help: {', '.join(helpless) or 'none'}")
    print(f"as C on this computer: {as_c}, not equal: {', '.join(differ) or 'none'}; {time.monotonic() - began:.0f} s")
    if not args.names:
        record.write("onnx_backend", summary(outcomes), [asdict(o) for o in outcomes], depth=4)
    return 1 if blind or helpless or differ or any(o.verdict in (WRONG, FAULT) for o in outcomes) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
