"""That the sweep's machines do trap unaligned accesses: without this, a sweep without faults would prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sweep.programs import HERE, TARGETS, TIMEOUT_S, Target, build_plugin
from tinygen.build.process import run
from tinygen.build.qemu import qemu_command
from tinygen.build.toolchain import compile_program, find_toolchain
from tinygen.targets.arch.arm_m.cores import EXIT_FAULT, TRAP_UNALIGNED

#: Twin of alignment.c.
EXIT_VECTOR = 86
ALIGNED, VECTOR_OF_BYTES = 0, 14
#: What a core from Armv7-M on may do unaligned, unless it is told to trap it.
SINGLE = {1: "ldr", 2: "ldrh", 3: "str"}
#: What always faults.
ALWAYS = {4: "ldm", 5: "stm", 6: "ldrd", 7: "strd", 8: "vldr", 9: "vldm", 10: "vstm"}
#: What always faults on a core, but not in the emulator: the plug-in's work.
VECTORS = {11: "vldrw", 12: "vldrh", 13: "vstrw"}


def has_helium(target: Target) -> bool:
    """By its core's kernels, not by those that this target runs."""
    return "mve" in target.core.kernel_sets


def expected(target: Target, op: int) -> int:
    has_fpu = "-mfloat-abi=hard" in target.core.cflags
    v6 = target.core.name.startswith("cortex-m0")
    there = op <= 5 or (op <= 7 and not v6) or (op <= 10 and has_fpu) or has_helium(target)
    if not there:
        return 5
    if op in VECTORS:
        return EXIT_VECTOR
    return EXIT_FAULT if op in ALWAYS or (op in SINGLE and target.trapped) else 0


@pytest.mark.parametrize("target", [t for t in TARGETS if t.vectors or not has_helium(t)], ids=lambda t: t.name)
def test_trapped(target: Target, require_tool: Callable[[str], None], tmp_path: Path) -> None:
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    flags = TRAP_UNALIGNED if target.trapped else ()
    program = compile_program(
        find_toolchain(target.core), target.core, [HERE / "unaligned.c"], [], tmp_path / "a.elf", extra_flags=flags
    )
    assert target.core.machine is not None
    command = qemu_command(target.core.machine, program.elf)
    if target.vectors:
        command = (*command, "-plugin", str(build_plugin(tmp_path)))
    for op in (ALIGNED, *SINGLE, *ALWAYS, *VECTORS, VECTOR_OF_BYTES):
        (tmp_path / "op.bin").write_bytes(bytes([op]))
        assert run(command, tmp_path, TIMEOUT_S).exit_code == expected(target, op), op
