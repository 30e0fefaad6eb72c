"""A state kept from call to call: scales, memory, the C, and what is said when they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from tests.frontend.support import parse, save
from tinygen import simulate
from tinygen.calibrate.data import Arrays
from tinygen.calibrate.graph import run_float
from tinygen.errors import DataError, ModelError, VerifyError
from tinygen.flow import verify
from tinygen.flow.build import build_folder
from tinygen.flow.quantised import load, quantised
from tinygen.flow.types import Calibration, Loaded, Quantised, Target
from tinygen.ir.types import Graph, Stage
from tinygen.numerics import Array
from tinygen.ops.base import ConstArg
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import quantise, range_tensors
from tinygen.plan.planner import plan
from tinygen.plan.types import Plan
from tinygen.targets.board import load_board
from tinygen.targets.cores import get_core

RNG = np.random.default_rng(7)
#: Streams that do not stand still: a level that wanders, and what goes fast on it.
WANDER = (np.cumsum(RNG.normal(size=(6, 40, 4)), axis=1) * 0.2 + RNG.normal(size=(6, 40, 4))).astype(np.float32)


def weights(**shapes: tuple[int, ...]) -> dict[str, Array]:
    rng = np.random.default_rng(3)
    return {k: (rng.normal(size=s) / np.sqrt(s[0])).astype(np.float32) for k, s in shapes.items()}


#: Cells with x (1, 4) and h (1, 4) that differ in how the next state comes about.
CELLS: Mapping[str, tuple[str, Mapping[str, str], Mapping[str, Array]]] = {
    # The sum is written over the value that it reads.
    "sum": ("(float[1,4] x, float[1,4] h) => (float[1,4] y, float[1,4] h_out) "
            "{ a = Mul (h, k) h_out = Add (a, x) y = Tanh (h_out) }",
            {"h": "h_out"}, {"k": np.float32([0.5])}),
    # The state before is read behind the next.
    "read later": ("(float[1,4] x, float[1,4] h) => (float[1,4] y, float[1,4] h_out) "
                   "{ a = MatMul (h, w) b = Add (a, x) h_out = Tanh (b) y = Mul (h, h_out) }",
                   {"h": "h_out"}, weights(w=(4, 4))),
    # What is wanted as an output as well.
    "output": ("(float[1,4] x, float[1,4] h) => (float[1,4] h_out) "
               "{ a = MatMul (h, w) b = Add (a, x) h_out = Tanh (b) }",
               {"h": "h_out"}, weights(w=(4, 4))),
    # Two that change places: whichever is written first, the other is still to be read.
    "swap": ("(float[1,4] x, float[1,4] a, float[1,4] b) => (float[1,4] y, float[1,4] a_out, float[1,4] b_out) "
             "{ a_out = Identity (b) s = Mul (a, k) b_out = Add (s, x) y = Add (a_out, b_out) }",
             {"a": "a_out", "b": "b_out"}, {"k": np.float32([-0.5])}),
    # A delay line: states that only hand on.
    "delay": ("(float[1,4] x, float[1,4] a, float[1,4] b) => (float[1,4] y, float[1,4] a_out, float[1,4] b_out) "
              "{ a_out = Identity (x) b_out = Identity (a) s = Add (x, a) y = Add (s, b) }",
              {"a": "a_out", "b": "b_out"}, {}),
    # Two values in one tensor, of which one is twenty times the other.
    "packed": ("(float[1,4] x, float[2,1,4] h) => (float[1,4] y, float[2,1,4] h_out) "
               "{ a = Gather <axis = 0> (h, zero) b2, c2 = Split <axis = 0, num_outputs = 2> (h) "
               "b = Squeeze (c2, first) d = Mul (a, half) e = Add (d, x) a1 = Tanh (e) f = Mul (b, most) "
               "g = Mul (a1, two) b1 = Add (f, g) y = Add (a1, b1) u = Unsqueeze (a1, first) v = Unsqueeze (b1, first) "
               "w = Concat <axis = 0> (u, v) h_out = Add (w, nil) }",
               {"h": "h_out"},
               {"zero": np.array(0), "nil": np.float32([0.0]),
                "first": np.array([0]), "half": np.float32([0.5]), "most": np.float32([0.9]),
                "two": np.float32([2.0])}),
    # A window over time.
    "window": ("(float[1,4] x, float[1,4,2] h) => (float[1,6,1] y, float[1,4,2] h_out) "
               "{ x3 = Unsqueeze (x, axis) c = Concat <axis = 2> (h, x3) h_out = Slice (c, one, three, axis) "
               "d = Conv (c, w) y = Relu (d) }",
               {"h": "h_out"},
               {**weights(w=(6, 4, 3)), "axis": np.array([2]), "one": np.array([1]), "three": np.array([3])}),
}  # fmt: skip


def cell(name: str) -> tuple[ModelProto, dict[str, str]]:
    text, states, arrays = CELLS[name]
    return parse(f"g {text}", weights=dict(arrays)), dict(states)


def loaded(folder: Path, name: str) -> Loaded:
    model, states = cell(name)
    return load(save(folder, model), states=states)


def made(folder: Path, name: str, x: Array = WANDER, **asked: Any) -> Quantised:
    return quantised(loaded(folder, name), Calibration(Arrays(x), **asked))


def streams(fixed: Graph, x: Array) -> tuple[Array, ...]:
    return simulate.quantise_inputs(fixed, [x.reshape(*x.shape[:2], 1, 4)])


def prove(q: Quantised, planned: Plan, x: Array, core: str = "native") -> None:
    inputs = streams(q.fixed, x)
    verify.verify_plan(q, planned, core, inputs, simulate.run(q.fixed, inputs))


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("activations", ["8", "16"])
def test_both_ends_are_one_quantisation(tmp_path: Path, name: str, activations: str) -> None:
    q = made(tmp_path, name, activations=activations)
    for s in q.fixed.states:
        assert q.fixed.tensors[s.reads].quant == q.fixed.tensors[s.writes].quant
    assert all(a.sqnr_db > 25.0 for a in q.layers)


@pytest.mark.parametrize("name", CELLS)
def test_float_network_is_the_files(tmp_path: Path, name: str) -> None:
    """A loop written by hand around the file, against ours."""
    from tinygen.calibrate.floatrun import FloatModel

    at = loaded(tmp_path, name)
    model, states = FloatModel(at.imported.original), dict(at.imported.states)
    held = {a: np.zeros(at.imported.graph.tensors[a].shape, np.float32) for a in states}
    want = []
    for x in WANDER[0]:
        given = held | {"x": x[None]}
        out = dict(zip(model.output_names, model.run([given[n] for n in model.input_names]), strict=True))
        held = {a: out[b] for a, b in states.items()}
        want.append(out[at.tidy.out_ports[0].name])
    (found,) = run_float(at.tidy, [WANDER[:1, :, None]])
    assert np.allclose(found[0], np.stack(want), atol=1e-6)


def test_range_is_that_of_whole_streams(tmp_path: Path) -> None:
    """A leak that fills up: single calls from zero would see a fifth of it."""
    x = np.full((4, 60, 4), 0.5, np.float32)
    q = made(tmp_path, "sum", x)
    t = q.fixed.tensors[q.fixed.states[0].reads]
    assert t.quant is not None
    assert t.quant.s * (t.quant.high - t.quant.zero_point) > 0.95


@pytest.mark.parametrize("name", CELLS)
def test_c_is_numpy_over_streams(tmp_path: Path, name: str) -> None:
    """Interleaved contexts, resets in mid-stream, memory that holds something else: flow/verify.py's harness."""
    q = made(tmp_path, name)
    prove(q, plan(q.fixed, get_core("native")), WANDER)


@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4", "cortex-m55"])
def test_emulated_cores_are_numpy(tmp_path: Path, require_tool: Callable[[str], None], core: str) -> None:
    require_tool("qemu-system-arm")
    require_tool("arm-none-eabi-gcc")
    q = made(tmp_path, "window", activations="16")
    prove(q, plan(q.fixed, get_core(core)), WANDER[:, :8], core)


def kinds(planned: Plan) -> list[str]:
    return [s.title for s in planned.steps]


def test_state_is_written_in_place(tmp_path: Path) -> None:
    for name in ("sum", "window"):
        q = made(tmp_path, name)
        planned = plan(q.fixed, get_core("native"))
        assert "keep" not in kinds(planned)
        assert [o.place.space for s in planned.steps for o in s.outputs if o.tensor == q.fixed.states[0].writes] == [
            "state"
        ]


@pytest.mark.parametrize(("name", "copies"), [("read later", 1), ("output", 1), ("swap", 1)])
def test_state_that_is_still_read_is_copied(tmp_path: Path, name: str, copies: int) -> None:
    """A copy less, or one more, and the memory checker or the C would say so."""
    q = made(tmp_path, name)
    planned = plan(q.fixed, get_core("native"))
    assert kinds(planned).count("keep") == copies


def test_state_lies_in_front(tmp_path: Path) -> None:
    planned = plan(made(tmp_path, "swap").fixed, get_core("native"))
    assert [(s.name, s.offset, s.nbytes) for s in planned.states] == [("a", 0, 4), ("b", 4, 4)]
    assert planned.state_len == 8
    other = [b for b in planned.buffers if not b.name.startswith("state ")]
    assert all(b.offset >= 8 for b in other)
    assert [(b.first, b.last) for b in planned.buffers if b.name == "state a"] == [(0, len(planned.steps) - 1)]


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    """Each of these is a fault that only a second step, a reset or another stream shows."""
    q = made(tmp_path, "read later")
    right = plan(q.fixed, get_core("native"))
    (state,) = right.states
    other = replace(state, initial=ConstArg("state0", state.initial.array + np.int8(1)))
    with pytest.raises(VerifyError, match=r"stream 0, step 0: the first layer that differs is"):
        prove(q, replace(right, states=(other,)), WANDER)
    never = tuple(s for s in right.steps if s.title != "keep")
    with pytest.raises(VerifyError, match=r"stream 0, step 1: the first layer that differs is"):
        prove(q, replace(right, steps=never), WANDER)


def test_state_that_lies_elsewhere_is_found(tmp_path: Path) -> None:
    """What is kept outside the state's bytes, as an arena that happens to survive would hide."""
    q = made(tmp_path, "sum")
    right = plan(q.fixed, get_core("native"))
    (state,) = right.states
    free = right.arena_len
    moved = replace(state, offset=free - 4)

    def shift(place: Any) -> Any:
        return replace(place, offset=free - 4) if getattr(place, "space", "") == "state" else place

    steps = tuple(
        replace(
            s,
            outputs=tuple(replace(o, place=shift(o.place)) for o in s.outputs),
            calls=tuple(
                replace(c, inputs=tuple(map(shift, c.inputs)), outputs=tuple(map(shift, c.outputs))) for c in s.calls
            ),
        )
        for s in right.steps
    )
    with pytest.raises(VerifyError, match="stream 0, step 1"):
        prove(
            q, _Short(**{f: getattr(right, f) for f in right.__slots__} | {"steps": steps, "states": (moved,)}), WANDER
        )


class _Short(Plan):
    """A plan that says too little is kept."""

    @property
    def state_len(self) -> int:
        return 4


def test_stream_of_a_convolution_is_the_batch(tmp_path: Path) -> None:
    """1,000 steps, equal bits: a window over what comes, against one convolution over all of it."""
    steps = 1000
    x = np.resize(WANDER.reshape(-1, 4), (steps, 4))
    batch = parse(
        f"g (float[1,4,{steps}] x) => (float[1,6,{steps}] y) {{ d = Conv <pads = [2, 0]> (x, w) y = Relu (d) }}",
        weights={"w": weights(w=(6, 4, 3))["w"]},
    )
    spans = {"x": (-6.0, 6.0), "y": (0.0, 5.0)}

    def fixed(graph: Graph) -> Graph:
        names = {
            p.name: n for n, p in zip((*graph.inputs, *graph.outputs), (*graph.in_ports, *graph.out_ports), strict=True)
        }
        own = dict.fromkeys(range_tensors(graph), spans["x"])
        return quantise(graph, own | {t: spans["y"] for t in own if t == names["y"] or t.startswith(("y", "d"))})

    stream = fixed(loaded(tmp_path, "window").tidy)
    once = fixed(tidy(load(save(tmp_path, batch, "batch.onnx")).imported.graph))
    (found,) = simulate.run(stream, streams(stream, x[None]))
    (want,) = simulate.run(once, simulate.quantise_inputs(once, [x.T[None, None]]))
    found = stream.out_ports[0].to_onnx(found)[0, :, 0, :, 0]
    want = once.out_ports[0].to_onnx(want)[0, 0].T
    assert found.shape == want.shape == (steps, 6)
    assert np.array_equal(found, want)
    assert len(np.unique(found)) > 50


def test_parts_of_a_state_are_apart(tmp_path: Path) -> None:
    q = made(tmp_path, "packed")
    a, b = q.fixed.states
    assert (a.name, b.name) == ("h.0", "h.1")
    quants = [q.fixed.tensors[s.reads].quant for s in (a, b)]
    assert quants[0] is not None
    assert quants[1] is not None
    assert quants[1].s > 5 * quants[0].s
    assert not {"Concat", "Slice", "Gather"} & {type(n.op).__name__ for n in q.fixed.nodes}
    wide = made(tmp_path, "packed", activations="h.1")
    assert [w.bits for s in wide.fixed.states if (w := wide.fixed.tensors[s.reads].quant) is not None] == [8, 16]


@pytest.mark.parametrize(
    ("reads", "writes"),
    [
        ("b2 = Slice (h, one, two, axis)", "Concat <axis = 1> (c, d)"),  # a piece across both
        ("b2 = Slice (h, nil, two, axis)", "Concat <axis = 1> (c, c)"),  # one value twice
        ("b2 = Slice (h, nil, two, axis)\n b3 = Tanh (h)", "Concat <axis = 1> (c, d)"),  # read as a whole too
        ("b2 = Slice (h, nil, two, axis)", "Concat <axis = 1> (c, k)"),  # a constant part
    ],
)
def test_what_cannot_be_taken_apart_stays(tmp_path: Path, reads: str, writes: str) -> None:
    """And computes the same as it is."""
    more = "e = Add (b2, b2)" if "b3" not in reads else "e0 = Slice (b3, nil, two, axis)\n e = Add (b2, e0)"
    text = f"""
        g (float[1,2] x, float[1,4] h) => (float[1,2] y, float[1,4] h_out) {{
            {reads}
            {more}
            c = Tanh (e)
            d = Add (c, x)
            y = Mul (d, half)
            h_out = {writes}
        }}
    """.replace("one, two, axis", "one, three, axis")
    arrays = {"nil": [0], "one": [1], "two": [2], "three": [3], "axis": [1]}
    model = parse(text, weights={k: np.array(v) for k, v in arrays.items()} | {
        "half": np.float32([0.5]), "k": np.float32([[0.5, 0.25]])})  # fmt: skip
    at = load(save(tmp_path, model), states={"h": "h_out"})
    assert [s.name for s in at.tidy.states] == ["h"]
    x = WANDER[..., :2]
    q = quantised(at, Calibration(Arrays(x)))
    inputs = simulate.quantise_inputs(q.fixed, [x[:, :, None]])
    verify.verify_plan(q, plan(q.fixed, get_core("native")), "native", inputs, simulate.run(q.fixed, inputs))


def test_layout_of_a_state_is_its_own(tmp_path: Path) -> None:
    """Kept channels first in the file, and transposed nowhere: the order between its two transposes is as good."""
    text = """
        g (float[1,6,8] x, float[1,6,8] s) => (float[1,6,8] y, float[1,6,8] s_out) {
            a = Conv <pads = [1, 1]> (s, w)
            b = Conv <pads = [1, 1]> (x, w)
            c = Add (a, b)
            s_out = Tanh (c)
            y = Conv <pads = [1, 1]> (s_out, w)
        }
    """
    model = parse(text, weights=weights(w=(6, 6, 3)))
    at = load(save(tmp_path, model), states={"s": "s_out"})
    assert "Transpose" not in {type(n.op).__name__ for n in at.tidy.nodes}
    assert at.tidy.tensors[at.tidy.states[0].reads].shape == (1, 8, 6)
    x = np.random.default_rng(0).normal(size=(4, 12, 1, 6, 8)).astype(np.float32)
    q = quantised(at, Calibration(Arrays(x)))
    inputs = simulate.quantise_inputs(q.fixed, [x])
    verify.verify_plan(q, plan(q.fixed, get_core("native")), "native", inputs, simulate.run(q.fixed, inputs))


def test_build_has_reset_and_golden_streams(tmp_path: Path) -> None:
    x = np.concatenate([WANDER, -WANDER, WANDER[:, ::-1]])
    at = loaded(tmp_path, "read later")
    built = build_folder(at, tmp_path / "out", Target(load_board("native")), Calibration(Arrays(x), hold_back=True))
    header = built.files["lib/model/src/model.h"].decode()
    assert "#define MODEL_STATE_LEN 4U" in header
    assert "model_status_t model_reset(model_ctx_t *ctx);" in header
    assert "`model_reset` begins a stream" in built.files["README.md"].decode()
    assert built.files["include/model_golden.h"].decode().count("{1, ") == 2
    assert built.verdict is not None
    assert [(d.first, d.last) for d in built.verdict.drift] == [(0, 9), (10, 39)]
    assert built.verdict.source.endswith("samples held back, streams of 40 steps")
    assert built.results[0].samples == 64
    without = build_folder(
        load(save(tmp_path, cell("read later")[0])), tmp_path / "plain", Target(load_board("native"))
    )
    assert "reset" not in "".join(f.decode() for n, f in without.files.items() if n.startswith("lib/model/src/model."))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((3, 5, 6, 4), r"samples are streams of calls: \(streams, steps, 4\), or \(steps, 4\) for one"),
        ((7,), "samples are streams of calls"),
    ],
)
def test_data_that_is_no_stream(tmp_path: Path, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(DataError, match=said):
        made(tmp_path, "sum", np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 5, 1, 4), (5, 4), (5, 1, 4)])
def test_forms_of_streams(tmp_path: Path, shape: tuple[int, ...]) -> None:
    q = made(tmp_path, "sum", np.ones(shape, np.float32))
    assert q.samples.inputs[0].shape == ((3 if len(shape) > 2 and shape[0] == 3 else 1), 5, 1, 4)


def test_graph_with_unequal_ends_is_refused(tmp_path: Path) -> None:
    from tinygen.ir.invariants import InvariantError, check

    fixed = made(tmp_path, "sum").fixed
    (s,) = fixed.states
    t = fixed.tensors[s.reads]
    assert t.quant is not None
    other = replace(t, quant=replace(t.quant, zero_point=t.quant.zero_point + 1))
    with pytest.raises(InvariantError, match="state 'h' reads"):
        check(fixed.with_(tensors=[other]))
    assert fixed.stage is Stage.FIXED


def test_compression_says_why_not(tmp_path: Path) -> None:
    from tinygen.flow.source import source_of

    with pytest.raises(ModelError, match='keeps a state \\("h"\\)'):
        source_of(loaded(tmp_path, "sum"), Arrays(WANDER))


def test_api_runs_streams(tmp_path: Path) -> None:
    """Real numbers and integers from Python, and from the folder's C, are the same streams."""
    import tinygen

    path = save(tmp_path, cell("read later")[0])
    model = tinygen.load(path, states={"h": "h_out"})
    q = model.quantize(WANDER, accept_loss=True)
    y = q.run(WANDER)
    assert isinstance(y, np.ndarray)
    assert y.shape == (6, 40, 4)
    assert not np.allclose(q.run(WANDER[:, 20:]), y[:, 20:])  # another past
    codes = q.run_integers(q.quantize_input(WANDER))
    assert isinstance(codes, np.ndarray)
    assert codes.shape == (6, 40, 1, 4)
    with pytest.raises(DataError, match=r'input "x" is \(streams, steps, 1, 4\)'):
        q.run_integers(np.zeros((3, 1, 4), np.int8))
    built = q.build("native", verify="none")
    built.save(tmp_path / "out")
    assert np.array_equal(tinygen.open_build(tmp_path / "out").run(WANDER), y)


def test_programs_around_it_compile_and_agree(tmp_path: Path) -> None:
    """The golden test and the example of an output folder, on this computer."""
    import subprocess

    from tinygen.build.toolchain import compile_program, find_toolchain
    from tinygen.emit.programs import ProjectView, render_example, render_golden_test
    from tinygen.flow.build import golden_cases
    from tinygen.flow.library import model_view

    at = loaded(tmp_path, "read later")
    board = load_board("native")
    built = build_folder(at, tmp_path / "out", Target(board), Calibration(Arrays(WANDER)), terms=None)
    view = ProjectView(model_view(built.plan), board, golden_cases(built))
    core = get_core("native")
    for name, text, said in (
        ("test", render_golden_test(view), "done 16"),
        ("main", render_example(view), "argmax"),
    ):
        src = tmp_path / name
        src.mkdir()
        for path, content in built.files.items():
            if path.startswith("lib/model/src/") or path == "include/model_golden.h":
                (src / Path(path).name).write_bytes(content)
        (src / "program.c").write_bytes(text)
        program = compile_program(find_toolchain(core), core, sorted(src.glob("*.c")), [src], src / "a.elf")
        done = subprocess.run([program.elf], capture_output=True, text=True, check=False)
        assert said in done.stdout + done.stderr
        assert "not ok" not in done.stdout


def test_cell_of_24_bits_is_moved_as_it_is() -> None:
    """Reshapes and slices around what an LSTM keeps: no table narrows it, and the copy is of whole words."""
    from tinygen.ir.types import Node, Port, Quant, State, Tensor
    from tinygen.ops import Reshape, Slice

    cell_quant = Quant.per_tensor(2.0**-20, 0, 24)
    tensors = [Tensor("x", (2, 3), quant=cell_quant), Tensor("h", (1, 6), quant=cell_quant)]
    tensors += [Tensor("a", (6,)), Tensor("h_out", (1, 6)), Tensor("r", (2, 3)), Tensor("y", (1, 3))]
    nodes = (
        Node("a", Reshape((6,)), ("x",), ("a",)),
        Node("h_out", Reshape((1, 6)), ("a",), ("h_out",)),
        Node("r", Reshape((2, 3)), ("h",), ("r",)),
        Node("y", Slice((1, 0), (1, 1), (1, 3)), ("r",), ("y",)),
    )
    graph = Graph("cell", Stage.FLOAT, {t.name: t for t in tensors}, nodes, ("x",), ("y",), (Port.plain("x", (2, 3)),),
                  (Port.plain("y", (1, 3)),), states=(State("h", "h", "h_out"),))  # fmt: skip
    fixed = quantise(graph, {})
    assert {type(n.op) for n in fixed.nodes} == {Reshape, Slice}
    assert {t.quant for t in fixed.tensors.values()} == {cell_quant}
    x = np.arange(30).reshape(1, 5, 2, 3).astype(np.int32)
    (found,) = simulate.run(fixed, [x])
    assert np.array_equal(found[0, 1:, 0], x[0, :-1, 1])
    assert not found[0, 0].any()


def recurrent(kind: str, steps: int) -> tuple[ModelProto, dict[str, str]]:
    """A recurrent layer of 3 inputs and 5 units over so many steps, with its states as inputs and outputs."""
    rows = 5 * {"GRU": 3, "LSTM": 4, "RNN": 1}[kind]
    arrays = weights(w=(3, rows), r=(5, rows), b=(2 * rows,), o=(5, 2))
    arrays |= {"w": arrays["w"].T[None], "r": arrays["r"].T[None], "b": arrays["b"][None], "axis": np.array([1])}
    cell = kind == "LSTM"
    ins, outs = ("h, c", "hn, cn") if cell else ("h", "hn")
    text = (
        f"g (float[{steps},1,3] x, float[1,1,5] h{', float[1,1,5] c' if cell else ''}) => "
        f"(float[{steps},1,2] y, float[1,1,5] hn{', float[1,1,5] cn' if cell else ''}) {{ "
        f'z, {outs} = {kind} <hidden_size = 5> (x, w, r, b, "", {ins}) s = Squeeze (z, axis) y = MatMul (s, o) }}'
    )
    return parse(text, weights=arrays), {"h": "hn"} | ({"c": "cn"} if cell else {})


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "RNN"])
def test_recurrent_step_is_the_whole_sequence(tmp_path: Path, kind: str) -> None:
    """1,000 calls of one step, the state kept between them, against one call of 1,000: equal bits, and the C's."""
    x = np.resize(WANDER[..., :3].reshape(-1, 3), (1000, 3)).astype(np.float32)

    def fixed(steps: int) -> tuple[Graph, Array]:
        model, states = recurrent(kind, steps)
        given = x.reshape(1, 1000 // steps, steps, 1, 3)
        at = load(save(tmp_path, model, f"{kind}{steps}.onnx"), states=states)
        q = quantised(at, Calibration(Arrays(given)))
        (found,) = simulate.run(q.fixed, simulate.quantise_inputs(q.fixed, [given]))
        return q.fixed, found.reshape(1000, 2)

    (step, found), (_, want) = fixed(1), fixed(1000)
    assert np.array_equal(found, want)
    assert len(np.unique(found)) > 50
    planned = plan(step, get_core("native"))
    assert "keep" not in kinds(planned)
    assert not any(c.call.kernel.startswith("tg_copy") for s in planned.steps for c in s.calls)
    q = replace(made(tmp_path, "sum"), fixed=step)
    inputs = simulate.quantise_inputs(step, [np.stack([x, -x])[:, :, None, None]])
    verify.verify_plan(q, planned, "native", inputs, simulate.run(step, inputs))


#: One step of attention with keys and values of the six before it, in a cache that is written where `at` says.
CACHED = """g (float[1,1,8] x, float[1,2,6,4] k, float[1,2,6,4] v, int64[1] at, int64[1] valid)
    => (float[1,1,4] y, float[1,2,6,4] k_out, float[1,2,6,4] v_out)
    { q0 = MatMul(x, wq) k0 = MatMul(x, wk) v0 = MatMul(x, wv)
      q1 = Reshape(q0, heads) k1 = Reshape(k0, heads) v1 = Reshape(v0, heads)
      q2 = Transpose<perm = [0, 2, 1, 3]>(q1) k2 = Transpose<perm = [0, 2, 1, 3]>(k1)
      v2 = Transpose<perm = [0, 2, 1, 3]>(v1)
      k_out = TensorScatter<mode = "MODE">(k, k2, at) v_out = TensorScatter<mode = "MODE">(v, v2, at)
      a = Attention(q2, k_out, v_out, , , , valid)
      t = Transpose<perm = [0, 2, 1, 3]>(a) r = Reshape(t, flat) y = MatMul(r, wo) }"""


@pytest.mark.parametrize("mode", ["linear", "circular"])
def test_cache_of_fixed_length(tmp_path: Path, require_tool: Callable[[str], None], mode: str) -> None:
    """Keys and values of earlier steps as states: step by step what attention of the whole sequence says, of which a
    circular one sees the last six. Written in place; the same bits in numpy, here and on a Cortex-M4."""
    require_tool("qemu-system-arm")
    require_tool("arm-none-eabi-gcc")
    steps = 6 if mode == "linear" else 14
    w = weights(wq=(8, 8), wk=(8, 8), wv=(8, 8), wo=(8, 4))
    constants = {**w, "heads": np.array([1, 1, 2, 4]), "flat": np.array([1, 1, 8])}
    model = parse(CACHED.replace("MODE", mode), opset=24, ir=10, weights=constants)
    assert any("`states` k=k_out `states` v=v_out" in n for n in load(save(tmp_path, model)).imported.graph.notes)
    loaded = load(save(tmp_path, model), states={"k": "k_out", "v": "v_out"})
    x = np.random.default_rng(0).normal(size=(4, steps, 1, 1, 8)).astype(np.float32)
    at = np.broadcast_to(np.arange(steps)[:, None], (4, steps, 1))
    data = {"x": x, "at": at % 6, "valid": np.minimum(at + 1, 6)}
    q = quantised(loaded, Calibration(Arrays(data)))

    def heads(of: str) -> Array:
        return (x.reshape(4, steps, 8) @ w[of]).reshape(4, steps, 2, 4).swapaxes(1, 2)

    scores = heads("wq") @ heads("wk").swapaxes(2, 3) / 2.0
    seen = np.tri(steps, dtype=bool) & ~np.tri(steps, k=-6, dtype=bool)
    e = np.where(seen, np.exp(scores), 0.0)
    want = (e / e.sum(axis=-1, keepdims=True) @ heads("wv")).swapaxes(1, 2).reshape(4, steps, 8) @ w["wo"]
    (real,) = run_float(loaded.tidy, [data[p.name].astype(np.float32) for p in loaded.tidy.in_ports])
    assert np.allclose(real.reshape(want.shape), want, atol=1e-5)
    inputs = simulate.quantise_inputs(q.fixed, [data[p.name] for p in q.fixed.in_ports])
    outputs = simulate.run(q.fixed, inputs)
    (y,) = simulate.dequantise_outputs(q.fixed, outputs)
    assert 10 * np.log10(np.mean(want**2) / np.mean((want - y.reshape(want.shape)) ** 2)) > 28.0
    for core in ("native", "cortex-m4"):
        planned = plan(q.fixed, get_core(core))
        assert kinds(planned).count("insert") == 2
        assert not {"keep", "copy", "transpose"} & {*kinds(planned)}
        verify.verify_plan(q, planned, core, inputs, outputs)


def test_cache_that_grows_is_refused(tmp_path: Path) -> None:
    model = parse(
        """g (float[1,2,1,4] q, float[1,2,6,4] k, float[1,2,6,4] v) => (float y, float[1,2,7,4] k_out, float v_out)
        { y, k_out, v_out = Attention(q, q, q, , k, v) }""",
        opset=24, ir=10,
    )  # fmt: skip
    with pytest.raises(ModelError, match=r"what grows from call to call.*TensorScatter"):
        load(save(tmp_path, model), states={"k": "k_out", "v": "v_out"})
