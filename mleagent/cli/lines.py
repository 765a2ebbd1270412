"""Steps and ends as lines of text, the same for every face. Every score says its kind and its error."""

from __future__ import annotations

from ..events import SessionEnd, StepEnd
from ..records import Score
from ..trajectory.lines import duration, score_text, signed
from ..trajectory.lines import with_error as error_text

__all__ = ["duration", "end", "step", "with_error"]
MARKS = {"valid": "✓", "invalid": "✗", "none": "·"}


def with_error(score: Score) -> str:
    """`0.8123 ±.0096`, marked when it is self-reported or unverified."""
    return score_text(score.value, score.se, score.kind, score.verified)


def step(event: StepEnd) -> str:
    """`step 7 ✓ 0.8123 ±.0096 (best +.0041, baseline +.0120) 38s · reward 0.71 · idea names`."""
    record = event.step
    facts = record.facts
    parts = [f"step {record.index}", "✗" if not facts.format_valid else MARKS[facts.submission]]
    if facts.submission == "valid" and record.score:
        parts.append(with_error(record.score))
        gains = [
            f"{name} {signed(value)}"
            for name, value in (("best", event.gain), ("baseline", event.baseline_gain))
            if value is not None
        ]
        parts += [f"({', '.join(gains)})"] if gains else []
    elif facts.submission == "invalid":
        parts.append(f"invalid: {facts.submission_error}")
    elif facts.executed:
        parts.append(facts.status or "")
    parts.append(duration(record.duration_s))
    if record.execution and record.execution.cached:
        parts.append(f"(from the cache; it took {duration(record.execution.duration_s)})")
    text = " ".join(part for part in parts if part)
    if event.reward:
        text += f" · reward {event.reward.total:.2f}"
    plan = record.action.plan or record.action.kind
    return f"{text} · {plan if len(plan) <= 100 else plan[:99] + '…'}"


def end(event: SessionEnd) -> list[str]:
    """What a person needs at the end: scores with their kinds, the file, what to do next."""
    head = {
        "done": "done",
        "no_submission": "finished without a valid submission",
        "failed": "stopped",
        "interrupted": "interrupted",
    }[event.status]
    why = "" if event.reason == head else f": {event.reason}"
    out = [f"{head}{why} · {event.steps} steps in {duration(event.wall_s)} · session {event.session}"]
    if event.best_feedback is not None:
        note = "" if event.verified else " (unverified: withheld files were included)"
        value = error_text(event.best_feedback, event.best_feedback_se)
        out.append(f"{event.score_kind or 'feedback'} {event.metric} {value}{note}")
    if event.sealed is not None:
        looks = f", look {event.sealed_looks} at this split" if event.sealed_looks else ""
        before = ", before refit" if event.refit == "refitted" else ""
        value = error_text(event.sealed, event.sealed_se)
        out.append(f"sealed {event.metric} {value} (utility {event.utility:.3f}{before}{looks})")
    if event.refit:
        out.append(f"refit on all labelled rows: {event.refit}")
    if event.submission:
        what = "submission" if event.submission.endswith(".csv") else "solution"
        out.append(f"{what}: {event.submission}")
        out.append(f"nothing in your folder was changed; to copy it there: mleagent apply {event.session}")
    if event.status in ("failed", "interrupted"):
        out.append(f"go on with: mleagent solve -r {event.session}")
    return out
