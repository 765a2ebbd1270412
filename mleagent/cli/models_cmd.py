"""`mleagent models list|show|pull|add|use|rollback|remove`: the ledger from the command line.

Tables for people, `--json` for programs. Size and licence are shown before anything is fetched, and asked
about; what the user added stays where it is.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import data_home, load_settings
from ..errors import InputError

if TYPE_CHECKING:
    from ..models.pull import Plan

app = typer.Typer(
    help="Base models and adapters: list, download, add, choose, roll back, remove.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of `mleagent models list`.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Called = Annotated[str, typer.Option("--name", help="What to call it; default: from the file's name.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List base models and adapters; the one that solve uses is marked."""
    from . import models_view

    rows = models_view.rows()
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
    else:
        models_view.print_rows(rows)


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Everything the ledger knows of one model."""
    from ..models import Ledger
    from ..models.bundled import bundled
    from . import models_view

    ledger = Ledger(data_home())
    entry = ledger.find(name) or bundled(name) or ledger.get(name)
    if as_json:
        typer.echo(json.dumps(models_view.row(ledger, entry) | {"record": entry.model_dump(mode="json")}))
    else:
        models_view.print_entry(ledger, entry)


@app.command()
def pull(
    repo: Annotated[
        str, typer.Argument(metavar="REPO", help="OWNER/REPO[@REVISION][:Q4_K_M], or a name `doctor` lists.")
    ],
    name: Called = "",
    yes: Yes = False,
) -> None:
    """Download a model from a hub; goes on where an earlier try ended."""
    from ..models import Ledger
    from ..models.hub import Hub
    from ..models.pull import plan, run
    from . import models_view

    ledger, hub = Ledger(data_home()), Hub()
    try:
        made = plan(hub, ledger, repo, name)
        typer.echo("\n".join(models_view.plan_lines(made)))
        missing = made.missing()
        if missing and not _agreed(f"download {models_view.size(missing)}?", yes):
            raise InputError("nothing was downloaded; --yes agrees without being asked")
        with models_view.Bar() as bar:
            base = run(made, hub, ledger, bar, _free_bytes(made))
    finally:
        hub.close()
    _say_added(base.name, base.kind)


@app.command()
def add(
    what: Annotated[str, typer.Argument(metavar="PATH|URL", help="A .gguf file, a folder, or an endpoint.")],
    name: Called = "",
    base: Annotated[str, typer.Option(help="PATH is a LoRA adapter, and this is its base model.")] = "",
    licence: Annotated[str, typer.Option(help="Its licence, where the file does not state it.")] = "",
    endpoint_model: Annotated[str, typer.Option(help="Model name sent to an endpoint.")] = "",
) -> None:
    """Take a model that is here into the ledger; it stays where it is."""
    from ..models import Ledger
    from ..models.add import add_adapter, add_base, add_endpoint

    ledger = Ledger(data_home())
    if "://" in what:
        if not name:
            raise InputError("an endpoint needs a name: mleagent models add URL --name NAME")
        _say_added(add_endpoint(ledger, what, name, endpoint_model).name, "endpoint")
    elif base:
        made = add_adapter(ledger, Path(what), base, name)
        typer.echo(f"{made.name}: adapter of {made.parent_name}, a candidate; models use {made.name} --force")
    else:
        added = add_base(ledger, Path(what), name, licence)
        _say_added(added.name, added.kind)


@app.command()
def use(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model's name, or auto, nano, playbook.")],
    force: Annotated[bool, typer.Option("--force", help="Also an adapter that is not promoted.")] = False,
) -> None:
    """Make a model the one that solve uses."""
    from ..models import Ledger
    from ..models.active import configured
    from ..models.active import use as use_model

    before = configured()
    ready = use_model(Ledger(data_home()), name, force=force)
    typer.echo(f"solve uses {ready.name} now (it was {before}); mleagent models rollback goes back")
    _environment_wins()


@app.command()
def rollback() -> None:
    """Back to the model that was used before."""
    from ..models import Ledger
    from ..models.active import rollback as roll_back

    left, now = roll_back(Ledger(data_home()))
    typer.echo(f"solve uses {now} again (it was {left})")
    _environment_wins()


@app.command()
def remove(name: Name, yes: Yes = False) -> None:
    """Take a model out of the ledger; files that `pull` brought are deleted, others stay."""
    from ..models import Ledger
    from ..models.active import configured
    from ..models.add import own_files
    from ..models.add import remove as remove_model
    from .models_view import size

    ledger = Ledger(data_home())
    entry = ledger.get(name)
    going = own_files(ledger, entry)
    if going and entry.files:
        question = f"delete {entry.files.path} ({size(sum(file.stat().st_size for file in going))})?"
        if not _agreed(question, yes):
            raise InputError("nothing was removed; --yes agrees without being asked")
    gone = remove_model(ledger, name, configured())
    typer.echo(f"{entry.name} removed; " + (f"{len(gone)} files deleted" if gone else "no file was deleted"))


def _agreed(question: str, yes: bool) -> bool:
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return typer.confirm(question, default=False)


def _free_bytes(made: Plan) -> int:
    place = made.folder
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _say_added(name: str, kind: str) -> None:
    more = "for learning" if kind == "safetensors" else f"mleagent models use {name}"
    typer.echo(f"{name} is in the ledger ({kind}); {more}")


def _environment_wins() -> None:
    if os.environ.get("MLEAGENT_MODEL"):
        typer.echo(f"MLEAGENT_MODEL={load_settings().model} wins over it in this shell", err=True)
