"""The PlatformIO side of tinygen's bare-metal platform: compilers and QEMU come from PATH, and nothing is ever fetched.

It has no packages. What PlatformIO itself needs for every build, the package tool-scons, is three small files around
the SCons that pip installs with tinygen; where PlatformIO has its own already, that is used.
"""

import importlib.util
import json
import os

import click
from platformio.package.manager.core import get_core_package_dir
from platformio.platform.base import PlatformBase

try:
    from platformio.dependencies import get_core_dependencies
except ImportError:  # an older PlatformIO asks its registry, as ever
    get_core_dependencies = None

SCONS = "tool-scons"
PACKAGES_DIR = "PLATFORMIO_PACKAGES_DIR"


class TinygenPlatform(PlatformBase):
    """See builder/main.py for the build itself."""

    def configure_project_packages(self, env, targets=None):
        """PlatformIO calls this before it asks for tool-scons."""
        super().configure_project_packages(env, targets)
        if get_core_package_dir(SCONS, auto_install=False) or PACKAGES_DIR in os.environ or not get_core_dependencies:
            return
        if importlib.util.find_spec("SCons"):
            write_scons_package(os.path.join(self.own_packages(), SCONS))
            os.environ[PACKAGES_DIR] = self.own_packages()
        else:
            click.secho(
                "PlatformIO has no SCons yet and asks its registry for it. Without a network, install one beside "
                "PlatformIO: pip install scons",
                fg="yellow",
                err=True,
            )

    def run(self, *args, **kwargs):
        """As ever; afterwards other platforms find their packages where they were."""
        try:
            return super().run(*args, **kwargs)
        finally:
            if os.environ.get(PACKAGES_DIR) == self.own_packages():
                del os.environ[PACKAGES_DIR]

    def own_packages(self):
        return os.path.join(self.config.get("platformio", "workspace_dir"), "packages")

    def is_embedded(self):
        """False, so that `pio test` builds a program and runs a command instead of uploading to a serial port."""
        return False

    @staticmethod
    def run_command(board, program):
        """Command line that runs `program`: the program itself on this computer, else QEMU with the board's machine."""
        return [*board.get("tinygen.target")["emulator"], program]


def write_scons_package(folder):
    """tool-scons at the version that this PlatformIO asks for, run by PlatformIO's own Python. `.piopm`, which makes a
    folder a package, comes last."""
    version = get_core_dependencies()[SCONS].lstrip("~^=>")
    spec = {"owner": "platformio", "id": None, "name": SCONS, "requirements": None, "uri": None}
    files = {
        "scons.py": "import SCons.Script\n\nSCons.Script.main()\n",
        "package.json": json.dumps({"name": SCONS, "version": version}),
        ".piopm": json.dumps({"type": "tool", "name": SCONS, "version": version, "spec": spec}),
    }
    os.makedirs(folder, exist_ok=True)
    for name, text in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
