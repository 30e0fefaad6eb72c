"""The counter on short programs whose instructions, cycles, stalls and bytes can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tinygen.build.elf import read_image
from tinygen.build.toolchain import compile_program, find_toolchain
from tinygen.profile.counter import Counts, count
from tinygen.targets.arch.arm_m.thumb import decode
from tinygen.targets.cores import get_core
from tinygen.targets.flash import Flash

MAIN = """
int probe(int *);
int helper(int *);
static int data[64] __attribute__((aligned(64)));
int main(void) { return probe(data) & 0; }
"""
#: A function `probe(int *r0)` in assembly; `helper` stands in another range.
HEAD = '.syntax unified\n.thumb\n.global probe, helper\n.section .text.probe, "ax"\n.balign 64\n.thumb_func\n'
TAIL = '.section .text.helper, "ax"\n.balign 64\n.thumb_func\n.type helper, %function\n'


def counted(
    tmp_path: Path, body: str, core: str = "cortex-m4", flash: Flash | None = None, helper: str = "bx lr"
) -> list[Counts]:
    """Spans of a run of `probe`; a call of `helper` and back ends one."""
    (tmp_path / "main.c").write_text(MAIN)
    text = f"{HEAD}.type probe, %function\nprobe:\n{body}\n.size probe, .-probe\n{TAIL}helper:\n{helper}\n"
    (tmp_path / "probe.S").write_text(text)
    machine = get_core(core).machine
    assert machine is not None
    sources = [tmp_path / "main.c", tmp_path / "probe.S"]
    program = compile_program(find_toolchain(get_core(core)), get_core(core), sources, [], tmp_path / "p.elf")
    image = read_image(program.elf)
    probe = next(s for s in image.symbols if s.name == "probe")
    stack = image.address("tg_stack_limit"), image.address("tg_stack_top")
    own = [(probe.address, probe.address + probe.size)]
    timing = get_core(core).timing
    return count(
        machine, program.elf, image, "probe", own, stack, tmp_path, 60.0, decode=decode, timing=timing, flash=flash
    )[0]


@pytest.fixture(autouse=True)
def _tools(require_tool: Callable[[str], None]) -> None:
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")


COLUMNS = ("insns", "cycles", "loads", "stores", "loaded", "stored", "taken")
#: Body, core, instructions, cycles, loads, stores, bytes in and out, branches taken (with the return).
CASES = [
    # 3 + return 1+2
    ("nop\nnop\nnop\nbx lr", "cortex-m4", 4, 6, 0, 0, 0, 0, 1),
    # loads 2, 1 (behind a load), 2 (behind an addition); return 3
    ("ldr r1, [r0]\nldrb r2, [r0, #4]\nadds r1, r2\nldrh r3, [r0, #8]\nbx lr", "cortex-m4", 5, 9, 3, 0, 7, 0, 1),
    # a load behind a store takes 1
    ("str r1, [r0]\nldr r2, [r0]\nstrb r2, [r0]\nbx lr", "cortex-m4", 4, 6, 1, 2, 4, 5, 1),
    # wherever the emulator cuts so long a run into blocks
    ("ldr r1, [r0]\n" * 1200 + "bx lr", "cortex-m4", 1201, 2 + 1199 + 3, 1200, 0, 4800, 0, 1),
    # and where each page ends within an instruction
    ("nop\n" + "ldr.w r1, [r0]\n" * 600 + "bx lr", "cortex-m4", 602, 1 + 2 + 599 + 3, 600, 0, 2400, 0, 1),
    # 1+3, 1+3 and 2 for the jump
    ("push {r4, r5, lr}\npop {r4, r5, pc}", "cortex-m4", 2, 10, 3, 3, 12, 12, 1),
    # movs 1; ten times subs 1, bne 1; nine taken, 2 each; return 3
    ("movs r1, #10\n1: subs r1, #1\nbne 1b\nbx lr", "cortex-m4", 22, 1 + 20 + 18 + 3, 0, 0, 0, 0, 10),
    ("movs r1, #10\n1: subs r1, #1\nbne 1b\nbx lr", "cortex-m3", 22, 42, 0, 0, 0, 0, 10),
    # the M0: a taken branch 3, bx 3; the M0+: 2 and 2
    ("movs r1, #10\n1: subs r1, #1\nbne 1b\nbx lr", "cortex-m0", 22, 1 + 20 + 18 + 3, 0, 0, 0, 0, 10),
    ("movs r1, #10\n1: subs r1, #1\nbne 1b\nbx lr", "cortex-m0plus", 22, 1 + 20 + 9 + 2, 0, 0, 0, 0, 10),
    # loads and stores 2 each, never overlapped; LDM 1+2
    ("ldr r1, [r0]\nldr r2, [r0]\nstr r1, [r0]\nldm r0!, {r1, r2}\nbx lr", "cortex-m0", 5, 12, 4, 1, 16, 4, 1),
    # POP with the program counter: 4+2 on the M0, 3+2 on the M0+
    ("push {r4, lr}\npop {r4, pc}", "cortex-m0", 2, 9, 2, 2, 8, 8, 1),
    ("push {r4, lr}\npop {r4, pc}", "cortex-m0plus", 2, 8, 2, 2, 8, 8, 1),
    # MLA 1 and 2, SMULL 1 and 4, SMLAL 1 and 6, SDIV 7
    ("movs r3, #1\nmla r1, r3, r3, r3\nsmull r1, r2, r3, r3\nsmlal r1, r2, r3, r3\nsdiv r1, r3, r3\nbx lr",
     "cortex-m4", 6, 1 + 1 + 1 + 1 + 7 + 3, 0, 0, 0, 0, 1),
    ("movs r3, #1\nmla r1, r3, r3, r3\nsmull r1, r2, r3, r3\nsmlal r1, r2, r3, r3\nsdiv r1, r3, r3\nbx lr",
     "cortex-m3", 6, 1 + 2 + 4 + 6 + 7 + 3, 0, 0, 0, 0, 1),
    # no model: instructions, and no cycles; a vector is a load, its bytes are counted
    ("ldrd r1, r2, [r0]\nbx lr", "cortex-m7", 2, 0, 2, 0, 8, 0, 1),
    ("vldrb.u8 q0, [r0]\nvstrb.8 q0, [r0]\nbx lr", "cortex-m55", 3, 0, 1, 1, 16, 16, 1),
]  # fmt: skip


@pytest.mark.parametrize(("body", "core", *COLUMNS), CASES)
def test_counts(
    body: str, core: str, insns: int, cycles: int, loads: int, stores: int, loaded: int, stored: int, taken: int,
    tmp_path: Path,
) -> None:  # fmt: skip
    (found,) = counted(tmp_path, body, core)
    assert replace(found, deepest=0) == Counts(insns, cycles, loads, stores, loaded, stored, taken, deepest=0)


def test_a_call_that_comes_back_ends_a_span(tmp_path: Path) -> None:
    """push 3, two calls of helper (bl 3, nop 1, bx 3), an addition behind the second, pop and return 5."""
    body = "push {r4, lr}\nbl helper\nnop\nbl helper\nadds r0, #1\npop {r4, pc}"
    spans = counted(tmp_path, body, helper="nop\nbx lr")
    assert [s.instructions for s in spans] == [4, 4, 2]
    assert [s.cycles for s in spans] == [3 + 3 + 1 + 3, 1 + 3 + 1 + 3, 1 + 3 + 2]


def test_depth_of_the_stack(tmp_path: Path) -> None:
    """The helper goes 8 bytes below the 16 of probe; the way out writes nothing."""
    body = "push {r4, r5, r6, lr}\nbl helper\npop {r4, r5, r6, pc}"
    first, rest = counted(tmp_path, body, helper="push {r4, lr}\npop {r4, pc}")
    (shallow,) = counted(tmp_path, "push {r4, r5, r6, lr}\npop {r4, r5, r6, pc}")
    assert shallow.deepest - first.deepest == 8
    assert rest.deepest > first.deepest


FLASH = Flash("test", "", 5, 5, 8, False, 8, 0, 0, 0, False, "")
#: 16 NOPs of 2 bytes and the return lie in 5 lines of 8 bytes, from the start of one.
LINES5 = "nop\n" * 16 + "bx lr"
#: Behind 32 bytes, four times the same 32: 13 instructions each time.
LOOP = "movs r1, #4\nnop\n.balign 32\n1:\n" + "nop.w\n" * 3 + "nop\n" * 8 + "subs r1, #1\nbne 1b\nbx lr"


@pytest.mark.parametrize(
    ("body", "flash", "stalls"),
    [
        pytest.param(LINES5, FLASH, 5 * 5, id="every line waits"),
        pytest.param(LINES5, replace(FLASH, waits=0), 0, id="no waits"),
        # The four instructions of a line take 4 of the 6 cycles that the next one, read meanwhile, needs.
        pytest.param(LINES5, replace(FLASH, prefetch=True), 5 + 4 * 2, id="read ahead"),
        pytest.param(LINES5, replace(FLASH, prefetch=True, waits=2), 2, id="read ahead in time"),
        # Without a cache every line of the loop is fetched every time: 4 before it, 4 * 4, and the return's
        pytest.param(LOOP, FLASH, 5 * (4 + 16 + 1), id="loop without cache"),
        pytest.param(LOOP, replace(FLASH, code_bytes=64), 5 * (4 + 4 + 1), id="loop in cache"),
        # Four lines of a loop in a cache of three, least recently used: never there.
        pytest.param(LOOP, replace(FLASH, code_bytes=24), 5 * (4 + 16 + 1), id="loop larger than cache"),
        # Direct-mapped with eight lines: the return lies eight lines behind nothing that is used.
        pytest.param(LOOP, replace(FLASH, code_bytes=64, ways=1), 5 * (4 + 4 + 1), id="direct-mapped"),
    ],
)
def test_code_from_flash(body: str, flash: Flash, stalls: int, tmp_path: Path) -> None:
    (found,) = counted(tmp_path, body, flash=flash)
    (without,) = counted(tmp_path, body)
    assert found.code_stalls == stalls
    assert replace(found, code_stalls=0) == without
    assert found.flash_cycles == without.cycles + stalls


#: Reads 8 words of flash, the probe's own code, twice.
READS = (
    "adr r2, probe\nmovs r1, #2\n1:\n"
    + "".join(f"ldr r3, [r2, #{4 * i}]\n" for i in range(8))
    + "subs r1, #1\nbne 1b\nbx lr"
)


@pytest.mark.parametrize(
    ("flash", "stalls"),
    [
        pytest.param(FLASH, 16 * 5, id="no cache"),
        pytest.param(replace(FLASH, data_bytes=64), 4 * 5, id="cache of lines"),
        pytest.param(replace(FLASH, data_bytes=16), 8 * 5, id="too small a cache"),
        pytest.param(replace(FLASH, data_bytes=64, sector=32), 4 * 5, id="sectors fill line by line"),
        pytest.param(replace(FLASH, data_bytes=64, data_waits=1), 4, id="data waits less"),
    ],
)
def test_data_from_flash(flash: Flash, stalls: int, tmp_path: Path) -> None:
    (found,) = counted(tmp_path, READS, flash=flash)
    assert found.data_stalls == stalls


def test_shared_cache(tmp_path: Path) -> None:
    """Code brought the lines in before data asks for them; with caches of their own, data waits too."""
    body = "adr r2, probe\n" + "nop\n" * 11 + "ldr r3, [r2]\nldr r3, [r2, #8]\nbx lr"
    (own,) = counted(tmp_path, body, flash=replace(FLASH, code_bytes=256, data_bytes=256))
    (shared,) = counted(tmp_path, body, flash=replace(FLASH, code_bytes=256, shared=True))
    assert (own.data_stalls, shared.data_stalls) == (10, 0)
    assert own.code_stalls == shared.code_stalls


#: Reads 8 words of RAM a line apart, stores to 8 lines behind them and reads those, and reads the first 8 again.
RAM = "".join(
    [f"ldr r3, [r0, #{8 * i}]\n" for i in range(8)]
    + [f"str r3, [r0, #{64 + 8 * i}]\n" for i in range(8)]
    + [f"ldr r3, [r0, #{64 + 8 * i}]\n" for i in range(8)]
    + [f"ldr r3, [r0, #{8 * i}]\n" for i in range(8)]
    + ["bx lr"]
)


@pytest.mark.parametrize(
    ("flash", "stalls"),
    [
        pytest.param(replace(FLASH, data_bytes=128), 0, id="RAM is in no cache"),
        # The stores bring in their lines without waiting; all 16 fit.
        pytest.param(replace(FLASH, data_bytes=128, ram_waits=3), 8 * 3, id="every line once"),
        pytest.param(replace(FLASH, data_bytes=64, ram_waits=3), 16 * 3, id="half of them fit"),
        # Four sets of two: the lines of each half of the cache's size drive out those of the other.
        pytest.param(replace(FLASH, data_bytes=64, data_ways=2, ram_waits=3), 16 * 3, id="in sets"),
        pytest.param(replace(FLASH, data_bytes=128, data_ways=1, ram_waits=3), 8 * 3, id="direct-mapped"),
    ],
)
def test_ram_in_the_data_cache(flash: Flash, stalls: int, tmp_path: Path) -> None:
    (found,) = counted(tmp_path, RAM, flash=flash)
    assert found.data_stalls == stalls


def test_misses_of_a_core_without_cycles(tmp_path: Path) -> None:
    """Counted all the same, where nothing is read ahead."""
    for prefetch, stalls in ((False, 5 * 5), (True, 0)):
        (found,) = counted(tmp_path, LINES5, "cortex-m7", replace(FLASH, prefetch=prefetch))
        assert (found.cycles, found.code_stalls) == (0, stalls)
