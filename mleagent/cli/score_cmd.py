"""`mleagent score`: score a submission or a script honestly, on held-out rows.

A submission (.csv) is graded against the prepared task; a script (.py, .ipynb) is run in
a sandbox over it first. Scores are of the feedback kind with their standard error, or
self-reported where a project's own command gives them. Exit codes: 0 a valid score,
1 the script left none, 2 bad input, an invalid submission included.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError, MleagentError
from ..trajectory.lines import with_error

if TYPE_CHECKING:
    from ..agent.wish import Wish
    from ..records import Grade, SealedGrade, Task
    from .score_folds import Row


def score(
    folder: Annotated[Path, typer.Argument(metavar="DIR", readable=False, help="The task folder.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", readable=False, help="A submission (.csv) or a script (.py, .ipynb)."
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=1, max=50, help="Run the script on this many different splits.")
    ] = 1,
    sealed: Annotated[
        bool, typer.Option("--sealed", help="Look at the sealed rows, too; the look is counted.")
    ] = False,
    start: Annotated[str | None, typer.Option(help="Your baseline script, for a project.")] = None,
    eval_command: Annotated[
        str | None, typer.Option("--eval", help="Command that prints the metric.")
    ] = None,
    split_seed: Annotated[int | None, typer.Option(help="Seed of the holdout split.")] = None,
    sandbox: Annotated[
        str | None, typer.Option(help="auto, docker, podman, bubblewrap, namespaces or none.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="Container image to run in.")] = None,
    exec_limit: Annotated[str | None, typer.Option(help="Most time of the run, e.g. 30m.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of lines.")] = False,
) -> None:
    """Score a submission or a script honestly, on held-out rows."""
    from ..agent.wish import Wish
    from ..config import load_settings

    settings = load_settings(sandbox=sandbox, image=image, exec_limit=exec_limit)
    wish = Wish(folder, settings, start=start, eval_command=eval_command, split_seed=split_seed)
    if file is not None and not file.is_file():
        raise InputError(f"{file}: there is no such file")
    is_script = file is None or file.suffix.lower() in (".py", ".ipynb")
    if folds > 1:
        if not is_script or sealed:
            what = "a script, as each split has other rows" if not is_script else "feedback scores only"
            raise InputError(f"--folds is for {what}")
        from .score_folds import show_folds

        show_folds(wish, file, folds, as_json)
    elif is_script or file is None:
        _script(wish, file, sealed, as_json)
    else:
        _submission(wish, file, sealed, as_json)


def _submission(wish: Wish, file: Path, sealed: bool, as_json: bool) -> None:
    from ..agent.score import grade_submission
    from ..agent.wish import task_of
    from ..task.submission import read_file

    task, _ = task_of(wish)
    data = read_file(file)
    _show(task, grade_submission(task, data), data, file, sealed, as_json)


def _script(wish: Wish, file: Path | None, sealed: bool, as_json: bool) -> None:
    task, row = run_once(wish, file, quiet=as_json)
    _show(task, row.grade, row.submission, file, sealed, as_json)


def run_once(wish: Wish, file: Path | None, quiet: bool) -> tuple[Task, Row]:
    """Prepare, run the script, score. Raises MleagentError when it left nothing that can be scored."""
    from ..agent.score import run_script
    from ..agent.wish import task_of
    from .score_folds import Row

    task, options = task_of(wish)
    if file is None and task.kind not in ("eval", "self-reported"):
        raise InputError("name what to score: a submission (.csv) or a script (.py)")
    outcome = run_script(wish, task, options, file, _silent if quiet else _live)
    run = outcome.execution
    name = file.name if file else (task.start or task.eval_command or "")
    if outcome.grade is None:
        tail = (run.output.strip().splitlines() or [""])[-1] if run else ""
        why = "left no submission.csv" if run and run.status == "ok" else f"ended with {run and run.status}"
        raise MleagentError(f"{name}: the script {why}; its last line: {tail[:300] or '(none)'}")
    grade = outcome.grade
    if task.kind == "eval":  # the run itself would be the baseline that its utility is measured against
        grade = grade.model_copy(update={"utility": None, "utility_se": None})
    return task, Row(task.seed, grade, outcome.submission, run.duration_s if run else 0.0)


def _live(text: str) -> None:
    """The script's output goes to stderr, so that stdout holds the result alone."""
    from ..trajectory.detail import printable

    sys.stderr.write(printable(text))
    sys.stderr.flush()


def _silent(text: str) -> None:
    pass


def _show(
    task: Task, grade: Grade, data: bytes | None, file: Path | None, sealed: bool, as_json: bool
) -> None:
    """Print the verdict. Raises InputError with the reason when the submission is invalid."""
    hidden = _look(task, data) if sealed and grade.valid else None
    if as_json:
        typer.echo(json.dumps(as_row(task, grade, hidden), ensure_ascii=False))
    if not grade.valid:
        raise InputError(f"{file or task.folder}: invalid: {grade.reason}")
    if as_json:
        return
    if grade.score is None:
        typer.echo("valid; there is nothing to score it by")
        return
    typer.echo(f"{grade.score.kind} {grade.score.metric} {in_words(grade)} on {_rows(grade)}")
    if hidden is not None:
        score = hidden.score
        typer.echo(
            f"sealed {score.metric} {in_words(hidden)} on {_rows(hidden)}, look {score.looks} at this split"
        )


def _look(task: Task, data: bytes | None) -> SealedGrade | None:
    from ..agent.score import seal_submission

    if task.private is None or data is None:
        raise InputError("--sealed: nothing is held out in this project")
    return seal_submission(task, data)


def in_words(grade: Grade | SealedGrade) -> str:
    """`0.8123 ±.0096 (higher is better), utility 0.613 ±.020`."""
    score = grade.score
    assert score is not None
    plain = with_error(score.value, score.se)
    sense = "higher" if score.direction == "maximize" else "lower"
    text = f"{plain}{'' if score.verified else ' unverified'} ({sense} is better)"
    if grade.utility is None:
        return text
    return f"{text}, utility {with_error(grade.utility, grade.utility_se)}"


def _rows(grade: Grade | SealedGrade) -> str:
    count = grade.score.n if grade.score else None
    return f"{count} held-out rows" if count else "the project's own data"


def as_row(task: Task, grade: Grade, hidden: SealedGrade | None = None) -> dict[str, Any]:
    """The JSON form."""
    return {
        "task": task.name,
        "split_seed": task.seed,
        "valid": grade.valid,
        "reason": grade.reason,
        "score": grade.score.model_dump(mode="json") if grade.score else None,
        "utility": grade.utility,
        "utility_se": grade.utility_se,
        "sealed": hidden.model_dump(mode="json") if hidden else None,
    }
