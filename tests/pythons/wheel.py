"""The wheel as it would be published, built from a copy of what is packed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("boards", "templates_c")
SOURCES = ("tinygen", *FOLDERS, "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE")
JUNK = shutil.ignore_patterns("__pycache__", "*.py[cod]", "*.o", "*.a", "*.elf", ".*")


def copy_sources(to: Path) -> Path:
    """Copies what is packed into `to`, so that nothing is written into the checkout."""
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=JUNK)
        else:
            shutil.copy(ROOT / name, to / name)
    return to


def build_dist(source: Path, out: Path) -> Path:
    """The sdist, and the wheel built from it: what the sdist lacks, the wheel lacks too. Gives the wheel."""
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=out)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel
