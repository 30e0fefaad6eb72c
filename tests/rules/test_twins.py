"""Kernels that differ in a type only are held together: who mends one of them must mend its twin."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

KERNELS = Path(__file__).resolve().parents[2] / "templates_c" / "kernels"

#: What the int16 form of a kernel says otherwise because of its type.
TYPES = {
    "_s16": "_s8", "_S16": "_S8", "int16_t": "int8_t", "tg_runs16_t": "tg_runs_t", "tg_broadcast_s8": "tg_broadcast",
    " * sizeof *y": "", "(int8_t *)scratch": "scratch", "-32768": "-128",
}  # fmt: skip
#: Alike but for that.
SAME = (
    "add", "add_bc", "argmax", "copy", "gather", "gru", "max", "max_bc", "maxpool", "min", "min_bc", "reduce_max",
    "reduce_min", "resize_nearest", "rnn",
)  # fmt: skip
#: Why another pair is no twin.
OTHER = {
    "zero points, which int16 has none of": "div div_bc insert mul mul_bc norm prelu",
    "sums of 64 bits": "avgpool conv dense dwconv matmul reduce_l2 reduce_sum attention",
    "tables of another form": "lstm lut log_softmax log_sum_exp softmax",
    "memset fills bytes": "fill",
}
#: Cortex-M0 has no product of 64 bits: what its kernels say otherwise, and those that are no twins.
NARROW = {"_m0": "_m3", "_M0": "_M3", "tg_plane_out_narrow": "tg_plane_out_wide"}
OWN = ("conv",)


def text(path: Path, words: dict[str, str]) -> str:
    """Without comments, spacing, and what `words` renames."""
    found = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="ascii"), flags=re.S)
    for word, other in words.items():
        found = found.replace(word, other)
    return re.sub(r"\s+", " ", found).replace("( ", "(")


def stems(folder: str, end: str, other: str) -> set[str]:
    """Of the kernels that there are both of."""
    paths = (KERNELS / folder).glob(f"*{end}.c")
    found = {p.name.removesuffix(f"{end}.c").removeprefix("tg_") for p in paths}
    return {s for s in found if list(KERNELS.glob(f"*/tg_{s}{other}.c"))}


def test_all_pairs_are_known() -> None:
    others = {name for names in OTHER.values() for name in names.split()}
    assert stems("ref", "_s16", "_s8") == others | set(SAME)
    assert not others & set(SAME)
    assert set(OWN) < stems("m0", "_s8_m0", "_s8_m3")


@pytest.mark.parametrize("stem", SAME)
def test_int16_is_int8_in_another_type(stem: str) -> None:
    ref = KERNELS / "ref"
    assert text(ref / f"tg_{stem}_s16.c", TYPES) == text(ref / f"tg_{stem}_s8.c", TYPES)


@pytest.mark.parametrize("stem", sorted(stems("m0", "_s8_m0", "_s8_m3") - set(OWN)))
def test_cortex_m0_and_m3_are_alike(stem: str) -> None:
    m0, m3 = KERNELS / "m0" / f"tg_{stem}_s8_m0.c", KERNELS / "m3" / f"tg_{stem}_s8_m3.c"
    assert text(m0, NARROW) == text(m3, NARROW)
