"""The end of a session: the sealed score, the refit, the file to upload, the last record.

A session that ended by itself is looked at once on the sealed rows and refitted
on all labels; one that was interrupted or broke keeps its best submission as it
is, unrefitted and unsealed, and can be resumed.
"""

from __future__ import annotations

from pathlib import Path

from .. import clock, events
from ..errors import InputError, MleagentError
from ..protocols import Sandbox
from ..records import Limits, SealedGrade, Session, SessionStatus, Step, Task
from . import flow
from .folder import write_whole
from .scorers import SUBMISSION, HeldOut
from .session import Solver

ASK_REFIT_S = 600.0
"""A refit of a run that took longer than this is asked for first."""
MIN_AGREEMENT = 0.8
"""Rank correlation with the un-refitted predictions below which those are kept (DESIGN §5)."""


def finish(solver: Solver, end: flow.Finished) -> events.SessionEnd:
    """Write everything that is left to write; the last event."""
    parts, session = solver.parts, solver.session
    best = next((s for s in solver.steps if s.id == session.best_step_id), None)
    status: SessionStatus = end.status or ("done" if best else "no_submission")
    complete = end.status is None
    if complete:
        parts.log.settle(solver)
    sealed = _seal(solver, best) if complete else None
    submission, refit = _upload(solver, best, complete)
    session = session.model_copy(
        update={
            "status": status, "wall_s": parts.budget.elapsed_s, "ended_at": clock.now(),
            "submission": str(submission) if submission else "",
        }
    )  # fmt: skip
    solver.session = session
    parts.store.update_session(session)
    return _event(session, sealed, refit, end.reason)


def _seal(solver: Solver, best: Step | None) -> SealedGrade | None:
    scorer = solver.parts.executor.scorer
    if best is None or not isinstance(scorer, HeldOut) or solver.best_bytes is None:
        return None
    session = solver.session
    earlier = solver.parts.store.sealed(session.id)
    grade = scorer.grader.seal(solver.best_bytes)
    if earlier and earlier[-1].score.value == grade.score.value:
        return earlier[-1]  # the same submission again after a resume is no new look
    return solver.parts.store.add_sealed(session.id, best.id, split_of(session.task), grade)


def split_of(task: Task) -> str:
    """What looks at a task's sealed rows are counted by: those rows, whatever else in the folder changes."""
    return task.split_hash or task.content_hash


def _upload(solver: Solver, best: Step | None, complete: bool) -> tuple[Path | None, str]:
    """Write the file to upload; its path, and what became of the refit."""
    folder, scorer = solver.parts.folder, solver.parts.executor.scorer
    if best is None:
        return None, ""
    if solver.session.task.kind == "eval":
        return _solution_file(solver, best), ""
    if solver.best_bytes is None:
        return None, ""
    if not isinstance(scorer, HeldOut):
        return write_whole(folder.submission, solver.best_bytes), ""
    data, word = solver.best_bytes, "skipped: the session did not end by itself"
    if complete:
        data, word = _refit(solver, best, scorer, solver.best_bytes)
    return write_whole(folder.submission, scorer.grader.cut(data)), word


def _solution_file(solver: Solver, best: Step) -> Path | None:
    """Own-script projects hand in the script itself."""
    name = solver.parts.performer.solution
    data = solver.parts.executor.workspace.checkpoints.files(best.checkpoint).get(name)
    return None if data is None else write_whole(solver.parts.folder.root / "solution" / name, data)


def _refit(solver: Solver, best: Step, scorer: HeldOut, data: bytes) -> tuple[bytes, str]:
    """The best solution once more on all labels; the whole submission to cut from, and a word."""
    from ..task.full import full_public, padded

    parts, task = solver.parts, solver.session.task
    if best.execution is None or task.private is None:
        return data, "skipped: nothing to run"
    if best.execution.duration_s > ASK_REFIT_S and not parts.confirm_refit(best.execution.duration_s):
        return data, "skipped: not wanted"
    try:
        public = full_public(task, parts.home)
        if public is None:
            return data, "skipped: there are no test rows of your own"
        parts.emit(events.Notice(text="refitting the best solution on all labelled rows"))
        fresh = _run_again(solver, best, parts.make_sandbox(public))
        if isinstance(fresh, str):
            return data, f"kept: {fresh}"
        whole = padded(fresh, data, task.private)
        check = scorer.grader.grade(whole)
        if not check.valid:
            return data, f"kept: the refit's submission is invalid ({check.reason})"
        agreement = scorer.grader.agreement(data, whole)
    except (InputError, MleagentError) as error:
        return data, f"kept: {error}"
    if agreement < MIN_AGREEMENT:
        return data, f"kept: the refit ranks the test rows otherwise (correlation {agreement:.2f})"
    return whole, "refitted"


def _run_again(solver: Solver, best: Step, sandbox: Sandbox) -> bytes | str:
    """The submission of the best step's command in a fresh sandbox, or why there is none."""
    assert best.execution is not None
    files = solver.parts.executor.workspace.checkpoints.files(best.checkpoint)
    files.pop(SUBMISSION, None)
    limits: Limits = solver.parts.executor.limits
    wall = max(60.0, 3 * best.execution.duration_s)
    try:
        sandbox.start()
        sandbox.put(dict(files))
        run = sandbox.run(
            best.execution.command,
            limits.model_copy(update={"wall_s": min(wall, max(limits.wall_s, wall))}),
            stop=solver.parts.control.stop,
        )
        if run.status != "ok":
            return f"the refit ended with {run.status}"
        fresh = sandbox.pull(256 * 2**20).get(SUBMISSION)
        return fresh if fresh is not None else "the refit left no submission"
    finally:
        sandbox.close()


def _event(session: Session, sealed: SealedGrade | None, refit: str, reason: str) -> events.SessionEnd:
    spec, best = session.task.metric, session.best
    return events.SessionEnd(
        session=session.id,
        status=session.status,
        metric=best.metric if best else (spec.name if spec else None),
        direction=best.direction if best else (spec.direction if spec else None),
        best_feedback=best.value if best else None,
        sealed=sealed.score.value if sealed else None,
        utility=sealed.utility if sealed else None,
        steps=session.steps,
        wall_s=round(session.wall_s, 3),
        submission=session.submission or None,
        score_kind=best.kind if best else None,
        best_feedback_se=best.se if best else None,
        sealed_se=sealed.score.se if sealed else None,
        sealed_looks=sealed.score.looks if sealed else None,
        verified=session.task.verified,
        refit=refit,
        reason=reason,
    )
