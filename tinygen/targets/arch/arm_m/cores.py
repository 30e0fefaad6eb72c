"""Every Cortex-M that tinygen builds for, its compiler, and the QEMU machine that verifies it."""

from __future__ import annotations

from pathlib import Path

from tinygen.targets.arch.arm_m import thumb, timing
from tinygen.targets.arch.base import KIB, MIB, Architecture, Compiler, Core, Emulator, Machine
from tinygen.targets.arch.timing import Timing

# Twins of platform/startup.c.
EXIT_FAULT = 70
EXIT_STACK_OVERFLOW = 71

TRAP_UNALIGNED: tuple[str, ...] = ("-DTG_TRAP_UNALIGNED", "-mno-unaligned-access")
"""Flags that make every core fault on an unaligned access, as a Cortex-M0 does."""

GCC = Compiler(
    programs=("arm-none-eabi-gcc",),
    variable="TINYGEN_ARM_GCC",
    install={
        "debian": "apt install gcc-arm-none-eabi libnewlib-arm-none-eabi",
        "fedora": "dnf install arm-none-eabi-gcc-cs arm-none-eabi-newlib",
        "arch": "pacman -S arm-none-eabi-gcc arm-none-eabi-newlib",
        "macos": "brew install --cask gcc-arm-embedded",  # the formula arm-none-eabi-gcc has no C library
        "windows": "winget install Arm.GnuArmEmbeddedToolchain",
    },
    places={
        "linux": (
            "opt/arm-gnu-toolchain*/bin",
            "opt/gcc-arm-none-eabi*/bin",  # until 2021
            "opt/xpack-arm-none-eabi-gcc*/bin",
            "~/.local/xPacks/@xpack-dev-tools/arm-none-eabi-gcc/*/.content/bin",
        ),
        "macos": (
            "Applications/ArmGNUToolchain/*/arm-none-eabi/bin",  # by Arm's installer and by Homebrew's cask
            "~/Library/xPacks/@xpack-dev-tools/arm-none-eabi-gcc/*/.content/bin",
            "opt/homebrew/bin",
            "usr/local/bin",
        ),
        "windows": (
            "Program Files (x86)/Arm GNU Toolchain arm-none-eabi/*/bin",
            "Program Files/Arm GNU Toolchain arm-none-eabi/*/bin",
            "Program Files (x86)/GNU Arm Embedded Toolchain/*/bin",  # until 2021
            "~/AppData/Roaming/xPacks/@xpack-dev-tools/arm-none-eabi-gcc/*/.content/bin",
        ),
    },
    cflags=("-std=c99", "-O2", "-g", "-Wall", "-ffunction-sections", "-fdata-sections"),
    ldflags=("-nostartfiles", "--specs=nano.specs", "-Wl,--gc-sections", "-lm"),
)

QEMU = Emulator(
    programs=("qemu-system-arm",),
    variable="TINYGEN_QEMU_ARM",
    install={
        "debian": "apt install qemu-system-arm",
        "fedora": "dnf install qemu-system-arm",
        "arch": "pacman -S qemu-system-arm",
        "macos": "brew install qemu",
        "windows": "winget install SoftwareFreedomConservancy.QEMU",
    },
    places={
        "linux": (
            "opt/xpack-qemu-arm*/bin",
            "~/.local/xPacks/@xpack-dev-tools/qemu-arm/*/.content/bin",
        ),
        "macos": (
            "opt/homebrew/bin",
            "usr/local/bin",
            "~/Library/xPacks/@xpack-dev-tools/qemu-arm/*/.content/bin",
        ),
        "windows": (
            "Program Files/qemu",
            "~/AppData/Roaming/xPacks/@xpack-dev-tools/qemu-arm/*/.content/bin",
        ),
    },
    options=(
        *("-display", "none", "-monitor", "none", "-serial", "null"),
        *("-chardev", "stdio,id=sh", "-semihosting-config", "enable=on,target=native,chardev=sh"),
    ),
    faults={
        EXIT_FAULT: "the program faulted (bad address, unaligned access or undefined instruction)",
        EXIT_STACK_OVERFLOW: "the stack overflowed",
        -6: "the core locked up: a fault inside the fault handler",  # QEMU aborts: SIGABRT
    },
)

ARM_M = Architecture(
    name="arm_m",
    title="Cortex-M",
    folder=Path(__file__).parent,
    compiler=GCC,
    start_up="startup.c",
    linker_script="link.ld.in",
    sections={
        ".vectors": "code", ".text": "code", ".rodata": "rodata", ".init_array": "rodata", ".ARM.exidx": "rodata",
        ".data": "data", ".ramfunc": "data", ".stack": "ram", ".bss": "ram",
    },
    decode=thumb.decode,
)  # fmt: skip

# The nRF51's memories are properties of the emulated chip, so it stands for any Cortex-M0 or M0+.
MICROBIT = Machine(
    QEMU,
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
    return Machine(QEMU, name, (), flash_start, 4 * MIB, ram_start, 4 * MIB, vectors_start=flash_start)


AN385 = _mps2("mps2-an385", 0x0000_0000, 0x2000_0000)
AN386 = _mps2("mps2-an386", 0x0000_0000, 0x2000_0000)
AN500 = _mps2("mps2-an500", 0x0000_0000, 0x2000_0000)
AN505 = _mps2("mps2-an505", 0x1000_0000, 0x3800_0000)
# The vectors stay in the 512 KiB of ITCM, which is too small for large models; code lies in SRAM, data in DDR.
AN547 = Machine(QEMU, "mps3-an547", (), 0x2100_0000, 4 * MIB, 0x6000_0000, 16 * MIB, vectors_start=0x0000_0000)


def _core(
    name: str, fpu: str, kernel_sets: tuple[str, ...], machine: Machine, timed: Timing | str, costs_of: str = "",
    *, cpu: str = "", pace: tuple[float, float, float] | None = None,
) -> Core:  # fmt: skip
    """A row. `fpu` is GCC's -mfpu name, "none", or "auto" where -mcpu already says it; `timed` a model, or why not."""
    float_abi = () if fpu == "none" else ("-mfloat-abi=hard",)
    unit = () if fpu in ("none", "auto") else (f"-mfpu={fpu}",)
    cflags = ("-mthumb", f"-mcpu={cpu or name}", *float_abi, *unit)
    model, why = (timed, "") if isinstance(timed, Timing) else (None, timed)
    return Core(name, ARM_M, cflags, kernel_sets, machine, model, why, costs_of, pace)


CORES: tuple[Core, ...] = (
    _core("cortex-m0", "none", ("m0", "ref"), MICROBIT, timing.M0),
    _core("cortex-m0plus", "none", ("m0", "ref"), MICROBIT, timing.M0PLUS),
    _core("cortex-m3", "none", ("m3", "ref"), AN385, timing.M3),
    _core("cortex-m4", "fpv4-sp-d16", ("dsp", "ref"), AN386, timing.M4),
    _core("cortex-m7", "fpv5-d16", ("dsp", "ref"), AN500, timing.NO_M7, "cortex-m4", pace=timing.PACE_M7),
    _core("cortex-m33", "fpv5-sp-d16", ("dsp", "ref"), AN505, timing.NO_M33, "cortex-m4", pace=timing.PACE_M33),
    _core("cortex-m55", "auto", ("mve", "dsp", "ref"), AN547, timing.NO_M55),
    # GCC 12 does not know the M85; the M55's instructions are a subset of its own.
    _core("cortex-m85", "auto", ("mve", "dsp", "ref"), AN547, timing.NO_M85, "cortex-m55", cpu="cortex-m55"),
)
