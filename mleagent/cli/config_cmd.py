"""`mleagent config`: each setting with its value and where it comes from; sets one in config.toml.

A value is checked before the file is touched, comments and order in the file
stay as they are, and the file is replaced in one piece.
"""

from __future__ import annotations

import json
import os
import re
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from ..config import Settings, load_settings, seconds, user_path
from ..config_file import config_path, in_file, write_setting
from ..errors import InputError


def config(
    name: Annotated[str | None, typer.Argument(help="A setting.")] = None,
    value: Annotated[str | None, typer.Argument(help="Its new value, kept in config.toml.")] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Take NAME out of config.toml.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Show the effective settings with their source, one setting, or set one."""
    if name is not None and name not in Settings.model_fields:
        raise InputError(f"unknown setting {name!r}; known: {', '.join(sorted(Settings.model_fields))}")
    if unset or value is not None:
        if name is None or (unset and value is not None):
            raise InputError("name one setting: mleagent config NAME VALUE, or mleagent config NAME --unset")
        write_setting(name, None if unset else checked(name, value or ""))
        _report(name)
        return
    rows = [row for row in effective() if name in (None, row["name"])]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
    elif name:
        typer.echo(str(rows[0]["value"]))
    else:
        _print(rows)


def effective() -> list[dict[str, Any]]:
    """Every setting: name, value (passwords in addresses hidden), source. Raises InputError."""
    settings, written = load_settings(), in_file()
    return [
        {"name": name, "value": _shown(getattr(settings, name)), "source": _source(name, written)}
        for name in Settings.model_fields
    ]


def checked(name: str, text: str) -> Any:
    """The value that `text` means for a setting. Raises InputError when it can't be one."""
    try:
        value = getattr(Settings.model_validate({name: text}), name)
    except ValidationError as error:
        raise InputError(f"setting {name}: {error.errors()[0]['msg']} (got {text!r})") from None
    if name in ("time", "exec_limit"):
        seconds(text, name)
    known = _known(name)
    if known and value not in known:
        raise InputError(f"setting {name}: {value!r} is unknown; one of {', '.join(known)}")
    if name == "model" and value.lower().endswith(".gguf"):
        from ..policy.gguf_check import check_gguf

        return str(check_gguf(user_path(value).absolute()).path)
    return value


def _known(name: str) -> tuple[str, ...]:
    """The words a setting takes; () for a free one."""
    if name == "sandbox":
        from ..sandbox.choose import NAMES as SANDBOXES

        return ("auto", *SANDBOXES)
    if name == "reward":
        from ..reward.schemes import NAMES as SCHEMES

        return SCHEMES
    return ()


def _source(name: str, written: dict[str, Any]) -> str:
    variable = f"MLEAGENT_{name.upper()}"
    if variable in os.environ:
        return variable
    return str(config_path()) if name in written else "default"


def _shown(value: Any) -> Any:
    """The value without user and password of an address."""
    return re.sub(r"(://)[^/@\s]+@", r"\1…@", value) if isinstance(value, str) else value


def _report(name: str) -> None:
    """Say what holds now; the environment may still win."""
    row = next(row for row in effective() if row["name"] == name)
    over = "" if not row["source"].startswith("MLEAGENT_") else " (the environment wins over the file)"
    typer.echo(f"{name} = {row['value']}   [{row['source']}]{over}")


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("setting", "value", "from"):
        table.add_column(title, overflow="fold")
    for row in rows:
        style = "dim" if row["source"] == "default" else ""
        table.add_row(*(Text(str(row[key]), style=style) for key in ("name", "value", "source")))
    Console().print(table)
    typer.echo(f"\nset one with: mleagent config NAME VALUE   (kept in {config_path()})")
