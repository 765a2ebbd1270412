"""`mleagent config`: each setting with its value and where it comes from; sets one in config.toml.

A value is checked before the file is touched, comments and order in the file
stay as they are, and the file is replaced in one piece.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from ..config import Settings, config_home, load_settings, seconds
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
        _write(name, None if unset else checked(name, value or ""))
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
    settings, in_file = load_settings(), _in_file()
    return [
        {"name": name, "value": _shown(getattr(settings, name)), "source": _source(name, in_file)}
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

        return str(check_gguf(Path(value).expanduser().absolute()).path)
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


def _path() -> Path:
    return config_home() / "config.toml"


def _in_file() -> dict[str, Any]:
    return tomllib.loads(_path().read_text(encoding="utf-8")) if _path().is_file() else {}


def _source(name: str, in_file: dict[str, Any]) -> str:
    variable = f"MLEAGENT_{name.upper()}"
    if variable in os.environ:
        return variable
    return str(_path()) if name in in_file else "default"


def _shown(value: Any) -> Any:
    """The value without user and password of an address."""
    return re.sub(r"(://)[^/@\s]+@", r"\1…@", value) if isinstance(value, str) else value


def _write(name: str, value: Any) -> None:
    """Put the value into config.toml, or take it out (None)."""
    import tomlkit

    path = _path()
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.is_file() else tomlkit.document()
        if value is None:
            document.pop(name, None)
        else:
            document[name] = value
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".config-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(tomlkit.dumps(document))
        Path(temporary).replace(path)
    except tomlkit.exceptions.TOMLKitError as error:
        raise InputError(f"{path}: {error}; mend or remove the file") from None
    except OSError as error:
        raise InputError(f"{path} can't be written: {error.strerror}") from None


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
    typer.echo(f"\nset one with: mleagent config NAME VALUE   (kept in {_path()})")
