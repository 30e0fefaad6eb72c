"""Kernels for weights stored without their zeros against NUMERICS in numpy: every form that takes a layer, on the host
under sanitizers and on emulated cores.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.c import cases, oracle
from tests.c.harness import INCLUDES, WARNINGS, sources
from tests.c.test_dwplane import TARGET, numbers
from tests.c.tiles import planes
from tinygen.kernels.registry import ways
from tinygen.kernels.sparse import pack as pack_sparse
from tinygen.kernels.sparse.variants import FORMS
from tinygen.kernels.variant import consts, ints
from tinygen.numerics import fold_bias
from tinygen.ops.base import Call, ConstArg

Require = Callable[[str], None]
Rng = np.random.Generator

#: Bytes around the output that must stay as they are.
GUARD = 16
#: Core: QEMU machine, kernel sets, cases that its memory holds.
CORES = {
    "cortex-m0": ("microbit", ("ref", "m0"), 90),
    "cortex-m3": ("mps2-an385", ("ref",), 150),
    "cortex-m4": ("mps2-an386", ("ref", "dsp"), 300),
}
WEIGHTS = ("unstructured", "few values", "blocks", "1:4", "2:4", "mixed channels", "far apart", "none", "last")


@dataclass(frozen=True, eq=False)
class Layer:
    """A reference call with its input and the output that it must give."""

    name: str
    call: Call
    x: np.ndarray
    want: np.ndarray

    def ways(self, sets: Iterable[str]) -> list[Call]:
        """Every sparse variant that takes it, the portable ones first."""
        found = []
        for name in sets:
            for way in ways(self.call.kernel, name):
                if self.call.y_planes is not None and not way.planes:
                    continue
                made = way.variant(self.call)
                if isinstance(made, Call) and "tg_sparse" in f"{made.kernel} {made.uses}":
                    found.append(made)
        return found


def sparse_weights(rng: Rng, kind: str, n_out: int, n_in: int) -> np.ndarray:
    """int8 [n_out][n_in] with many zeros, extreme values among the rest."""
    w = cases.weights(rng, n_out, n_in)
    w[w == 0] = 1
    kept = np.zeros((n_out, n_in), bool)
    if kind in ("unstructured", "few values", "mixed channels"):
        kept = rng.random((n_out, n_in)) < rng.choice([0.05, 0.15, 0.3, 0.45])
    if kind == "few values":
        w = rng.choice(rng.integers(1, 128, 15) * rng.choice([-1, 1], 15), (n_out, n_in)).astype(np.int8)
    elif kind == "blocks":
        kept = np.repeat(rng.random((n_out, -(-n_in // 4))) < 0.3, 4, axis=1)[:, :n_in]
    elif kind in ("1:4", "2:4"):
        quads = rng.permuted(np.tile(np.arange(4), (n_out, -(-n_in // 4), 1)), axis=2)
        kept = (quads < int(kind[0])).reshape(n_out, -1)[:, :n_in]
        kept[rng.integers(n_out)] = False
    elif kind == "mixed channels":  # one dense channel, one empty, among sparse ones
        kept[rng.integers(n_out)] = True
        kept[rng.integers(n_out)] = False
    elif kind == "far apart":  # gaps longer than any code says
        kept[:, 0] = rng.random(n_out) < 0.5
        kept[:, -1] = True
    elif kind == "last":
        kept[-1, -1] = True
    return np.where(kept, w, 0).astype(np.int8)


def dense_layer(seed: int) -> Layer:
    """Dense layers, one to nine rows."""
    rng = np.random.default_rng(seed)
    kind = WEIGHTS[seed % len(WEIGHTS)]
    n_in, n_out = int(rng.choice([4, 7, 16, 30, 64, 67, 300])), int(rng.integers(1, 12))
    n_in = 700 if kind == "far apart" and seed % 2 else n_in
    c = {"rows": int(rng.choice([1, 1, 2, 3, 4, 5, 6, 7, 9])), "n_in": n_in, "n_out": n_out}
    q, b, m = cases.layer(rng, n_in, n_out)
    in_zp = q.pop("in_zp")
    x, w = cases.int8(rng, c["rows"], n_in), sparse_weights(rng, kind, n_out, n_in)
    call = Call("tg_dense_s8", tuple({**c, **q}.items()), ("x",), _consts(w, b, m, in_zp), "y")
    return Layer(f"dense_{seed}", call, x, oracle.dense({**c, **q}, x, w, b, m, in_zp))


def conv_layer(seed: int) -> Layer:
    """Convolutions: windows of any size, stride, dilation and padding; every third pointwise, every fifth 1-D."""
    rng = np.random.default_rng(seed)
    make = cases.pointwise_case if seed % 3 == 0 else cases.conv_case
    c, _ = make(rng, *((1,) if make is cases.conv_case else ()))
    c |= {"in_c": int(rng.choice([3, 4, 5, 8, 16])), "out_c": int(rng.integers(1, 9))}
    if seed % 5 == 1:
        c |= {"in_h": 1, "k_h": 1, "stride_h": 1, "dil_h": 1, "pad_top": 0, "out_h": 1}
    shape = (c["out_c"], c["k_h"], c["k_w"], c["in_c"])
    w = sparse_weights(rng, WEIGHTS[seed % len(WEIGHTS)], shape[0], int(np.prod(shape[1:]))).reshape(shape)
    q, b, m = cases.layer(rng, w[0].size, c["out_c"])
    x = cases.int8(rng, c["in_h"], c["in_w"], c["in_c"])
    call = Call("tg_conv_s8", tuple({**c, **q}.items()), ("x",), _consts(w, b, m, q["in_zp"]), "y")
    if seed % 4 == 0:
        call = replace(call, y_planes=planes(rng, c))
    return Layer(f"conv_{seed}", call, x, oracle.conv({**c, **q}, x, w, b, m))


def extremes() -> list[Layer]:
    """The largest sums of either sign, at the least and the largest shift; four rows, and one."""
    made = []
    for n, (sign, value, shift, rows) in enumerate(
        (s, v, t, r) for s in (-1, 1) for v in (-128, 127) for t in (1, 32, 33, 54, 62) for r in (1, 4)
    ):
        w = np.zeros((3, 256), np.int8)
        w[:, : 128 + 4 * (n % 2)] = sign * 127
        w[1, ::2] = 0
        b = np.array([sign * 10**6, 0, -sign * 10**6], np.int32)
        m = np.array([(2**31 - 1) // 768 * 768, -768, 768 * 1234567], np.int32)
        x = np.full((rows, 256), value, np.int8)
        c = {"rows": rows, "n_in": 256, "n_out": 3, "out_zp": -5, "lo": -128, "hi": 127, "shift": shift}
        call = Call("tg_dense_s8", tuple(c.items()), ("x",), _consts(w, b, m, 0), "y")
        made.append(Layer(f"extreme_{n}", call, x, oracle.dense(c, x, w, b, m, 0)))
    return made


def _consts(w: np.ndarray, b: np.ndarray, m: np.ndarray, in_zp: int) -> tuple[ConstArg, ...]:
    return ConstArg("w", w), ConstArg("b", fold_bias(w, b, in_zp).astype(np.int32)), ConstArg("m", m)


def body(layer: Layer, call: Call, way: int, unaligned: int) -> tuple[str, str]:
    """Name and C text of a function that gives 0 when output and all around are what they must be; input, output and
    weights begin `unaligned` bytes behind a word."""
    name = f"{layer.name}_{way}_{'_'.join((call.kernel, *call.uses))}"
    at, size = np.arange(layer.want.size), layer.want.size
    if call.y_planes is not None:  # the gaps between are another kernel's
        at, size = call.y_planes.place(layer.want).reshape(-1), call.y_planes.size
    want = np.full(unaligned + GUARD + size + GUARD, 77, np.int8)
    first = unaligned + GUARD
    want[first + at] = layer.want.reshape(-1)
    x, w = (np.concatenate([np.zeros(unaligned, np.int8), a.reshape(-1)]) for a in (layer.x, call.consts[0].array))
    room = f"    int16_t scratch[{(call.scratch + 1) // 2}] TG_ALIGN(4);\n" if call.scratch else ""
    settings = ", ".join(f".{key} = {value}" for key, value in call.config)
    return (
        name,
        f"""static int {name}(void)
{{
    static const {call.struct} cfg = {{{settings}}};
    static const int8_t x[{x.size}] TG_ALIGN(4) = {{{numbers(x)}}};
    static const int8_t w[{w.size}] TG_ALIGN(4) = {{{numbers(w)}}};
    static const int32_t b[] = {{{numbers(call.consts[1].array)}}};
    static const int32_t m[] = {{{numbers(call.consts[2].array)}}};
    static const int8_t want[] = {{{numbers(want)}}};
    int8_t y[{want.size}] TG_ALIGN(4);
{room}    (void)memset(y, 77, sizeof y);
    {call.kernel}(&cfg, &x[{unaligned}], &w[{unaligned}], b, m, {"scratch, " if room else ""}&y[{first}]);
    return memcmp(y, want, sizeof y);
}}""",
    )


def all_cases(layers: Iterable[Layer], sets: Sequence[str]) -> list[tuple[str, str]]:
    return [body(g, call, i, n % 4) for n, g in enumerate(layers) for i, call in enumerate(g.ways(sets))]


def program(given: Sequence[tuple[str, str]]) -> str:
    headers = sorted(p.name.replace(".c", ".h") for p in sources() if "sparse" in p.name or "patches" in p.name)
    return "\n".join(
        [
            "#include <string.h>",
            *(f'#include "{name}"' for name in headers),
            *(text for _, text in given),
            f"static int (*const all[])(void) = {{{', '.join(name for name, _ in given)}}};",
            "int main(void)",
            "{",
            "    for (unsigned i = 0U; i < sizeof all / sizeof all[0]; ++i) {",
            "        if (all[i]() != 0) {",
            "            return 1 + (int)(i % 90U);",
            "        }",
            "    }",
            "    return 0;",
            "}",
            "",
        ]
    )


def blame(given: Sequence[tuple[str, str]], status: int) -> str:
    return f"status {status}: {' or '.join(name for name, _ in given[status - 1 :: 90])}"


def some_layers(first: int, count: int) -> list[Layer]:
    return [make(seed) for seed in range(first, first + count) for make in (dense_layer, conv_layer)]


def kernel_files() -> list[str]:
    return [str(p) for p in sources() if "sparse" in p.name or "patches" in p.name]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_host(compiler: str, require_tool: Require, tmp_path: Path) -> None:
    """Every array has its exact size here: reading one byte too many is found."""
    require_tool(compiler)
    first, sets = (0, ("ref", "dsp", "m0")) if compiler == "gcc" else (1000, ("ref", "dsp", "m0"))
    given = all_cases([*some_layers(first, 45), *extremes()], sets)
    (tmp_path / "main.c").write_text(program(given), encoding="utf-8")
    flags = ["-std=c99", "-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *WARNINGS]
    files = [str(tmp_path / "main.c"), *kernel_files()]
    subprocess.run([compiler, *flags, *INCLUDES, *files, "-o", str(tmp_path / "a")], check=True)
    done = subprocess.run([str(tmp_path / "a")], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{blame(given, done.returncode)} {done.stderr}"


@pytest.mark.parametrize("level", ["-O2", "-Os"])
@pytest.mark.parametrize("core", CORES)
def test_emulated(core: str, level: str, require_tool: Require, tmp_path: Path) -> None:
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    machine, sets, most = CORES[core]
    layers = [*some_layers(2000 if level == "-O2" else 3000, 45), *extremes()]
    given = all_cases(layers, sets)
    given = given[:: -(-len(given) // most)]
    (tmp_path / "main.c").write_text(program(given), encoding="utf-8")
    script = tmp_path / "link.ld"
    text = (TARGET / "link.ld").read_text()
    script.write_text(text if core == "cortex-m0" else text.replace("256K", "2048K"))
    flags = ["-std=c99", level, f"-mcpu={core}", "-mthumb", "-ffunction-sections", "-nostartfiles", *INCLUDES]
    files = [str(TARGET / "startup.c"), str(tmp_path / "main.c"), *kernel_files()]
    link = ["-Wl,--gc-sections", "-T", str(script), "-o", str(tmp_path / "a.elf")]
    subprocess.run(["arm-none-eabi-gcc", *flags, *files, *link], check=True)
    options = ["-nographic", "-monitor", "none", "-serial", "none", "-semihosting-config", "enable=on,target=native"]
    run = ["qemu-system-arm", "-M", machine, *options, "-kernel", str(tmp_path / "a.elf")]
    status = subprocess.run(run, timeout=60, check=False).returncode
    assert status == 0, blame(given, status)


def test_what_the_layers_are() -> None:
    """Each form takes layers of each kind that it can, through both kernels."""
    kernels = Counter(
        (call.uses or (call.kernel,))[0]
        + (" by patches" if call.uses else "")
        + (" to planes" if call.y_planes else "")
        for layer in some_layers(0, 45)
        for call in layer.ways(("ref", "dsp"))
    )
    portable = {f"tg_sparse_{f}_s8{by}" for f in FORMS for by in ("", " by patches")}
    assert set(kernels) == {
        *portable,
        *(name.replace("s8", "s8_dsp") for name in portable),
        *(f"tg_sparse_{f}_s8_dsp by patches to planes" for f in FORMS),
    }
    assert min(kernels.values()) >= 2, kernels
    odd = Counter(int(call.consts[2].array[0]) % 2 for layer in some_layers(0, 45) for call in layer.ways(("m0",)))
    assert min(odd[0], odd[1]) >= 20, "sums of both sizes"


def decode(form: str, data: np.ndarray, n_out: int, n_in: int) -> np.ndarray:
    """The weights of a stream, by the words of the kernels' headers."""
    raw, w = data.view(np.uint8).astype(int), np.zeros((n_out, n_in + 3), np.int64)
    at = {"pal4": 16, "nm": 1}.get(form, 0)
    signed = data.astype(int)
    for o in range(n_out):
        n, k = raw[at] + 256 * raw[at + 1], 0
        at += 2
        for i in range(n):
            if form == "nm":
                if i % 4 == 0:
                    codes, at = raw[at], at + 1
                w[o, i // int(data[0]) * 4 + (codes >> 2 * (i % 4) & 3)] += signed[at]
                at += 1
            elif form == "gap4":
                for half, gap in enumerate((raw[at] & 15, raw[at] >> 4)):
                    k += gap
                    w[o, k] += signed[at + 1 + half]
                at += 3
            elif form == "pal4":
                k += raw[at] >> 4
                w[o, k] += signed[raw[at] & 15]
                at += 1
            elif form == "gap8":
                for _ in range(2):
                    k += raw[at]
                    w[o, k] += signed[at + 1]
                    at += 2
            else:
                k += raw[at]
                w[o, k : k + 4] += signed[at + 1 : at + 5]
                at += 5
    assert at == data.size
    assert not w[:, n_in:].any()
    return w[:, :n_in]


@pytest.mark.parametrize("form", FORMS)
def test_streams_hold_the_weights(form: str) -> None:
    seen = 0
    for seed in range(200):
        layer = (dense_layer, conv_layer)[seed % 2](seed)
        w = consts(layer.call)["w"]
        stream = FORMS[form](w.reshape(w.shape[0], -1), w.shape[-1])
        if not isinstance(stream, str):
            seen += 1
            assert np.array_equal(decode(form, stream.data, w.shape[0], w[0].size), w.reshape(w.shape[0], -1))
    assert seen > 20


def test_streams_by_hand() -> None:
    w = np.zeros((2, 400), np.int8)
    w[0, [0, 20, 390]] = 5, -6, 127
    stream = pack_sparse.pack_gap8(w)
    assert not isinstance(stream, str)
    assert stream.data.view(np.uint8).tolist() == [2, 0, 0, 5, 20, 250, 255, 0, 115, 127, 0, 0]
    assert (stream.entries, stream.products) == (2, 4)
    w[0, 390] = 0
    stream = pack_sparse.pack_gap4(w)
    assert not isinstance(stream, str)
    assert stream.data.view(np.uint8).tolist() == [2, 0, 0xF0, 5, 0, 0x05, 250, 0, 0, 0]
    stream = pack_sparse.pack_pal4(w)
    assert not isinstance(stream, str)
    assert stream.data.view(np.uint8).tolist() == [250, 0, 5, *[0] * 13, 3, 0, 0x02, 0xF1, 0x50, 0, 0]
    stream = pack_sparse.pack_block(w, 400)
    assert not isinstance(stream, str)
    assert stream.data.view(np.uint8).tolist() == [2, 0, 0, 5, 0, 0, 0, 20, 250, 0, 0, 0, 0, 0]
    stream = pack_sparse.pack_nm(w[:, :24])
    assert not isinstance(stream, str)
    assert stream.data.view(np.uint8).tolist() == [1, 6, 0, 0, 5, 0, 0, 0, 0, 0, 250, 0, 0]


def test_what_is_refused_says_why() -> None:
    layer = dense_layer(0)
    f = ints(layer.call)
    full = np.ones((f["n_out"], f["n_in"]), np.int8)
    dense = replace(layer.call, consts=(ConstArg("w", full), *layer.call.consts[1:]))
    assert {w.variant(dense) for w in ways("tg_dense_s8", "ref") if "sparse" in w.variant.__module__} == {"0 % zeros"}
    rng = np.random.default_rng(0)
    half = np.where(rng.random((8, 64)) < 0.6, rng.integers(1, 128, (8, 64)), 0).astype(np.int8)
    assert (
        pack_sparse.pack_gap8(half) == f"{(4 * -(-np.count_nonzero(half, axis=1) // 2) + 2).sum()} bytes, as int8 512"
    )
    assert pack_sparse.pack_nm(half) == "4 of 4 weights are not 0"
    assert pack_sparse.pack_pal4(half) == f"{len(np.unique(half[half != 0]))} different weights"
    assert pack_sparse.pack_block(half[:, :3], 3) == "3 inputs"
    assert pack_sparse.pack_gap8(np.ones((1, 140000), np.int8)) == "70000 entries in a channel"
