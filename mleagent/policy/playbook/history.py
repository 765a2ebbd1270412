"""What has been tried in a session and how it went, read from the steps alone.

Takes a `State`, gives `Attempt`s: the recipe of each executed script, its score
as a number where more is better, and the text of what went wrong. Odd steps
(no facts that fit, foreign scripts, missing scores) become attempts without a
recipe or a value; nothing here raises.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal

from ...records import State, Step
from . import recipe
from .recipe import Recipe, kind_of

Outcome = Literal["scored", "invalid", "failed"]


@dataclass(frozen=True)
class Attempt:
    """One executed solution script."""

    step_id: str
    recipe: Recipe
    """Empty for a script that the playbook did not write."""
    outcome: Outcome
    value: float | None
    """Score with its sign turned so that more is better."""
    se: float
    trouble: str
    """Verdict and tail of the output: what a diagnosis of a failed run reads."""
    refusal: str
    """Why the submission is invalid."""
    own: float | None
    """The program's own validation score beside a feedback score, sign turned too."""
    rows: int
    """Rows of the feedback score; 0 when unknown."""
    body: str
    plan: str
    seconds: float

    @property
    def models(self) -> tuple[str, ...]:
        """Names of its models."""
        return tuple(choice.name for choice in self.recipe if kind_of(choice) == "model")

    @property
    def names(self) -> frozenset[str]:
        """Names of all its ideas."""
        return frozenset(choice.name for choice in self.recipe)


def sign_of(state: State) -> float:
    """1 when more is better, -1 when less is."""
    if state.task.metric is not None:
        return 1.0 if state.task.metric.direction == "maximize" else -1.0
    for step in state.steps:
        direction = step.score.direction if step.score else step.facts.direction
        if direction:
            return 1.0 if direction == "maximize" else -1.0
    return 1.0


def attempts(state: State) -> list[Attempt]:
    """Every executed script along the branch, oldest first."""
    sign = sign_of(state)
    return [_attempt(step, sign) for step in state.steps if _executed(step)]


def _executed(step: Step) -> bool:
    changed = step.action.kind in ("write", "edit") and step.action.execute
    return changed or step.facts.executed or step.execution is not None


def _attempt(step: Step, sign: float) -> Attempt:
    value, se = _score(step)
    facts, execution = step.facts, step.execution
    status = facts.status or (execution.status if execution else None)
    trouble = [step.observation[-3000:]]
    if execution is not None:
        trouble = [
            execution.status,
            execution.missing_package,
            execution.detail,
            execution.output[-3000:],
            *trouble,
        ]
    elif status:
        trouble.insert(0, status)
    outcome: Outcome = "scored" if value is not None else "failed"
    if value is None and (facts.submission == "invalid" or facts.submission_error):
        outcome = "invalid"
    body = step.action.body if step.action.kind == "write" else ""
    beside = facts.self_reported is not None and facts.score is not None and isfinite(facts.self_reported)
    return Attempt(
        step_id=step.id,
        recipe=recipe.read(body) or recipe.from_plan(step.action.plan),
        outcome=outcome,
        value=None if value is None else sign * value,
        se=se,
        trouble="\n".join(part for part in trouble if part),
        refusal=facts.submission_error,
        own=sign * facts.self_reported if beside and facts.self_reported is not None else None,
        rows=step.score.n or 0 if step.score else 0,
        body=body,
        plan=step.action.plan,
        seconds=execution.duration_s if execution else facts.duration_s,
    )


def _score(step: Step) -> tuple[float | None, float]:
    """Value and standard error, from the first source that has a finite one."""
    if step.score is not None and isfinite(step.score.value):
        return step.score.value, step.score.se or 0.0
    for value in (step.facts.score, step.facts.self_reported if step.facts.submission != "invalid" else None):
        if value is not None and isfinite(value) and step.facts.status in (None, "ok", "timeout"):
            return value, step.facts.score_se or 0.0
    return None, 0.0


def best_of(tried: list[Attempt]) -> Attempt | None:
    """The best scored attempt; the earliest of equals."""
    scored = [attempt for attempt in tried if attempt.value is not None]
    return max(scored, key=lambda attempt: attempt.value or 0.0, default=None)


def judged(tried: list[Attempt], rows_train: int) -> list[Attempt]:
    """Attempts whose value also weighs the program's own validation, by rows.

    Feedback on a hundred rows alone prefers the lucky; folds over the train rows
    are a second, independent measurement in the same unit. Where one attempt
    lacks it all keep their feedback, so that like is compared with like.
    """
    scored = [a for a in tried if a.value is not None and a.recipe]
    if not scored or any(a.own is None or not a.rows for a in scored):
        return tried
    found = []
    for attempt in tried:
        if attempt.value is not None and attempt.own is not None and attempt.rows:
            weight = attempt.rows / (attempt.rows + max(rows_train, 1))
            both = weight * attempt.value + (1 - weight) * attempt.own
            attempt = replace(attempt, value=both, se=attempt.se * weight**0.5)
        found.append(attempt)
    return found


def stalled(tried: list[Attempt]) -> int:
    """Executions since the best improved by more than noise (a standard error)."""
    best, since = None, 0
    for attempt in tried:
        since += 1
        if attempt.value is not None and (best is None or attempt.value > best + attempt.se):
            best, since = attempt.value, 0
    return since


def failing(tried: list[Attempt]) -> int:
    """Executions at the end that left no score."""
    count = 0
    for attempt in reversed(tried):
        if attempt.value is not None:
            break
        count += 1
    return count
