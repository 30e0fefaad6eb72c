"""Run a bare-metal program in QEMU, with semihosting for its text, files and exit code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinygen.build import discover
from tinygen.build.process import run
from tinygen.errors import MissingToolError
from tinygen.targets.arch.base import Emulator, Machine


@dataclass(frozen=True, slots=True)
class QemuResult:
    """How a program ended in QEMU: its own exit code, what it printed, and what QEMU said (usually nothing).

    `fault` is what went wrong in words when the start-up code or QEMU ended the program; None when it ended by itself.
    """

    exit_code: int
    stdout: str
    stderr: str
    fault: str | None


def find_emulator(emulator: Emulator) -> tuple[str, ...]:
    """The command that starts it; `ToolError` says how to get it."""
    command = discover.find(emulator)
    if command is None:
        raise MissingToolError(
            f"{discover.missing(emulator)}, so nothing can be run on an emulated core. {discover.advice(emulator)}; "
            "building and the native checks work without it"
        )
    return command


def qemu_command(machine: Machine, elf: Path) -> tuple[str, ...]:
    """The command line that runs `elf` on `machine`; programs print on standard output."""
    return (*find_emulator(machine.emulator), *machine.command[1:], str(elf))


def run_qemu(machine: Machine, elf: Path, cwd: Path, timeout: float = 60.0) -> QemuResult:
    """Run `elf` with `cwd` as the folder of its files; `ToolError` when it does not end in `timeout` seconds."""
    result = run(qemu_command(machine, elf.resolve()), cwd, timeout, doing=f"{elf.name} on {machine.name}")
    fault = machine.emulator.faults.get(result.exit_code)
    return QemuResult(result.exit_code, result.stdout, result.stderr, fault)
