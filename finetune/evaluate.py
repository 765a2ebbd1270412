"""How good is a policy? Real sessions on frozen synthetic tasks, a number of executions each.

Takes a policy and tasks, drives the agent's own loop in warm sandboxes, and gives one record a task: which
executions left a valid submission, what the best so far was worth on rows nobody is shown (the sealed part
and the task's own test rows, whose answers only the generator knows), whether replies were well-formed. Used
by the benchmark of policies, the gate and reports. Nothing here looks at sealed rows before the session ends.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mleagent import clock
from mleagent.agent import flow
from mleagent.agent.assembly import solver_of
from mleagent.agent.session import Solver
from mleagent.agent.wish import Wish
from mleagent.config import Settings
from mleagent.errors import InputError, MleagentError
from mleagent.protocols import Policy, Sandbox, SandboxSpec
from mleagent.records import Limits, Record, Session, Step, Task
from mleagent.sandbox.pool import Pool
from mleagent.task.grade import Grader
from mleagent.task.options import TaskOptions, merged
from mleagent.task.options import load as load_options
from mleagent.task.prepare import prepare

from .arena import Arena
from .synth import make_task

RUN_LIMIT_S = 20.0
_STEPS_AN_EXECUTION = 3
"""Actions a session may take for every execution, so that one that never runs anything ends."""


class Attempt(Record):
    """One execution of a session, as the evaluation sees it."""

    valid: bool
    feedback: float
    """Utility of this submission on the feedback rows; 0 where there is none."""
    unseen: float
    """Utility, on rows nobody is shown, of the best submission by feedback so far."""
    plan: str
    step: int


class Episode(Record):
    """One session of a policy on one task."""

    policy: str
    task: str
    family: str = ""
    seed: int
    attempts: tuple[Attempt, ...]
    replies: int
    well_formed: int
    """Replies that were one valid action at the first try."""
    actions: dict[str, int]
    ended: str
    generation_s: float
    execution_s: float
    tokens: int = 0
    stamp: str = ""
    """What else the outcome depends on (weights, temperature), for who keeps episodes and compares them."""

    def unseen_at(self, executions: int) -> float:
        """Utility after so many executions; what was reached stays where the session ended sooner."""
        kept = self.attempts[:executions]
        return kept[-1].unseen if kept else 0.0

    def valid_at(self, executions: int) -> bool:
        """Whether a valid submission was there after so many executions."""
        return any(attempt.valid for attempt in self.attempts[:executions])


@dataclass(frozen=True)
class Case:
    """A task to be evaluated on."""

    task: Task
    unseen: Callable[[bytes], float]
    """Utility of a submission on rows nobody is shown."""
    family: str = ""


def synthetic(seed: int, work: Path) -> Case:
    """The synthetic task of a seed; unseen are the sealed rows and the task's own test rows."""
    synth = make_task(seed)
    arena = Arena(synth, work)

    def unseen(submission: bytes) -> float:
        first, second = arena.truth.grade(submission), arena.truth.seal(submission)
        return ((first.utility or 0.0) + second.utility) / 2

    return Case(arena.task, unseen, synth.family)


def of_folder(folder: Path, work: Path, split_seed: int = 0) -> Case:
    """A real folder; unseen are its sealed rows. Raises InputError where it can't be prepared or scored."""
    options = merged(load_options(folder), seed=split_seed)
    task = prepare(folder, options, work / "home")
    if task.private is None:
        raise InputError(f"{folder}: has no held-out labels to evaluate on")
    grader = Grader(task.private, task.verified)
    return Case(task, lambda submission: grader.seal(submission).utility)


def evaluate(
    policy: Policy, case: Case, executions: int, pool: Pool, settings: Settings, work: Path, seed: int = 0
) -> Episode:
    """One session of `policy` on a task; `seed` is of sampling. Raises MleagentError where none can begin."""
    limits = Limits(wall_s=RUN_LIMIT_S, cpus=1.0, memory_mb=2048)
    task = case.task
    spec = SandboxSpec(session_id=task.name, task_name=task.name, public=task.public, limits=limits)
    with (
        pool.lease(spec) as sandbox,
        session(policy, task, sandbox, settings, executions, seed, work / "agent") as solver,
    ):
        return _play(solver, executions, case.unseen).model_copy(update={"family": case.family})


@contextlib.contextmanager
def session(
    policy: Policy,
    task: Task,
    sandbox: Sandbox,
    settings: Settings,
    executions: int,
    seed: int,
    home: Path,
    instruction: str = "",
) -> Iterator[Solver]:
    """The agent's loop over parts that are there already, which live on; it is stored under `home`."""
    settings = settings.model_copy(
        update={
            "steps": executions * _STEPS_AN_EXECUTION + 1, "exec_limit": f"{RUN_LIMIT_S:.0f}s",
            "patience": 10 * executions, "time": "2h",
        }
    )  # fmt: skip
    wish = Wish(folder=task.folder, settings=settings, seed=seed)
    record = Session(
        id=clock.new_id(), created_at=clock.now(), task=task, policy=policy.name, sandbox=sandbox.name,
        seed=seed, instruction=instruction,
    )  # fmt: skip

    def another(public: Path) -> Sandbox:
        raise MleagentError(f"an evaluation makes no second sandbox ({public})")

    solver = solver_of(wish, record, TaskOptions(), policy, sandbox, another, home)
    try:
        solver.parts.context.open(solver.parts.prompt_settings)
        solver.parts.store.add_session(record)
        yield solver
    finally:
        solver.parts.release()


def _play(solver: Solver, executions: int, unseen: Callable[[bytes], float]) -> Episode:
    """Steps until so many executions are done or the policy ends the session."""
    attempts: list[Attempt] = []
    ended = "executions"
    kept = 0.0
    while len(attempts) < executions:
        before = len(solver.steps)
        try:
            solver.step()
        except flow.Finished as end:
            ended = end.reason
        for step in solver.steps[before:]:
            if step.facts.executed:
                if step.id == solver.session.best_step_id and solver.best_bytes is not None:
                    kept = unseen(solver.best_bytes)
                attempts.append(_attempt(step, kept))
        if ended != "executions":
            break
    asked = [step for step in solver.steps if step.completion is not None]
    usage = [step.completion.usage for step in asked if step.completion is not None]
    return Episode(
        policy=solver.session.policy,
        task=solver.session.task.name,
        seed=solver.session.seed,
        attempts=tuple(attempts),
        replies=len(asked),
        well_formed=sum(step.facts.format_valid and not step.facts.repaired for step in asked),
        actions=dict(Counter(step.action.kind for step in asked)),
        ended=ended,
        generation_s=sum(step.facts.generation_s for step in asked),
        execution_s=sum(step.facts.duration_s for step in solver.steps),
        tokens=sum(each.completion_tokens or 0 for each in usage),
    )


def _attempt(step: Step, kept: float) -> Attempt:
    facts = step.facts
    valid = facts.submission == "valid"
    utility = facts.utility if valid and facts.utility is not None else 0.0
    return Attempt(valid=valid, feedback=utility, unseen=kept, plan=step.action.plan, step=step.index)
