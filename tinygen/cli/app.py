"""The commands put together, and what an error that escapes them looks like."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import click

from tinygen import report
from tinygen.cli.commands import cli
from tinygen.cli.compress import compress, fit
from tinygen.cli.console import err, say
from tinygen.cli.quantize import quantize
from tinygen.errors import TinygenError, UnsupportedError
from tinygen.version import VERSION

cli.add_command(compress)
cli.add_command(fit)
cli.add_command(quantize)

#: Exit code of a fault in tinygen itself (sysexits' EX_SOFTWARE).
EXIT_FAULT = 70


def _fault(e: Exception) -> str:
    """What to say of an error that nobody meant for the user."""
    at = traceback.extract_tb(e.__traceback__)[-1]
    what = " ".join(str(e).split())[:300]
    return (
        f"this is a fault in tinygen {VERSION}, not in what you did: {type(e).__name__} "
        f"in {at.name}, {Path(at.filename).name}:{at.lineno}: {what}\n"
        "Please report it with the model and the command. TINYGEN_TRACEBACK=1 shows where it comes from."
    )


def run() -> None:
    """Run the command: an error meant for the user is printed without a traceback."""
    try:
        cli(standalone_mode=False)
    except TinygenError as e:
        if isinstance(e, UnsupportedError) and err.is_terminal:
            say("error:", "bold red", e.heading)
            err.print(report.refusals_table(e))
        else:
            say("error:", "bold red", str(e))
        sys.exit(e.exit_code)
    except click.exceptions.Abort:
        say("stopped:", "bold red", "what was begun is cleared away.")
        sys.exit(130)
    except click.ClickException as e:
        e.show()
        sys.exit(e.exit_code)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as e:
        if os.environ.get("TINYGEN_TRACEBACK"):
            raise
        say("error:", "bold red", _fault(e))
        sys.exit(EXIT_FAULT)
