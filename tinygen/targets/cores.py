"""The processor cores tinygen builds for: compiler flags, kernel folders, and the QEMU machine that verifies each.

A `Machine` here has large memories, so that any model can be verified; a board has its own stand-in (board.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from tinygen.errors import TargetError, did_you_mean

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Machine:
    """A QEMU machine and where a program lies in it. Sizes in bytes; the core reads its vectors at `vectors_start`."""

    name: str
    args: tuple[str, ...]
    flash_start: int
    flash_size: int
    ram_start: int
    ram_size: int
    vectors_start: int


@dataclass(frozen=True, slots=True)
class Core:
    """One core. `cflags` choose the machine only (no optimisation); `kernel_sets` is in order of preference.

    `fpu` is GCC's -mfpu name, "none", or "auto" where -mcpu already says it. `machine` is None for the host.
    """

    name: str
    cflags: tuple[str, ...]
    has_dsp: bool
    has_mve: bool
    fpu: str
    kernel_sets: tuple[str, ...]
    machine: Machine | None


# The nRF51's memories are properties of the emulated chip, so it stands for any Cortex-M0 or M0+.
_MICROBIT = Machine(
    name="microbit",
    args=("-global", f"nrf51-soc.sram-size={256 * KIB}", "-global", f"nrf51-soc.flash-size={1 * MIB}"),
    flash_start=0x0000_0000,
    flash_size=1 * MIB,
    ram_start=0x2000_0000,
    ram_size=256 * KIB,
    vectors_start=0x0000_0000,
)


def _mps2(name: str, flash_start: int, ram_start: int) -> Machine:
    """One of Arm's MPS2 boards: 4 MiB of RAM in the place of flash, and 4 MiB of RAM."""
    return Machine(name, (), flash_start, 4 * MIB, ram_start, 4 * MIB, vectors_start=flash_start)


# The vectors stay in the 512 KiB of ITCM, which is too small for large models; code lies in SRAM, data in DDR.
_AN547 = Machine("mps3-an547", (), 0x2100_0000, 4 * MIB, 0x6000_0000, 16 * MIB, vectors_start=0x0000_0000)


def _cflags(cpu: str, fpu: str) -> tuple[str, ...]:
    """GCC's flags that choose the core. The manifests repeat cpu and fpu for PlatformIO; a test compares them."""
    float_abi = () if fpu == "none" else ("-mfloat-abi=hard",)
    unit = () if fpu in ("none", "auto") else (f"-mfpu={fpu}",)
    return ("-mthumb", f"-mcpu={cpu}", *float_abi, *unit)


def _core(
    name: str, fpu: str, kernel_sets: tuple[str, ...], machine: Machine, *, cpu: str = "", dsp: bool, mve: bool = False
) -> Core:
    return Core(name, _cflags(cpu or name, fpu), dsp, mve, fpu, kernel_sets, machine)


_AN500 = _mps2("mps2-an500", 0x0000_0000, 0x2000_0000)
_AN505 = _mps2("mps2-an505", 0x1000_0000, 0x3800_0000)
_AN385 = _mps2("mps2-an385", 0x0000_0000, 0x2000_0000)
_AN386 = _mps2("mps2-an386", 0x0000_0000, 0x2000_0000)

CORES: tuple[Core, ...] = (
    _core("cortex-m0", "none", ("m0", "ref"), _MICROBIT, dsp=False),
    _core("cortex-m0plus", "none", ("m0", "ref"), _MICROBIT, dsp=False),
    _core("cortex-m3", "none", ("m3", "ref"), _AN385, dsp=False),
    _core("cortex-m4", "fpv4-sp-d16", ("dsp", "ref"), _AN386, dsp=True),
    _core("cortex-m7", "fpv5-d16", ("dsp", "ref"), _AN500, dsp=True),
    _core("cortex-m33", "fpv5-sp-d16", ("dsp", "ref"), _AN505, dsp=True),
    _core("cortex-m55", "auto", ("mve", "dsp", "ref"), _AN547, dsp=True, mve=True),
    # GCC 12 does not know the M85; the M55's instructions are a subset of its own.
    _core("cortex-m85", "auto", ("mve", "dsp", "ref"), _AN547, cpu="cortex-m55", dsp=True, mve=True),
    Core("native", (), False, False, "none", ("ref",), None),
)

VERIFY_CORES: tuple[str, ...] = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")
"""One core of each kind that QEMU has."""


def get_core(name: str) -> Core:
    """The core of that name; `TargetError` lists the names there are."""
    for core in CORES:
        if core.name == name:
            return core
    names = [core.name for core in CORES]
    raise TargetError(f'no core "{name}"; tinygen has {", ".join(names)}.{did_you_mean(name, names)}')
