"""The reward schemes: named, versioned, pure functions from facts to rewards (DESIGN §8).

Each takes the facts of a branch's steps, oldest first, and gives a reward a step, None
while an action that executes nothing waits for the next execution. Rewards can thus be
recomputed over old sessions. No scheme reads `self_reported`: a printed score earns nothing.
"""

from __future__ import annotations

from ..errors import InputError
from ..records import MILESTONES, Facts, RewardPart
from .published import TOTAL_FAILURE, ml_agent, ml_agent_linear, partial_credit, sigmoid
from .terms import CRASHES, History, Parts, Scheme, is_valid, is_well_formed, milestones_reached, part, unit

EXECUTION_COST = 0.02
FAILURE = 0.05
MILESTONE_SHARE = 0.2
CONSTANT = 0.25
CONSTANT_UTILITY = 0.01
"""Up to this utility a submission is no better than a constant, such as the sample submission."""
VALID = 0.4
UTILITY_SHARE = 0.3
FIRST = 0.15
IMPROVEMENT = 0.3
SE_FLOOR = 0.02
"""A gain is measured in standard errors of itself, but never in smaller ones than this."""


def unified(facts: Facts, before: History) -> Parts | None:
    """The default scheme (DESIGN §8).

    0 for an invalid action; a run costs 0.02 and earns 0.05 + 0.2 m/M without a valid
    submission (or when it crashed), 0.25 with one of utility up to 0.01, else
    0.4 + 0.3 u + gain; submitting earns 0.4 + 0.3 u_best. A valid submission whose
    utility is unknown (no labels to measure it) earns 0.25: a claim is no gain.
    """
    if not is_well_formed(facts):
        return (part("invalid action", 0.0, "the reply was no action"),)
    if facts.executed:
        return (*_outcome(facts), part("execution", -EXECUTION_COST, "every run costs"))
    return _submitted(facts, before) if facts.action == "submit" else None


def _outcome(facts: Facts) -> Parts:
    if not is_valid(facts) or facts.status in CRASHES:
        count = milestones_reached(facts)
        why = f"{facts.status or 'ran'}, {facts.submission} submission"
        share = MILESTONE_SHARE * count / len(MILESTONES)
        return part("ran", FAILURE, why), part("milestones", share, f"{count} of {len(MILESTONES)}")
    utility = unit(facts.utility)
    if utility <= CONSTANT_UTILITY:
        why = (
            "utility unknown"
            if facts.utility is None
            else f"utility {utility:.3f}, no better than a constant"
        )
        return (part("valid", CONSTANT, why),)
    valid = part("valid", VALID, "a valid submission")
    return valid, part("utility", UTILITY_SHARE * utility, f"0.3 of {utility:.3f}"), _gain(facts, utility)


def _gain(facts: Facts, utility: float) -> RewardPart:
    """0.15 for the first valid submission, else 0.3 max(0, 2 sigmoid(z) - 1)."""
    best = facts.best_utility_before
    if best is None and facts.delta_utility is None:
        return part("first", FIRST, "the first valid submission")
    change = facts.delta_utility if facts.delta_utility is not None else utility - unit(best)
    error = max(facts.delta_se or facts.utility_se or 0.0, SE_FLOOR)
    z = change / error
    return part(
        "gain", IMPROVEMENT * max(0.0, 2.0 * sigmoid(z) - 1.0), f"{change:+.3f} utility, {z:+.1f} errors"
    )


def _submitted(facts: Facts, before: History) -> Parts:
    """0.4 + 0.3 u_best; 0 with no valid submission before."""
    known = [u for u in (before.best_utility, facts.best_utility_before) if u is not None]
    if not known and not before.submitted:
        return (part("submitted", 0.0, "nothing valid to submit"),)
    best = unit(max(known, default=None))
    return part("submitted", VALID, "the best so far"), part(
        "utility", UTILITY_SHARE * best, f"0.3 of {best:.3f}"
    )


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("unified", 1, unified),
        Scheme("ml-agent", 1, ml_agent),
        Scheme("ml-agent-linear", 1, ml_agent_linear),
        Scheme("partial-credit", 1, partial_credit, floor=TOTAL_FAILURE),
    )
}
NAMES = tuple(SCHEMES)
DEFAULT = NAMES[0]


def get(name: str) -> Scheme:
    """The scheme of that name. Raises InputError for an unknown one."""
    if name not in SCHEMES:
        raise InputError(f"--reward {name!r} is not a reward scheme; choose one of {', '.join(NAMES)}")
    return SCHEMES[name]
