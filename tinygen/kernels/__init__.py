"""Kernels as programs: one list of typed instructions, printed as assembly and as C (docs/KERNELS.md)."""
