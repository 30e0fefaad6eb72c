"""Run a bare-metal program in QEMU, with semihosting for its text, files and exit code."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from tinygen.build.process import run
from tinygen.errors import MissingToolError
from tinygen.targets.cores import Machine

# Twins of boards/platform/cortexm/startup.c.
EXIT_FAULT = 70
EXIT_STACK_OVERFLOW = 71


@dataclass(frozen=True, slots=True)
class QemuResult:
    """How a program ended in QEMU: its own exit code, what it printed, and what QEMU said (usually nothing)."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def fault(self) -> str | None:
        """What went wrong in words when the start-up code or QEMU ended the program; None when it ended by itself."""
        return _FAULTS.get(self.exit_code)


_FAULTS = {
    EXIT_FAULT: "the program faulted (bad address, unaligned access or undefined instruction)",
    EXIT_STACK_OVERFLOW: "the stack overflowed",
    -signal.SIGABRT: "the core locked up: a fault inside the fault handler",
}


def find_qemu() -> str:
    """Path of qemu-system-arm; `ToolError` says how to get it."""
    path = shutil.which("qemu-system-arm")
    if path is None:
        raise MissingToolError(
            "qemu-system-arm is not on PATH, so Cortex-M programs cannot be run here. "
            "Install it (Debian: apt install qemu-system-arm); building and the native checks work without it"
        )
    return path


def qemu_command(machine: Machine, elf: Path) -> tuple[str, ...]:
    """The command line that runs `elf` on `machine`; programs print on standard output."""
    return (
        *(find_qemu(), "-M", machine.name, *machine.args),
        *("-display", "none", "-monitor", "none", "-serial", "null"),
        *("-chardev", "stdio,id=sh", "-semihosting-config", "enable=on,target=native,chardev=sh"),
        *("-kernel", str(elf)),
    )


def run_qemu(machine: Machine, elf: Path, cwd: Path, timeout: float = 60.0) -> QemuResult:
    """Run `elf` with `cwd` as the folder of its files; `ToolError` when it does not end in `timeout` seconds."""
    result = run(qemu_command(machine, elf.resolve()), cwd, timeout, doing=f"{elf.name} on {machine.name}")
    return QemuResult(result.exit_code, result.stdout, result.stderr)
