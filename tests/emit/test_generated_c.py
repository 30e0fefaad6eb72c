"""The emitted C: compilers, symbols, text, helpers at the edges, status codes, guards against wrong mixes."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

from tests.emit.library import STRICT, Library, fails, known_library, library, names_of, run, shared_object
from tests.emit.nets import NETS, conv_net, dense_net
from tinygen import simulate
from tinygen.build.qemu import run_qemu
from tinygen.build.toolchain import (
    compile_program,
    find_toolchain,
    target_include,
    write_linker_script,
)
from tinygen.emit.stamp import plain
from tinygen.emit.view import float_literal
from tinygen.numerics import Array, quantise
from tinygen.targets.arch.base import Core
from tinygen.targets.cores import get_core

Need = Callable[[str], None]
CORES = ["native", "cortex-m4"]
ARM = "arm-none-eabi-gcc"
#: What C compilers may call without being asked, and GCC's helpers for a core without the instruction.
COMPILER_HELPERS = re.compile(r"^(memcpy|memset|memmove|__aeabi_\w+|__gnu_thumb1_case_\w+)$")
#: 120 columns fit side by side in a review.
LINE_LIMIT = 120


def arm_flags(core: str) -> tuple[str, ...]:
    return (*get_core(core).cflags, "-O2", "-ffreestanding" if core == "cortex-m0" else "-O2")


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_compiles_without_a_warning(net: str, core: str, compiler: str, tmp_path: Path, require_tool: Need) -> None:
    require_tool(compiler)
    folder = known_library(net, core).write(tmp_path)
    sources = sorted(folder.glob("*.c"))
    run(compiler, "-std=c99", "-O2", *STRICT, "-c", *sources, cwd=tmp_path)
    run(compiler, "-std=c11", *STRICT, "-fsyntax-only", *sources)


@pytest.mark.parametrize("target", ["cortex-m0", "cortex-m4"])
@pytest.mark.parametrize("net", NETS)
def test_compiles_for_cortex_m(net: str, target: str, tmp_path: Path, require_tool: Need) -> None:
    require_tool(ARM)
    folder = known_library(net, target).write(tmp_path)
    run(ARM, "-std=c99", *arm_flags(target), *STRICT, "-c", *sorted(folder.glob("*.c")), cwd=tmp_path)


@pytest.mark.parametrize("net", NETS)
def test_header_is_clean_cpp_and_self_sufficient(net: str, tmp_path: Path, require_tool: Need) -> None:
    require_tool("g++")
    lib = known_library(net, static_arena=True)
    folder = lib.write(tmp_path / "lib")
    program = tmp_path / "user.cpp"
    program.write_text(
        f'#include "{lib.name}.h"\n#include "{lib.name}.h"\nint main() {{ return {lib.name.upper()}_OK; }}\n'
    )
    for standard in ("-std=c++14", "-std=c++20"):
        run("g++", standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", f"-I{folder}", program)
    for header in sorted(folder.glob("*.h")):
        if not header.name.startswith("tg_isa_dsp"):  # instructions of one core
            run("gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", header)


@pytest.mark.parametrize("net", NETS)
def test_cpp_program_links_and_runs(net: str, tmp_path: Path, require_tool: Need) -> None:
    require_tool("g++")
    lib = known_library(net, static_arena=True)
    folder, name = lib.write(tmp_path / "lib"), lib.name
    buffers = "".join(f"static int8_t {e.arg}[{e.length}];\n" for e in (*lib.view.inputs, *lib.view.outputs))
    arguments = ", ".join(e.arg for e in (*lib.view.inputs, *lib.view.outputs))
    (tmp_path / "main.cpp").write_text(
        f'#include "{name}.h"\n{buffers}int main() {{ return {name}_run({name}_ctx(), {arguments}); }}\n'
    )
    run("gcc", "-std=c99", "-c", *sorted(folder.glob("*.c")), cwd=tmp_path)
    run("g++", "-Wall", "-Werror", f"-I{folder}", "main.cpp", *tmp_path.glob("*.o"), "-o", "main", cwd=tmp_path)
    run(tmp_path / "main")


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("net", ["conv", "several", "mixed"])
def test_cppcheck(net: str, core: str, tmp_path: Path, require_tool: Need) -> None:
    require_tool("cppcheck")
    folder = known_library(net, core).write(tmp_path)
    options = (
        "--std=c99",
        "--enable=warning,performance,portability",
        "--error-exitcode=1",
        "--inline-suppr",
        "--quiet",
    )
    run("cppcheck", *options, f"-I{folder}", *sorted(folder.glob(f"{net}*.c")))


# --- symbols ---------------------------------------------------------------------------------------------------------


def objects(lib: Library, folder: Path, compiler: Sequence[str]) -> list[Path]:
    lib.write(folder)
    run(*compiler, "-c", *sorted(folder.glob("*.c")), cwd=folder)
    return sorted(folder.glob("*.o"))


@pytest.mark.parametrize("target", ["native", "cortex-m0", "cortex-m4"])
@pytest.mark.parametrize("net", NETS)
def test_symbols(net: str, target: str, tmp_path: Path, require_tool: Need) -> None:
    """All global names have a prefix; nothing is writable; nothing is wanted from outside but what a compiler wants."""
    require_tool("gcc" if target == "native" else ARM)
    compiler = ["gcc", "-O2"] if target == "native" else [ARM, *arm_flags(target)]
    nm = "nm" if target == "native" else "arm-none-eabi-nm"
    lib = known_library(net, target)
    symbols = "".join(run(nm, "-P", o) for o in objects(lib, tmp_path, compiler))
    defined = names_of(symbols, "TWVRDBCGS")
    assert [n for n in defined if not n.startswith((f"{net}_", "tg_"))] == []
    assert [n for n in defined if n.startswith("tg_") and plain(n) == n] == []  # all say their version
    assert names_of(symbols, "DdBbCGgSs") == []
    wanted = set(names_of(symbols, "Uwv")) - set(defined)
    assert [n for n in sorted(wanted) if not COMPILER_HELPERS.match(n)] == []


@pytest.mark.parametrize("net", NETS)
def test_static_arena_is_the_one_variable(net: str, tmp_path: Path, require_tool: Need) -> None:
    require_tool(ARM)
    lib = known_library(net, "cortex-m4", static_arena=True)
    symbols = "".join(run("arm-none-eabi-nm", "-P", o) for o in objects(lib, tmp_path, [ARM, *arm_flags("cortex-m4")]))
    assert names_of(symbols, "DdBbCGgSs") == ["static_ctx"]
    (row,) = [line.split() for line in symbols.splitlines() if line.startswith("static_ctx ")]
    assert int(row[3], 16) == lib.plan.arena_len


# --- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("net", NETS)
def test_text(net: str, core: str) -> None:
    """ASCII in lines of a limited length, without tabs, trailing blanks, carriage returns or paths."""
    for name, content in known_library(net, core).files.items():
        text = content.decode("ascii")
        assert text.endswith("\n"), name
        assert not text.endswith("\n\n"), name
        assert not re.search(r"[\t\r\x00]", text), name
        long = [line for line in text.splitlines() if len(line) > LINE_LIMIT]
        assert long == [], name
        assert [line for line in text.splitlines() if line != line.rstrip()] == [], name
        assert not re.search(r"/(home|tmp|work|usr|root|var)/", text), name
        assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text), name
        assert "\n\n\n" not in text, name


@pytest.mark.parametrize("net", [n for n in NETS if n != "nasty"])
def test_every_layer_names_its_onnx_node(net: str) -> None:
    lib = known_library(net)
    source = lib.files[f"{net}.c"].decode()
    functions = re.findall(r"/\*(?:(?!\*/).)*?\*/\nstatic void layer_\w+\(", source, flags=re.S)
    assert len(functions) == len(lib.plan.steps) == source.count("static void layer_")
    known = {node.name for node in NETS[net]().graph.node}
    for text in functions:
        named = re.findall(r'"([^"]+)"', re.sub(r"\n \* ?", " ", text))
        assert named, text
        assert set(named) <= known, text
    for step in lib.plan.steps:
        assert step.origin, step.name


def test_folder_holds_the_kernels_in_use_and_no_others() -> None:
    lib = known_library("dense")
    assert {re.sub(r"_[0-9a-f]{8}(?=\.)", "", name) for name in lib.files} == {
        *("dense.c", "dense.h", "dense_io.c", "dense_weights.c", "dense_weights.h"),
        *("tg_dense_s8.c", "tg_dense_s8.h", "tg_dot_s8.h", "tg_lut_s8.c", "tg_lut_s8.h"),
        *("tg_epilogue.h", "tg_numerics.h", "tg_platform.h"),
    }
    for net in NETS:
        for core in CORES:
            lib = known_library(net, core)
            stems = {n.removesuffix(".c") for n in lib.files if n.startswith("tg_") and n.endswith(".c")}
            called = {s for s in stems if plain(s) in {*lib.plan.kernels, *(g.name for g in lib.plan.generated)}}
            assert len(called) == len(lib.plan.kernels) + len(lib.plan.generated)
            for stem in stems - called:  # a kernel calls it
                assert any(f'#include "{stem}.h"'.encode() in lib.files[f"{caller}.c"] for caller in called)
            included = set(re.findall(r'#include "(tg_\w+\.h)"', "".join(f.decode() for f in lib.files.values())))
            assert {n for n in lib.files if n.startswith("tg_") and n.endswith(".h")} == included


# --- macros ----------------------------------------------------------------------------------------------------------


def macros(lib: Library, folder: Path) -> dict[str, str]:
    """The model's macros and their text after the preprocessor."""
    lib.write(folder)
    header = f"{lib.name}.h"
    names = re.findall(rf"#define ({lib.name.upper()}_\w+)", run("gcc", "-E", "-dD", folder / header))
    (folder / "probe.c").write_text(f'#include "{header}"\n' + "".join(f'"{n}" {n}\n' for n in names))
    text = run("gcc", "-E", "-P", folder / "probe.c")
    return {n: " ".join(v.split()) for n, v in re.findall(r'"(\w+)"\s*([^"]*)', text) if n in names}


def test_macros_of_a_single_input_and_output(tmp_path: Path, require_tool: Need) -> None:
    require_tool("gcc")
    lib = known_library("conv")
    found = macros(lib, tmp_path)
    x, y = lib.plan.inputs[0], lib.plan.outputs[0]
    for name in ("CONV_H_INCLUDED", "CONV_ALIGN", "CONV_MUST_CHECK"):
        del found[name]
    assert found == {
        "CONV_ABI": "2",
        "CONV_NUMERICS": "2",
        "CONV_BUILD_ID": f"0x{lib.view.build_id}U",
        "CONV_INPUT_LEN": "240U",
        "CONV_INPUT_SCALE": float_literal(x.quant.s),
        "CONV_INPUT_ZERO_POINT": f"({x.quant.zero_point})",
        "CONV_OUTPUT_LEN": "5U",
        "CONV_OUTPUT_SCALE": float_literal(y.quant.s),
        "CONV_OUTPUT_ZERO_POINT": "(-128)",
        "CONV_ARENA_LEN": f"{lib.plan.arena_len}U",
    }
    assert y.quant.s == 1 / 256  # softmax


def test_macros_of_several_inputs_and_outputs(tmp_path: Path, require_tool: Need) -> None:
    """Numbered ones besides those without a number, which mean the first."""
    require_tool("gcc")
    found = macros(known_library("several"), tmp_path)
    lengths = {n: int(v.rstrip("U")) for n, v in found.items() if n.endswith("_LEN") and "ARENA" not in n}
    assert lengths == {
        **{"SEVERAL_INPUT0_LEN": 60, "SEVERAL_INPUT1_LEN": 7, "SEVERAL_INPUT_LEN": 60},
        **{"SEVERAL_OUTPUT0_LEN": 90, "SEVERAL_OUTPUT1_LEN": 6, "SEVERAL_OUTPUT2_LEN": 60, "SEVERAL_OUTPUT_LEN": 90},
    }
    for kind in ("INPUT", "OUTPUT"):
        for what in ("SCALE", "ZERO_POINT"):
            assert found[f"SEVERAL_{kind}_{what}"] == found[f"SEVERAL_{kind}0_{what}"]


@pytest.mark.parametrize("net", NETS)
def test_context_is_as_large_as_the_arena(net: str, tmp_path: Path, require_tool: Need) -> None:
    """The report's arena is what a caller's kws_ctx_t takes."""
    require_tool("gcc")
    folder, prefix = known_library(net).write(tmp_path), net.upper()
    (folder / "check.c").write_text(
        f'#include "{net}.h"\n_Static_assert(sizeof({net}_ctx_t) == {prefix}_ARENA_LEN, "context is arena");\n'
    )
    run("gcc", "-std=c11", "-fsyntax-only", folder / "check.c")


@pytest.mark.parametrize("value", [1.0, 0.1, 1 / 256, 3.4e38, 1.2e-38, 1e-45, 16777216.0, 0.007843138])
def test_float_literals_read_back(value: float) -> None:
    text = float_literal(value)
    assert re.fullmatch(r"\d\.\d+(e[+-]\d+)?F", text)
    assert np.float32(text[:-1]) == np.float32(value)


# --- running ---------------------------------------------------------------------------------------------------------


class Loaded:
    """A library on this computer."""

    def __init__(self, lib: Library, folder: Path, *flags: str) -> None:
        self.lib = lib
        self.c = ctypes.CDLL(str(shared_object(lib.write(folder), *flags)))
        raw = np.zeros(lib.plan.arena_len + 32, np.int8)
        self._raw = raw
        start = -raw.ctypes.data % 16
        self.ctx = raw[start : start + lib.plan.arena_len]

    def quantise(self, i: int, x: Array) -> Array:
        e = self.lib.view.inputs[i]
        q = np.empty(e.length, np.int8)
        self.c[f"{self.lib.name}_quantize_{e.suffix}"](pointer(np.ascontiguousarray(x, np.float32)), pointer(q))
        return q

    def dequantise(self, i: int, q: Array) -> Array:
        e = self.lib.view.outputs[i]
        y = np.empty(e.length, np.float32)
        self.c[f"{self.lib.name}_dequantize_{e.suffix}"](pointer(q), pointer(y))
        return y

    def argmax(self, i: int, q: Array) -> int:
        return int(self.c[f"{self.lib.name}_argmax_{self.lib.view.outputs[i].suffix}"](pointer(q)))

    def run(self, inputs: Sequence[Array], outputs: Sequence[Array], ctx: Array | None = None) -> int:
        arrays = [self.ctx if ctx is None else ctx, *inputs, *outputs]
        return int(self.c[f"{self.lib.name}_run"](*(pointer(a) for a in arrays)))

    def outputs(self) -> list[Array]:
        return [np.full(e.length, 77, np.int8) for e in self.lib.view.outputs]


def pointer(a: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(a.ctypes.data if a.size else 0)


NULL = np.empty(0, np.int8)


def edge_inputs(lib: Library) -> list[Array]:
    """(samples, *ONNX shape) for each input: random values, ties, NaN, infinities, huge and tiny numbers, zeros."""
    rng = np.random.default_rng(0)
    special = np.array([np.nan, -np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e-45, -1e-45, 0.0, -0.0, 1e-30], np.float32)
    found = []
    for e in lib.plan.inputs:
        s = np.float32(e.quant.s)
        ties = ((np.arange(-1100, 1100) + 0.5).astype(np.float32) * s).astype(np.float32)
        near = np.concatenate([np.nextafter(ties, np.float32(-np.inf)), ties, np.nextafter(ties, np.float32(np.inf))])
        pool = np.concatenate([near, special, np.arange(-300, 300).astype(np.float32) * s])
        noise = (rng.normal(size=3000) * 100 * e.quant.s).astype(np.float32)
        pool = np.concatenate([pool, noise])
        found.append(pool)
    samples = max(-(-p.size // e.length) for p, e in zip(found, lib.plan.inputs, strict=True))
    spread = [
        rng.permutation(np.resize(p, samples * e.length)).reshape(samples, *e.port.shape)
        for p, e in zip(found, lib.plan.inputs, strict=True)
    ]
    with np.errstate(over="ignore", invalid="ignore"):
        return [
            e.port.to_outside(e.port.moved(x)).astype(np.float32) for x, e in zip(spread, lib.plan.inputs, strict=True)
        ]


@pytest.mark.parametrize("net", NETS)
def test_whole_way_equals_numpy(net: str, tmp_path: Path, require_tool: Need) -> None:
    """Floats in the ONNX layout to floats in the ONNX layout, through the helpers and the network: every bit."""
    require_tool("gcc")
    lib = known_library(net)
    loaded = Loaded(lib, tmp_path, "-fsanitize=undefined", "-fno-sanitize-recover=all")
    fixed = lib.model.fixed
    xs = [x[:40] for x in edge_inputs(lib)]
    qs = simulate.quantise_inputs(fixed, xs)
    ys = simulate.run(fixed, qs)
    reals = simulate.dequantise_outputs(fixed, ys)
    for k in range(len(xs[0])):
        q = [loaded.quantise(i, x[k]) for i, x in enumerate(xs)]
        for got, want in zip(q, qs, strict=True):
            np.testing.assert_array_equal(got, want[k].ravel())
        out = loaded.outputs()
        assert loaded.run(q, out) == 0
        for i, (got, want, real) in enumerate(zip(out, ys, reals, strict=True)):
            np.testing.assert_array_equal(got, want[k].ravel())
            np.testing.assert_array_equal(loaded.dequantise(i, got).view(np.uint32), real[k].ravel().view(np.uint32))
            if not lib.view.outputs[i].ends:
                assert loaded.argmax(i, got) == int(want[k].ravel().argmax())


@pytest.mark.parametrize("net", ["conv", "several", "normalised"])
@pytest.mark.parametrize("flags", [("-O3", "-march=native"), ("-O0",)], ids=["O3", "O0"])
def test_quantise_helper_at_the_edges(net: str, flags: tuple[str, ...], tmp_path: Path, require_tool: Need) -> None:
    """Ties, their neighbours, NaN, infinities; also where the compiler may contract to fused multiply-adds."""
    require_tool("gcc")
    lib = known_library(net)
    loaded = Loaded(lib, tmp_path, *flags)
    xs = edge_inputs(lib)
    for i, (x, want) in enumerate(zip(xs, simulate.quantise_inputs(lib.model.fixed, xs), strict=True)):
        for k in range(len(x)):
            np.testing.assert_array_equal(loaded.quantise(i, x[k]), want[k].ravel())
        assert {-128, 127} <= set(want.ravel().tolist())


def test_quantise_rounds_half_to_even_and_nan_to_the_bottom() -> None:
    """The twin in numpy, by hand: zero point 3, scale 1/2."""
    x = np.array([0.25, 0.75, 1.25, -0.25, -0.75, np.nan, np.inf, -np.inf, 1e9, -1e9], np.float32)
    want = [3, 5, 5, 3, 1, -128, 127, -128, 127, -128]
    assert quantise(x, 0.5, 3).tolist() == want
    x = np.array([0.25, 0.75, -0.75, np.nan, np.inf, -np.inf, 16383.25, 16384, -16384, 1e9], np.float32)
    want = [0, 2, -2, -32768, 32767, -32768, 32766, 32767, -32768, 32767]
    assert quantise(x, 0.5, 0, 16).tolist() == want


#: Compilers and flags that might round otherwise: GNU modes contract to fused multiply-adds, an x87 has long registers.
ROUNDINGS = [
    ("gcc", "-std=c99", "-O2"),
    ("gcc", "-std=gnu11", "-O3", "-mfma", "-ffp-contract=fast"),
    ("gcc", "-std=gnu11", "-O2", "-mfpmath=387"),
    ("gcc", "-std=c99", "-O0", "-mfpmath=387"),
    ("clang", "-std=gnu11", "-O3", "-mfma", "-ffp-contract=fast"),
    ("tcc",),
    ("i686-linux-gnu-gcc", "-std=gnu11", "-O2", "-static", "-mfpmath=387"),
    ("i686-linux-gnu-gcc", "-std=c99", "-O0", "-static"),
]
HELPERS = """
#include <stdio.h>
#include "normalised.h"
#include "{io}"
int main(void) {{
    static float x[4096];
    static int8_t q[4096];
    for (;;) {{
        {calls}
    }}
}}
"""


@pytest.mark.parametrize("command", ROUNDINGS, ids=" ".join)
def test_helpers_round_the_same_everywhere(command: tuple[str, ...], tmp_path: Path, require_tool: Need) -> None:
    """The quantising helpers as each compiler makes them, on ties and their neighbours."""
    require_tool(command[0])
    lib = known_library("normalised")
    src = lib.write(tmp_path / "src")
    calls = [
        f"if (fread(x, 4, {e.length}, stdin) != {e.length}) {{ return 0; }} "
        f"normalised_quantize_{e.suffix}(x, q); fwrite(q, 1, {e.length}, stdout);"
        for e in lib.view.inputs
    ]
    (src / "main.c").write_text(HELPERS.format(io="normalised_io.c", calls="\n".join(calls)))
    run(*command, "-o", tmp_path / "helpers", src / "main.c")
    xs = edge_inputs(lib)
    done = subprocess.run([tmp_path / "helpers"], input=interleaved(xs), capture_output=True, check=True)
    want = interleaved(simulate.quantise_inputs(lib.model.fixed, xs))
    np.testing.assert_array_equal(np.frombuffer(done.stdout, np.int8), np.frombuffer(want, np.int8))


@pytest.mark.parametrize("net", ["several", "normalised", "parts"])
@pytest.mark.parametrize("target", ["cortex-m0", "cortex-m4"])
def test_helpers_on_a_core(net: str, target: str, tmp_path: Path, require_tool: Need) -> None:
    """The same edges in QEMU: software floating point on a Cortex-M0, hardware on an M4."""
    require_tool(ARM)
    require_tool("qemu-system-arm")
    lib = known_library(net, target)
    core = get_core(target)
    src = lib.write(tmp_path / "src")
    out = lib.view.outputs[0]
    reads, calls = [], []
    for e in lib.view.inputs:
        reads.append(f"static float x_{e.arg}[{e.length}]; static int8_t q_{e.arg}[{e.length}];")
        calls.append(
            f"more = tg_read(in, x_{e.arg}, sizeof x_{e.arg}); if (more == 0U) {{ break; }}"
            f"{net}_quantize_{e.suffix}(x_{e.arg}, q_{e.arg}); (void)tg_write(out, q_{e.arg}, sizeof q_{e.arg});"
        )
    buffers = f"static float y[{out.length}]; static int8_t q[{out.length}];"
    program = "\n".join([
        f'#include "{net}.h"', '#include "tg_target.h"', *reads, buffers,
        "int main(void) {",
        'const int32_t in = tg_open("in.bin", TG_OPEN_READ), out = tg_open("out.bin", TG_OPEN_WRITE);',
        "uint32_t more = 1U; while (more != 0U) {", *calls, "}",
        "for (uint32_t i = 0U; i < 256U; i += 64U) {",
        f"for (uint32_t k = 0U; k < {out.length}U; k++) {{ q[k] = (int8_t)((int32_t)((i + k) & 255U) - 128); }}",
        f"{net}_dequantize_{out.suffix}(q, y); (void)tg_write(out, y, sizeof y); }}",
        "tg_close(out); return 0; }",
    ])  # fmt: skip
    (src / "program.c").write_text(program)
    xs = edge_inputs(lib)
    (tmp_path / "in.bin").write_bytes(interleaved(xs))
    elf = compile_program(find_toolchain(core), core, sorted(src.glob("*.c")), [src], tmp_path / "p.elf").elf
    assert core.machine is not None
    result = run_qemu(core.machine, elf, tmp_path)
    assert (result.exit_code, result.fault) == (0, None), result.stdout + result.stderr
    data = (tmp_path / "out.bin").read_bytes()
    want = interleaved(simulate.quantise_inputs(lib.model.fixed, xs))
    np.testing.assert_array_equal(np.frombuffer(data[: len(want)], np.int8), np.frombuffer(want, np.int8))
    e = lib.plan.outputs[0]
    outputs = [np.zeros((4, *o.shape), np.int8) for o in lib.plan.outputs]
    for i in range(4):
        outputs[0][i] = (((64 * i + np.arange(e.length)) & 255) - 128).astype(np.int8).reshape(e.shape)
    reals = simulate.dequantise_outputs(lib.model.fixed, outputs)[0]
    assert data[len(want) :] == reals.tobytes()


def interleaved(arrays: Sequence[Array]) -> bytes:
    return b"".join(a[k].tobytes() for k in range(len(arrays[0])) for a in arrays)


# --- status codes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", ["dense", "several"])
def test_status_codes(net: str, tmp_path: Path, require_tool: Need) -> None:
    """NULL and misaligned arguments are refused, the output stays as it was."""
    require_tool("gcc")
    lib = known_library(net)
    loaded = Loaded(lib, tmp_path)
    ins = [np.zeros(e.length, np.int8) for e in lib.view.inputs]
    good = loaded.outputs()
    assert loaded.run(ins, good) == 0
    for missing in range(1 + len(ins) + len(good)):
        out = loaded.outputs()
        arrays = [loaded.ctx, *ins, *out]
        arrays[missing] = NULL
        status = loaded.run(arrays[1 : 1 + len(ins)], arrays[1 + len(ins) :], arrays[0])
        assert status == -1
        assert all((o == 77).all() for o in out)
    for shift in (1, 4, 8):
        raw = np.zeros(lib.plan.arena_len + 64, np.int8)
        start = -raw.ctypes.data % 16 + shift
        out = loaded.outputs()
        assert loaded.run(ins, out, raw[start:]) == -2
        assert all((o == 77).all() for o in out)
        assert not raw.any()


@pytest.mark.parametrize("net", NETS)
def test_arena_contents_do_not_matter(net: str, tmp_path: Path, require_tool: Need) -> None:
    """A context needs no set-up and keeps nothing: any bytes in it give the same outputs. Inputs are only read."""
    require_tool("gcc")
    lib = known_library(net)
    loaded = Loaded(lib, tmp_path)
    rng = np.random.default_rng(1)
    ins = [rng.integers(-128, 128, e.length).astype(np.int8) for e in lib.view.inputs]
    kept = [x.copy() for x in ins]
    results = []
    for fill in (0, 0x55, -1):
        loaded.ctx[:] = fill
        out = loaded.outputs()
        assert loaded.run(ins, out) == 0
        results.append(b"".join(o.tobytes() for o in out))
    assert results[0] == results[1] == results[2]
    for a, b in zip(ins, kept, strict=True):
        np.testing.assert_array_equal(a, b)


# --- wrong mixes -----------------------------------------------------------------------------------------------------


def test_dsp_build_stops_on_another_core(tmp_path: Path, require_tool: Need) -> None:
    require_tool(ARM)
    (lib, *_) = (x for x in (known_library(n, "cortex-m4") for n in NETS) if x.view.kernel_sets)
    folder = lib.write(tmp_path)
    source = folder / f"{lib.name}.c"
    run(ARM, *get_core("cortex-m4").cflags, "-fsyntax-only", source)
    said = fails(ARM, *get_core("cortex-m3").cflags, "-fsyntax-only", source)
    assert "was generated for a core with the DSP extension (cortex-m4)" in said


@pytest.mark.parametrize("stale", ["dense.h", "dense.c", "dense_weights.h", "dense_weights.c"])
def test_files_of_different_runs_do_not_mix(stale: str, tmp_path: Path, require_tool: Need) -> None:
    require_tool("gcc")
    folder = known_library("dense").write(tmp_path)
    other = library(_changed(), "dense")
    assert other.view.build_id != known_library("dense").view.build_id
    (folder / stale).write_bytes(other.files[stale])
    said = fails("gcc", "-fsyntax-only", folder / "dense.c", folder / "dense_weights.c")
    assert "come from different runs of tinygen" in said


def _changed() -> ModelProto:
    """The dense network with one weight moved."""
    model = dense_net()
    first = model.graph.initializer[0]
    values = numpy_helper.to_array(first).copy()
    values.flat[0] += 1.0
    first.CopyFrom(numpy_helper.from_array(values, first.name))
    return model


def test_build_id_follows_what_decides_the_bytes() -> None:
    """Another weight, core or arena: another id. The same again: the same id."""
    ids = {
        known_library("dense").view.build_id,
        library(_changed(), "dense").view.build_id,
        known_library("dense", "cortex-m4").view.build_id,
        known_library("dense", static_arena=True).view.build_id,
    }
    assert len(ids) == 4
    assert library(dense_net(), "dense").view.build_id == known_library("dense").view.build_id


# --- two models in one image -----------------------------------------------------------------------------------------


def c_array(kind: str, name: str, values: Array) -> str:
    return f"static {kind} {name}[] = {{{', '.join(str(int(v)) for v in values.ravel())}}};\n"


def two_models_program(libs: Sequence[Library]) -> str:
    """A program that runs both on a sample each and returns the number of wrong bytes."""
    lines = [f'#include "{lib.name}.h"\n' for lib in libs]
    body = []
    for lib in libs:
        xs = simulate.quantise_inputs(lib.model.fixed, lib.float_inputs(1))
        ys = simulate.run(lib.model.fixed, xs)
        arguments = []
        for e, x in zip(lib.view.inputs, xs, strict=True):
            lines.append(c_array("const int8_t", f"{lib.name}_{e.arg}", x))
            arguments.append(f"{lib.name}_{e.arg}")
        checks = ""
        for e, y in zip(lib.view.outputs, ys, strict=True):
            stem = f"{lib.name}_{e.arg}"
            lines.append(c_array("const int8_t", f"{stem}_want", y) + f"static int8_t {stem}[{e.length}];\n")
            arguments.append(stem)
            checks += f"for (uint32_t i = 0U; i < {e.length}U; i++) {{ wrong += {stem}[i] != {stem}_want[i]; }}\n"
        lines.append(f"static {lib.name}_ctx_t {lib.name}_ctx;\n")
        body.append(f"if ({lib.name}_run(&{lib.name}_ctx, {', '.join(arguments)}) != 0) {{ return 99; }}\n{checks}")
    return "".join(lines) + "int main(void) {\nint wrong = 0;\n" + "".join(body) + "return wrong;\n}\n"


def pair(core: str) -> tuple[Library, Library]:
    """Two models with the same node names and other weights: nothing but the prefix tells them apart."""
    other = conv_net()
    for t in other.graph.initializer:
        values = numpy_helper.to_array(t)
        if values.dtype == np.float32 and values.size > 1:
            t.CopyFrom(numpy_helper.from_array((values * 0.7).astype(np.float32), t.name))
    return known_library("conv", core), library(other, "second", core)


def link_for_core(core: Core, folder: Path, parts: Sequence[Path], includes: Sequence[Path]) -> Path:
    """Link C files and objects with the start-up code, unused sections dropped."""
    assert core.machine is not None
    script = write_linker_script(folder / "link.ld", core.arch, core.machine, 8192)
    tools, elf = find_toolchain(core), folder / "image.elf"
    flags = [*core.cflags, *tools.cflags, *(f"-I{i}" for i in (*includes, target_include()))]
    run(*tools.cc, *flags, core.arch.platform / core.arch.start_up, *parts, *tools.ldflags, "-T", script, "-o", elf)
    return elf


def kernel_counts(symbols: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names_of(symbols, "TWV"):
        if plain(name) != name:
            found[plain(name)] = found.get(plain(name), 0) + 1
    return found


@pytest.mark.parametrize("archives", [False, True], ids=["objects", "archives"])
def test_two_models_in_one_image(archives: bool, tmp_path: Path, require_tool: Need) -> None:
    """Each with its own folder and its own copy of the kernels: they link, run, and the image has each kernel once."""
    require_tool("gcc")
    libs = pair("native")
    (tmp_path / "main.c").write_text(two_models_program(libs))
    parts: list[Path] = []
    for lib in libs:
        made = objects(lib, tmp_path / lib.name, ["gcc", "-std=c99", "-O1"])
        if archives:
            archive = tmp_path / lib.name / f"lib{lib.name}.a"
            run("ar", "rcs", archive, *made)
            made = [archive]
        parts += made
    includes = [f"-I{tmp_path / lib.name}" for lib in libs]
    run("gcc", "-Wall", "-Werror", *includes, tmp_path / "main.c", *parts, "-o", tmp_path / "both")
    run(tmp_path / "both")
    counts = kernel_counts(run("nm", "-P", tmp_path / "both"))
    assert counts == dict.fromkeys(sorted({*libs[0].plan.kernels, *libs[1].plan.kernels}), 1)


def test_two_models_share_kernels_on_a_core(tmp_path: Path, require_tool: Need) -> None:
    """With both folders' kernels on the command line the image is as large as with one of them."""
    require_tool(ARM)
    require_tool("qemu-system-arm")
    core = get_core("cortex-m4")
    libs = pair("cortex-m4")
    (tmp_path / "main.c").write_text(two_models_program(libs))
    compiler = [ARM, *core.cflags, "-O2", "-ffunction-sections"]
    made = {lib.name: objects(lib, tmp_path / lib.name, compiler) for lib in libs}
    sizes = []
    for parts in (
        [*made["conv"], *made["second"]],
        [*made["conv"], *(o for o in made["second"] if o.name not in {mine.name for mine in made["conv"]})],
    ):
        elf = link_for_core(core, tmp_path, [tmp_path / "main.c", *parts], [tmp_path / lib.name for lib in libs])
        assert set(kernel_counts(run("arm-none-eabi-nm", "-P", elf)).values()) == {1}
        sizes.append(run("arm-none-eabi-size", elf).splitlines()[1].split()[:3])
        assert core.machine is not None
        result = run_qemu(core.machine, elf, tmp_path)
        assert (result.exit_code, result.fault) == (0, None), result.stdout + result.stderr
    assert sizes[0] == sizes[1]
