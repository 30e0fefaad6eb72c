"""What a Thumb instruction is, as far as its time and its memory accesses go: ARMv6-M to ARMv8.1-M.

Nothing is disassembled: an instruction is sorted into the few kinds whose timing the cores' manuals tell apart.
"""

from __future__ import annotations

from tinygen.targets.arch.timing import Instruction, Kind

_OTHER16 = Instruction(2, Kind.OTHER)
_OTHER32 = Instruction(4, Kind.OTHER)


def is_wide(first: int) -> bool:
    """Whether a halfword begins an instruction of four bytes."""
    return first >= 0xE800


def decode(first: int, second: int) -> Instruction:
    """The instruction whose first halfword is `first`; `second` is looked at only when it has four bytes."""
    return _wide(first, second) if is_wide(first) else _narrow(first)


def _transfer(size: int, load: bool, *, to_pc: bool = False) -> Instruction:
    """A load or store of one register."""
    kind = Kind.LOAD if load else Kind.STORE
    return Instruction(size, kind, int(load), int(not load), branches=to_pc)


def _transfers(size: int, load: bool, count: int, *, to_pc: bool = False) -> Instruction:
    """A load or store of `count` registers."""
    return Instruction(size, Kind.MULTIPLE, count if load else 0, 0 if load else count, branches=to_pc)


def _narrow(h: int) -> Instruction:
    top = h >> 12
    if top == 0x4:
        if h & 0xFFC0 == 0x4340:
            return Instruction(2, Kind.MUL)
        if h & 0xFF00 == 0x4700:
            return Instruction(2, Kind.BRANCH_REGISTER, branches=True)
        if h & 0xFD87 == 0x4487:  # ADD or MOV with the program counter as its destination
            return Instruction(2, Kind.BRANCH, branches=True)
        return _transfer(2, load=True) if h & 0x0800 else _OTHER16
    if top == 0x5:  # register offset: three stores, then LDRSB and the loads
        return _transfer(2, load=(h >> 9) & 7 >= 3)
    if top in (0x6, 0x7, 0x8, 0x9):
        return _transfer(2, load=bool(h & 0x0800))
    if h & 0xF600 == 0xB400:  # PUSH, POP; bit 8 adds LR or PC
        load = bool(h & 0x0800)
        return _transfers(2, load, (h & 0x1FF).bit_count(), to_pc=load and bool(h & 0x100))
    if h & 0xF500 == 0xB100:  # CBZ, CBNZ
        return Instruction(2, Kind.BRANCH, branches=True)
    if top == 0xC:
        return _transfers(2, bool(h & 0x0800), (h & 0xFF).bit_count())
    if (top == 0xD and h & 0x0E00 != 0x0E00) or top == 0xE:  # but not UDF and SVC
        return Instruction(2, Kind.BRANCH, branches=True)
    return _OTHER16


def _wide(a: int, b: int) -> Instruction:
    group = (a >> 9) & 0xF  # bits that follow 111
    if group == 0b0100:
        return _multiple_or_dual(a, b)
    if group in (0b0110, 0b0111, 0b1110, 0b1111):
        return _coprocessor(a, b)
    if a & 0xF800 == 0xF000:
        return _branch(a, b) if b & 0x8000 else _OTHER32
    if a & 0xFE00 == 0xF800:
        return _single(a, b)
    if a & 0xFF00 == 0xFB00:
        return _multiply(a, b)
    return _OTHER32


def _multiple_or_dual(a: int, b: int) -> Instruction:
    load = bool(a & 0x10)
    if not a & 0x40:
        to_pc = load and bool(b & 0x8000)
        # CLRM of ARMv8.1-M has the place of an LDM from the program counter.
        return _OTHER32 if a == 0xE89F else _transfers(4, load, b.bit_count(), to_pc=to_pc)
    if a & 0xFFF0 == 0xE8D0 and b & 0xFFE0 == 0xF000:
        return Instruction(4, Kind.BRANCH_TABLE, branches=True)
    if a & 0xFF20 == 0xE800:  # exclusive, acquire, release
        return _transfer(4, load)
    return _transfers(4, load, 2)


def _branch(a: int, b: int) -> Instruction:
    if b & 0xD000 == 0xD000:
        return Instruction(4, Kind.BRANCH_LINK, branches=True)
    if b & 0xD000 == 0x9000:
        return Instruction(4, Kind.BRANCH, branches=True)
    if b & 0xD000 == 0x8000:  # conditional, or MSR, MRS, hints and barriers
        return _OTHER32 if a & 0x0380 == 0x0380 else Instruction(4, Kind.BRANCH, branches=True)
    if b & 0xF001 == 0xC001:  # WLS, LE: loops of ARMv8.1-M
        return Instruction(4, Kind.BRANCH, branches=True)
    return _OTHER32


def _single(a: int, b: int) -> Instruction:
    load, size, target = bool(a & 0x10), (a >> 5) & 3, b >> 12
    if load and target == 15:
        return _transfer(4, load, to_pc=True) if size == 2 else _OTHER32  # the others are PLD and PLI
    return _OTHER32 if size == 3 else _transfer(4, load)


_LONG = {0: Kind.MUL_LONG, 1: Kind.DIVIDE, 2: Kind.MUL_LONG, 3: Kind.DIVIDE}


def _multiply(a: int, b: int) -> Instruction:
    op, plain = (a >> 4) & 7, not b & 0x00F0
    if a & 0x80:  # SMULL SDIV UMULL UDIV, SMLAL, SMLSLD, UMLAL
        if op in _LONG:
            return Instruction(4, _LONG[op])
        return Instruction(4, Kind.MLA_LONG if plain else Kind.MUL_DSP)
    if op == 0:
        return Instruction(4, Kind.MUL if b & 0xF000 == 0xF000 else Kind.MLA)
    return Instruction(4, Kind.MUL_DSP)


def _coprocessor(a: int, b: int) -> Instruction:
    """Floating point, and MVE where its loads and stores matter."""
    unit = (b >> 8) & 0xF
    if a & 0x0E00 == 0x0C00:
        load, single = bool(a & 0x10), unit == 0xA
        if not a & 0x01A0 or not unit & 8:
            return _OTHER32  # moves of two core registers; VCMLA
        if unit & 0xE == 0xE:
            return _transfer(4, load)  # MVE: a vector counts as a register
        if a & 0x0120 == 0x0100:  # VLDR, VSTR
            return _transfer(4, load) if single else _transfers(4, load, 2)
        return _transfers(4, load, b & (0xFF if single else 0xFE))
    if unit in (0xA, 0xB) and not b & 0x10 and a & 0x1F00 == 0x0E00:  # VFP data processing
        op = (a >> 4) & 0xB
        if op == 0b1000 or (op == 0b1011 and a & 0xF == 1 and b & 0xC0 == 0xC0):
            return Instruction(4, Kind.FLOAT_DIVIDE)
        if op in (0b0000, 0b0001, 0b1001, 0b1010):
            return Instruction(4, Kind.FLOAT_MLA)
    return _OTHER32
