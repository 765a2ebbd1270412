"""Begins a session, or goes on with one after a kill.

Everything that can be wrong with the user's input is found here, before the
first model turn. What a session is made of is built in `assembly.py`.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

from .. import clock, events
from ..config import data_home
from ..errors import InputError
from ..protocols import Remembering
from ..records import Session
from ..reward import schemes
from ..task.options import TaskOptions
from ..task.prepare import prepare
from ..trajectory.store import Store
from .assembly import policy_of, sandbox_of, solver_of
from .folder import SessionFolder, is_live
from .outcome import is_job
from .policies import fits, signed, style_of
from .scorers import SUBMISSION
from .session import Solver
from .wish import Wish, stored, task_of


def new_session(wish: Wish) -> Solver:
    """A fresh session on `wish.folder`, stored and started. Raises MleagentError; nothing is left then."""
    schemes.get(wish.settings.reward)
    task, options = task_of(wish)
    with ExitStack() as undo:
        policy = policy_of(wish, task)
        undo.callback(policy.close)
        session_id = clock.new_id()
        folder = SessionFolder(data_home(), session_id)
        undo.callback(shutil.rmtree, folder.root, ignore_errors=True)
        sandbox, make_sandbox = sandbox_of(wish, task, options, session_id, folder.packages)
        undo.callback(sandbox.close)
        session = Session(
            id=session_id,
            created_at=clock.now(),
            task=task,
            policy=policy.name,
            sandbox=sandbox.name,
            reward_scheme=wish.settings.reward,
            seed=wish.seed,
            instruction=wish.instruction,
            settings={**stored(wish), "options": options.model_dump_json()},
        )
        session = signed(session, policy)
        solver = solver_of(wish, session, options, policy, sandbox, make_sandbox)
        undo.callback(solver.parts.close)
        solver.parts.context.open(solver.parts.prompt_settings)
        solver.parts.store.add_session(session)
        undo.pop_all()
    wish.emit(events.SessionStart(session=session, gaps=sandbox.gaps))
    return solver


def resume_session(wish: Wish, session: Session) -> Solver:
    """Go on with a stored session. Raises InputError when it can't be."""
    if session.status == "done":
        raise InputError(
            f"session {session.id} is done; start a new one with mleagent solve {session.task.folder}"
        )
    options = TaskOptions.model_validate_json(session.settings.get("options", "{}"))
    task = prepare(session.task.folder, options, data_home())
    if task.content_hash != session.task.content_hash:
        raise InputError(f"{task.folder} has changed since session {session.id} began; start a new one")
    with ExitStack() as undo:
        policy = policy_of(wish, task)
        undo.callback(policy.close)
        style = session.settings.get("prompt_style", style_of(policy))
        if session.steps and not fits(policy, style):
            raise InputError(
                f"{policy.name} can't read the prompts of session {session.id}; resume it with the model "
                f"that took its last step ({session.policy})"
            )
        packages = SessionFolder(data_home(), session.id).packages
        sandbox, make_sandbox = sandbox_of(wish, task, options, session.id, packages)
        undo.callback(sandbox.close)
        session = session.model_copy(
            update={"task": task, "status": "running", "sandbox": sandbox.name, "ended_at": None}
        )
        solver = solver_of(wish, session, options, policy, sandbox, make_sandbox)
        undo.callback(solver.parts.close)
        _restore(solver)
        solver.parts.store.update_session(session)
        undo.pop_all()
    shown = signed(session, policy)  # the store says so once it has taken a step
    wish.emit(events.SessionStart(session=shown, gaps=sandbox.gaps, resumed=True))
    return solver


def _restore(solver: Solver) -> None:
    """Prompt, files and budget as they were after the last committed step."""
    parts = solver.parts
    if not solver.steps:
        parts.context.open(parts.prompt_settings)
        return
    kept = [step for step in solver.steps if not is_job(step)]
    last = kept[-1]
    ended = solver.steps[solver.steps.index(last) + 1 :]
    messages = parts.store.messages(last.id)
    parts.context.restore(messages, sum(s.compaction for s in solver.steps))
    if last.completion is not None and isinstance(parts.policy, Remembering):
        parts.policy.remember(messages, last.completion)
    if not messages:
        parts.context.open(parts.prompt_settings)
    parts.context.observe(last.observation)
    workspace = parts.executor.workspace
    workspace.restore(last.checkpoint)
    workspace.checkpoints.goto(last.checkpoint)
    for job in ended:
        parts.context.amend(job.observation)
        for path, data in workspace.checkpoints.files(job.checkpoint).items():
            if path != SUBMISSION and workspace.read(path) is None:
                workspace.write(path, data)
    _tell_lost(solver)
    workspace.resend_all()
    parts.budget.restore(solver.steps, solver.session.wall_s)


def _tell_lost(solver: Solver) -> None:
    """A job that ran when the earlier sitting ended is gone: say so to model and user."""
    command = solver.parts.jobs.take_lost()
    if command:
        text = f"The background job `{command[:200]}` was lost when the session was interrupted."
        solver.parts.context.amend(f"{text} Start it again if it is still wanted.")
        solver.parts.emit(events.Notice(level="warning", text=text))


def session_to_continue(store: Store, folder: Path | None, wanted: str = "") -> Session:
    """The session that `-c` (newest unfinished one of the folder) or `-r ID` means. Raises InputError."""
    if wanted:
        return store.resolve(wanted)
    found = [line for line in store.session_lines(folder=folder, limit=1000) if line.status != "done"]
    if not found:
        raise InputError(f"{folder}: no session to continue; start one without -c")
    return store.session(found[0].id)


def mark_dead(store: Store, home: Path) -> list[str]:
    """Sessions still called running whose process is gone become `interrupted`; their ids."""
    dead = [s.id for s in store.session_lines(status="running", limit=1000) if not is_live(home, s.id)]
    for session_id in dead:
        store.update_session(store.session(session_id).model_copy(update={"status": "interrupted"}))
    return dead
