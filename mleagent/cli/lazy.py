"""A command group that imports a command's module only when that command runs.

Help and completion of the group need names and one-line texts only; these stand
in a table. So `mleagent --help` costs what importing typer costs, whatever the
commands import.
"""

from __future__ import annotations

import difflib
import importlib
import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group


class Lazy(NamedTuple):
    """Where a command lives; its attribute is a function, or a `typer.Typer` with commands of its own."""

    module: str
    attribute: str
    help: str


class LazyGroup(TyperGroup):
    """A group over `table`: stand-ins for help, the real command once one is called."""

    table: ClassVar[dict[str, Lazy]] = {}
    epilogue: ClassVar[str] = ""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the table's order."""
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in that knows its help; while completing a line, the real command."""
        if cmd_name not in self.table:
            return None
        if any(name.endswith("_COMPLETE") for name in os.environ):
            return self.load(cmd_name)
        return TyperCommand(cmd_name, help=self.table[cmd_name].help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The real command for the first of `args`; an unknown name fails with what may have been meant."""
        name, *rest = args
        if name in self.table:
            return name, self.load(name), rest
        if name.startswith("-"):
            return super().resolve_command(ctx, args)
        near = difflib.get_close_matches(name, self.table, n=1)
        if not near and Path(name).is_dir():
            near = [f"solve {name}"]
        hint = f"; did you mean `{ctx.command_path} {near[0]}`" if near else ""
        ctx.fail(f"no such command {name!r}{hint}")

    def load(self, name: str) -> Any:
        """Import a command."""
        lazy = self.table[name]
        target = getattr(importlib.import_module(lazy.module), lazy.attribute)
        if isinstance(target, typer.Typer):
            group = get_group(target)
            group.name = name
            return group
        alone = typer.Typer(add_completion=False)
        alone.command(name)(target)
        return get_command(alone)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The page of `--help`, plain enough to need no further import."""
        options = [record for p in self.get_params(ctx) if (record := p.get_help_record(ctx))]
        bold, plain = ("\x1b[1m", "\x1b[0m") if _colour() else ("", "")
        formatter.write(f"{bold}Usage:{plain} {ctx.command_path} [OPTIONS] COMMAND [ARGS]...\n\n")
        formatter.write(f"{self.help}\n")
        rows = [(name, self.table[name].help) for name in self.list_commands(ctx)]
        for title, lines in (("Commands", rows), ("Options", options)):
            formatter.write(f"\n{bold}{title}:{plain}\n{_columns(lines, bold, plain)}")
        formatter.write(f"\n{self.epilogue}\n" if self.epilogue else "")


def _columns(rows: list[tuple[str, str]], bold: str, plain: str) -> str:
    """Two columns, the second wrapped to the terminal's width."""
    left = max(len(name) for name, _ in rows)
    width = max(24, min(shutil.get_terminal_size().columns, 110) - left - 4)
    lines = []
    for name, text in rows:
        first, *more = textwrap.wrap(text, width) or [""]
        lines.append(f"  {bold}{name:<{left}}{plain}  {first}")
        lines += [" " * (left + 4) + line for line in more]
    return "\n".join(lines) + "\n"


def _colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
