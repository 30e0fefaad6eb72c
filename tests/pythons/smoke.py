"""The wheel, installed with what it needs into a fresh environment of a Python, and used far from the checkout."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.pythons.wheel import ROOT

#: Interpreters to try besides those on PATH, with os.pathsep between.
VARIABLE = "TINYGEN_PYTHONS"
OLDEST = (3, 11)

DIGITS = ROOT / "examples" / "digits"
BOARD = "nucleo_f446re"
#: What a user does with a model, one command after the other, in a folder that holds only the example.
COMMANDS = (
    "--help",
    "--version",
    f"inspect digits.onnx --board {BOARD}",
    f"build digits.onnx --board {BOARD} --data digits_calib.npz --output out",
    "quantize digits.onnx --data digits_calib.npz --output small.onnx",
    f"build small.onnx --board {BOARD} --output small",
    "eval digits.onnx --data digits_test.npz --calibrate digits_calib.npz",
    "eval out --data digits_test.npz",
    "verify out",
    "profile out",
)
#: What a user does in a notebook.
PROGRAM = f"""
import tinygen
network = tinygen.load("digits.onnx").quantize("digits_calib.npz")
built = network.build("{BOARD}", verify="native")
built.save("api")
"""
#: Folders that PlatformIO makes in a built folder.
LEFT_OUT = {".pio", "__pycache__"}
LIBRARIES = ("numpy", "onnx", "onnxruntime")


class Failed(Exception):
    """A step of the smoke test that went wrong."""


@dataclass(frozen=True)
class Result:
    """What one Python made of the wheel."""

    python: str
    libraries: dict[str, str]
    #: SHA-256 over names and contents of the folders that were built.
    built: str
    seconds: float


def interpreters() -> dict[str, Path]:
    """One of each Python from OLDEST on that runs and can make environments: "3.14" to its path, oldest first."""
    named = [Path(p) for p in os.environ.get(VARIABLE, "").split(os.pathsep) if p]
    on_path = [
        path
        for folder in os.get_exec_path()
        for path in sorted(Path(folder).glob("python3.*"))
        if re.fullmatch(r"python3\.\d+(\.exe)?", path.name)
    ]
    found: dict[tuple[int, ...], Path] = {}
    for path in (*named, *on_path):
        version = _version(path)
        if version is None and path in named:
            raise Failed(f"${VARIABLE} names {path}, which does not run or cannot make environments (venv, ensurepip).")
        if version is not None and version >= OLDEST:
            found.setdefault(version, path)
    return {".".join(map(str, version)): found[version] for version in sorted(found)}


def _version(python: Path) -> tuple[int, ...] | None:
    program = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return None
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else None


def smoke(python: Path, wheel: Path, work: Path) -> Result:
    """Runs COMMANDS with `wheel` installed for `python`, all in the empty folder `work`.

    Raises Failed for a command that fails, or that draws a warning of Python's about a line of tinygen.
    """
    begun = time.monotonic()
    work.mkdir(parents=True)
    shutil.copy(DIGITS / "digits.onnx", work)
    for data in DIGITS.glob("*.npz"):
        shutil.copy(data, work)
    environment = work / "env"
    _run([python, "-m", "venv", environment], work)
    inner = environment / ("Scripts" if os.name == "nt" else "bin")
    _run([inner / "python", "-m", "pip", "install", "--quiet", wheel], work)
    (site,) = _run(
        [inner / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], work
    ).splitlines()
    _run([inner / "python", "-W", "error", "-m", "compileall", "-f", "-q", Path(site) / "tinygen"], work)
    for words in COMMANDS:
        _run([inner / "tinygen", *words.split()], work)
    _run([inner / "python", "-m", "tinygen", "--version"], work)
    _run([inner / "python", "-c", PROGRAM], work)
    libraries = _run([inner / "python", "-m", "pip", "list", "--format", "json"], work)
    versions = {row["name"]: row["version"] for row in json.loads(libraries)}
    return Result(
        _run([inner / "python", "-c", "import platform; print(platform.python_version())"], work).strip(),
        {name: versions[name] for name in LIBRARIES},
        digest(work / "out", work / "small", work / "api"),
        round(time.monotonic() - begun, 1),
    )


def _run(command: list[str | Path], work: Path) -> str:
    """Standard output of a command that must succeed, run as if there were no checkout."""
    world = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    world |= {"PYTHONWARNINGS": "always", "PYTHONNOUSERSITE": "1", "COLUMNS": "100", "TERM": "dumb"}
    done = subprocess.run(list(map(str, command)), cwd=work, env=world, capture_output=True, text=True, check=False)
    said = " ".join(map(str, command))
    if done.returncode != 0:
        raise Failed(f"{said}: exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    warned = [line for line in done.stderr.splitlines() if re.search(r"[\\/]tinygen[\\/][^:]*:\d+: \w*Warning", line)]
    if warned:
        raise Failed("\n".join([f"{said}: warnings of Python's", *warned]))
    return done.stdout


def digest(*folders: Path) -> str:
    """SHA-256 over the files of built folders, without LEFT_OUT."""
    total = hashlib.sha256()
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and not LEFT_OUT & {*p.parts}):
            total.update(f"{folder.name}/{path.relative_to(folder).as_posix()}\n".encode() + path.read_bytes())
    return total.hexdigest()
