"""Run a program where its core is: on this computer, or in an emulator."""

from __future__ import annotations

from pathlib import Path

from tinygen.build.process import RunResult
from tinygen.build.qemu import QemuResult, run_qemu
from tinygen.build.toolchain import run_native
from tinygen.errors import VerifyError
from tinygen.targets.arch.base import Core


def run_program(core: Core, elf: Path, cwd: Path, timeout: float) -> str:
    """What a program built for `core` prints, with `cwd` as the folder of its files.

    `VerifyError` says how it ended when that is not well, `ToolError` when it does not end in `timeout` seconds.
    """
    ran: RunResult | QemuResult
    if core.machine is None:
        ran, fault = run_native(elf, (), cwd, timeout), None
    else:
        ran = run_qemu(core.machine, elf, cwd, timeout)
        fault = ran.fault
    if ran.exit_code != 0:
        said = "\n".join((ran.stdout + ran.stderr).splitlines()[:12])
        why = f", {fault}" if fault else ""
        raise VerifyError(f"{core.name}: the program ended with code {ran.exit_code}{why}\n{said}")
    return ran.stdout
