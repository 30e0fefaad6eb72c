"""The table of commands. A command's module is imported when the command runs or shows its own help, not before."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from tinygen.errors import did_you_mean


class Entry(NamedTuple):
    """Where a command is, and the first sentence of its help."""

    module: str
    attribute: str
    help: str


COMMANDS: Mapping[str, Entry] = {
    "boards": Entry("lists", "boards", "List the boards tinygen builds for."),
    "build": Entry("build", "build", "Generate, prove and measure the C library of MODEL for a board."),
    "check": Entry("check", "check", "Build all of a project, and compare it with tinygen.lock."),
    "compress": Entry("compress", "compress", "Make MODEL smaller by the techniques asked for."),
    "diff": Entry("diff", "diff", "Show two built folders A and B side by side, layer by layer."),
    "eval": Entry("evaluate", "evaluate", "Judge MODEL, or the compiled C of a built FOLDER, by samples."),
    "fit": Entry("fit", "fit", "Search for compressed networks that fit a board."),
    "inspect": Entry("inspect", "inspect", "Show what MODEL is made of; predict time, flash and RAM."),
    "new": Entry("new", "new", "Make a project folder from MODEL."),
    "ops": Entry("lists", "ops", "List the ONNX operators tinygen takes, and their limits."),
    "profile": Entry("profile", "profile", "Count instructions and cycles of a built FOLDER, by layer."),
    "quantize": Entry("quantize", "quantize", "Quantise MODEL, repair what that costs, write an ONNX file."),
    "verify": Entry("verify", "verify", "Check a built FOLDER: no file edited, golden vectors equal."),
}


class Commands(click.Group):
    """A group that knows its commands from the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(f"tinygen.cli.{entry.module}"), entry.attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f'no command "{args[0]}"; there are {", ".join(COMMANDS)}.{did_you_mean(args[0], COMMANDS)}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in sorted(COMMANDS.items())])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        named = [CompletionItem(n, help=e.help) for n, e in sorted(COMMANDS.items()) if n.startswith(incomplete)]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]
