"""`mleagent init`: write mleagent.toml for a task folder.

Understands the folder as `solve` would, offers what it inferred (at a terminal, where
Enter takes it; without one, or with --yes, it is taken as it is), checks the answers
by understanding the folder again, and writes the settings with a line on each.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..config import user_path
from ..errors import InputError

if TYPE_CHECKING:
    from ..records import Task
    from ..task.options import TaskOptions

_QUESTIONS = {
    "target": "target column (several: a,b)",
    "id": "id column (empty: rows are known by position)",
    "metric": "metric (mleagent metrics lists them)",
    "group": "group column that must not straddle the split (`none`: no group)",
    "time": "time column to split by (`none`: not by time)",
}


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", readable=False, help="The task folder.")] = Path(
        "."
    ),
    target: Annotated[str | None, typer.Option(help="Target column; several: a,b.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Id column.")] = None,
    metric: Annotated[str | None, typer.Option(help="Metric, see mleagent metrics.")] = None,
    group: Annotated[str | None, typer.Option(help="Group column, or none.")] = None,
    time: Annotated[str | None, typer.Option(help="Time column to split by, or none.")] = None,
    start: Annotated[str | None, typer.Option(help="Your baseline script.")] = None,
    eval_command: Annotated[
        str | None, typer.Option("--eval", help="Command that prints the metric.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Take what is inferred; no questions.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an mleagent.toml that is there.")] = False,
) -> None:
    """Write mleagent.toml for a task folder: asked at a terminal, inferred without one."""
    from ..task.discover import discover
    from ..task.options import OPTIONS_FILE, TaskOptions, dump, merged

    discover(folder)  # a folder that can't be used is said before the first question
    path = user_path(folder) / OPTIONS_FILE
    if path.exists() and not force:
        raise InputError(f"{path} is there already; --force replaces it")
    given = {"target": _names(target), "id": id_column, "metric": metric, "group": group, "time": time,
             "start": start, "eval_command": eval_command}  # fmt: skip
    options = merged(TaskOptions(), **given)
    asking = not yes and sys.stdin.isatty() and sys.stdout.isatty()
    options, task = _asked(folder, options, given) if asking else _understood(folder, options)
    if options.eval_command == "" and task.kind == "self-reported":
        typer.echo("no labels were found to hold out; --eval COMMAND names a command that prints the metric")
    _write(path, dump(options))
    from .dry_run import task_lines

    typer.echo("\n".join(task_lines(task)))
    typer.echo(f"wrote {path}")


def _understood(folder: Path, options: TaskOptions) -> tuple[TaskOptions, Task]:
    """The options with everything inferred spelt out, and the task they mean. Raises InputError."""
    from ..task.options import merged
    from ..task.prepare import understand

    first = understand(folder, options)
    task = first.task
    metric = task.metric.name if task.metric and not options.metric and task.kind != "self-reported" else None
    full = merged(
        options,
        name=options.name or task.name,
        target=options.target or task.targets,
        id=options.id or (first.problem.id_column if first.problem else None),
        metric=metric,
        group=options.group or task.group_column,
        time=options.time or task.time_column,
    )
    settled = understand(folder, full).task
    # Once everything is spelt out nothing is guessed any more: the notes worth showing are the first ones.
    return full, settled.model_copy(update={"notes": tuple(dict.fromkeys(task.notes + settled.notes))})


def _asked(folder: Path, options: TaskOptions, given: Mapping[str, object]) -> tuple[TaskOptions, Task]:
    """As `_understood`, each answer offered first; a wrong one is asked for again."""
    inferred, task = _until_understood(folder, options)
    if task.kind in ("eval", "self-reported"):
        return inferred, task
    for key in ("target", "id", "metric", "group", "time"):
        if given[key] is None:
            options, inferred, task = _question(folder, options, inferred, task, key)
    return inferred, task


def _until_understood(folder: Path, options: TaskOptions) -> tuple[TaskOptions, Task]:
    """Where the target can't be inferred, it is asked for until the folder makes sense."""
    from ..task.options import merged

    while True:
        try:
            return _understood(folder, options)
        except InputError as error:
            if "target" not in str(error):
                raise
            typer.secho(str(error), fg=typer.colors.YELLOW, err=True)
        answer = typer.prompt(_QUESTIONS["target"], type=str)
        options = merged(options, target=_names(answer))


def _question(
    folder: Path, options: TaskOptions, inferred: TaskOptions, task: Task, key: str
) -> tuple[TaskOptions, TaskOptions, Task]:
    """Ask for one setting: the options with the answer, what follows from them, and the task."""
    from ..task.options import merged

    value = getattr(inferred, key)
    default = ",".join(value) if isinstance(value, tuple) else value
    while True:
        answer = typer.prompt(_QUESTIONS[key], default=default, show_default=bool(default)).strip()
        if answer == default:
            return options, inferred, task
        changed: dict[str, Any] = {key: _names(answer) if key == "target" else answer}
        try:
            fresh = merged(options, **changed)
            return (fresh, *_understood(folder, fresh))
        except InputError as error:
            typer.secho(str(error), fg=typer.colors.YELLOW, err=True)


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _write(path: Path, text: str) -> None:
    """Write the file; one that was there is kept beside it."""
    try:
        if path.exists():
            kept = path.with_name(path.name + ".bak")
            kept.write_bytes(path.read_bytes())
            typer.echo(f"what was there before is kept in {kept}")
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: can't be written ({error.strerror}); check its permissions") from None
