"""Scoring outside a session: a submission file, or a script run once in a sandbox.

Takes a prepared task and gives the same `Grade` a session would have given: labels
stay outside, the sandbox is the session's kind, a project runs its own eval command.
A look at the sealed rows is counted like any other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from .. import clock
from ..config import data_home
from ..errors import InputError
from ..records import Grade, SealedGrade, Task
from ..task.grade import Grader
from ..task.options import TaskOptions
from ..task.submission import SubmissionError
from ..trajectory.store import STORE_NAME, Store
from .assembly import executor_of, lay_out, notebook_code, sandbox_of
from .checkpoints import Checkpoints
from .execute import Hooks
from .finish import split_of
from .outcome import Outcome
from .wish import Wish
from .workspace import Workspace


def grade_submission(task: Task, data: bytes) -> Grade:
    """The verdict on a submission over the prepared test table. Raises InputError when there are no labels.

    A file that answers the user's own test rows only is told apart: nobody here has their labels.
    """
    grader = _grader(task)
    grade = grader.grade(data)
    if not grade.valid and _own_rows_only(grader, data):
        reason = (
            f"it answers your own {task.rows_test} test rows only, whose labels nobody has here; score the "
            f"script that made it, or let it predict {task.public / 'test.csv'}"
        )
        return grade.model_copy(update={"reason": reason})
    return grade


def seal_submission(task: Task, data: bytes) -> SealedGrade:
    """The sealed rows' verdict; the look is counted in the store. Raises InputError."""
    grade = _grader(task).seal(data)
    home = data_home()
    home.mkdir(parents=True, exist_ok=True)
    with Store.open(home / STORE_NAME) as store:
        looks = store.count_look(split_of(task))
    return grade.model_copy(update={"score": grade.score.model_copy(update={"looks": looks})})


def run_script(
    wish: Wish, task: Task, options: TaskOptions, script: Path | None, on_output: Callable[[str], None]
) -> Outcome:
    """Run `script` once over the prepared task in a fresh sandbox and score what it leaves.

    Without one the project's start script runs; a project without a start script is scored as it
    lies there. Raises InputError when there is nothing to run, UnavailableError without a sandbox.
    """
    with tempfile.TemporaryDirectory(prefix="mleagent-score-") as folder:
        checkpoints = Checkpoints(Path(folder) / "checkpoints")
        workspace = Workspace(Path(folder) / "work", checkpoints)
        name = lay_out(task, workspace, fresh=True)
        if script is not None:
            name = _place(task, script, workspace)
        sandbox, _ = sandbox_of(wish, task, options, clock.new_id())
        try:
            executor = executor_of(task, sandbox, workspace, wish.settings)
            hooks = Hooks(stop=wish.control.stop, on_output=on_output)
            if workspace.read(name) is None:
                return executor.command("true", None, hooks)
            return executor.script(name, None, hooks)
        finally:
            sandbox.close()
            checkpoints.close()


def _place(task: Task, script: Path, workspace: Workspace) -> str:
    """Put the user's script into the workspace, under its place in the project; that place."""
    place = script.resolve()
    name = script.name
    if place.is_relative_to(task.folder.resolve()):
        name = place.relative_to(task.folder.resolve()).as_posix()
    if script.suffix == ".ipynb":
        name = Path(name).with_suffix(".py").as_posix()
        workspace.write(name, notebook_code(script).encode())
        return name
    try:
        workspace.write(name, script.read_bytes())
    except OSError as error:
        raise InputError(f"{script}: can't be read ({error.strerror})") from None
    return name


def _grader(task: Task) -> Grader:
    if task.private is None:
        raise InputError(
            f"{task.folder}: no labels are held out here, so a submission can't be scored; give a script"
        )
    return Grader(task.private, task.verified)


def _own_rows_only(grader: Grader, data: bytes) -> bool:
    try:
        grader.cut(data)
    except SubmissionError:
        return False
    return True
