"""The harness on every core, its complaints, faults, missing tools, and what measure() says."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tests.boards.fake_model import LEN, MODEL, write_model
from tinygen.build import discover
from tinygen.build.qemu import QemuResult, find_emulator, run_qemu
from tinygen.build.toolchain import (
    Program,
    compile_program,
    find_host,
    find_toolchain,
    measure,
    run_native,
)
from tinygen.emit.programs import ModelView, PortView, render_harness
from tinygen.errors import ToolError
from tinygen.targets.arch.arm_m.cores import QEMU
from tinygen.targets.cores import VERIFY_CORES, get_core

SAMPLES = bytes(range(0, 250, 2))[: LEN * 12]
EXPECTED = bytes((value + 1) % 256 for value in SAMPLES)


def build(folder: Path, core_name: str, fault: str = "", flags: tuple[str, ...] = ()) -> Program:
    """The fake model with the harness, for one core."""
    kws = write_model(folder, fault)
    harness = folder / "harness.c"
    harness.write_bytes(render_harness(MODEL))
    (folder / "in.bin").write_bytes(SAMPLES)
    core = get_core(core_name)
    flags = ("-Wextra", "-Werror", *flags)
    return compile_program(
        find_toolchain(core), core, [kws, harness], [folder], folder / "harness.elf", extra_flags=flags, link_map=True
    )


def execute(program: Program, core_name: str, folder: Path) -> QemuResult:
    machine = get_core(core_name).machine
    if machine is None:
        result = run_native(program.elf, (), folder)
        return QemuResult(result.exit_code, result.stdout, result.stderr, None)
    return run_qemu(machine, program.elf, folder)


@pytest.fixture
def tools(request: pytest.FixtureRequest, require_tool: Callable[[str], None]) -> None:
    """Compiler and emulator of the core that the test is for; a Cortex-M's where it names none."""
    test = request.node
    core = get_core(test.callspec.params["core"] if hasattr(test, "callspec") else "cortex-m4")
    require_tool(core.arch.compiler.programs[0])
    if core.machine is not None:
        require_tool(core.machine.emulator.programs[0])


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("core", ["native", *VERIFY_CORES])
def test_harness_runs_on_every_core(core: str, tmp_path: Path) -> None:
    program = build(tmp_path, core, flags=("-DKWS_TRACE", "-DTG_HARNESS_TRACE", "-DTG_HARNESS_OFFSET=1"))
    result = execute(program, core, tmp_path)
    assert (result.exit_code, result.stderr) == (0, ""), result.stdout
    assert (tmp_path / "out.bin").read_bytes() == EXPECTED
    assert (tmp_path / "trace.bin").read_bytes() == EXPECTED
    words = result.stdout.split()
    assert (words[0], words[2:]) == ("stack", ["arena", "32"])
    stack = int(words[1])
    assert stack == 0 if core == "native" else 40 <= stack <= 200


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("core", ["native", "cortex-m3"])
@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        ("if (input[0] == 20) { return (kws_status_t)-5; }", 1, "status -5 sample 1\n"),
        ("output[KWS_OUTPUT_LEN] = 0;", 3, "canary output0\n"),
        ("ctx->arena[-1] = 0;", 3, "canary ctx\n"),
    ],
)
def test_harness_complains(core: str, fault: str, code: int, text: str, tmp_path: Path) -> None:
    program = build(tmp_path, core, fault, flags=("-Wno-array-bounds", "-Wno-stringop-overflow"))
    result = execute(program, core, tmp_path)
    assert (result.exit_code, result.stdout) == (code, text)


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("core", ["native", "cortex-m0"])
def test_harness_wants_whole_samples_and_a_file(core: str, tmp_path: Path) -> None:
    program = build(tmp_path, core)
    (tmp_path / "in.bin").write_bytes(SAMPLES[:-1])
    assert execute(program, core, tmp_path).exit_code == 4
    (tmp_path / "in.bin").unlink()
    result = execute(program, core, tmp_path)
    assert (result.exit_code, result.stdout) == (4, "file in.bin\n")


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("core", VERIFY_CORES)
def test_faults_are_reported(core: str, tmp_path: Path) -> None:
    program = build(tmp_path / "udf", core, "__builtin_trap();")
    result = execute(program, core, tmp_path / "udf")
    assert result.exit_code == 70
    assert "FAULT" in result.stdout
    assert result.fault is not None
    program = build(tmp_path / "deep", core, "output[0] = (int8_t)dive(1000U);")
    result = execute(program, core, tmp_path / "deep")
    assert result.exit_code == 71, result.stdout
    assert "STACK OVERFLOW" in result.stdout
    assert result.fault is not None
    assert "stack" in result.fault


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("core", VERIFY_CORES)
def test_large_models_fit_the_verification_machines(core: str, tmp_path: Path) -> None:
    """900 KB of weights and, but for the Cortex-M0, a 300 KB arena."""
    arena = 180_000 if core == "cortex-m0" else 300_000
    code = (
        f"static const int8_t weights[900000] = {{[899999] = 5}}; static volatile int8_t arena[{arena}];"
        f"arena[{arena - 1}] = weights[899990 + input[0]]; output[0] = arena[{arena - 1}];"
    )
    program = build(tmp_path, core, code)
    (tmp_path / "in.bin").write_bytes(bytes([9] * LEN))
    result = execute(program, core, tmp_path)
    assert (result.exit_code, result.stderr) == (0, ""), result.stdout
    assert (tmp_path / "out.bin").read_bytes() == bytes([5] + [10] * (LEN - 1))


STARTED = """
#include "tg_target.h"
static volatile uint32_t zeros[64], five = 5U;
int main(void)
{
    for (uint32_t i = 0U; i < 64U; i++) {
        if (zeros[i] != 0U) { tg_exit(1); }
    }
    if (five != 5U) { tg_exit(2); }
    const uint32_t used = tg_stack_used();
    return ((used == 0U) || (used > 1024U)) ? 3 : 0;
}
"""


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("core", VERIFY_CORES)
def test_programs_start_whatever_was_in_memory(core: str, tmp_path: Path) -> None:
    """RAM is full of something else, as on a board that was only reset: .data is copied, .bss cleared, the stack
    painted."""
    machine = get_core(core).machine
    assert machine is not None
    main, junk = tmp_path / "main.c", tmp_path / "junk"
    main.write_text(STARTED)
    junk.write_bytes(b"\x5b" * 16384)
    program = compile_program(
        find_toolchain(get_core(core)), get_core(core), [main], [], tmp_path / "a.elf", stack_bytes=4096
    )
    loader = ("-device", f"loader,file={junk},addr={machine.ram_start:#x},force-raw=on")
    result = run_qemu(replace(machine, args=(*machine.args, *loader)), program.elf, tmp_path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


UNANSWERED = """
#include "tg_target.h"
volatile uint32_t reached = 0U;
int main(void)
{
    uint8_t byte = 0U;
    tg_puts("hello");
    if ((tg_open("x", TG_OPEN_READ) == -1) && (tg_read(1, &byte, 1U) == 0U) && (tg_write(1, &byte, 1U) == 0U)) {
        reached = 42U;
    }
    return 0;
}
"""


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("core", VERIFY_CORES)
def test_calls_that_nobody_answers_fail_and_the_program_goes_on(core: str, tmp_path: Path) -> None:
    """QEMU without semihosting, as a board without a debugger; its monitor tells how far the program came."""
    machine = get_core(core).machine
    assert machine is not None
    main = tmp_path / "main.c"
    main.write_text(UNANSWERED)
    program = compile_program(find_toolchain(get_core(core)), get_core(core), [main], [], tmp_path / "a.elf")
    with program.elf.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        (symbol,) = table.get_symbol_by_name("reached")
    console = ("-display", "none", "-serial", "null", "-monitor", "stdio")
    command = (*find_emulator(machine.emulator), "-M", machine.name, *machine.args, *console, "-kernel", program.elf)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as qemu:
        assert qemu.stdin is not None
        assert qemu.stdout is not None
        found, end = "", time.monotonic() + 20.0
        while ": 0x0000002a" not in found and time.monotonic() < end and qemu.poll() is None:
            print(f"xp /1wx {symbol['st_value']:#x}", file=qemu.stdin, flush=True)
            found = next((line for line in qemu.stdout if ": 0x" in line), "QEMU ended")
        qemu.kill()
    assert ": 0x0000002a" in found


@pytest.mark.usefixtures("tools")
def test_hung_program_is_ended(tmp_path: Path) -> None:
    program = build(tmp_path, "cortex-m4", 'extern void tg_puts(const char *); tg_puts("here\\n"); for (;;) {}')
    machine = get_core("cortex-m4").machine
    assert machine is not None
    with pytest.raises(ToolError, match=r"(?s)qemu-system-arm did not end within 1 s.*here"):
        run_qemu(machine, program.elf, tmp_path, timeout=1)


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("core", VERIFY_CORES)
def test_measure_agrees_with_the_elf(core: str, tmp_path: Path) -> None:
    product = "volatile double _Complex z = input[0]; z *= z; ctx->arena[0] = (int8_t)z;"  # in libgcc on every core
    program = build(tmp_path, core, f"{product} static int8_t count = 3; count++;")
    assert program.map_file is not None
    sizes = measure(program.elf, program.map_file, lambda path: path.endswith("kws.c.o"))
    assert 50 <= sizes.flash_code <= 400
    assert sizes.flash_rodata == 3
    assert (sizes.flash_data, sizes.ram_static) == (1, 1)
    assert sizes.flash_libgcc > 100
    assert sizes.flash_libc > 0
    assert sizes.flash_model + sizes.flash_libgcc + sizes.flash_libc + sizes.flash_other == sizes.flash_total
    assert sizes.ram_static + sizes.ram_libraries + sizes.ram_other == sizes.ram_total
    assert sizes.ram_total > 32 * 1024
    without = measure(program.elf, program.map_file, lambda path: False)
    assert (without.flash_model, without.flash_total) == (0, sizes.flash_total)


@pytest.mark.usefixtures("tools")
def test_measure_refuses_a_map_of_another_program(tmp_path: Path) -> None:
    one = build(tmp_path / "one", "cortex-m3")
    two = build(tmp_path / "two", "cortex-m3", "ctx->arena[0] = input[3] + input[4];")
    assert one.map_file is not None
    with pytest.raises(ToolError, match=r"gives \.text"):
        measure(two.elf, one.map_file, lambda path: False)


def test_compiler_message_is_shown(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    with pytest.raises(ToolError, match=r"(?s)failed on kws\.c.*no_such_thing"):
        build(tmp_path, "native", "no_such_thing();", ("-Werror=implicit-function-declaration",))


def test_linker_message_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not only the compiler's, that the linker failed."""
    said = "ld: a.o: cannot relax\\nld: bad value\\ncollect2: error: ld returned 1 exit status"
    cc = tmp_path / "cc"
    cc.write_text(f'#!/bin/sh\ncase "$*" in *" -c "*) ;; *) printf "{said}\\n" >&2; exit 1;; esac\n')
    cc.chmod(0o755)
    monkeypatch.setenv("CC", str(cc))
    with pytest.raises(ToolError, match=r"(?s)failed on harness\.elf.*cannot relax.*bad value.*Set CC to another"):
        build(tmp_path, "native")


@pytest.mark.usefixtures("tools")
def test_too_large_a_program_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"harness\.elf does not fit: \d+ bytes too many for RAM"):
        build(tmp_path, "cortex-m3", "static volatile int8_t big[5000000]; output[1] = big[input[0]];")


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", "")
    monkeypatch.setattr(discover, "HERE", discover.Computer("linux", tmp_path))
    with pytest.raises(ToolError, match="apt install gcc-arm-none-eabi"):
        find_toolchain(get_core("cortex-m4"))
    with pytest.raises(ToolError, match="apt install gcc"):
        find_host()
    with pytest.raises(ToolError, match="apt install qemu-system-arm"):
        find_emulator(QEMU)


def test_harness_of_several_ports_compiles(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    view = ModelView("two", "TWO", "0", (PortView("a", 1), PortView("b", 2)), (PortView("x", 1), PortView("y", 1)))
    (tmp_path / "two.h").write_text(
        "#include <stdint.h>\n#define TWO_INPUT0_LEN 1U\n#define TWO_INPUT1_LEN 2U\n#define TWO_OUTPUT0_LEN 1U\n"
        "#define TWO_OUTPUT1_LEN 1U\n#define TWO_ARENA_LEN 16U\ntypedef enum { TWO_OK = 0 } two_status_t;\n"
        "typedef struct { int8_t arena[TWO_ARENA_LEN]; } two_ctx_t;\n"
        "two_status_t two_run(two_ctx_t *, const int8_t *, const int8_t *, int8_t *, int8_t *);\n"
    )
    (tmp_path / "two.c").write_text(
        '#include "two.h"\ntwo_status_t two_run(two_ctx_t *c, const int8_t *a, const int8_t *b, int8_t *x, int8_t *y)\n'
        "{ (void)c; *x = a[0]; *y = (int8_t)(b[0] + b[1]); return TWO_OK; }\n"
    )
    (tmp_path / "harness.c").write_bytes(render_harness(view))
    (tmp_path / "in.bin").write_bytes(bytes([1, 2, 3, 4, 5, 6]))
    sources = [tmp_path / "two.c", tmp_path / "harness.c"]
    program = compile_program(find_host(), get_core("native"), sources, [tmp_path], tmp_path / "a.out")
    assert run_native(program.elf, (), tmp_path).exit_code == 0
    assert (tmp_path / "out.bin").read_bytes() == bytes([1, 5, 4, 11])
