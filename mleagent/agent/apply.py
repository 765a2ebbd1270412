"""What a session's best step would change in the user's folder, and the change itself.

Takes a stored session, gives `Change`s: the files its actions wrote, its code, and
the file to upload as `submission.csv`, never inputs or what programs left behind.
Nothing is written before `carry_out`, which keeps what it overwrites in the session's
own folder, so that nothing of the user's is lost and nothing else appears beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import InputError
from ..records import Session, Step
from ..task.grade import Grader
from ..task.names import is_code
from ..task.options import OPTIONS_FILE
from ..trajectory.store import Store
from .checkpoints import Checkpoints
from .folder import SessionFolder, write_whole
from .scorers import SUBMISSION
from .workspace import inside

APPLIED = "applied.json"
"""In the session's folder: path and SHA-256 of what earlier applies wrote."""
KEPT = "before-apply"
"""In the session's folder: the user's files as they were before they were overwritten."""


@dataclass(frozen=True)
class Change:
    """One file of the user's folder, before and after."""

    path: str
    before: bytes | None
    """None: there is no such file yet."""
    after: bytes
    conflict: str = ""
    """Why the user's version may hold work of theirs that the session has not seen."""


def changes(store: Store, session: Session, home: Path) -> list[Change]:
    """What applying the session's best step would change. Raises InputError when there is none."""
    steps = store.steps(session.id)
    best = next((step for step in steps if step.id == session.best_step_id), None)
    if best is None:
        raise InputError(f"session {session.id} has no valid submission; there is nothing to apply")
    if not session.task.folder.is_dir():
        raise InputError(f"{session.task.folder}: the session's task folder is not there any more")
    folder = SessionFolder(home, session.id)
    wanted = _solution_files(session, best, steps, folder)
    upload = _upload(session, best, folder)
    if upload is not None:
        wanted[SUBMISSION] = upload
    applied = _applied(folder)
    found = [_change(session, path, data, applied) for path, data in sorted(wanted.items())]
    return [change for change in found if change.before != change.after]


def carry_out(wanted: Sequence[Change], session: Session, home: Path) -> Path | None:
    """Write the changes into the user's folder; where overwritten files are kept, None if none were.

    Each file is replaced as a whole and keeps its mode. Raises InputError when one can't be written.
    """
    folder = SessionFolder(home, session.id)
    applied, kept = _applied(folder), None
    for change in wanted:
        target = session.task.folder / change.path
        if change.before is not None and applied.get(change.path) != _digest(change.before):
            kept = folder.root / KEPT
            write_whole(_free(kept / change.path), change.before)
        try:
            _replace(target, change.after)
        except OSError as error:
            raise InputError(
                f"{target}: can't be written ({error.strerror}); check its permissions"
            ) from None
        applied[change.path] = _digest(change.after)
        write_whole(folder.root / APPLIED, json.dumps(applied, indent=1).encode())
    return kept


def _solution_files(
    session: Session, best: Step, steps: Sequence[Step], folder: SessionFolder
) -> dict[str, bytes]:
    """Files of the best step's checkpoint that an action wrote, or that are code."""
    checkpoints = Checkpoints(folder.checkpoints)
    try:
        files = checkpoints.files(best.checkpoint)
    finally:
        checkpoints.close()
    written = {inside(step.action.path) for step in steps if step.diff and step.action.path}
    return {
        path: data
        for path, data in files.items()
        if (path in written or is_code(path)) and _may_apply(session, path)
    }


def _may_apply(session: Session, path: str) -> bool:
    """Never data of the task, its settings, or hidden files."""
    data = {item.path for item in session.task.inputs if item.role not in ("code", "description")}
    hidden = any(part.startswith(".") for part in PurePosixPath(path).parts)
    return not (path in data or path in (SUBMISSION, OPTIONS_FILE) or hidden)


def _upload(session: Session, best: Step, folder: SessionFolder) -> bytes | None:
    """The file to upload; cut from the best submission while the session has not written it."""
    if session.submission and Path(session.submission).name == SUBMISSION:
        written = Path(session.submission)
        if session.status != "running" and written.is_file():
            return written.read_bytes()
    data = folder.submission_of(best.submission_path)
    if data is None or session.task.private is None:
        return data
    return Grader(session.task.private, session.task.verified).cut(data)


def _change(session: Session, path: str, data: bytes, applied: dict[str, str]) -> Change:
    """Compare with the user's file. Raises InputError where the path leads out of their folder."""
    target = session.task.folder / path
    if not target.resolve().is_relative_to(session.task.folder.resolve()) or target.is_symlink():
        raise InputError(f"{target}: is or lies behind a link, which apply does not follow; copy it by hand")
    if not target.exists():
        return Change(path, None, data)
    if not target.is_file():
        raise InputError(f"{target}: the session has a file of this name and yours is a folder; move it away")
    before = target.read_bytes()
    known = applied.get(path) == _digest(before) or before == data
    return Change(path, before, data, "" if known else _conflict(session, path, target, before))


def _conflict(session: Session, path: str, target: Path, before: bytes) -> str:
    """Whether the user changed the file since the session began: by content where the session saw it."""
    original = session.task.public / path
    if any(item.path == path for item in session.task.inputs) and original.is_file():
        return "" if original.read_bytes() == before else "changed since the session began"
    fresh = target.stat().st_mtime > session.created_at
    return "written since the session began" if fresh else ""


def _free(path: Path) -> Path:
    """`path`, or with a number behind it where an earlier apply kept a file of that name."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}.{number}")
    return free


def _applied(folder: SessionFolder) -> dict[str, str]:
    try:
        found = json.loads((folder.root / APPLIED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(path): str(digest) for path, digest in found.items()} if isinstance(found, dict) else {}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _replace(target: Path, data: bytes) -> None:
    """All or nothing, with the mode of the file that was there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.mleagent-partial")
    try:
        partial.write_bytes(data)
        if target.exists():
            shutil.copymode(target, partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
