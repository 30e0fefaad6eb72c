"""Run PlatformIO: `pio run` and `pio test` on generated projects, which need no registry (boards/platform/platform.py).

It runs with a core folder of ours, so that the user's ~/.platformio stays untouched.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinygen.build import discover
from tinygen.build.process import run, with_temporary
from tinygen.errors import MissingToolError, ToolError
from tinygen.files import cache_dir, work_folder
from tinygen.targets.cores import CORES

TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class EnvBuild:
    """One environment of `pio run`; `ram_bytes` and `flash_bytes` as PlatformIO counts them, None for native ones."""

    env: str
    ok: bool
    ram_bytes: int | None
    flash_bytes: int | None
    output: str


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One line of a test program: `status` is PlatformIO's word, PASSED, FAILED, ERRORED or SKIPPED."""

    env: str
    name: str
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class PioTest:
    """A run of `pio test`. `ok` also means that at least one case ran in every environment."""

    ok: bool
    cases: tuple[CaseResult, ...]
    output: str


def pio_run(project_dir: Path, envs: Sequence[str], timeout: float = TIMEOUT_S) -> tuple[EnvBuild, ...]:
    """Build the environments one after the other; a failed build is a result, a missing tool a `ToolError`."""
    return tuple(_build(project_dir, env, timeout) for env in envs)


def pio_upload(project_dir: Path, env: str, timeout: float = TIMEOUT_S) -> None:
    """Build an environment and upload it to the board; `ToolError` with PlatformIO's last words when that fails."""
    exit_code, output = _pio(
        ["run", "-d", str(project_dir.absolute()), "-e", env, "-t", "upload"], project_dir, timeout
    )
    if exit_code != 0:
        raise ToolError(
            f"PlatformIO could not build and upload the program (exit code {exit_code}). It needs its registry for "
            f"the framework, and the board attached:\n{_tail(output)}"
        )


def pio_test(project_dir: Path, envs: Sequence[str], timeout: float = TIMEOUT_S) -> PioTest:
    """Build and run the tests in the environments, by default in all that have tests.

    A failed test is a result, a missing tool a `ToolError`.
    """
    with work_folder() as folder:
        report = folder / "report.json"
        arguments = ["test", "-d", str(project_dir.absolute()), "--json-output-path", str(report), *_env_options(envs)]
        exit_code, output = _pio(arguments, project_dir, timeout)
        if not report.is_file():
            raise ToolError(f"pio test gave no report (exit code {exit_code}):\n{_tail(output)}")
        suites = json.loads(report.read_text(encoding="utf-8"))["test_suites"]
    cases = tuple(
        CaseResult(suite["env_name"], case["name"], case["status"], case.get("message") or "")
        for suite in suites
        for case in suite.get("test_cases", [])
    )
    ran = {case.env for case in cases if case.status == "PASSED"}
    wanted = set(envs) or {suite["env_name"] for suite in suites if suite["status"] != "SKIPPED"}
    return PioTest(exit_code == 0 and bool(ran) and ran == wanted, cases, output)


def core_dir() -> Path:
    """PlatformIO's core folder of ours: the folder `platformio` of the cache.

    `ToolError` when PlatformIO or SCons is not installed beside tinygen.
    """
    for module, package in (("platformio", "platformio"), ("SCons", "scons")):
        if importlib.util.find_spec(module) is None:
            raise MissingToolError(
                f"{package} is not installed for {sys.executable}, so projects cannot be built with PlatformIO. "
                f"Install it: pip install {package}; `tinygen build` works without it"
            )
    return cache_dir() / "platformio"


def _environment(temporary: Path) -> Mapping[str, str]:
    pairs = [(core.arch.compiler, core.machine.emulator) for core in CORES if core.machine is not None]
    tools = dict.fromkeys(tool for pair in pairs for tool in pair)
    return with_temporary(temporary, discover.environment(*tools)) | {
        "PLATFORMIO_CORE_DIR": str(core_dir()),
        "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
        "PLATFORMIO_SETTING_CHECK_PLATFORMIO_INTERVAL": "9999",
        "PLATFORMIO_SETTING_CHECK_PRUNE_SYSTEM_THRESHOLD": "0",
        "PLATFORMIO_NO_ANSI": "true",
        "PLATFORMIO_DISABLE_PROGRESSBAR": "true",
    }


def _pio(arguments: Sequence[str], project_dir: Path, timeout: float) -> tuple[int, str]:
    """Exit code and all output of a `pio` command."""
    if not os.access(project_dir, os.W_OK):
        raise ToolError(f"no permission to write in {project_dir}, where PlatformIO builds. Copy the folder elsewhere")
    command = (sys.executable, "-m", "platformio", *arguments)
    doing = f"PlatformIO, pio {arguments[0]}"
    with work_folder() as folder:
        result = run(command, project_dir, timeout, _environment(folder), merge=True, doing=doing)
    return result.exit_code, result.stdout


def _build(project_dir: Path, env: str, timeout: float) -> EnvBuild:
    exit_code, output = _pio(["run", "-d", str(project_dir.absolute()), "-e", env], project_dir, timeout)
    if exit_code != 0 and "Error: Unknown environment" in output:
        raise ToolError(f"pio run: {_tail(output)}")
    return EnvBuild(env, exit_code == 0, _used("RAM", output), _used("Flash", output), output)


def _used(memory: str, output: str) -> int | None:
    found = re.search(rf"^{memory}:.*\(used (\d+) bytes", output, re.MULTILINE)
    return int(found[1]) if found else None


def _env_options(envs: Sequence[str]) -> list[str]:
    return [word for env in envs for word in ("-e", env)]


def _tail(output: str) -> str:
    return "\n".join(output.strip().splitlines()[-12:])
