"""A folder becomes a Task: prepared once per content hash, outside the folder.

`prepare` gives `home/tasks/<hash>/{public,private,task.json}`. It is written
under a temporary name and renamed, so a kill leaves nothing half-prepared; a
second call only hashes the folder and reads task.json.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..clock import new_id
from ..errors import InputError
from ..records import Input, Task
from .discover import discover
from .hashing import content_hash
from .names import task_name
from .options import TaskOptions

if TYPE_CHECKING:
    from .understanding import Understanding

TASK_FILE = "task.json"
OPTIONS_FILE = "options.json"
_TEMPORARY = re.compile(r"^\.tmp-(\d+)-")


def understand(folder: Path, options: TaskOptions, home: Path | None = None) -> Understanding:
    """What was found and inferred, without preparing: for `--dry-run` and `init`. Raises InputError."""
    from . import understanding  # pandas; a prepared task needs none of it

    return understanding.understand(folder, options, home)


def prepare(
    folder: Path, options: TaskOptions, home: Path, progress: Callable[[str], None] | None = None
) -> Task:
    """The task of `folder`, prepared under `home`. Deterministic; never writes into `folder`.

    Raises InputError, one line, for everything that is wrong with folder or options.
    """
    say = progress or (lambda _: None)
    found = discover(folder)
    if options.start and options.start not in {file.rel for file in found.files}:
        raise InputError(f"--start {options.start}: no such file in {found.base}; give a path relative to it")
    place = home / "tasks" / content_hash(found, options)
    if (place / TASK_FILE).is_file():
        return _cached(place, found.folder, options)
    say(f"reading {found.folder}")
    understood = understand(folder, options, home)
    if understood.sources is not None:
        say("holding out labels")
    place.parent.mkdir(parents=True, exist_ok=True)
    _sweep(place.parent)
    work = place.parent / f".tmp-{os.getpid()}-{new_id()}"
    try:
        task = _write(understood, work)
        (work / OPTIONS_FILE).write_text(options.model_dump_json(), encoding="utf-8")
        (work / TASK_FILE).write_text(task.model_dump_json(indent=1), encoding="utf-8")
        _publish(work, place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return task.model_copy(update={"description": _words(task, options)})


def _words(task: Task, options: TaskOptions) -> str:
    """The stored description (cleaned of held-out rows) and the words on the command line."""
    return "\n\n".join(text for text in (task.description, options.instruction) if text)


def _cached(place: Path, folder: Path, options: TaskOptions) -> Task:
    """The stored task with what does not depend on the preparation set anew."""
    try:
        task = Task.model_validate_json((place / TASK_FILE).read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{place / TASK_FILE}: not readable ({reason}); remove the folder {place}") from None
    return task.model_copy(
        update={
            "name": task_name(options.name or folder.name),
            "folder": folder,
            "public": place / "public",
            "private": place / "private" if task.private is not None else None,
            "description": _words(task, options),
            "learn": options.learn,
        }
    )


def _write(understood: Understanding, work: Path) -> Task:
    """Write public and private below `work`; the task as it will be once renamed."""
    from . import assemble, private, rows  # as above

    public = work / "public"
    public.mkdir(parents=True)
    if understood.sources is None:
        inputs = assemble.write_mounts(understood.mounts, public)
    else:
        decided = rows.Decided.of(understood)
        test = rows.test_rows(decided)
        inputs = assemble.write_public(decided, test, public, full=False)
        private.write_private(decided, test, work / "private")
    readable(public)
    return understood.task.model_copy(update={"inputs": ordered(inputs)})


def ordered(inputs: list[Input]) -> tuple[Input, ...]:
    """Inputs in reading order: train, test, sample, description, the rest by name."""
    ranks = {
        "train": 0,
        "test": 1,
        "sample_submission": 2,
        "description": 3,
        "table": 4,
        "media": 5,
        "code": 6,
    }
    return tuple(sorted(inputs, key=lambda item: (ranks.get(item.role, 9), item.path)))


def readable(public: Path) -> None:
    """Let the sandbox's own user read what was written; links to the user's files stay as they are."""
    for directory, _, names in os.walk(public):
        os.chmod(directory, 0o755)
        for name in names:
            path = os.path.join(directory, name)
            if os.stat(path).st_nlink == 1:
                os.chmod(path, 0o644)


def _publish(work: Path, place: Path) -> None:
    """Rename into place; whoever was faster has written the same."""
    try:
        os.rename(work, place)
    except OSError:
        if not (place / TASK_FILE).is_file():
            raise


def _sweep(folder: Path) -> None:
    """Remove what killed preparations left behind."""
    for path in folder.iterdir():
        match = _TEMPORARY.match(path.name)
        if match and not _alive(int(match[1])):
            shutil.rmtree(path, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
