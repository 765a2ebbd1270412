"""`mleagent apply` and `mleagent diff`: a session's best result against the user's task folder.

`diff` shows, `apply` shows and then copies: the session's own files and the file to
upload, nothing else. It asks at a terminal; a file that the user changed since the
session began is overwritten only with --force, and never without a copy being kept.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError

if TYPE_CHECKING:
    from ..agent.apply import Change
    from ..records import Session
    from ..trajectory.store import Store

Id = Annotated[str, typer.Argument(metavar="[ID]", help="A session; without one the newest of this folder.")]
_COLOURS = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN}


def diff(
    session_id: Id = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a diff.")] = False,
) -> None:
    """Show what apply would change in the session's task folder."""
    session, wanted = _changes(session_id)
    if as_json:
        data = [_row(change) for change in wanted]
        typer.echo(json.dumps({"session": session.id, "folder": str(session.task.folder), "changes": data}))
        return
    _show(session, wanted)


def apply(
    session_id: Id = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what you changed, too.")] = False,
) -> int:
    """Copy a session's best solution and submission into its task folder, after showing what changes."""
    session, wanted = _changes(session_id)
    _show(session, wanted)
    if not wanted:
        return 0
    _refuse_conflicts(session, wanted, force)
    if not yes and not _confirmed(session, wanted):
        typer.echo("nothing was changed")
        return 1
    _write(session, wanted)
    return 0


def apply_session(session_id: str, quiet: bool = False) -> None:
    """Apply without asking, for `solve --apply`; `quiet` prints nothing. Raises InputError on a conflict."""
    session, wanted = _changes(session_id)
    _refuse_conflicts(session, wanted, force=False)
    _write(session, wanted, quiet)


def _changes(session_id: str) -> tuple[Session, list[Change]]:
    from ..agent.apply import changes
    from ..config import data_home
    from ..trajectory.store import STORE_NAME, Store

    home = data_home()
    if not (home / STORE_NAME).is_file():
        raise InputError("there is no session yet; `mleagent solve DIR` makes one")
    with Store.open(home / STORE_NAME) as store:
        session = store.resolve(session_id) if session_id else _newest_here(store)
        return session, changes(store, session, home)


def _newest_here(store: Store) -> Session:
    """The newest session of this folder; one of another folder must be named, as it writes there."""
    here = store.sessions(folder=Path.cwd().resolve(), limit=1)
    if here:
        return here[0]
    last = store.sessions(limit=1)
    newest = f"; the newest of all is {last[0].id}, in {last[0].task.folder}" if last else ""
    raise InputError(f"no session on this folder; name one, see mleagent runs list{newest}")


def _refuse_conflicts(session: Session, wanted: Sequence[Change], force: bool) -> None:
    for change in wanted:
        if change.conflict and not force:
            raise InputError(
                f"{session.task.folder / change.path}: {change.conflict}; nothing was changed. "
                f"See mleagent diff {session.id}; apply {session.id} --force overwrites it, and keeps a copy"
            )


def _confirmed(session: Session, wanted: Sequence[Change]) -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("apply asks first and there is no terminal to ask at; say --yes")
    return typer.confirm(f"Write {_count(len(wanted), 'file')} into {session.task.folder}?")


def _write(session: Session, wanted: Sequence[Change], quiet: bool = False) -> None:
    from ..agent.apply import carry_out
    from ..config import data_home

    kept = carry_out(wanted, session, data_home())
    if quiet:
        return
    for change in wanted:
        word = "wrote" if change.before is None else "replaced"
        typer.echo(f"{word} {session.task.folder / change.path}")
    if kept is not None:
        typer.echo(f"what was there before is kept until the session is deleted: {kept}")


def _show(session: Session, wanted: Sequence[Change]) -> None:
    if not wanted:
        typer.echo(f"{session.task.folder} already holds the result of session {session.id}")
        return
    typer.echo(f"session {session.id}, into {session.task.folder}:")
    for change in wanted:
        note = f" ({change.conflict})" if change.conflict else ""
        typer.secho(f"{_summary(change)}{note}", bold=True, fg="yellow" if change.conflict else None)
        for line in _lines(change):
            typer.secho(line, fg=_COLOURS.get(line[:1]))


def _summary(change: Change) -> str:
    after = _count(len(change.after.splitlines()), "line")
    if change.before is None:
        return f"new {change.path}, {after}"
    return f"replaces {change.path}, {_count(len(change.before.splitlines()), 'line')} by {after}"


def _lines(change: Change) -> list[str]:
    """The unified diff of text; nothing for tables and binary files, whose summary says enough."""
    from ..agent.workspace import unified
    from ..trajectory.detail import printable

    if change.path.endswith(".csv"):
        return []
    try:
        before = (change.before or b"").decode("utf-8")
        after = change.after.decode("utf-8")
    except UnicodeDecodeError:
        return []
    return [printable(line) for line in unified(change.path, before, after).splitlines()]


def _row(change: Change) -> dict[str, str]:
    kind = "new" if change.before is None else "replaced"
    return {
        "path": change.path,
        "change": kind,
        "conflict": change.conflict,
        "diff": "\n".join(_lines(change)),
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
