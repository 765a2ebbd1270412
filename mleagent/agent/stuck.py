"""When to stop early: a policy that goes in circles, or one that gains nothing more.

A pure function of the steps so far. Patience is counted in executions that left
a valid submission and did not beat the best by more than noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..records import Facts, Step
from .flow import Stalled
from .outcome import is_job

SAME_ACTION = 3
"""The same action this many times in a row is a circle."""
INVALID_IN_A_ROW = 4
LOOKS_IN_A_ROW = 12
"""Actions in a row that execute nothing."""
FAILURES_IN_A_ROW = 10
PATIENCE = 12
"""Valid submissions in a row without a gain."""


def check(steps: Sequence[Step], patience: int = PATIENCE) -> None:
    """Raises Stalled when the trajectory shows one of the patterns above."""
    if _tail(steps, lambda s: s.facts.action == "invalid") >= INVALID_IN_A_ROW:
        raise Stalled(f"stalled: {INVALID_IN_A_ROW} malformed replies in a row")
    chosen = [s for s in steps if not is_job(s)]
    if len(chosen) >= SAME_ACTION:
        last = [(s.action.kind, s.action.path, s.action.body, s.action.start) for s in chosen[-SAME_ACTION:]]
        if len(set(last)) == 1:
            raise Stalled(f"stalled: the same action {SAME_ACTION} times in a row")
    if _tail(steps, lambda s: not s.facts.executed) >= LOOKS_IN_A_ROW:
        raise Stalled(f"stalled: {LOOKS_IN_A_ROW} actions in a row that run nothing")
    runs = [s for s in steps if s.facts.executed]
    if _tail(runs, lambda s: s.facts.submission != "valid") >= FAILURES_IN_A_ROW:
        raise Stalled(f"stalled: {FAILURES_IN_A_ROW} runs in a row without a valid submission")
    valid = [s for s in runs if s.facts.submission == "valid"]
    if _tail(valid, lambda s: not gained(s.facts)) >= patience:
        raise Stalled(f"stalled: no gain in the last {patience} submissions")


def gained(facts: Facts) -> bool:
    """Whether a valid submission is the first or better than the best before it."""
    if facts.best_utility_before is None or facts.utility is None:
        return True
    return (facts.delta_utility or 0.0) > 0.0


def _tail(steps: Sequence[Step], holds: Callable[[Step], bool]) -> int:
    count = 0
    for step in reversed(steps):
        if not holds(step):
            break
        count += 1
    return count
