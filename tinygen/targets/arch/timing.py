"""Kinds of instructions and their cycles: what a count of a run needs to know of an instruction set, and of a core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Classes of instructions that some core times differently."""

    OTHER = "one cycle, whatever it does"
    LOAD = "one register from memory"
    STORE = "one register to memory"
    MULTIPLE = "several registers from or to memory: LDM, STM, PUSH, POP, LDRD, STRD, VLDM, VSTM"
    MUL = "32 bits of a product"
    MLA = "32 bits of a product, added to or taken from a register"
    MUL_LONG = "64 bits of a product"
    MLA_LONG = "64 bits of a product, added to two registers"
    MUL_DSP = "products of halfwords and upper words, with or without a sum"
    DIVIDE = "SDIV, UDIV"
    FLOAT_DIVIDE = "VDIV, VSQRT"
    FLOAT_MLA = "VMLA, VFMA and their relatives"
    BRANCH = "B, CBZ, and moves to the program counter"
    BRANCH_LINK = "BL"
    BRANCH_REGISTER = "BX, BLX"
    BRANCH_TABLE = "TBB, TBH"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its bytes, its kind, the registers it loads and stores, and whether it can change the flow."""

    size: int
    kind: Kind
    loads: int = 0
    stores: int = 0
    branches: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Timing:
    """Cycles of a core. A kind that `cycles` does not name takes one; `MULTIPLE` takes one more for each register.

    `pipelined`: a single load takes one cycle less after another load or store. `taken` is added to a branch that is
    taken, by its kind; `taken_load` to a load, or an LDM, into the program counter. `notes` says what is a choice.
    """

    cycles: Mapping[Kind, int]
    pipelined: bool
    taken: Mapping[Kind, int]
    taken_load: int
    notes: str


def cycles(timing: Timing, i: Instruction) -> int:
    """Cycles of `i` when it is no branch, or one that is not taken, and does not follow a load or store."""
    return 1 + i.loads + i.stores if i.kind is Kind.MULTIPLE else timing.cycles.get(i.kind, 1)


def taken_cycles(timing: Timing, i: Instruction) -> int:
    """Cycles that `i` takes on top when the flow goes elsewhere."""
    if not i.branches:
        return 0
    return timing.taken_load if i.loads else timing.taken[i.kind]
