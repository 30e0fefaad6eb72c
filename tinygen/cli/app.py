"""The commands put together, and what an error that escapes them looks like."""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from pathlib import Path

import click
from click.shell_completion import add_completion_class

from tinygen import system
from tinygen.cli.completion import Bash
from tinygen.cli.lazy import Commands
from tinygen.cli.words import in_document, in_table
from tinygen.errors import EXIT_FAULT, EXIT_USAGE, OutputError, TinygenError, UnsupportedError
from tinygen.report import failures
from tinygen.version import VERSION


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="tinygen")
def cli() -> None:
    """Turn trained ONNX networks into plain int8 C for microcontrollers, proven bit-exact."""


add_completion_class(Bash)


def _fault(e: Exception) -> str:
    """What to say of an error that nobody meant for the user."""
    at = traceback.extract_tb(e.__traceback__)[-1]
    what = " ".join(str(e).split())[:300]
    return (
        f"this is a fault in tinygen {VERSION}, not in what you did: {type(e).__name__} "
        f"in {at.name}, {Path(at.filename).name}:{at.lineno}: {what}\n"
        "Please report it with the model and the command. TINYGEN_TRACEBACK=1 shows where it comes from."
    )


def _as_json(kind: str, code: int, message: str, e: TinygenError | None = None) -> None:
    """With --json the error goes to standard output too, as an object, and nothing else does."""
    if "--json" not in sys.argv[1:]:
        return
    click.echo(json.dumps(in_document(failures.as_dict(kind, code, message, e)), indent=2))


def _say(word: str, text: str) -> None:
    from tinygen.cli.console import say  # only now: a command that goes well at once needs no rich

    say(word, "bold red", text)


def _explain(e: TinygenError) -> None:
    from tinygen.cli.console import err

    if isinstance(e, UnsupportedError) and err.is_terminal:
        from tinygen.report.table import to_rich

        _say("error:", e.heading)
        err.print(*(to_rich(in_table(t)) for t in failures.tables(e)))
    else:
        _say("error:", str(e))


def run() -> None:
    """Run the command: an error meant for the user is printed without a traceback."""
    try:
        _command()
    except OSError as e:
        if not _of_a_stream(e):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python tries again at its end
        if e.errno in system.NOBODY_READS:  # any more: `| head`
            sys.exit(1)
        _say("error:", f"cannot write to standard output: {e.strerror}. Make room where it goes.")
        sys.exit(OutputError.exit_code)


def _of_a_stream(e: Exception) -> bool:
    """Whether an error came from printing: then it names no file."""
    return isinstance(e, OSError) and e.filename is None and e.errno in _STREAM_ERRORS


_STREAM_ERRORS = (*system.NOBODY_READS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def _command() -> None:
    try:
        cli(prog_name="tinygen", standalone_mode=False)
    except TinygenError as e:
        _explain(e)
        _as_json(e.kind, e.exit_code, str(e), e)
        sys.exit(e.exit_code)
    except click.exceptions.Abort:
        _say("stopped:", "what was begun is cleared away.")
        sys.exit(130)
    except click.ClickException as e:
        code = EXIT_USAGE if isinstance(e, click.UsageError) else e.exit_code
        e.show()
        _as_json("usage", code, e.format_message())
        sys.exit(code)
    except Exception as e:
        if _of_a_stream(e) or os.environ.get("TINYGEN_TRACEBACK"):
            raise
        _say("error:", _fault(e))
        _as_json("fault", EXIT_FAULT, _fault(e))
        sys.exit(EXIT_FAULT)
