"""Many generated models in one program: compile, run, compare byte for byte."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jinja2
import numpy as np

from tests.random.flow import REF, Network
from tinygen.build.process import run
from tinygen.build.qemu import run_qemu
from tinygen.build.toolchain import Program, compile_program, find_toolchain, run_native
from tinygen.emit.library import kernel_files, render_library
from tinygen.emit.programs import ModelView, PortView
from tinygen.emit.stamp import plain
from tinygen.emit.view import LibraryView, library_view
from tinygen.errors import VerifyError
from tinygen.flow import verify
from tinygen.plan.types import Plan
from tinygen.targets.arch.base import Core

SANITIZE = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wcast-qual", "-Werror")
TIMEOUT_S = 300.0
#: What generated code may call besides itself and the kernels: <string.h>, and what the compiler itself asks for.
ALLOWED_CALLS = ("memcpy", "memset", "memmove", "memcmp", "__aeabi_")


@dataclass(frozen=True)
class Entry:
    """One model in a program, as driver.c.j2 sees it."""

    name: str
    prefix: str
    inputs: tuple[tuple[str, str], ...]  # (macro of the length, C type)
    outputs: tuple[tuple[str, str], ...]
    offset: int


@dataclass(frozen=True)
class Part:
    """A network's C in a program: which plan, under which name."""

    network: Network
    plan: Plan

    @property
    def view(self) -> LibraryView:
        return _view(self.plan)

    @property
    def entry(self) -> Entry:
        m = _model(self.plan)
        ins, outs = (
            tuple((macro, port.ctype) for macro, port in zip(macros, ports, strict=True))
            for macros, ports in ((m.input_macros, m.inputs), (m.output_macros, m.outputs))
        )
        return Entry(m.name, m.prefix, ins, outs, self.network.seed % 4)

    @property
    def given(self) -> bytes:
        """The part of in.bin."""
        floats = [np.ascontiguousarray(x[0], np.float32).tobytes() for x in self.network.real_inputs]
        return verify.sample_bytes(self.network.inputs) + b"".join(floats)

    @property
    def wanted(self) -> bytes:
        """The part of out.bin."""
        n = self.network
        ints = [np.ascontiguousarray(q[0]).tobytes() for q in n.quantised_inputs]
        floats = [np.ascontiguousarray(y[0], np.float32).tobytes() for y in n.real_outputs]
        return verify.sample_bytes(n.expected) + b"".join(ints + floats)


def _view(plan: Plan, *, trace: bool = False) -> LibraryView:
    return library_view(
        plan,
        version="0",
        abi=1,
        numerics=1,
        build_id="C0FFEE00",
        sha256="0" * 64,
        model_file=f"{plan.name}.onnx",
        trace=trace,
    )


def _model(plan: Plan) -> ModelView:
    ins, outs = (tuple(PortView(e.name, e.length, e.quant.bits) for e in ends) for ends in (plan.inputs, plan.outputs))
    return ModelView(plan.name, plan.name.upper(), "0", ins, outs)


def native_parts(networks: Sequence[Network]) -> list[Part]:
    """All plans of each network of which the kernels differ: those of other cores have portable bodies."""
    parts = []
    for n in networks:
        made = {n.plans[REF].kernels: n.plans[REF]}
        for core, plan in n.plans.items():
            made.setdefault(plan.kernels, replace(plan, name=f"{plan.name}_{core.replace('-', '')}"))
        parts += [Part(n, plan) for plan in made.values()]
    return parts


def core_parts(networks: Sequence[Network], core: str) -> list[Part]:
    return [Part(n, n.plans[core]) for n in networks]


@functools.cache
def _template() -> jinja2.Template:
    env = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    return env.from_string((Path(__file__).parent / "driver.c.j2").read_text(encoding="utf-8"))


def build(parts: Sequence[Part], core: Core, folder: Path, flags: Sequence[str]) -> Program:
    """All parts and a driver in one program; a kernel file that two models need is there once, with the same bytes."""
    src = folder / "src"
    src.mkdir(parents=True)
    files: dict[str, bytes] = {}
    for part in parts:
        for name, content in render_library(part.view).items():
            if files.setdefault(name, content) != content:
                raise AssertionError(f"two models want different files called {name} ({part.network.again})")
    samples = len(parts[0].network.inputs[0])
    files["driver.c"] = _template().render(models=[p.entry for p in parts], samples=samples).encode()
    for name, content in files.items():
        (src / name).write_bytes(content)
    return compile_program(
        find_toolchain(core), core, sorted(src.glob("*.c")), [src], folder / "all.elf", extra_flags=(*flags,)
    )


def differences(parts: Sequence[Part], core: Core, program: Program, folder: Path) -> list[tuple[Part, str]]:
    """Run, and say which parts do not give what numpy gives."""
    (folder / "in.bin").write_bytes(b"".join(p.given for p in parts))
    if core.machine is None:
        ran = run_native(program.elf, (), folder, TIMEOUT_S)
        code, said, fault = ran.exit_code, ran.stdout + ran.stderr, None
    else:
        emulated = run_qemu(core.machine, program.elf, folder, TIMEOUT_S)
        code, said, fault = emulated.exit_code, emulated.stdout + emulated.stderr, emulated.fault
    got = (folder / "out.bin").read_bytes() if (folder / "out.bin").exists() else b""
    found, at, started = [], 0, said.split("\n")
    for part in parts:
        want = part.wanted
        have = got[at : at + len(want)]
        at += len(want)
        if have != want and (have or part.plan.name in started):
            found.append((part, _where(part, have, want)))
    if code != 0:
        last = next((p for p in reversed(parts) if p.plan.name in started), parts[0])
        found = [(p, text) for p, text in found if p is not last]
        tail = "\n".join(said.splitlines()[-40:])
        found.append(
            (
                last,
                f"{core.name}: the program ended with code {code} ({fault or 'its own'}) in {last.plan.name}:\n{tail}",
            )
        )
    elif at != len(got):
        found.append((parts[-1], f"{core.name}: {len(got)} bytes of output, expected {at}"))
    return found


def _where(part: Part, have: bytes, want: bytes) -> str:
    """What kind of result differs first."""
    first = next((i for i, (a, b) in enumerate(zip(have, want, strict=False)) if a != b), min(len(have), len(want)))
    ints = len(verify.sample_bytes(part.network.expected))
    quantised = sum(q[0].nbytes for q in part.network.quantised_inputs)
    if first < ints:
        per = ints // len(part.network.inputs[0])
        return f"outputs differ, first at sample {first // per}, byte {first % per}"
    if first < ints + quantised:
        return f"<model>_quantize_input differs at byte {first - ints}"
    return f"<model>_dequantize_output differs at value {(first - ints - quantised) // 4}"


def diagnose(part: Part, core: Core, flags: Sequence[str]) -> str:
    """The first layer that differs, by the library's own verification of this model alone."""
    plan, n = part.plan, part.network
    assert n.fixed is not None
    try:
        verify.check_core(
            core,
            n.fixed,
            plan,
            lambda trace: render_library(_view(plan, trace=trace)),
            _model(plan),
            n.inputs,
            n.expected,
            flags,
        )
    except VerifyError as e:
        return str(e)
    return "alone, the model gives what numpy gives"


def _symbols(path: Path, core: Core) -> list[tuple[str, str]]:
    """(kind, name) of every symbol nm lists in an object or program."""
    tool = shutil.which("nm" if core.machine is None else "arm-none-eabi-nm")
    assert tool is not None, "nm comes with the compiler"
    lines = run((tool, str(path)), path.parent, 60.0).stdout.splitlines()
    return [(words[-2], words[-1]) for words in map(str.split, lines) if len(words) >= 2]


def symbol_problems(parts: Sequence[Part], program: Program, core: Core) -> list[str]:
    """Kernels once each; only `tg_...` and the models' own names are global; no mutable data; only <string.h>."""
    found = []
    names = tuple(f"{p.plan.name}_" for p in parts)
    objects = [p for p in program.objects if p.name not in ("driver.c.o", "startup.c.o", "tg_host.c.o")]
    table = [(path.name, kind, name) for path in objects for kind, name in _symbols(path, core)]
    defined = {name for _, kind, name in table if kind != "U"}
    for where, kind, name in table:
        if kind in "bBdDC" and not name.startswith("$"):
            found.append(f"{where}: {name} is mutable data")
        if kind.isupper() and kind not in "UN" and not name.startswith(("tg_", *names)):
            found.append(f"{where}: {name} is global")
        if kind == "U" and name not in defined and not name.startswith(ALLOWED_CALLS):
            found.append(f"{where}: calls {name}")
    inside = [plain(name) for kind, name in _symbols(program.elf, core) if kind in "TW"]
    wanted = {k for p in parts for k in p.plan.kernels}
    found += [f"kernel {k} is in the program {inside.count(k)} times" for k in sorted(wanted) if inside.count(k) != 1]
    brought = {Path(f).stem for p in parts for f in kernel_files(p.plan.kernels, p.plan.generated)}
    extra = {name for name in inside if name.startswith("tg_") and name.endswith(("_s8", "_s16", "_dsp"))} - brought
    return found + [f"kernel {k} is there, but no model uses it" for k in sorted(extra)]
