"""Cycles of an instruction with memory that never waits, as the cores' manuals give them.

    Cortex-M4   DDI 0439, table 3-1: the timing of ../shared/emu, so both counters can be compared
    Cortex-M3   DDI 0337, table 18-1: as the M4, but MLA and MLS 2, long products 3 to 5 (7 with a sum)
    Cortex-M0   DDI 0432, table 3-1
    Cortex-M0+  DDI 0484, table 3-1

The other cores have no model here. M7, M55 and M85 start two instructions at a time or overlap vector operations, and
Arm publishes no table for them nor for the M33: a sum over instructions would look exact and be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinygen.profile.thumb import Instruction, Kind


@dataclass(frozen=True, slots=True, eq=False)
class Timing:
    """Cycles of a core. A kind that `cycles` does not name takes one; `MULTIPLE` takes one more for each register.

    `pipelined`: a single load takes one cycle less after another load or store. `taken` is added to a branch that is
    taken, by its kind; `taken_load` to a load, or an LDM, into the program counter. `notes` says what is a choice.
    """

    core: str
    cycles: Mapping[Kind, int]
    pipelined: bool
    taken: Mapping[Kind, int]
    taken_load: int
    notes: str


_BRANCHES = (Kind.BRANCH, Kind.BRANCH_LINK, Kind.BRANCH_REGISTER, Kind.BRANCH_TABLE)

#: The pipeline refills in 1 to 3 cycles, by where the target lies; the model takes 2, also for TBB's own load.
_M4_TAKEN = dict.fromkeys(_BRANCHES, 2)
_M4 = {
    Kind.LOAD: 2, Kind.DIVIDE: 7, Kind.FLOAT_DIVIDE: 14, Kind.FLOAT_MLA: 3, Kind.BRANCH_TABLE: 2,
}  # fmt: skip

TIMINGS: Mapping[str, Timing] = {
    t.core: t
    for t in (
        Timing(
            "cortex-m4",
            _M4,
            pipelined=True,
            taken=_M4_TAKEN,
            taken_load=2,
            notes="Branches that are taken count 3 (the manual: 2 to 4), divisions 7 (2 to 12).",
        ),
        Timing(
            "cortex-m3",
            {**_M4, Kind.MLA: 2, Kind.MUL_LONG: 4, Kind.MLA_LONG: 6},
            pipelined=True,
            taken=_M4_TAKEN,
            taken_load=2,
            notes="Branches that are taken count 3 (the manual: 2 to 4), divisions 7 (2 to 12), long products 4 "
            "(3 to 5), with a sum 6 (4 to 7).",
        ),
        Timing(
            "cortex-m0",
            {Kind.LOAD: 2, Kind.STORE: 2},
            pipelined=False,
            taken={Kind.BRANCH: 2, Kind.BRANCH_LINK: 3, Kind.BRANCH_REGISTER: 2},
            taken_load=3,
            notes="MUL takes 1 cycle; a part with the small multiplier takes 32.",
        ),
        Timing(
            "cortex-m0plus",
            {Kind.LOAD: 2, Kind.STORE: 2},
            pipelined=False,
            taken={Kind.BRANCH: 1, Kind.BRANCH_LINK: 2, Kind.BRANCH_REGISTER: 1},
            taken_load=2,
            notes="MUL takes 1 cycle; a part with the small multiplier takes 32.",
        ),
    )
}


def cycles(timing: Timing, i: Instruction) -> int:
    """Cycles of `i` when it is no branch, or one that is not taken, and does not follow a load or store."""
    return 1 + i.loads + i.stores if i.kind is Kind.MULTIPLE else timing.cycles.get(i.kind, 1)


def taken_cycles(timing: Timing, i: Instruction) -> int:
    """Cycles that `i` takes on top when the flow goes elsewhere."""
    if not i.branches:
        return 0
    return timing.taken_load if i.loads else timing.taken[i.kind]
