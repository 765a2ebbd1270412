"""What performing an action came to, and the facts that follow from it.

`Outcome` is internal to the agent: the loop turns it into an observation for the
model, facts for the reward, and a step for the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..records import Action, Completion, Execution, Facts, Grade, Milestone, Score, Step


@dataclass(frozen=True)
class Yardstick:
    """What utilities are measured against: direction, optimum, dummy; None where unknown."""

    direction: str | None = None
    optimum: float | None = None
    dummy: float | None = None


@dataclass
class Outcome:
    """The result of one action, before it becomes a step."""

    body: str = ""
    """What the model is told (already redacted and capped)."""
    verdict: str = ""
    """The line about the submission, for the model."""
    execution: Execution | None = None
    grade: Grade | None = None
    """None: no submission was left."""
    submission: bytes | None = None
    milestones: tuple[Milestone, ...] = ()
    forged: int = 0
    self_reported: float | None = None
    path: str = ""
    diff: str = ""
    redundant: bool = False
    rejected: bool = False
    undone: tuple[str, ...] = field(default=())
    """Ids of the steps an `<undo/>` took back."""
    tree: dict[str, bytes] | None = None
    """A background job's own files; None: the outcome is of the foreground's workspace."""


def facts_of(
    action: Action,
    outcome: Outcome,
    completion: Completion | None,
    yardstick: Yardstick,
    best_utility: float | None,
    repaired: bool = False,
) -> Facts:
    """The raw facts of a step. `best_utility` is the best before it."""
    run, grade = outcome.execution, outcome.grade
    score = grade.score if grade else None
    usage = completion.usage if completion else None
    return Facts(
        format_valid=action.kind != "invalid",
        repaired=repaired,
        action=action.kind,
        executed=run is not None,
        status=run.status if run else None,
        duration_s=run.duration_s if run else 0.0,
        generation_s=completion.duration_s if completion else 0.0,
        peak_memory_mb=run.peak_memory_mb if run else None,
        milestones=outcome.milestones,
        forged=outcome.forged,
        submission="none" if grade is None else ("valid" if grade.valid else "invalid"),
        submission_error=grade.reason if grade else "",
        direction=score.direction if score else None,
        optimum=yardstick.optimum,
        dummy=yardstick.dummy,
        score=score.value if score else None,
        score_se=score.se if score else None,
        score_kind=score.kind if score else None,
        utility=grade.utility if grade else None,
        utility_se=grade.utility_se if grade else None,
        best_utility_before=best_utility,
        delta_utility=grade.delta_utility if grade else None,
        delta_se=grade.delta_se if grade else None,
        self_reported=outcome.self_reported,
        redundant=outcome.redundant,
        tokens_in=usage.prompt_tokens if usage else None,
        tokens_out=usage.completion_tokens if usage else None,
    )


def is_job(step: Step) -> bool:
    """Whether a step is the end of a background run: no reply of a policy, files of its own."""
    return step.action.background and step.facts.executed


def repeats(action: Action, steps: Sequence[Step]) -> bool:
    """Whether an earlier step did exactly this since the files last changed."""
    key = (action.kind, action.path, action.body, action.start, action.end)
    for step in reversed(steps):
        if (step.action.kind, step.action.path, step.action.body, step.action.start, step.action.end) == key:
            return True
        if step.diff or step.action.kind == "undo":
            return False
    return False


def is_better(score: Score | None, best: Score | None) -> bool:
    """Whether `score` becomes the best."""
    return score is not None and score.better_than(best)
