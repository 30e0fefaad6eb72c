"""An architecture, complete but for kernels of its own: RV32IMAC on QEMU's machine `virt`.

docs/ADDING_A_CORE.md walks through it; test_new_architecture.py puts it into a copy of tinygen, as this one folder.
"""

from __future__ import annotations

from pathlib import Path

from tinygen.targets.arch.base import MIB, Architecture, Compiler, Core, Emulator, Machine

# Twins of platform/startup.c.
EXIT_FAULT = 70
EXIT_STACK_OVERFLOW = 71

QEMU = Emulator(
    programs=("qemu-system-riscv32",),
    variable="TINYGEN_QEMU_RISCV",
    install={
        "debian": "apt install qemu-system-misc",
        "fedora": "dnf install qemu-system-riscv",
        "arch": "pacman -S qemu-system-riscv",
        "macos": "brew install qemu",
        "windows": "winget install SoftwareFreedomConservancy.QEMU",
    },
    places={
        "linux": ("opt/xpack-qemu-riscv*/bin",),
        "macos": ("opt/homebrew/bin", "usr/local/bin"),
        "windows": ("Program Files/qemu",),
    },
    options=(
        *("-display", "none", "-monitor", "none", "-serial", "null"),
        *("-chardev", "stdio,id=sh", "-semihosting-config", "enable=on,target=native,chardev=sh"),
    ),
    faults={
        EXIT_FAULT: "the program faulted (bad address or undefined instruction)",
        EXIT_STACK_OVERFLOW: "the stack overflowed",
    },
)

GCC = Compiler(
    programs=("riscv64-unknown-elf-gcc",),
    variable="TINYGEN_RISCV_GCC",
    install={
        "debian": "apt install gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
        **dict.fromkeys(("fedora", "arch", "macos", "windows"), "a bare-metal GCC for RISC-V with picolibc"),
    },
    places={
        "linux": ("opt/riscv/bin",),
        "macos": ("opt/homebrew/bin", "usr/local/bin"),
        "windows": ("SysGCC/risc-v/bin",),
    },
    cflags=("-std=c99", "-O2", "-g", "-Wall", "-ffunction-sections", "-fdata-sections", "--specs=picolibc.specs"),
    ldflags=("-nostartfiles", "--specs=picolibc.specs", "-Wl,--gc-sections", "-lm"),
)

RISCV = Architecture(
    name="riscv",
    title="RISC-V",
    folder=Path(__file__).parent,
    compiler=GCC,
    start_up="startup.c",
    linker_script="link.ld.in",
    sections={
        ".vectors": "code",
        ".text": "code",
        ".rodata": "rodata",
        ".data": "data",
        ".stack": "ram",
        ".bss": "ram",
    },
    decode=None,
)

# All of it is RAM; the start-up code makes the part that stands for flash read-only.
VIRT = Machine(
    QEMU,
    name="virt",
    args=("-bios", "none", "-m", "32M"),
    flash_start=0x8000_0000,
    flash_size=4 * MIB,
    ram_start=0x8040_0000,
    ram_size=16 * MIB,
    vectors_start=0x8000_0000,
)

CORES: tuple[Core, ...] = (
    Core(
        name="rv32imac",
        arch=RISCV,
        # By the ISA's version 2.2 the instructions for control registers need no name of their own.
        cflags=("-march=rv32imac", "-mabi=ilp32", "-mcmodel=medany", "-misa-spec=2.2"),
        kernel_sets=("ref",),
        machine=VIRT,
        no_timing="a RISC-V core's cycles are its maker's choice",
        costs_of="cortex-m3",  # long products, no others: to choose by until its own are measured
    ),
)
