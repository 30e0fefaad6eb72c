"""Arm's microcontroller cores: Cortex-M, ARMv6-M to ARMv8.1-M."""

from tinygen.targets.arch.arm_m.cores import CORES, TRAP_UNALIGNED

__all__ = ["CORES", "TRAP_UNALIGNED"]
