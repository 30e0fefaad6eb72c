"""The command line. What takes long to import comes behind `main`, which can be stopped from its first line on."""

from __future__ import annotations

from tinygen import stop


def main() -> None:
    """Entry point: run the command that the program's arguments name, and exit with its code."""
    stop.install()
    try:
        from tinygen.cli.app import run

        run()
    finally:
        stop.finish()
