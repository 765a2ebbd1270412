"""What the user wants of a session, as the command line decided it, and the task it means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .. import __version__, events
from ..config import Settings, data_home
from ..events import Listener
from ..records import Task
from ..task.options import TaskOptions, merged
from ..task.options import load as load_options
from ..task.prepare import prepare
from .control import Control


@dataclass
class Wish:
    """What the user wants of a session; everything else comes from `settings`."""

    folder: Path
    settings: Settings
    instruction: str = ""
    start: str | None = None
    eval_command: str | None = None
    seed: int = 0
    split_seed: int | None = None
    gpus: str = ""
    tokens: int | None = None
    mounts: tuple[Path, ...] = ()
    emit: Listener = field(default=lambda _event: None)
    control: Control = field(default_factory=Control)
    confirm_refit: Callable[[float], bool] = field(default=lambda _seconds: True)
    confirm_install: Callable[[str], bool] | None = None
    """Puts a question about an installation to the user; None: nobody is there, nothing is installed."""


def task_of(wish: Wish) -> tuple[Task, TaskOptions]:
    """Understand and prepare the folder. Raises InputError."""
    options = merged(
        load_options(wish.folder),
        start=wish.start,
        eval_command=wish.eval_command,
        instruction=wish.instruction or None,
        seed=wish.split_seed,
    )
    task = prepare(wish.folder, options, data_home(), lambda text: wish.emit(events.Notice(text=text)))
    return task, options


def stored(wish: Wish) -> dict[str, str]:
    """Flags and versions needed to make the run again."""
    return {
        "version": __version__,
        "settings": wish.settings.model_dump_json(),
        "start": wish.start or "",
        "eval": wish.eval_command or "",
        "split_seed": "" if wish.split_seed is None else str(wish.split_seed),
    }
