"""`solve --dry-run`: what would be split, mounted, withheld and used. Runs and writes nothing."""

from __future__ import annotations

import json

import typer

from ..agent.context import PREDICTIONS
from ..agent.wish import Wish
from ..config import Settings, data_home
from ..records import Task
from ..task.options import TaskOptions, merged
from ..task.options import load as load_options
from ..task.prepare import understand


def show(wish: Wish, as_json: bool) -> int:
    """Print the understanding of the folder. Raises InputError as `solve` would."""
    options = merged(
        load_options(wish.folder),
        start=wish.start,
        eval_command=wish.eval_command,
        instruction=wish.instruction or None,
        seed=wish.split_seed,
    )
    understood = understand(wish.folder, options, data_home())
    task = understood.task
    mounts = [f"{mount.file.rel} ({mount.role})" for mount in understood.mounts]
    if as_json:
        data = {"event": "dry_run", "task": task.model_dump(mode="json"), "mounts": mounts,
                "model": wish.settings.model, "sandbox": wish.settings.sandbox}  # fmt: skip
        typer.echo(json.dumps(data, ensure_ascii=False))
        return 0
    typer.echo("\n".join([*task_lines(task), *_environment(wish.settings, options)]))
    for mount in mounts:
        typer.echo(f"mounted: {mount}")
    for held in task.withheld:
        typer.echo(f"withheld: {held.path}: {held.reason}")
    return 0


def task_lines(task: Task) -> list[str]:
    """What was understood about a task, a few lines."""
    out = [f"task {task.name}: {task.problem} from {task.folder}"]
    if task.metric:
        metric = task.metric
        sense = f"{metric.direction}, optimum {metric.optimum:g}"
        out.append(f"metric {metric.name} ({sense}), submit {PREDICTIONS[metric.prediction]}")
    if task.targets:
        out.append(f"target {', '.join(task.targets)} · id {task.id_column or 'none, by position'}")
    if task.rows_labelled:
        out.append(
            f"{task.rows_labelled} labelled rows: {task.rows_train} train, {task.rows_feedback} feedback, "
            f"{task.rows_sealed} sealed · {task.rows_test} test rows of your own · split seed {task.seed}"
        )
    if task.group_column:
        out.append(f"split by group: {task.group_column}")
    if task.time_column:
        out.append(f"split by time: {task.time_column}")
    if task.eval_command:
        out.append(f"scored by `{task.eval_command}` (self-reported)")
    out += [f"note: {note}" for note in task.notes]
    return out


def _environment(settings: Settings, options: TaskOptions) -> list[str]:
    image = options.env.image or settings.image or "stock"
    return [
        f"model {settings.model} · sandbox {settings.sandbox} (image {image}) · reward {settings.reward}",
        f"budget {settings.steps} steps, {settings.time}; a run at most {settings.exec_limit}, "
        f"{settings.memory_mb} MiB memory, {settings.disk_mb} MiB work folder",
    ]
