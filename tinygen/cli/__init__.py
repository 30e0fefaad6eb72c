"""The command line. What takes long to import comes behind `main`, which can be stopped from its first line on."""

from __future__ import annotations

import os

from tinygen import stop, system


def main() -> None:
    """Entry point: run the command that the program's arguments name, and exit with its code."""
    stop.install()
    for number in (0, 1, 2):  # closed ones would become files of ours, into which libraries print
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    system.show_what_cannot_be_encoded()
    try:
        from tinygen.cli.app import run

        run()
    finally:
        stop.finish()
