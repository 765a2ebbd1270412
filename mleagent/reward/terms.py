"""What all reward schemes share: the parts of a reward, what came before, what comes after.

A scheme is a `judge`: facts of one step and the history before it in, parts out, or
None for an action that executes nothing and so is worth what it leads to. `Scheme` runs
the judge along a branch and fills those in from the next execution, discounted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..records import Facts, Reward, RewardPart

DISCOUNT = 0.95
"""What an action that executes nothing keeps of the next execution's reward, for each action between."""
CRASHES = frozenset({"error", "oom", "disk", "killed", "missing_package", "lost"})
"""Statuses of a run that did not end by itself in order. A time-out's submission still counts (DESIGN §6)."""

Parts = tuple[RewardPart, ...]


def part(name: str, value: float, why: str = "") -> RewardPart:
    """One term of a reward; a value that is no number becomes 0, and the why says so."""
    if math.isfinite(value):
        return RewardPart(name=name, value=value, why=why)
    return RewardPart(name=name, value=0.0, why=f"{why} (not a finite number)")


def unit(value: float | None) -> float:
    """`value` clipped to 0..1; 0 for None and NaN."""
    return min(max(value, 0.0), 1.0) if value is not None and not math.isnan(value) else 0.0


def is_valid(facts: Facts) -> bool:
    """Whether the step was well-formed, ran, and left a valid submission."""
    return is_well_formed(facts) and facts.executed and facts.submission == "valid"


def is_well_formed(facts: Facts) -> bool:
    """Whether the reply was an action at all."""
    return facts.format_valid and facts.action != "invalid"


def milestones_reached(facts: Facts) -> int:
    """How many different milestones counted."""
    return len({milestone.name for milestone in facts.milestones})


@dataclass(frozen=True)
class History:
    """What the steps before one amount to."""

    submitted: bool = False
    """There is a valid submission."""
    best_utility: float | None = None
    first_score: float | None = None
    last_score: float | None = None
    best_score: float | None = None

    def after(self, facts: Facts) -> History:
        """The history once the step `facts` is of has passed."""
        if not is_valid(facts):
            return self
        score, best = facts.score, self.best_score
        if score is None or not math.isfinite(score):
            score = self.last_score
        elif best is None or (score < best if facts.direction == "minimize" else score > best):
            best = score
        known = [u for u in (self.best_utility, facts.utility) if u is not None and not math.isnan(u)]
        first = score if self.first_score is None else self.first_score
        return History(True, max(known, default=None), first, score, best)


Judge = Callable[[Facts, History], Parts | None]


@dataclass(frozen=True)
class Scheme:
    """A reward scheme (protocols.RewardScheme)."""

    name: str
    version: int
    judge: Judge
    floor: float = 0.0
    """What an action that leads to nothing is worth; discounting goes towards it."""

    def __call__(self, facts: Sequence[Facts]) -> list[Reward | None]:
        """One reward a step, oldest first; None where the next execution is still to come."""
        return [self._reward(parts) if parts is not None else None for parts in self._parts(facts)]

    def since(self, facts: Sequence[Facts], start: int) -> list[Reward | None]:
        """The rewards of steps `start` and later only: logging a step costs the same in a long session."""
        return [self._reward(parts) if parts is not None else None for parts in self._parts(facts, start)]

    def final(self, facts: Sequence[Facts]) -> list[Reward]:
        """The same for a session that has ended: what waited in vain is worth the floor."""
        nothing = (part("next execution", self.floor, "none followed"),)
        return [self._reward(nothing if parts is None else parts) for parts in self._parts(facts)]

    def _parts(self, facts: Sequence[Facts], start: int = 0) -> list[Parts | None]:
        history, judged = History(), list[Parts | None]()
        for step in facts[:start]:
            history = history.after(step)
        facts = facts[start:]
        for step in facts:
            judged.append(self.judge(step, history))
            history = history.after(step)
        ahead: tuple[int, float] | None = None
        for index in reversed(range(len(facts))):
            parts = judged[index]
            if parts is None and ahead is not None:
                steps, total = ahead[0] - index, ahead[1]
                value = self.floor + DISCOUNT**steps * (total - self.floor)
                why = f"{DISCOUNT}^{steps} of {total:.3f}, {steps} action{'s' * (steps > 1)} later"
                judged[index] = (part("next execution", value, why),)
            elif parts is not None and facts[index].executed:
                ahead = index, math.fsum(p.value for p in parts)
        return judged

    def _reward(self, parts: Parts) -> Reward:
        total = math.fsum(p.value for p in parts)
        return Reward(scheme=self.name, version=self.version, total=total, parts=parts)
