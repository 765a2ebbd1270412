"""`mleagent runs list|show|label|delete`: the sessions in the store, from the command line.

Tables for people, `--json` for programs; no colour without a terminal. Nothing
here writes but `label` and `delete`.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..config import data_home, user_path
from ..errors import InputError, MleagentError
from ..records import Session
from ..trajectory.lines import StepLine
from ..trajectory.store import STORE_NAME, Store

app = typer.Typer(help="Look at past sessions, label their steps, delete them.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="A session's id, the beginning of one, or `last`.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


def _store() -> Store:
    """The user's store. Raises InputError when nothing was ever stored."""
    path = data_home() / STORE_NAME
    if not path.exists():
        raise InputError(f"there is no session yet ({path} is missing); `mleagent solve DIR` makes one")
    return Store.open(path)


@app.command("list")
def list_(
    words: Annotated[list[str] | None, typer.Argument(help="Only sessions in which these occur.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Sessions a page.")] = 20,
    page: Annotated[int, typer.Option(min=1, help="Which page, newest first.")] = 1,
    folder: Annotated[Path | None, typer.Option(help="Only sessions on this task folder.")] = None,
    status: Annotated[str | None, typer.Option(help="Only sessions of this status.")] = None,
    as_json: Json = False,
) -> None:
    """List sessions, newest first."""
    from . import runs_view

    if not (data_home() / STORE_NAME).exists():
        typer.echo("[]" if as_json else runs_view.NONE)
        return
    text = " ".join(words or ())
    place = user_path(folder).resolve() if folder else None
    with _store() as store:
        total = store.count_sessions(folder=place, status=status, text=text)
        lines = store.session_lines(
            limit=limit, offset=(page - 1) * limit, folder=place, status=status, text=text
        )
    if as_json:
        typer.echo(json.dumps([line.model_dump(mode="json") for line in lines], ensure_ascii=False))
    else:
        runs_view.print_sessions(lines, total, page, limit)


@app.command()
def show(
    session_id: Id,
    step: Annotated[str | None, typer.Option("--step", help="A step's number or id: show it whole.")] = None,
    as_json: Json = False,
) -> None:
    """Show a session, a line a step; with --step one step whole, its reward part by part."""
    from . import runs_view

    with _store() as store:
        session = store.resolve(session_id)
        if step is not None:
            chosen = store.step(_find_step(store, session, step).id)
            labels = [label for label in store.labels(session.id) if label.step_id == chosen.id]
            if as_json:
                data = chosen.model_dump(mode="json") | {"labels": [x.model_dump() for x in labels]}
                typer.echo(json.dumps(data, ensure_ascii=False))
            else:
                runs_view.print_step(session, chosen, labels)
            return
        lines, sealed = store.step_lines(session.id), store.sealed(session.id)
    if as_json:
        data = {
            "session": session.model_dump(mode="json"),
            "steps": [line.model_dump(mode="json") for line in lines],
            "sealed": [grade.model_dump(mode="json") for grade in sealed],
        }
        typer.echo(json.dumps(data, ensure_ascii=False))
    else:
        runs_view.print_session(session, lines, sealed)


def _find_step(store: Store, session: Session, text: str) -> StepLine:
    """A step by number (the newest of that number where the session forked) or by id."""
    lines = store.step_lines(session.id)
    for line in reversed(lines):
        if text in (str(line.index), line.id):
            return line
    known = f"it has {lines[0].index} to {max(x.index for x in lines)}" if lines else "it has none"
    raise InputError(f"session {session.id} has no step {text!r}; {known}")


@app.command()
def label(
    session_id: Id,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step's number or id.")],
    sign: Annotated[str, typer.Argument(metavar="+|-", help="Good or bad.")],
    note: Annotated[str, typer.Option(help="Why, in your words.")] = "",
) -> None:
    """Label a step as good (+) or bad (-); kept apart from its reward."""
    if sign not in ("+", "-"):
        raise InputError(f"label {sign!r} is neither + nor -")
    with _store() as store:
        session = store.resolve(session_id)
        line = _find_step(store, session, step)
        store.add_label(line.id, "+" if sign == "+" else "-", note)
    typer.echo(f"session {session.id} step {line.index}: {sign}")


@app.command()
def delete(
    session_id: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a session: its steps, scores, labels, files. Says which adapters were trained on it."""
    with _store() as store:
        session = store.resolve(session_id)
        adapters = store.adapters_trained_on(session.id)
        typer.echo(f"session {session.id} on {session.task.name}: {session.steps} steps, {session.status}")
        if adapters:
            typer.echo(f"trained on it, and kept: {', '.join(adapters)}")
        if not yes and not _confirmed():
            typer.echo("kept")
            return
        store.delete_session(session.id)
    _remove_files(session)
    typer.echo("deleted")


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise InputError("deleting asks first and there is no terminal to ask at; say --yes")
    return typer.confirm("Delete it for good?")


def _remove_files(session: Session) -> None:
    """Remove the session's folder; the user's task folder is never touched."""
    sessions = data_home() / "sessions"
    folder = sessions / session.id
    if folder.parent != sessions or folder.name in ("", ".", "..") or not folder.is_dir():
        return
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise MleagentError(
            f"the session is out of the store, but {folder} could not be removed: {error.strerror}"
        ) from error
