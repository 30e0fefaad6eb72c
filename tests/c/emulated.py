"""Recorded kernel calls on emulated cores, while a timer interrupt overwrites what lies below the stack pointer."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.c.harness import INCLUDES, archive
from tests.c.record import Recorder
from tests.c.test_dwplane import INTERRUPTS

TARGET = Path(__file__).resolve().parent / "target"
#: (machine, flags)
CORES = {
    "m4": ("mps2-an386", ["-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]),
    "m4-soft": ("mps2-an386", ["-mcpu=cortex-m4"]),
    "m7": ("mps2-an500", ["-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard"]),
}
MAIN = """
#undef main
int main(void)
{
    interrupts();
    const int status = cases_main();
    return ((status == 0) && (ticks < 50U)) ? 99 : status;
}
"""


def with_interrupts(recorder: Recorder, core: str, level: str, folder: Path) -> None:
    """Run every recorded call on `core`; AssertionError naming the first that differs."""
    machine, flags = CORES[core]
    main, elf = folder / "main.c", folder / "a.elf"
    head = f'#include "tg_platform.h"\n#include <string.h>\n#define PERIOD 701\n{INTERRUPTS}\n#define main cases_main\n'
    main.write_text(head + recorder.program() + MAIN, encoding="utf-8")
    options = ["-std=c99", level, "-mthumb", "-ffunction-sections", "-fdata-sections", *flags]
    files = [str(TARGET / "startup.c"), str(main), str(archive(folder, "arm-none-eabi-gcc", options))]
    link = ["-nostartfiles", "-Wl,--gc-sections", "-T", str(TARGET / "link.ld"), "-o", str(elf)]
    subprocess.run(["arm-none-eabi-gcc", *options, *INCLUDES, *files, *link], check=True)
    # 32 ns an instruction: an interrupt every 900 or so
    quiet = ["-icount", "shift=5", "-nographic", "-monitor", "none", "-serial", "none"]
    semihosting = ["-semihosting-config", "enable=on,target=native"]
    command = ["qemu-system-arm", "-M", machine, *quiet, *semihosting, "-kernel", str(elf)]
    status = subprocess.run(command, timeout=60, check=False).returncode
    assert status == 0, f"{recorder.cases[min(status, len(recorder.cases)) - 1][0]}, exit status {status}"


def sanitized(recorder: Recorder, compiler: str, folder: Path) -> None:
    """The same on the host, where every array has its exact size: reading one byte too many is found."""
    main, program = folder / "main.c", folder / "a"
    main.write_text(recorder.program(), encoding="utf-8")
    flags = ["-std=c99", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    kernels = str(archive(folder, compiler, flags))
    subprocess.run([compiler, *flags, *INCLUDES, str(main), kernels, "-o", str(program)], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
