"""Turns what happened into step records, with rewards, and commits them.

All schemes' rewards are logged with each step; an action that executes nothing
gets its own when the next execution has happened, in the same transaction as
that step. Secrets are redacted from everything before it is stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from .. import clock, events
from ..records import Action, Completion, Facts, Message, Record, Reward, Score, Step
from ..reward import schemes
from ..trajectory.redaction import redact
from ..trajectory.store import Store
from .outcome import Outcome

if TYPE_CHECKING:
    from .session import Solver


class Log:
    """The store as the loop sees it."""

    def __init__(self, store: Store, template_hash: str) -> None:
        """`template_hash` names the prompt templates in effect."""
        self._store, self._template_hash = store, template_hash

    def step(
        self, solver: Solver, action: Action, completion: Completion | None, outcome: Outcome, facts: Facts
    ) -> Step:
        """The record of the step at hand, not yet committed: no rewards, no durations."""
        parts = solver.parts
        job = outcome.tree is not None
        index = 0 if completion is None and not job else solver.next_index()
        kept = ""
        if outcome.submission is not None and facts.submission == "valid":
            kept = parts.folder.keep_submission(index, outcome.submission)
        # A job's step has no part of the prompt: what waits to be asked with belongs to the next reply.
        added, compacted = ((), False) if job else parts.context.take_added()
        secrets = any(redact(m.content).kinds for m in added)
        spelt = secrets or _secret_before(solver, compacted)
        workspace, title = parts.executor.workspace, f"step {index}: {action.plan or action.kind}"
        return Step(
            id=clock.new_id(),
            session_id=solver.session.id,
            parent_id=None if compacted or not solver.steps else solver.steps[-1].id,
            index=index,
            created_at=clock.now(),
            added=tuple(Message(role=m.role, content=redact(m.content).text) for m in added),
            compaction=compacted,
            action=redacted(action, "body", "plan", "path", "error"),
            observation=f"{outcome.body}\n\n{outcome.verdict}".strip(),
            execution=outcome.execution,
            facts=redacted(facts, "submission_error"),
            score=outcome.grade.score if outcome.grade else None,
            submission_path=kept,
            checkpoint=workspace.checkpoint(title)
            if outcome.tree is None
            else workspace.checkpoint_of(outcome.tree, title),
            diff=redact(outcome.diff).text,
            completion=_stored(completion, spelt) if completion else None,
            sampling=parts.sampling if completion else None,
            template_hash=self._template_hash,
            trainable=not secrets,
        )

    def commit(self, solver: Solver, step: Step, started: float) -> Step:
        """Add rewards and durations, store the step and what it resolves; the record as stored."""
        facts = [s.facts for s in solver.steps] + [step.facts]
        tail = next((i for i, s in enumerate(solver.steps) if not s.rewards), len(solver.steps))
        rewards: dict[int, list[Reward]] = {i: [] for i in range(tail, len(facts))}
        for name in schemes.NAMES:
            for i, reward in enumerate(schemes.get(name).since(facts, tail), start=tail):
                if reward is not None:
                    rewards[i].append(reward)
        own = tuple(rewards.pop(len(facts) - 1))
        resolved = {solver.steps[i].id: tuple(got) for i, got in rewards.items() if got}
        for i, got in rewards.items():
            solver.steps[i] = solver.steps[i].model_copy(update={"rewards": tuple(got)})
        whole = clock.monotonic() - started
        spent = step.facts.duration_s + step.facts.generation_s
        step = step.model_copy(
            update={"rewards": own, "duration_s": whole, "overhead_s": max(0.0, whole - spent)}
        )
        self._store.commit_step(step, solver.session, resolved)
        return step

    def settle(self, solver: Solver) -> None:
        """At the end: rewards of actions that waited in vain for an execution."""
        facts = [s.facts for s in solver.steps]
        for name in schemes.NAMES:
            for step, reward in zip(solver.steps, schemes.get(name).final(facts), strict=True):
                if not step.rewards:
                    self._store.add_reward(step.id, reward)

    def step_end(self, solver: Solver, step: Step, better: bool, before: Score | None) -> events.StepEnd:
        """The event of a committed step; `before` is the best score before it."""
        score, session = step.score, solver.session
        first = next((s.score for s in solver.steps if s.index == 0 and s.score), None)
        return events.StepEnd(
            step=step,
            reward=next((r for r in step.rewards if r.scheme == session.reward_scheme), None),
            best=session.best,
            improved=better,
            gain=gain(score, before),
            baseline_gain=gain(score, first) if step.index > 0 else None,
        )


R = TypeVar("R", bound=Record)


def redacted(record: R, *fields: str) -> R:
    """`record` with secrets taken out of these text fields."""
    return record.model_copy(update={name: redact(getattr(record, name)).text for name in fields})


def _secret_before(solver: Solver, compacted: bool) -> bool:
    """Whether the prompt so far, since its root, holds a secret: its ids would spell it."""
    if compacted:
        return False
    for step in reversed(solver.steps):
        if not step.trainable:
            return True
        if step.compaction:
            break
    return False


def _stored(completion: Completion, secrets: bool) -> Completion:
    """What the log keeps of a completion: no token ids where they would spell a secret."""
    ids = {"token_ids": (), "logprobs": (), "prompt_ids": ()} if secrets else {}
    return redacted(completion, "text").model_copy(update=ids)


def gain(score: Score | None, other: Score | None) -> float | None:
    """How much better `score` is than `other`, in the metric's unit; positive is better."""
    if score is None or other is None:
        return None
    change = score.value - other.value
    return change if score.direction == "maximize" else -change
