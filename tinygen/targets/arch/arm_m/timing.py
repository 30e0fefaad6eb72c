"""Cycles of an instruction with memory that never waits, as the cores' manuals give them.

    Cortex-M4   DDI 0439, table 3-1: the timing of ../shared/emu, so both counters can be compared
    Cortex-M3   DDI 0337, table 18-1: as the M4, but MLA and MLS 2, long products 3 to 5 (7 with a sum)
    Cortex-M0   DDI 0432, table 3-1
    Cortex-M0+  DDI 0484, table 3-1

The other cores have no model here. M7, M55 and M85 start two instructions at a time or overlap vector operations, and
Arm publishes no table for them nor for the M33: a sum over instructions would look exact and be wrong.
"""

from __future__ import annotations

from tinygen.targets.arch.timing import Kind, Timing

_BRANCHES = (Kind.BRANCH, Kind.BRANCH_LINK, Kind.BRANCH_REGISTER, Kind.BRANCH_TABLE)

#: The pipeline refills in 1 to 3 cycles, by where the target lies; the model takes 2, also for TBB's own load.
_M4_TAKEN = dict.fromkeys(_BRANCHES, 2)
_M4 = {
    Kind.LOAD: 2, Kind.DIVIDE: 7, Kind.FLOAT_DIVIDE: 14, Kind.FLOAT_MLA: 3, Kind.BRANCH_TABLE: 2,
}  # fmt: skip

M0 = Timing(
    {Kind.LOAD: 2, Kind.STORE: 2},
    pipelined=False,
    taken={Kind.BRANCH: 2, Kind.BRANCH_LINK: 3, Kind.BRANCH_REGISTER: 2},
    taken_load=3,
    notes="MUL takes 1 cycle; a part with the small multiplier takes 32.",
)
M0PLUS = Timing(
    {Kind.LOAD: 2, Kind.STORE: 2},
    pipelined=False,
    taken={Kind.BRANCH: 1, Kind.BRANCH_LINK: 2, Kind.BRANCH_REGISTER: 1},
    taken_load=2,
    notes="MUL takes 1 cycle; a part with the small multiplier takes 32.",
)
M3 = Timing(
    {**_M4, Kind.MLA: 2, Kind.MUL_LONG: 4, Kind.MLA_LONG: 6},
    pipelined=True,
    taken=_M4_TAKEN,
    taken_load=2,
    notes="Branches that are taken count 3 (the manual: 2 to 4), divisions 7 (2 to 12), long products 4 "
    "(3 to 5), with a sum 6 (4 to 7).",
)
M4 = Timing(
    _M4,
    pipelined=True,
    taken=_M4_TAKEN,
    taken_load=2,
    notes="Branches that are taken count 3 (the manual: 2 to 4), divisions 7 (2 to 12).",
)

#: Cores without a model, and why.
NO_M7 = "a Cortex-M7 starts up to two instructions in a cycle"
NO_M33 = "Arm publishes no instruction timing of the Cortex-M33"
# Cycles as a share of a Cortex-M4's with memory that does not wait, for energies: docs/PROFILE.md says from what.
PACE_M7, PACE_M33 = (0.6, 0.75, 0.9), (0.95, 1.08, 1.25)
NO_M55 = "a Cortex-M55 overlaps vector instructions"
NO_M85 = "a Cortex-M85 overlaps vector instructions and starts up to two in a cycle"
