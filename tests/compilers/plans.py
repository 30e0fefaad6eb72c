"""The plans that every compiler builds: between them every kernel of every set, on integers that numpy knows too.

`operators_*`, `attention_*` and `recurrent_*` are all named cases of operators side by side, in int8 and int16, with
larger ones where fast kernels pay for no other, planned for each core; `layers_*` are single layers (tests/sweep) for
the kernels that no case reaches. Kernels of the sets dsp, m0, m3 and mve run through their portable bodies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePosixPath

import numpy as np

from benchmarks.emulate import Program
from tests.c import cases
from tests.ops.graphs import CASES
from tests.ops.test_wide import calibrated, side_by_side
from tests.sweep.layers import dense, single, with_values
from tests.sweep.programs import TARGETS, Check, checks
from tinygen import simulate
from tinygen.emit.library import render_library
from tinygen.emit.view import LibraryView, library_view
from tinygen.flow import verify
from tinygen.ir.types import DType, Graph, Node, Port, Quant, Stage, Tensor
from tinygen.numerics import Array, int_type
from tinygen.ops import Attention, Div, MatMul, Norm, Requantise, Softmax
from tinygen.ops.base import Case
from tinygen.ops.recurrent import Recurrent
from tinygen.passes.quantise import quantise
from tinygen.plan.planner import plan
from tinygen.plan.types import Plan
from tinygen.targets.cores import get_core

#: Kernel sets, and the core whose plans use them.
SETS = {"ref": "native", "dsp": "cortex-m4", "m0": "cortex-m0", "m3": "cortex-m3", "mve": "cortex-m55"}
#: Layers among which those for the rest are looked for, and how often each kernel is called.
SEEDS, TIMES = 480, 2
#: Of the samples that verify.make_inputs makes: one from calibration, noise, and extremes.
SAMPLES = [0, 4, 10]


@dataclass(frozen=True, eq=False)
class Model:
    """A plan with what goes in and what must come out, (samples, ...) each; `real`: one sample of floats for the
    helpers at the edges, with the integers and floats that these must give. `kernels`: what runs, templates by kind."""

    set: str
    plan: Plan
    inputs: tuple[Array, ...]
    wanted: tuple[Array, ...]
    kernels: frozenset[str]
    real: tuple[Array, ...] = ()
    real_quantised: tuple[Array, ...] = ()
    real_outputs: tuple[Array, ...] = ()

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def files(self) -> dict[str, bytes]:
        """Its C; the helpers only where they are called."""
        return {n: c for n, c in render_library(self._view).items() if self.real or n != f"{self.name}_io.c"}

    @property
    def _view(self) -> LibraryView:
        text = {"version": "0", "build_id": "00000001", "sha256": "0", "model_file": self.name}
        return library_view(self.plan, abi=1, numerics=1, **text)


@cache
def models() -> tuple[Model, ...]:
    """All of them; AssertionError when some kernel is in none."""
    found = [
        *(
            _cases(wide, "ref", of)
            for wide in ("int8", "all", "inputs", "outputs")
            for of in ("operators", "attention")
        ),
        *(_cases(wide, "dsp", of) for wide in ("int8", "all") for of in ("operators", "attention")),
        *(_cases("int8", name, "recurrent") for name in SETS),
        _cases("all", "ref", "recurrent"),
        _rescale(),
    ]
    ran = frozenset().union(*(m.kernels for m in found))
    for name in SETS:
        found += _layers(name, ran)
        ran = ran.union(*(m.kernels for m in found))
    missing = _every() - ran
    assert not missing, f"no plan calls {sorted(missing)}"
    return tuple(found)


def _every() -> set[str]:
    """All kernels there are, templates by kind."""
    return set().union(*map(_of_set, SETS))


@cache
def _network(wide: str, which: str) -> tuple[Graph, tuple[Array, ...]]:
    """All cases of `which` operators as one FIXED graph, and floats for its inputs. `wide` are in int16: inputs,
    outputs, all or none. There are three of them, as tcc takes no more than about 250 arguments."""
    cases = [case for _, case in CASES if _group(case) == which]
    found = [calibrated(case) for case in (*cases, *LARGER.get(which, tuple)())]
    graph = side_by_side([g for g, *_ in found])
    ranges = {f"c{i}_{n}": r for i, (*_, one) in enumerate(found) for n, r in one.items()}
    asked = {"inputs": graph.inputs, "outputs": graph.outputs, "all": (*graph.inputs, *graph.outputs), "int8": ()}
    return quantise(graph, ranges, wide=asked[wide]), tuple(x for _, xs, *_ in found for x in xs)


def _group(case: Case) -> str:
    """The network that a case is in."""
    if isinstance(case.op, Recurrent):
        return "recurrent"
    return "attention" if isinstance(case.op, Attention | MatMul | Norm | Div | Softmax) else "operators"


def _larger_attention() -> Iterator[Case]:
    """Of more rows than the cases have, for which the fast kernel of int16 pays."""
    (op,) = (case.op for name, case in CASES if name == "Attention-self")
    yield Case("larger", op, ((1, 24, 16),) * 3)


def _larger() -> Iterator[Case]:
    """Recurrent layers of more units than the cases have, for which fast kernels pay."""
    rng = np.random.default_rng(0)
    inputs, units = 16, 16
    for op in (case.op for name, case in CASES if name in ("Lstm-forward", "Gru-before")):
        assert isinstance(op, Recurrent)
        shapes = (op.GATES * units, inputs), (op.GATES * units, units), (2 * op.GATES * units,)
        weights = (rng.uniform(-0.5, 0.5, (1, *shape)).astype(np.float32) for shape in shapes)
        yield Case("larger", replace(op, units=units), ((1, 6, inputs), *weights))


LARGER = {"recurrent": _larger, "attention": _larger_attention}


def _cases(wide: str, set_name: str, which: str) -> Model:
    fixed, real = _network(wide, which)
    made = replace(plan(fixed, get_core(SETS[set_name]), "speed"), name=f"{which}_{wide}_{set_name}")
    inputs = verify.make_inputs(fixed, simulate.quantise_inputs(fixed, real))
    inputs = tuple(x[SAMPLES] for x in inputs)
    wanted = tuple(simulate.run(fixed, inputs))
    kernels = {*made.kernels, *(PurePosixPath(g.template).name for g in made.generated)}
    model = Model(set_name, made, inputs, wanted, frozenset(kernels))
    if set_name != "ref" or wide not in ("int8", "all"):  # helpers know no kernels
        return model
    one = tuple(np.ascontiguousarray(x[:1]) for x in real)
    quantised = tuple(simulate.quantise_inputs(fixed, one))
    back = tuple(simulate.dequantise_outputs(fixed, [y[-1:] for y in wanted]))
    return replace(model, real=one, real_quantised=quantised, real_outputs=back)


def _rescale() -> Model:
    """From one int16 scale to another, directly and by way of a cell's 24 bits, which no case needs."""

    def named(name: str, scale: float, bits: int = 16) -> Tensor:
        dtype = DType.INT16 if bits == 16 else DType.INT32
        return Tensor(name, (1, 300), dtype, Quant.per_tensor(scale, 0, bits=bits))

    tensors = {t.name: t for t in (named("x", 3e-4), named("cell", 2e-6, 24), named("y", 7e-4), named("z", 7e-4))}
    pairs = (("x", "y"), ("x", "cell"), ("cell", "z"))
    nodes = [Node(f"to_{y}", Requantise().quantise([tensors[x]], [tensors[y]]).op, (x,), (y,), ()) for x, y in pairs]
    ends = ("x",), ("y", "z"), (Port.plain("x", (1, 300)),), (Port.plain("y", (1, 300)), Port.plain("z", (1, 300)))
    fixed = Graph("rescale", Stage.FIXED, tensors, tuple(nodes), *ends)
    made = replace(plan(fixed, get_core("native")), name="rescale")
    inputs = verify.make_inputs(fixed, [np.zeros((0, 1, 300), np.int16)])
    return Model("ref", made, inputs, tuple(simulate.run(fixed, inputs)), frozenset(made.kernels))


def _two_of_four(rng: np.random.Generator, *shape: int) -> Array:
    """Weights of which each four hold at most two that are not 0."""
    rows, n = shape
    keep = np.argsort(rng.random((rows, n // 4 + 1, 4)), axis=-1) < 2
    w: Array = cases.weights(rng, rows, n) * keep.reshape(rows, -1)[:, :n]
    return w


def _candidates(set_name: str) -> Iterator[Check]:
    """Calls of the set's kernels: layers of the sweep, and one that few of them are like."""
    for seed in range(-8, 0):
        rng = np.random.default_rng(-seed)
        yield from checks(with_values(seed, "2 of 4", dense(rng, _two_of_four), rng), (set_name,))
    for seed in range(SEEDS):
        yield from checks(single(seed), (set_name,))


def _layers(set_name: str, ran: frozenset[str]) -> list[Model]:
    """The fewest layers that call what did not run yet, each kernel twice."""
    missing = _of_set(set_name) - ran
    left = dict.fromkeys(sorted(missing), TIMES)
    chosen: list[Check] = []
    for check in _candidates(set_name):
        if not left:
            break
        news = check.kernels & left.keys()
        if news and not any(c.single is check.single and c.kernels == check.kernels for c in chosen):
            chosen.append(check)
            left = {k: n - (k in news) for k, n in left.items() if n > (k in news)}
    if not chosen:
        return []
    program = Program(SETS[set_name], [c.case for c in chosen])
    made = replace(program.plan, name=f"layers_{set_name}")
    wanted = np.zeros((1, program.plan.outputs[0].length), np.int8)
    for check, (at, *_) in zip(chosen, program.at, strict=True):
        wanted[0, at : at + check.wanted.size] = check.wanted.ravel()
    x = np.frombuffer(program.sample, np.int8)[None]
    kernels = frozenset().union(*(c.kernels for c in chosen))
    return [Model(set_name, made, (x,), (wanted,), kernels)]


def _of_set(set_name: str) -> set[str]:
    """Kernels of a set alone."""
    return replace(TARGETS[0], sets=(set_name,)).kernels


def given(model: Model, order: str) -> bytes:
    """The model's part of in.bin, in the byte order of a machine ("<" or ">")."""
    return _bytes(_by_sample(model.inputs), order) + _bytes(model.real, order)


def expected(model: Model, order: str) -> bytes:
    """The model's part of out.bin."""
    return _bytes(_by_sample(model.wanted), order) + _bytes((*model.real_quantised, *model.real_outputs), order)


def _by_sample(arrays: Sequence[Array]) -> list[Array]:
    return [a[i] for i in range(len(arrays[0])) for a in arrays]


def _bytes(arrays: Sequence[Array], order: str) -> bytes:
    return b"".join(np.ascontiguousarray(a, a.dtype.newbyteorder(order)).tobytes() for a in arrays)


def files(chosen: Sequence[Model]) -> Mapping[str, bytes]:
    """All C of the models in one flat folder, with a main.c that runs them one after the other."""
    found: dict[str, bytes] = {}
    for model in chosen:
        for name, content in model.files.items():
            assert found.setdefault(name, content) == content, f"two models want different files called {name}"
    return found | {"main.c": _main(chosen).encode()}


def _main(chosen: Sequence[Model]) -> str:
    lines = ["#include <stdio.h>", *(f'#include "{m.name}.h"' for m in chosen), ""]
    lines += ["static FILE *from, *to;", "static int bad;", ""]
    lines += ["static void get(void *p, size_t n)", "{", "    bad |= fread(p, 1U, n, from) != n;", "}", ""]
    lines += ["static void put(const void *p, size_t n)", "{", "    bad |= fwrite(p, 1U, n, to) != n;", "}"]
    for m in chosen:
        lines += _run(m)
    lines += ["", "int main(int argc, char **argv)", "{", "    (void)argc;"]
    lines += ['    from = fopen(argv[1], "rb");', '    to = fopen(argv[2], "wb");']
    lines += ["    if ((from == NULL) || (to == NULL)) {", "        return 2;", "    }"]
    lines += [*(f"    run_{m.name}();" for m in chosen), "    return fclose(to) | bad;", "}", ""]
    return "\n".join(lines)


def _run(m: Model) -> list[str]:
    p = m.plan
    ends = [("in", e, i, len(p.inputs)) for i, e in enumerate(p.inputs)]
    ends += [("out", e, i, len(p.outputs)) for i, e in enumerate(p.outputs)]
    lines = ["", f"static void run_{m.name}(void)", "{", f"    static {m.name}_ctx_t ctx;"]
    lines += [f"    static {int_type(e.quant.bits).__name__}_t {kind}{i}[{e.length}];" for kind, e, i, _ in ends]
    lines += [f"    static float real_{kind}{i}[{e.length}];" for kind, e, i, _ in ends if m.real]
    lines += [f"    for (int n = 0; n < {len(m.inputs[0])}; n++) {{"]
    lines += [f"        get(in{i}, sizeof in{i});" for i in range(len(p.inputs))]
    arguments = ", ".join(f"{kind}{i}" for kind, *_, i, _ in ends)
    lines += [f"        bad |= {m.name}_run(&ctx, {arguments}) != {m.name.upper()}_OK;"]
    lines += [*(f"        put(out{i}, sizeof out{i});" for i in range(len(p.outputs))), "    }"]
    for kind, _, i, count in ends if m.real else []:
        number = "" if count == 1 else str(i)
        if kind == "in":
            lines += [
                f"    get(real_in{i}, sizeof real_in{i});",
                f"    {m.name}_quantize_input{number}(real_in{i}, in{i});",
            ]
            lines += [f"    put(in{i}, sizeof in{i});"]
        else:
            lines += [f"    {m.name}_dequantize_output{number}(out{i}, real_out{i});"]
            lines += [f"    put(real_out{i}, sizeof real_out{i});"]
    return [*lines, "}"]
