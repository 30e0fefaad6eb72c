"""Kernels of weights packed as indices, against NUMERICS in numpy: equal on random layers, for every number of bits."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.emulate import NAME, Program
from tests.c import cases, oracle
from tests.c.harness import Guarded, build, call, equal
from tests.sweep.layers import FAMILIES, single
from tests.sweep.programs import TARGETS, Check, Target, checks, different, run_batch
from tinygen.emit.stamp import plain
from tinygen.emit.view import library_view
from tinygen.ir.types import Graph, Node, Port, Quant, Stage, Tensor
from tinygen.kernels.palette import pack
from tinygen.kernels.palette import variants as palette
from tinygen.numerics import fold_bias
from tinygen.ops import Dense, Operator
from tinygen.ops.base import Call
from tinygen.passes.quantise import quantise
from tinygen.plan.lift import lift
from tinygen.plan.modes import MODES
from tinygen.plan.planner import plan
from tinygen.plan.select import candidates
from tinygen.targets.cores import get_core

SEEDS = range(150)
Layer = tuple[dict[str, Any], list[np.ndarray]]


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], None]) -> ctypes.CDLL:
    require_tool("gcc")
    return build(tmp_path_factory.mktemp("kernels"))


def few(rng: np.random.Generator, w: np.ndarray) -> np.ndarray:
    """Weights of `w`'s shape with few values: numbers of n bits, or any, now and then the ends of int8."""
    bits = int(rng.integers(1, pack.WIDEST + 1))
    if rng.integers(2):
        values = pack.uniform(bits)
    else:
        values = rng.integers(-127, 128, 1 << bits).astype(np.int8)
        values[0] = rng.choice([-127, 127])
    return rng.choice(values, w.shape)


def conv(lib: Any, c: dict[str, Any], x: np.ndarray, w: np.ndarray, b: np.ndarray, m: np.ndarray) -> None:
    want, packed = oracle.conv(c, x, w, b, m), pack.pack_reference(w)
    assert packed is not None
    out = Guarded(want.size)
    call(lib, "tg_conv_pal_s8", "tg_conv_s8", c, x, *packed, fold_bias(w, b, c["in_zp"]), m, out.array)
    equal(out.check(), want, c)


def conv_sweep(lib: Any, make: Callable[..., Layer]) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        c, (x, w, b, m) = make(rng)
        conv(lib, c, x, few(rng, w), b, m)


def one_group(rng: np.random.Generator) -> Layer:
    return cases.conv_case(rng, groups=1)


@pytest.mark.parametrize("make", [one_group, cases.pointwise_case])
def test_conv(lib: ctypes.CDLL, make: Callable[..., Layer]) -> None:
    conv_sweep(lib, make)


def test_dense(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        c, in_zp, (x, w, b, m) = cases.dense_case(rng)
        w = few(rng, w)
        want, packed = oracle.dense(c, x, w, b, m, in_zp), pack.pack_reference(w)
        assert packed is not None
        out = Guarded(want.size)
        call(lib, "tg_dense_pal_s8", "tg_dense_s8", c, x, *packed, fold_bias(w, b, in_zp), m, out.array)
        equal(out.check(), want, c)


@pytest.mark.parametrize("bits", range(1, pack.WIDEST + 1))
def test_palettes(bits: int) -> None:
    """All values come back; numbers of so many bits share a table; one value more takes another bit."""
    rng = np.random.default_rng(bits)
    own = rng.permutation(np.arange(-127, 128, 2))[: 1 << bits].astype(np.int8)
    for values in (pack.uniform(bits), own):
        w = rng.permutation(np.repeat(values, 3)).reshape(3, -1)
        found = pack.palette(w)
        assert found is not None
        assert found[0] == bits
        assert np.array_equal(found[1][pack.indices(w, found[1])], w)
        words = pack.pack_words(pack.indices(w, found[1]), bits).view(np.uint32).reshape(3, -1)
        count = 32 // bits
        back = [
            [int(words[r, i // count]) >> i % count * bits & (1 << bits) - 1 for i in range(w.shape[1])]
            for r in range(3)
        ]
        assert np.array_equal(found[1][np.array(back)], w)
        more = np.append(w, np.int8(126 if 126 not in values else 124))
        wider = pack.palette(more)
        assert wider is None if bits == pack.WIDEST else wider is not None and wider[0] == bits + 1


# ---- kernels of the sets dsp, m0 and m3, made for a number of bits ----

#: Seeds of tests/sweep that have weights of few values.
LAYERS = [k * len(FAMILIES) + i for k in range(30) for i, (name, _) in enumerate(FAMILIES) if "palette" in name]
EMULATED = [t for t in TARGETS if t.name in ("cortex-m0", "cortex-m3", "cortex-m4")]
MAIN = f"""
#include <stdio.h>
#include "{NAME}.h"
static {NAME}_ctx_t ctx;
int main(int argc, char **argv)
{{
    static int8_t input[LAYERS_INPUT_LEN];
    static int8_t output[LAYERS_OUTPUT_LEN];
    FILE *from = fopen(argv[argc - 2], "rb");
    const size_t n = fread(input, 1U, sizeof input, from);
    FILE *to = fopen(argv[argc - 1], "wb");
    const int status = (int){NAME}_run(&ctx, input, output);
    const size_t m = fwrite(output, 1U, sizeof output, to);
    return (fclose(to) + fclose(from) + status) | ((n != sizeof input) || (m != sizeof output));
}}
"""


def packed(sets: tuple[str, ...], seeds: list[int]) -> list[Check]:
    """Calls of kernels that take indices, but for the portable ones."""
    found = [c for seed in seeds for c in checks(single(seed), sets)]
    return [c for c in found if any("_pal" in g.name for g in c.case.call.generated)]


@pytest.mark.parametrize(("name", "compiler"), [("dsp", "gcc"), ("dsp", "clang"), ("m0", "gcc"), ("m3", "clang")])
def test_portable_bodies(name: str, compiler: str, require_tool: Callable[[str], None], tmp_path: Path) -> None:
    """On the host, where every array has its exact size and every sum is watched."""
    require_tool(compiler)
    batch = packed((name,), LAYERS)
    assert {g.view.bits for c in batch for g in c.case.call.generated} == set(range(1 if name != "dsp" else 2, 7))
    program = Program("native", [c.case for c in batch])
    for file, content in program.files.items():
        (tmp_path / file).write_bytes(content)
    names = {g.name for g in program.plan.generated}
    made = sorted(f for f in program.files if f.endswith(".c") and plain(f.removesuffix(".c")) in names)
    (tmp_path / "made.c").write_text("".join(f'#include "{file}"\n' for file in made), encoding="utf-8")
    (tmp_path / "main.c").write_text(MAIN, encoding="utf-8")
    (tmp_path / "in.bin").write_bytes(program.sample)
    sources = [str(p) for p in sorted(tmp_path.glob("*.c")) if p.name not in made]
    flags = ["-std=c99", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run([compiler, *flags, f"-I{tmp_path}", *sources, "-o", str(tmp_path / "a"), "-lm"], check=True)
    done = subprocess.run([str(tmp_path / "a"), str(tmp_path / "in.bin"), str(tmp_path / "out.bin")],
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert different(batch, program, (tmp_path / "out.bin").read_bytes()) == []


@pytest.mark.parametrize("target", EMULATED, ids=lambda t: t.name)
def test_emulated(target: Target, require_tool: Callable[[str], None], tmp_path: Path) -> None:
    """The assembly; on Cortex-M4 under interrupts, on the others without unaligned accesses."""
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    batch = packed(target.sets, LAYERS)
    assert len(batch) > len(LAYERS) // 2
    outcome = run_batch(target, batch, tmp_path / "batch", None)
    assert not outcome.faults, "\n".join(outcome.faults)


@pytest.mark.parametrize("sign", [-127, 127])
@pytest.mark.parametrize("value", [-128, 127])
def test_lanes_at_their_limit(sign: int, value: int) -> None:
    """The longest groups for which no sum of 16 bits overflows, and not one weight more."""
    for turn in (16, 10, 8):
        for flush in range(2, turn + 1):
            w = np.zeros((1, 3 * turn), np.int64)
            w[0, :flush] = 255 // flush
            w[0, 0] += 255 % flush
            w = (np.sign(sign) * w).astype(np.int8) if flush > 2 else np.full_like(w, sign).astype(np.int8)
            found = pack.lanes_flush(w, turn)
            assert found is not None
            assert found >= flush
            assert abs(int(w[0, :found].astype(np.int64).sum()) * value) < 2**15
            more = w.copy()
            more[0, flush - 1] += np.sign(sign) if flush > 2 else 0
            assert (pack.lanes_flush(more, turn) or 0) < flush or flush == 2
        assert pack.lanes_flush(np.full((1, turn), -128, np.int8), turn) is None


def test_lift() -> None:
    """A shift too short for the DSP kernels: the weights take over, as far as they fit int8."""
    rng = np.random.default_rng(0)
    for bits, shift, room in ((2, 31, True), (4, 30, True), (4, 28, False), (7, 33, True)):
        layer = single(next(s for s in LAYERS if isinstance(single(s).graph.nodes[0].op, Dense)))
        node = layer.graph.nodes[0]
        assert isinstance(node.op, Operator)
        (made,) = node.op.lower(layer.graph.ins(node), layer.graph.outs(node))
        arrays = {c.suffix: c.array for c in made.consts}
        w = rng.choice(pack.uniform(bits), arrays["w"].shape)
        made = replace(
            made,
            config=tuple({**dict(made.config), "shift": shift}.items()),
            consts=tuple(replace(c, array=w if c.suffix == "w" else c.array % 1000) for c in made.consts),
        )
        lifted = lift(made)
        assert dict(lifted.config)["shift"] == (33 if room else shift)
        factor = 2 ** (33 - shift) if room else 1
        for before, after in zip(made.consts, lifted.consts, strict=True):
            assert np.array_equal(before.array.astype(np.int64) * (1 if before.suffix == "m" else factor), after.array)


def test_what_is_offered() -> None:
    """Palettes only where weights have few values and flash is saved; what needs a weight of 0 and has none is not."""

    def ways(values: np.ndarray, in_c: int, sets: tuple[str, ...], out_c: int = 32) -> set[str]:
        w = np.random.default_rng(1).choice(values, (out_c, 1, 1, in_c)).astype(np.int8)
        fields = {f"{k}_{a}": 1 for k in ("k", "stride", "dil") for a in "hw"} | {"pad_top": 0, "pad_left": 0}
        fields |= {"in_h": 4, "in_w": 4, "out_h": 4, "out_w": 4, "in_c": in_c, "out_c": out_c, "groups": 1}
        fields |= {"in_zp": 0, "out_zp": 0, "lo": -128, "hi": 127, "shift": 40}
        consts = {"w": w, "b": np.zeros(out_c, np.int32), "m": np.full(out_c, 768 * 1000, np.int32)}
        reference = Call("tg_conv_s8", tuple(fields.items()), ("x",), (), "y")
        reference = replace(reference, consts=palette.packed(reference, "", **consts).consts)
        found = candidates(reference, sets)
        assert all(palette.saves(c, reference) for c in found if "_pal" in c.family)
        return {c.family or c.kernel for c in found if "_pal" in c.kernel or "_pal" in c.family}

    dsp, m0 = ("dsp", "ref"), ("m0", "ref")
    sixteen = np.arange(1, 17) * 7  # no zero among them
    assert ways(sixteen, 32, dsp) == {"tg_tile_pal4_dsp", "tg_conv_pal_s8"}
    assert ways(sixteen, 33, dsp) == {"tg_conv_pal_s8"}
    assert ways(sixteen[:15], 33, dsp) == {"tg_tile_pal4_dsp", "tg_conv_pal_s8"}
    assert ways(np.arange(-16, 16), 32, dsp) == {"tg_tile_pal5_dsp", "tg_conv_pal_s8"}
    assert ways(np.arange(-16, 16) * 3, 32, dsp) == {"tg_conv_pal_s8"}
    assert ways(np.arange(-60, 60), 32, dsp) == ways(np.arange(-60, 60), 32, m0) == set()
    assert ways(sixteen, 32, m0) == {"tg_conv_pal_s8_m0", "tg_conv_pal_s8"}


# ---- through the planner ----


def two_layers() -> Graph:
    """Dense layers of 4 bits one behind the other, as `compress` pins them."""
    rng = np.random.default_rng(0)
    tensors, nodes = {"x": Tensor("x", (1, 96))}, []
    for i, (n_in, n_out) in enumerate(((96, 64), (64, 96))):
        w = rng.normal(size=(n_out, n_in)).astype(np.float32)
        scale = tuple(float(v) for v in np.abs(w).max(axis=1) / 7)
        names = (f"h{i - 1}" if i else "x", f"w{i}", f"b{i}")
        tensors[names[1]] = replace(Tensor.constant(names[1], w), quant=Quant(scale, 0, 0))
        tensors[names[2]] = Tensor.constant(names[2], np.zeros(n_out, np.float32))
        tensors[f"h{i}"] = Tensor(f"h{i}", (1, n_out))
        nodes.append(Node(f"dense{i}", Dense(), names, (f"h{i}",), (f"dense{i}",)))
    ports = (Port.plain("x", (1, 96)),), (Port.plain("h1", (1, 96)),)
    graph = Graph("two", Stage.FLOAT, tensors, tuple(nodes), ("x",), ("h1",), *ports)
    return quantise(graph, {"x": (-3.0, 3.0), "h0": (-60.0, 60.0), "h1": (-900.0, 900.0)})


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m0", "cortex-m3"])
@pytest.mark.parametrize("mode", MODES)
def test_modes(core: str, mode: str) -> None:
    """`speed` reads int8; the others take indices, and one table serves both layers."""
    made = plan(two_layers(), get_core(core), mode)
    kernels = [c.call.kernel for s in made.steps for c in s.calls]
    assert all(("_pal" in k) == (mode != "speed") for k in kernels), kernels
    view = library_view(made, version="0", abi=0, numerics=0, build_id="0", sha256="0", model_file="two")
    assert sum("table" in c.name for c in view.consts) == (mode != "speed")
    weights = sum(96 * 64 for _ in kernels)
    limit = 0.5 * weights + 4 * 2 * (96 + 64) + 1024 + 128
    assert mode == "speed" or view.weight_bytes < limit
