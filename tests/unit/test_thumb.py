"""Instructions as GCC's assembler encodes them, and what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tinygen.build.elf import read_image
from tinygen.build.process import run
from tinygen.targets.arch.arm_m.thumb import decode
from tinygen.targets.arch.timing import Instruction, Kind

#: Assembly, kind, registers loaded and stored, and whether it can change the flow.
NARROW = [
    ("adds r0, r1, r2", Kind.OTHER, 0, 0, False),
    ("movs r0, #7", Kind.OTHER, 0, 0, False),
    ("mov r0, r8", Kind.OTHER, 0, 0, False),
    ("add r8, r0", Kind.OTHER, 0, 0, False),
    ("mov pc, r0", Kind.BRANCH, 0, 0, True),
    ("add pc, r0", Kind.BRANCH, 0, 0, True),
    ("cmp r8, r0", Kind.OTHER, 0, 0, False),
    ("muls r0, r1, r0", Kind.MUL, 0, 0, False),
    ("mvns r0, r1", Kind.OTHER, 0, 0, False),
    ("bx lr", Kind.BRANCH_REGISTER, 0, 0, True),
    ("blx r3", Kind.BRANCH_REGISTER, 0, 0, True),
    ("ldr r0, [pc, #8]", Kind.LOAD, 1, 0, False),
    ("str r0, [r1, r2]", Kind.STORE, 0, 1, False),
    ("strh r0, [r1, r2]", Kind.STORE, 0, 1, False),
    ("strb r0, [r1, r2]", Kind.STORE, 0, 1, False),
    ("ldrsb r0, [r1, r2]", Kind.LOAD, 1, 0, False),
    ("ldr r0, [r1, r2]", Kind.LOAD, 1, 0, False),
    ("ldrh r0, [r1, r2]", Kind.LOAD, 1, 0, False),
    ("ldrb r0, [r1, r2]", Kind.LOAD, 1, 0, False),
    ("ldrsh r0, [r1, r2]", Kind.LOAD, 1, 0, False),
    ("str r0, [r1, #4]", Kind.STORE, 0, 1, False),
    ("ldr r0, [r1, #4]", Kind.LOAD, 1, 0, False),
    ("strb r0, [r1, #4]", Kind.STORE, 0, 1, False),
    ("ldrb r0, [r1, #4]", Kind.LOAD, 1, 0, False),
    ("strh r0, [r1, #4]", Kind.STORE, 0, 1, False),
    ("ldrh r0, [r1, #4]", Kind.LOAD, 1, 0, False),
    ("str r0, [sp, #4]", Kind.STORE, 0, 1, False),
    ("ldr r0, [sp, #4]", Kind.LOAD, 1, 0, False),
    ("add r0, sp, #4", Kind.OTHER, 0, 0, False),
    ("sub sp, #8", Kind.OTHER, 0, 0, False),
    ("push {r4, r5, lr}", Kind.MULTIPLE, 0, 3, False),
    ("push {r4}", Kind.MULTIPLE, 0, 1, False),
    ("pop {r4, r5, r6}", Kind.MULTIPLE, 3, 0, False),
    ("pop {r4, pc}", Kind.MULTIPLE, 2, 0, True),
    ("sxtb r0, r1", Kind.OTHER, 0, 0, False),
    ("rev r0, r1", Kind.OTHER, 0, 0, False),
    ("nop", Kind.OTHER, 0, 0, False),
    ("cpsid i", Kind.OTHER, 0, 0, False),
    ("bkpt 0xab", Kind.OTHER, 0, 0, False),
    ("stmia r0!, {r1, r2}", Kind.MULTIPLE, 0, 2, False),
    ("ldmia r0!, {r1, r2, r3}", Kind.MULTIPLE, 3, 0, False),
    ("beq .", Kind.BRANCH, 0, 0, True),
    ("b .", Kind.BRANCH, 0, 0, True),
    ("svc 0", Kind.OTHER, 0, 0, False),
    ("udf #0", Kind.OTHER, 0, 0, False),
]
WIDE = [
    ("cbz r0, .+6", Kind.BRANCH, 0, 0, True),
    ("cbnz r0, .+6", Kind.BRANCH, 0, 0, True),
    ("bl .", Kind.BRANCH_LINK, 0, 0, True),
    ("b.w .", Kind.BRANCH, 0, 0, True),
    ("bne.w .", Kind.BRANCH, 0, 0, True),
    ("tbb [r0, r1]", Kind.BRANCH_TABLE, 0, 0, True),
    ("tbh [r0, r1, lsl #1]", Kind.BRANCH_TABLE, 0, 0, True),
    ("mrs r0, ipsr", Kind.OTHER, 0, 0, False),
    ("msr primask, r0", Kind.OTHER, 0, 0, False),
    ("dmb", Kind.OTHER, 0, 0, False),
    ("add.w r0, r1, r2, lsl #3", Kind.OTHER, 0, 0, False),
    ("add.w r0, r1, #0x1000", Kind.OTHER, 0, 0, False),
    ("movw r0, #0x1234", Kind.OTHER, 0, 0, False),
    ("movt r0, #0x1234", Kind.OTHER, 0, 0, False),
    ("ubfx r0, r1, #3, #5", Kind.OTHER, 0, 0, False),
    ("ssat r0, #8, r1, asr #3", Kind.OTHER, 0, 0, False),
    ("ldr.w r0, [r1, #100]", Kind.LOAD, 1, 0, False),
    ("ldr r0, [r1], #4", Kind.LOAD, 1, 0, False),
    ("ldr r0, [r1, #-4]!", Kind.LOAD, 1, 0, False),
    ("ldr.w r0, [r1, r2, lsl #2]", Kind.LOAD, 1, 0, False),
    ("ldr.w pc, [r1, #4]", Kind.LOAD, 1, 0, True),
    ("ldrsb.w r0, [r1, #4]", Kind.LOAD, 1, 0, False),
    ("ldrsh r0, [r1], #2", Kind.LOAD, 1, 0, False),
    ("ldrb r0, [r1], #1", Kind.LOAD, 1, 0, False),
    ("pld [r1]", Kind.OTHER, 0, 0, False),
    ("str r0, [r1], #4", Kind.STORE, 0, 1, False),
    ("strb r0, [r1], #1", Kind.STORE, 0, 1, False),
    ("strh.w r0, [r1, r2, lsl #1]", Kind.STORE, 0, 1, False),
    ("ldrd r0, r1, [r2]", Kind.MULTIPLE, 2, 0, False),
    ("ldrd r0, r1, [r2], #8", Kind.MULTIPLE, 2, 0, False),
    ("strd r0, r1, [r2, #8]!", Kind.MULTIPLE, 0, 2, False),
    ("ldrex r0, [r1]", Kind.LOAD, 1, 0, False),
    ("ldmia.w r0!, {r1, r2, r8}", Kind.MULTIPLE, 3, 0, False),
    ("ldmdb r0, {r1, r2}", Kind.MULTIPLE, 2, 0, False),
    ("stmdb sp!, {r4-r11, lr}", Kind.MULTIPLE, 0, 9, False),
    ("ldmia.w sp!, {r4-r11, pc}", Kind.MULTIPLE, 9, 0, True),
    ("mul r0, r1, r2", Kind.MUL, 0, 0, False),
    ("mla r0, r1, r2, r3", Kind.MLA, 0, 0, False),
    ("mls r0, r1, r2, r3", Kind.MLA, 0, 0, False),
    ("smull r0, r1, r2, r3", Kind.MUL_LONG, 0, 0, False),
    ("umull r0, r1, r2, r3", Kind.MUL_LONG, 0, 0, False),
    ("smlal r0, r1, r2, r3", Kind.MLA_LONG, 0, 0, False),
    ("umlal r0, r1, r2, r3", Kind.MLA_LONG, 0, 0, False),
    ("sdiv r0, r1, r2", Kind.DIVIDE, 0, 0, False),
    ("udiv r0, r1, r2", Kind.DIVIDE, 0, 0, False),
    ("smlad r0, r1, r2, r3", Kind.MUL_DSP, 0, 0, False),
    ("smlabb r0, r1, r2, r3", Kind.MUL_DSP, 0, 0, False),
    ("smmulr r0, r1, r2", Kind.MUL_DSP, 0, 0, False),
    ("smlald r0, r1, r2, r3", Kind.MUL_DSP, 0, 0, False),
    ("sxtb16 r0, r1, ror #8", Kind.OTHER, 0, 0, False),
    ("pkhbt r0, r1, r2, lsl #16", Kind.OTHER, 0, 0, False),
    ("usad8 r0, r1, r2", Kind.MUL_DSP, 0, 0, False),
    ("vldr s0, [r0]", Kind.LOAD, 1, 0, False),
    ("vldr d0, [r0]", Kind.MULTIPLE, 2, 0, False),
    ("vstr s0, [r0, #4]", Kind.STORE, 0, 1, False),
    ("vpush {s16-s19}", Kind.MULTIPLE, 0, 4, False),
    ("vpop {d8-d9}", Kind.MULTIPLE, 4, 0, False),
    ("vldmia r0!, {s0-s7}", Kind.MULTIPLE, 8, 0, False),
    ("vmov r0, s0", Kind.OTHER, 0, 0, False),
    ("vmov r0, r1, d0", Kind.OTHER, 0, 0, False),
    ("vadd.f32 s0, s1, s2", Kind.OTHER, 0, 0, False),
    ("vmul.f32 s0, s1, s2", Kind.OTHER, 0, 0, False),
    ("vmla.f32 s0, s1, s2", Kind.FLOAT_MLA, 0, 0, False),
    ("vfma.f32 s0, s1, s2", Kind.FLOAT_MLA, 0, 0, False),
    ("vfnms.f32 s0, s1, s2", Kind.FLOAT_MLA, 0, 0, False),
    ("vdiv.f32 s0, s1, s2", Kind.FLOAT_DIVIDE, 0, 0, False),
    ("vsqrt.f32 s0, s1", Kind.FLOAT_DIVIDE, 0, 0, False),
    ("vcvt.s32.f32 s0, s1", Kind.OTHER, 0, 0, False),
    ("vneg.f32 s0, s1", Kind.OTHER, 0, 0, False),
    ("vmrs apsr_nzcv, fpscr", Kind.OTHER, 0, 0, False),
]
HELIUM = [
    ("vldrb.u8 q0, [r0]", Kind.LOAD, 1, 0, False),
    ("vldrb.s16 q0, [r0], #8", Kind.LOAD, 1, 0, False),
    ("vldrw.u32 q0, [r0, #16]", Kind.LOAD, 1, 0, False),
    ("vldrb.u8 q0, [r0, q1]", Kind.LOAD, 1, 0, False),
    ("vld20.8 {q0, q1}, [r0]", Kind.LOAD, 1, 0, False),
    ("vstrb.8 q0, [r0], #16", Kind.STORE, 0, 1, False),
    ("vstrb.16 q0, [r0]", Kind.STORE, 0, 1, False),
    ("vmladava.s8 r0, q0, q1", Kind.OTHER, 0, 0, False),
    ("vadd.i32 q0, q1, q2", Kind.OTHER, 0, 0, False),
    ("vmov q0[2], q0[0], r0, r1", Kind.OTHER, 0, 0, False),
    ("vctp.8 r0", Kind.OTHER, 0, 0, False),
    ("wls lr, r0, .+8", Kind.BRANCH, 0, 0, True),
    ("le lr, .", Kind.BRANCH, 0, 0, True),
    ("csel r0, r1, r2, eq", Kind.OTHER, 0, 0, False),
    ("clrm {r0, r1}", Kind.OTHER, 0, 0, False),
]
SETS = [
    (".cpu cortex-m0", NARROW),
    (".cpu cortex-m4\n.fpu fpv5-d16", WIDE),
    (".arch armv8.1-m.main\n.arch_extension mve.fp", HELIUM),
]


@pytest.mark.parametrize(("target", "rows"), SETS, ids=["narrow", "wide", "helium"])
def test_decode(
    target: str, rows: list[tuple[str, Kind, int, int, bool]], tmp_path: Path, require_tool: Callable[[str], None]
) -> None:
    require_tool("arm-none-eabi-as")
    lines = [".syntax unified", target, ".thumb", '.section .text, "ax"', *(r[0] for r in rows)]
    (tmp_path / "a.s").write_text("\n".join([*lines, ".hword 0", ""]))
    done = run(("arm-none-eabi-as", "-o", "a.o", "a.s"), tmp_path, 60.0)
    assert done.exit_code == 0, done.stderr
    ((_, code),) = read_image(tmp_path / "a.o").code
    at = 0
    for text, kind, loads, stores, branches in rows:
        first, second = (int.from_bytes(code[at + k : at + k + 2], "little") for k in (0, 2))
        found = decode(first, second)
        assert found == Instruction(found.size, kind, loads, stores, branches), text
        at += found.size
    assert at == len(code) - 2, "an instruction's size is wrong"
