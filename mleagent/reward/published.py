"""The reward schemes of the two papers, as far as they are known, from our facts.

ML-Agent (arXiv 2505.23723), versions 1 and 2, and RL for Machine Learning Engineering
Agents (arXiv 2509.01684). Where a paper's number or case is not known the choice is
named here. They are kept for comparison: unlike the default they are not normalised
over metrics, and the order test of DESIGN §8 is promised by the default only.
"""

from __future__ import annotations

import math

from ..records import Facts
from .terms import History, Parts, is_valid, is_well_formed, milestones_reached, part

GAIN_SCALE = 100.0
"""ML-Agent v1: alpha = 100 / (m_best - m_init). A gain of 1 % of the range gives sigmoid(1) = 0.73."""
CORNER = frozenset({"oom", "timeout", "disk", "killed", "lost"})
"""ML-Agent's corner cases are out-of-memory and time-out; the sandbox's other verdicts join them."""
TOTAL_FAILURE = -10.0
PRINT_CREDIT = 0.1
LOWEST_VALID = TOTAL_FAILURE + 7 * PRINT_CREDIT


def sigmoid(x: float) -> float:
    """The logistic function, without overflow."""
    return 0.5 * (1.0 + math.tanh(0.5 * x))


def scaled_gain(facts: Facts, before: History) -> float | None:
    """(m_t+1 - m_t) / (m_best - m_init): the step's gain as a share of the whole range.

    m_t is the last valid score before (m_init if none), m_init the best constant
    prediction's (without one: the first valid score), m_best the metric's optimum.
    Positive is better for either direction. None where the range is empty or unknown.
    """
    start = facts.dummy if facts.dummy is not None else before.first_score
    if facts.score is None or start is None or facts.optimum is None:
        return None
    span = facts.optimum - start
    last = start if before.last_score is None else before.last_score
    gain = (facts.score - last) / span if abs(span) > 1e-12 else math.nan
    return gain if math.isfinite(gain) else None


def _ml_agent_case(facts: Facts) -> str:
    """`failed`, `neutral` or `improved?`: the three cases of ML-Agent's reward module."""
    if not is_well_formed(facts):
        return "failed"
    if facts.executed and facts.status in CORNER:
        return "neutral"
    if facts.executed and facts.status != "ok":
        return "failed"
    if not facts.executed or facts.action not in ("write", "edit"):
        return "neutral"
    return "improved?" if is_valid(facts) else "failed"


def ml_agent(facts: Facts, before: History) -> Parts:
    """ML-Agent v1: 0 for an invalid action or an error, 0.5 for corner cases and valid
    actions that edit nothing, else sigmoid(100 * scaled gain).

    An edit that ran without leaving a valid submission has no metric and counts as an
    error; 0.5 where the range is unknown.
    """
    case = _ml_agent_case(facts)
    if case == "failed":
        return (part("failed", 0.0, _what(facts)),)
    gain = scaled_gain(facts, before) if case == "improved?" else None
    if gain is None:
        return (part("neutral", 0.5, _what(facts)),)
    return (part("gain", sigmoid(GAIN_SCALE * gain), f"sigmoid of {GAIN_SCALE * gain:+.3g}"),)


def ml_agent_linear(facts: Facts, before: History) -> Parts:
    """ML-Agent v2: -1 for an error or an invalid action, 0 for corner cases and actions
    that edit nothing, else the scaled gain itself.

    The paper's factor is not known: 1 here, clipped to -1..1, so that no success is
    worth less than an error.
    """
    case = _ml_agent_case(facts)
    if case == "failed":
        return (part("failed", -1.0, _what(facts)),)
    gain = scaled_gain(facts, before) if case == "improved?" else None
    if gain is None:
        return (part("neutral", 0.0, _what(facts)),)
    return (part("gain", min(max(gain, -1.0), 1.0), f"{gain:+.3g} of the range"),)


def partial_credit(facts: Facts, before: History) -> Parts | None:
    """RL for MLE Agents: -10, +0.1 a milestone; the score itself once a submission is valid.

    The sign is flipped for lower-is-better. A score below what milestones alone can
    reach (-9.3, metrics in large units) counts as that. Looking is not an action in the
    paper: here it shares in what it leads to. Submitting gets the best score.
    """
    if not is_well_formed(facts):
        return (part("failed", TOTAL_FAILURE, _what(facts)),)
    if facts.action == "submit" and not facts.executed:
        return _signed(facts, before.best_score) or (part("failed", TOTAL_FAILURE, "nothing to submit"),)
    if not facts.executed:
        return None
    scored = _signed(facts, facts.score) if is_valid(facts) else None
    if scored:
        return scored
    count = milestones_reached(facts)
    return (
        part("no valid submission", TOTAL_FAILURE, _what(facts)),
        part("milestones", PRINT_CREDIT * count, f"{count} of 7"),
    )


def _signed(facts: Facts, score: float | None) -> Parts | None:
    if score is None or not math.isfinite(score):
        return None
    signed = -score if facts.direction == "minimize" else score
    return (part("score", max(signed, LOWEST_VALID), f"score {score:.6g}"),)


def _what(facts: Facts) -> str:
    """One or two words on what happened."""
    if not is_well_formed(facts):
        return "invalid action"
    if not facts.executed:
        return f"{facts.action} executes nothing"
    return facts.submission_error or f"{facts.status or 'ran'}, {facts.submission} submission"
