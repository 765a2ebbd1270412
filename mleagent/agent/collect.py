"""What becomes of a background run: started by an action, waited for, and made a step when it has ended.

The job's step has no reply of a policy and costs no step of the budget: its checkpoint is the job's
own files, its submission is scored like any other, and the prompt is told in the observation that
waits to be asked with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import clock, events
from ..errors import SandboxError
from ..records import Action, Execution, Grade
from .jobs import Job
from .outcome import Outcome
from .report import observation, verdict_line
from .scorers import SUBMISSION, Command, self_reported

if TYPE_CHECKING:
    from .session import Solver

WAIT = "wait"
"""`<run>wait</run>` waits for the job, as the shell's own word does for its jobs."""


def background(solver: Solver, action: Action) -> Outcome | None:
    """Start a job or wait for one, if that is what `action` asks; else None."""
    if action.kind != "run":
        return None
    if action.background:
        return _start(solver, action)
    waits = action.body.strip() == WAIT and solver.parts.jobs.running
    return _wait(solver) if waits else None


def _start(solver: Solver, action: Action) -> Outcome:
    """Start a background run; a second one at a time is refused."""
    parts = solver.parts
    job = parts.jobs.job
    if job is not None:
        return Outcome(
            body=f"Refused: job {job.number} (`{job.command[:200]}`) still runs, one at a time. Do other "
            f"steps; it is told here when it ends. <run>{WAIT}</run> waits for it.",
            redundant=True,
        )
    workspace = parts.executor.workspace
    files = {path: workspace.read(path) or b"" for path in workspace.paths() if path != SUBMISSION}
    wall_s = parts.budget.job_limit_s()
    limits = parts.executor.limits.model_copy(update={"wall_s": wall_s})
    try:
        job = parts.jobs.start(action.body, action.plan, files, limits)
    except SandboxError as error:
        return Outcome(body=f"The job could not be started: {error}")
    parts.emit(events.Notice(text=f"job {job.number} started: {job.command[:120]} (/jobs looks at it)"))
    return Outcome(
        body=f"Job {job.number} runs in the background, on a copy of the files as they are now. Its result "
        f"will be told here when it ends; <run>{WAIT}</run> waits for it."
    )


def _wait(solver: Solver) -> Outcome:
    """Wait for the job as long as it takes; its result follows in the same observation."""
    parts = solver.parts
    parts.emit(events.Notice(text="waiting for the background job"))
    parts.jobs.wait(parts.control.stop)
    return Outcome(body="Waited." if not parts.jobs.running else "The job still runs.")


def collect(solver: Solver, at_end: bool = False) -> None:
    """Make a step of a job that has ended; `at_end` waits for one that still runs."""
    parts = solver.parts
    if at_end and parts.jobs.running:
        parts.emit(events.Notice(text="waiting for the background job before the end; leaving ends it"))
        parts.jobs.wait(parts.control.stop)
    job = parts.jobs.take_ended()
    if job is None or job.execution is None:
        return
    run = job.execution
    parts.emit(events.Notice(text=f"job {job.number} ended: {run.status} after {run.duration_s:.0f} s"))
    outcome = _outcome(solver, job, run)
    action = Action(kind="run", plan=job.plan, body=job.command, background=True)
    solver.commit(action, outcome, clock.monotonic() - run.duration_s)


def _outcome(solver: Solver, job: Job, run: Execution) -> Outcome:
    executor = solver.parts.executor
    safe = executor.redacted(run)
    fresh = job.changed.get(SUBMISSION) if run.status != "lost" else None
    grade = _grade(solver, run, fresh)
    own = _absorb(solver, job)
    words = f" (yours stay: {', '.join(own[:5])})" if own else ""
    took = f"Job {job.number} (`{job.command[:200]}`) has ended{words}."
    return Outcome(
        body=f"{took} {observation(safe, job.skipped)}",
        verdict=verdict_line(grade),
        execution=safe,
        grade=grade,
        submission=fresh,
        self_reported=self_reported(run.output),
        tree={**job.files, **job.changed},
    )


def _grade(solver: Solver, run: Execution, fresh: bytes | None) -> Grade | None:
    scorer = solver.parts.executor.scorer
    if scorer is None or isinstance(scorer, Command):
        return None  # a project is scored by its own command, with the next run in the foreground
    return scorer.score(run, fresh, solver.best_bytes)


def _absorb(solver: Solver, job: Job) -> list[str]:
    """Take the job's files over, except those changed here meanwhile, which are named."""
    workspace, kept = solver.parts.executor.workspace, []
    for path, data in job.changed.items():
        if path == SUBMISSION:
            continue
        if workspace.read(path) == job.files.get(path):
            workspace.write(path, data)
        else:
            kept.append(path)
    return kept


def told(outcome: Outcome) -> str:
    """What the prompt is told of a job's end."""
    return f"{outcome.body}\n\n{outcome.verdict}".strip()
