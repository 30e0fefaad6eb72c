"""What is no program is said to be none; the two printers on a program that can be read at once; mutants, a few."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kernels import planes
from tests.kernels.mutants import explained, survivors
from tinygen.kernels import costs, print_asm, print_c
from tinygen.kernels.armv7em import (
    add,
    adds,
    addw,
    blx,
    cmp,
    cmp_imm,
    ldm,
    ldr,
    ldr_post,
    ldr_pre,
    ldrb_post,
    ldrh,
    mov,
    movs,
    push,
    reload,
    smlad,
    smladx,
    ssat8,
    strb,
    strb_lsl,
    sub,
    take,
    vldm,
    vmov,
)
from tinygen.kernels.check import checked
from tinygen.kernels.program import (
    BITS,
    BYTES_IN,
    BYTES_OUT,
    HALVES,
    INT,
    OCTETS,
    WORDS_IN,
    Copies,
    Entry,
    Instruction,
    Loop,
    Node,
    Ordered,
    Program,
    ProgramError,
    Reg,
    Type,
    When,
    Writer,
    loops,
)
from tinygen.kernels.tile.kernel import group_bytes, group_tile, group_turns
from tinygen.targets.cores import get_core

X, W, Y = Reg("x", BYTES_IN, "r0"), Reg("w", WORDS_IN, "r1"), Reg("y", BYTES_OUT, "r2")
PARAMS = (X, W, Y)
AT, END, A = Reg("at", WORDS_IN, "r3"), Reg("end", WORDS_IN, "r4"), Reg("a", INT, "r5")
V, WINDOW = Reg("v", HALVES, "sp"), Reg("window", HALVES, "r12")
FILL = Reg("fill", Type("tg_fill_t"), "r3")
B = Reg("b", BITS, "r6")
T = Reg("t", Type("const t *", 1, 4, ((0, "n"),)), "r0")


def program(*body: Node, frame: int = 0) -> Program:
    return Program(PARAMS, body, frame, V if frame else None)


#: A frame that the program takes by itself.
OUTER, HOME, SIZE = Reg("outer", HALVES, "sp"), Reg("outer", HALVES, "r7"), Reg("size", INT, "r8")


def taking(*body: Node) -> Program:
    return Program(PARAMS, (mov(HOME, OUTER), movs(SIZE, 8), *body), 16, V, outer=OUTER)


def loop(*body: Node, **more: int | tuple[Node, ...]) -> Loop:
    return Loop(body, 3, **more)  # type: ignore[arg-type]


FOURTH = Reg("fourth", INT, "r3")
AT_BYTE, AT_WORD = Reg("at", OCTETS, "r3"), Reg("at", replace(OCTETS, align=4), "r3")
#: Two words of a stream, by turns in a register, and in two.
TWO_WORDS = (ldr(B, AT, 0), smlad(A, B, B, A), ldr(B, AT, 4), smladx(A, B, B, A))
B0, B1 = Reg("b0", BITS, "r6"), Reg("b1", BITS, "r7")
OTHER_NAMES = (ldr(B0, AT, 0), ldr_pre(B1, AT, 4), smlad(A, B0, B0, A), smladx(A, B1, B1, A))
START = (mov(AT, W), add(END, W, 12))

WRONG: dict[str, tuple[Callable[[], Program], str]] = {
    "never written": (lambda: program(ssat8(A, A)), "r5 holds nothing, not a"),
    "another value": (lambda: program(movs(A, 1), movs(Reg("c", INT, "r5"), 2), ssat8(A, A)), "r5 holds c, not a"),
    "an old copy": (
        lambda: program(movs(A, 1), vmov(A.at("s0"), A), movs(A, 2), vmov(A, A.at("s0"))),
        "s0 holds nothing",
    ),
    "lost in a call": (
        lambda: program(ldr(FILL, W, 0), movs(A.at("r12"), 1), blx(FILL, X, W), ssat8(A, A.at("r12"))),
        "r12 holds nothing",
    ),
    "arguments elsewhere": (lambda: program(ldr(FILL, W, 0), blx(FILL, W, X)), "not in r0 and r1"),
    "gone in the second turn": (
        lambda: program(*START, movs(A, 0), loop(ssat8(B, A), movs(Reg("c", INT, "r5"), 1), cmp(AT, END))),
        "r5 holds",
    ),
    "set in one turn for the next": (lambda: program(*START, loop(ssat8(B, A), movs(A, 1), cmp(AT, END))), "r5 holds"),
    "flags of another": (lambda: program(*START, loop(cmp(AT, END), movs(A, 1))), "the flags are not those of"),
    "no comparison": (lambda: program(*START, loop(movs(A, 1))), "compares nothing"),
    "compared values gone": (
        lambda: program(*START, loop(cmp(AT, END), mov(Reg("c", INT, "r4"), Reg("c", INT, "r4")))),
        "r4 holds end",
    ),
    "a parameter is set": (lambda: program(add(X, X, 1)), "a parameter, which keeps its value"),
    "two types": (lambda: program(movs(A, 1), movs(Reg("a", BITS, "r6"), 1)), "is int32_t and uint32_t"),
    "not a kernel's": (lambda: program(vmov(Reg("a", INT, "s16"), A)), "s16 is no register of a kernel"),
    "an FPU's": (lambda: program(vmov(Reg("a", INT, "s1"), X), add(B, Reg("a", INT, "s1"), 1)), "register of the FPU"),
    "LDM from bytes": (lambda: program(mov(Reg("p", BYTES_IN, "r3"), X), ldm(Reg("p", BYTES_IN, "r3"), (A,))), "traps"),
    "LDM in disorder": (lambda: program(mov(AT, W), ldm(AT, (A, Reg("c", INT, "r4")))), "do not follow each other"),
    "LDM of one": (lambda: program(mov(AT, W), ldm(AT, (A,))), "a load of one register is LDR"),
    "VLDM with a gap": (
        lambda: program(vldm(W, (Reg("c", INT, "s1"), Reg("d", INT, "s3")))),
        "do not follow each other",
    ),
    "half a word": (lambda: program(ldr(A, W, 2), print_it), "no whole elements of 4"),
    "another pointer": (lambda: program(add(AT, X, 4), print_it), "is no const int8_t \\*"),
    "no member": (
        lambda: Program((T,), (ldrh(A, T, 2), print_it)),
        "nothing lies 2 bytes behind",
    ),
    "stack down": (lambda: program(sub(V, V, 8), frame=16), "moves the stack pointer"),
    "stack in halves": (lambda: program(addw(V, V, 2), frame=16), "moves the stack pointer"),
    "stack not back": (lambda: program(addw(V, V, 8), frame=16), "does not come back"),
    "back from elsewhere": (
        lambda: program(addw(V, V, 8), mov(WINDOW, V), mov(V, WINDOW), frame=16),
        "moves the stack pointer",
    ),
    "outside the frame": (lambda: program(ldr(A, V, 16), frame=16), "reads 20 bytes of a frame of 16"),
    "outside in the last turn": (
        lambda: program(
            mov(WINDOW, V), *START,
            loop(ldr(A, V, 0), ldr_post(Reg("c", INT, "r5"), AT, 4), cmp(AT, END), between=(addw(V, V, 8),), most=3),
            mov(V, WINDOW), frame=16,
        ),
        "reads 20 bytes of a frame of 16",
    ),
    "who knows how far": (
        lambda: program(mov(WINDOW, V), *START, loop(addw(V, V, 4), cmp(AT, END)), mov(V, WINDOW), frame=16),
        "who knows how far",
    ),
    "frame of four": (lambda: program(ldr(FILL, W, 0), blx(FILL, X, W), frame=12), "a frame of 12 bytes"),
    "frame not given back": (
        lambda: taking(take(V, OUTER, SIZE), mov(WINDOW, V), mov(V, WINDOW)), "does not give it back",
    ),
    "frame for nobody": (lambda: taking(movs(A, 1)), "takes no frame"),
    "into the unknown": (
        lambda: taking(take(V, OUTER, SIZE), mov(WINDOW.at("r9"), V), add(Reg("p", HALVES, "r9"), HOME, 4),
                       mov(V, Reg("p", HALVES, "r9")), mov(OUTER, HOME)),
        "moves the stack pointer",
    ),
    "down once more": (lambda: taking(take(V, OUTER, SIZE), sub(V, V, 4), mov(OUTER, HOME)), "moves the stack pointer"),
    "read when given back": (
        lambda: taking(take(V, OUTER, SIZE), mov(OUTER, HOME), ldr(A, V, 0)), "sp holds outer, not v",
    ),
    "where of what": (lambda: program(movs(A, 1), When((A, 0), (movs(A, 2),))), "where a and 0 are equal"),
    "flags of flags": (
        lambda: program(movs(A, 1), cmp_imm(A.at("r5"), 0), When((A, 0), (adds(A, A, 1),))), "flags that change",
    ),
    "there perhaps": (
        lambda: program(movs(A, 1), cmp_imm(A, 0), When((A, 0), (mov(END, W),)), add(AT, END, 4)), "holds nothing",
    ),
    "another order": (
        lambda: program(mov(AT, W), movs(A, 0), Ordered(TWO_WORDS, (*TWO_WORDS[1:3], TWO_WORDS[0], TWO_WORDS[3]))),
        "b is another in the order of the core",
    ),
    "set in C only": (
        lambda: program(mov(AT, W), movs(A, 0), movs(B, 0), Ordered(TWO_WORDS, OTHER_NAMES)), "is set in C only",
    ),
    "gone behind an order": (
        lambda: program(mov(AT, W), movs(A, 0), Ordered(TWO_WORDS, OTHER_NAMES), ssat8(A, Reg("b1", BITS, "r7"))),
        "r7 holds nothing",
    ),
    "a store in an order": (
        lambda: program(movs(A, 0), Ordered((strb(A, Y, 0),), (strb(A, Y, 0),))), "among what changes its order",
    ),
    "another place on the stack": (
        lambda: program(movs(A, 1), mov(AT, W), push((AT, A)), reload(A, A.at("[sp, #0]"))), "holds at, not a",
    ),
    "pushed in front of it": (
        lambda: program(movs(A, 1), mov(AT, W), push((A,)), push((AT,)), reload(A, A.at("[sp, #0]"))),
        "holds at, not a",
    ),
    "a fifth parameter elsewhere": (
        lambda: Program((*PARAMS, FOURTH, AT.at("[sp, #8]")), ()), "at is a parameter that does not lie at",
    ),
    "no result": (lambda: Program(PARAMS, (), result=W), "w is not in r0"),
    "a start of a loop": (
        lambda: program(*START, Loop((ldr(A, AT, 0),), "n", entry=Entry(B, 1000, 4, (cmp(AT, END),)))),
        "b is not where its turns begin",
    ),
    "LDM behind a byte": (
        lambda: program(mov(AT_WORD, W), ldrb_post(B, AT_BYTE, 1), ldm(AT_WORD, (A, B))), "holds at, not at",
    ),
    "out of reach": (lambda: program(ldr(A, W, 4096)), "4096 is out of reach"),
    "an operand too few": (lambda: program(ldr(A, W)), "takes d, b, i, not 2"),
    "a number for a register": (lambda: program(ldr(A, 4, 4)), "4 as b"),
    "no pointer": (lambda: program(movs(A, 1), ldr(B, A, 0)), "a is no pointer"),
}  # fmt: skip
#: Stands in a program whose fault the C printer finds.
print_it = movs(B, 0)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_programs(name: str) -> None:
    make, message = WRONG[name]
    with pytest.raises(ProgramError, match=message):
        print_c.body(checked(make()))


def small() -> Program:
    """Clamped sums of two words a turn, four turns."""
    out, c, at = Writer(), Reg("c", BITS, "s3"), Reg("y_at", BYTES_OUT, "r7")
    out.add(mov(AT, W), add(END, W, 32), mov(at, Y), ldr(B, X, 0), vmov(c, B))
    with out.loop(4):
        out.note("two words")
        first, second = Reg("first", BITS, "r8"), Reg("second", BITS, "r9")
        out.add(ldm(AT, (first, second)), movs(A, 0))
        with out.copies() as copies:
            for k, word in enumerate((first, first, first)):
                copies.append((smlad(A, word, B, A), ssat8(A, A), strb(A, at, k)))
        out.add(vmov(B, c), smladx(A, second, B, A), strb(A, at, 3), adds(at, at, 4), cmp(AT, END))
    return checked(Program(PARAMS, tuple(out.nodes)))


def test_printed() -> None:
    """Both languages, to the letter."""
    assert print_c.body(small()) == (
        "    const int32_t *at = w;\n"
        "    const int32_t *const end = &w[8];\n"
        "    int8_t *y_at = y;\n"
        "    const uint32_t b = tg_load32(&x[0]);\n"
        "    const uint32_t c = b;\n"
        "    do {\n"
        "        /* two words */\n"
        "        const uint32_t first = (uint32_t)at[0];\n"
    ).replace("    const uint32_t b = tg_load32(&x[0]);", "    uint32_t b = tg_load32(&x[0]);") + (
        "        const uint32_t second = (uint32_t)at[1];\n"
        "        at = &at[2];\n"
        "        int32_t a = 0;\n"
        "        for (int32_t i = 0; i < 3; ++i) {\n"
        "            a = tg_smlad(first, b, a);\n"
        "            a = tg_ssat8(a);\n"
        "            y_at[i] = (int8_t)a;\n"
        "        }\n"
        "        b = c;\n"
        "        a = tg_smladx(second, b, a);\n"
        "        y_at[3] = (int8_t)a;\n"
        "        y_at = &y_at[4];\n"
        "    } while (at != end);"
    )
    lines = list(print_asm.lines(small()))
    assert [line for line, _ in lines] == [
        "push {r4-r9, lr}", "mov r3, r1", "add r4, r1, #32", "mov r7, r2", "ldr r6, [r0]", "vmov s3, r6", "1:", "",
        "ldmia r3!, {r8-r9}", "movs r5, #0", "smlad r5, r8, r6, r5", "ssat r5, #8, r5", "strb r5, [r7]",
        "smlad r5, r8, r6, r5", "ssat r5, #8, r5", "strb r5, [r7, #1]",
        "smlad r5, r8, r6, r5", "ssat r5, #8, r5", "strb r5, [r7, #2]", "vmov r6, s3", "smladx r5, r9, r6, r5",
        "strb r5, [r7, #3]", "adds r7, r7, #4", "cmp r3, r4", "bne.w 1b", "pop {r4-r9, pc}",
    ]  # fmt: skip
    assert dict(lines)["smladx r5, r9, r6, r5"] == "a += second . swapped b"
    assert dict(lines)["ldmia r3!, {r8-r9}"] == "first, second = next of at"


def test_where() -> None:
    """An IT block, which takes a cycle and two bytes; in C an `if`."""
    body = (ldr(A, W, 0), cmp_imm(A, 0), When((A, 0), (ldr(A, W, 4), add(A, A, 7))), strb(A, Y, 0))
    where = checked(program(*body))
    assert [line for line, _ in print_asm.lines(where)][2:6] == [
        "cmp r5, #0",
        "itt eq",
        "ldreq r5, [r1, #4]",
        "addeq r5, r5, #7",
    ]
    assert print_c.body(where) == (
        "    (void)x;\n"
        "    int32_t a = w[0];\n"
        "    if (a == 0) {\n"
        "        a = w[1];\n"
        "        a = tg_add_wrap(a, 7);\n"
        "    }\n"
        "    y[0] = (int8_t)a;"
    )
    core = get_core("cortex-m4").timing
    assert core is not None
    plain = program(*body[:2], *body[2].body, body[3])
    assert costs.cycles(where, core, {}) == costs.cycles(plain, core, {}) + 1
    assert print_asm.code_bytes(where) == print_asm.code_bytes(plain) + 2


def test_ordered() -> None:
    """The core loads two words at once, and its pointer goes along; C has a loop and moves it at the end."""
    copies = Copies(tuple((ldr(B, AT, 4 * k), smlad(A, B, B, A), smladx(A, B, B, A)) for k in range(3)))
    order = (
        ldr(B0, AT, 0), ldr_pre(B1, AT, 4), smlad(A, B0, B0, A), smladx(A, B0, B0, A), smlad(A, B1, B1, A),
        smladx(A, B1, B1, A), ldr(B0, AT, 4), smlad(A, B0, B0, A), smladx(A, B0, B0, A),
    )  # fmt: skip
    ends = (ldr(B, AT, 0), strb(B, Y, 0), strb(A, Y, 1))
    made = checked(program(mov(AT, W), movs(A, 0), Ordered((copies, addw(AT, AT, 4)), order), *ends))
    text = print_c.body(made)
    assert "for (int32_t i = 0; i < 3; ++i) {" in text
    assert "at = &at[1];" in text
    assert "ldr r7, [r3, #4]!" in [line for line, _ in print_asm.lines(made)]


def test_costs() -> None:
    """By hand: 1 + 7 and 1 + 7 + 2 around; before the loop 6; a turn 18 and a branch of 1, or 3 where it is taken."""
    core = get_core("cortex-m4").timing
    assert core is not None
    turn = 3 + 1 + 9 + 1 + 1 + 1 + 1 + 1
    assert costs.cycles(small(), core, {}) == 8 + 10 + 6 + 4 * turn + 1 + 3 * 3
    called = program(ldr(FILL, W, 0), blx(FILL, X, W))
    assert costs.cycles(called, core, {}, called=7) == (1 + 2) + 2 + 3 + 7 + (1 + 2 + 2)


def test_bytes_of_groups() -> None:
    """What decides how many pairs of taps a turn takes is what the program has; it fits a small cache if any does."""
    for wanted in (1, 5, 15, 16, 17, 32, 54, 144, 300):
        pairs, turn = group_turns(wanted)
        loop = next(loops(group_tile(pairs, turn, 3).program.body))
        assert group_bytes(pairs, turn) == print_asm.loop_bytes(loop) <= 996
    assert group_turns(32) == (32, 16)


def test_copies_that_are_no_loop() -> None:
    """What differs in more than offsets stays as it is."""
    one: tuple[Instruction, ...] = (movs(A, 0), strb(A, Y, 0))
    two: tuple[Instruction, ...] = (movs(B, 0), strb(B, Y, 5))
    text = print_c.body(checked(program(Copies((one, two, one)))))
    assert "for" not in text
    assert text.count("y[") == 3


def test_copies_that_repeat_by_twos() -> None:
    """Two at a time, three times; what is left stays."""
    copies: list[tuple[Node, ...]] = [(movs(A, k % 2), strb(A, Y, 5 * (k // 2) + k % 2)) for k in range(7)]
    text = print_c.body(checked(program(Copies(tuple(copies)))))
    assert "for (int32_t i = 0; i < 3; ++i) {" in text
    assert re.findall(r"y\[(.*?)\]", text) == ["5 * i", "1 + (5 * i)", "15"]


def test_copies_that_shift_otherwise() -> None:
    """A shift is no offset."""
    copies = [(movs(A, 0), strb_lsl(A, Y, A, k)) for k in (1, 2, 3)]
    assert "for" not in print_c.body(checked(program(Copies(tuple(copies)))))


def test_mutants(require_tool: Callable[[str], None], tmp_path: Path) -> None:
    """A few of `python -m tests.kernels.mutants`."""
    require_tool("gcc")
    found, passed = survivors([planes.case(4)], 7, 25, tmp_path)
    assert [str(m) for m in passed if explained(m) is None] == []
    assert min(found["stopped without data"], found["differ in bits"]) > 3


def test_values_that_nobody_reads() -> None:
    """Loaded by the assembly, but no variable in C; what the next turn reads stays."""
    turn = (strb(A, Y, 0), movs(A, 3), cmp(AT, END))
    text = print_c.body(checked(program(*START, movs(A, 1), loop(*turn), movs(B, 7), movs(A, 2))))
    assert re.findall(r"\w+ = \d+", text) == ["a = 1", "a = 3"]


def test_copies_that_differ_in_a_number() -> None:
    """Which is no offset: no loop."""
    text = print_c.body(checked(program(Copies(tuple((movs(A, k), strb(A, Y, k)) for k in range(3))))))
    assert "for" not in text
    assert re.findall(r"a = (\d)", text) == ["0", "1", "2"]
