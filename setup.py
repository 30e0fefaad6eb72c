"""What pyproject.toml cannot say: `templates_c/` and `boards/` travel in the wheel as `tinygen/_data/`.

An editable install copies nothing: there `tinygen.resources` finds both folders in the checkout.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
FOLDERS = ("boards", "templates_c")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.py[cod]", "*.o", "*.a", "*.elf", ".*")


class BuildWithData(build_py):
    """build_py, with the data folders copied into the package."""

    def run(self) -> None:
        package = Path(self.build_lib) / "tinygen"
        if not self.editable_mode:
            shutil.rmtree(package, ignore_errors=True)  # or a file deleted since the last build would travel
        super().run()
        if not self.editable_mode:
            for folder in FOLDERS:
                shutil.copytree(ROOT / folder, package / "_data" / folder, ignore=LEFT_OUT)


setup(cmdclass={"build_py": BuildWithData})
