"""What `mleagent` alone says: who it is, how this machine looks, what to do next.

In a folder that looks like a task it offers to solve it; everything here is
read from names and the system, so it answers at once.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import typer

from .. import __version__
from ..config import load_settings
from .machine import facts

_TABLE_ENDINGS = (".csv", ".csv.gz", ".csv.zip", ".parquet", ".tsv")
_SIGNS = ("mleagent.toml", "sample_submission", "train")


def greet() -> bool:
    """Print the greeting; True when the user wants this folder solved now."""
    here = Path.cwd()
    typer.echo(f"mleagent {__version__}: an agent for machine-learning engineering")
    machine = facts()
    typer.echo(
        f"this machine: {machine.cores} cores, {machine.memory_gb:.0f} GB memory, "
        f"{machine.disk_free_gb:.0f} GB free, {_isolation()}"
    )
    typer.echo(_model())
    sign = task_sign(here)
    if not sign:
        typer.echo(
            "next: mleagent solve DIR   with a folder that holds train.csv, test.csv, description.md …"
        )
        typer.echo(
            "      mleagent doctor      checks sandboxes and models · mleagent --help lists all commands"
        )
        return False
    typer.echo(f"this folder looks like a task ({sign})")
    if sys.stdin.isatty() and sys.stdout.isatty():
        return typer.confirm("solve it now?", default=True)
    typer.echo("next: mleagent solve")
    return False


def _model() -> str:
    """The model that works, or how to come by one."""
    name = load_settings().model
    if name != "auto":
        return f"model: {name}"
    return (
        "no model is configured yet: the first solve offers what is here (mleagent models, mleagent doctor)"
    )


def task_sign(folder: Path) -> str:
    """The file by which a folder is seen to be a task; empty if there is none."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    except OSError:
        return ""
    for sign in _SIGNS:
        for name in names:
            if name == sign or (name.lower().startswith(sign) and name.lower().endswith(_TABLE_ENDINGS)):
                return name
    return ""


def _isolation() -> str:
    """The sandbox programs found, by name only; `doctor` proves them."""
    found = [name for name in ("docker", "podman", "bwrap") if shutil.which(name)]
    return f"{', '.join(found)} found" if found else "no docker, podman or bubblewrap found"
