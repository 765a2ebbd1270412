"""Steps and ends as lines of text, the same for every face. Every score says its kind and its error."""

from __future__ import annotations

from ..events import SessionEnd, StepEnd
from ..records import Score

MARKS = {"valid": "✓", "invalid": "✗", "none": "·"}


def number(value: float) -> str:
    """A score in at most five digits, never in exponent form for everyday sizes."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4f}" if abs(value) < 10 else f"{value:.5g}"
    return f"{value:.3e}"


def with_error(score: Score) -> str:
    """`0.8123 ±.0096`, marked when it is self-reported or unverified."""
    error = f" ±{number(score.se).removeprefix('0')}" if score.se is not None else ""
    kind = "" if score.kind == "feedback" else f" {score.kind}"
    return f"{number(score.value)}{error}{kind}{'' if score.verified else ' unverified'}"


def signed(gain: float) -> str:
    """`+.0041`."""
    return f"{'+' if gain >= 0 else '-'}{number(abs(gain)).removeprefix('0')}"


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
    text = " ".join(part for part in parts if part)
    if event.reward:
        text += f" · reward {event.reward.total:.2f}"
    plan = record.action.plan or record.action.kind
    return f"{text} · {plan[:100]}"


def duration(seconds: float) -> str:
    """`0.4s`, `38s`, `12m`, `3h05m`."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    if seconds < 120:
        return f"{seconds:.0f}s"
    if seconds < 7200:
        return f"{seconds / 60:.0f}m"
    return f"{seconds // 3600:.0f}h{seconds % 3600 // 60:02.0f}m"


def end(event: SessionEnd) -> list[str]:
    """What a person needs at the end: scores with their kinds, the file, what to do next."""
    head = {
        "done": "done",
        "no_submission": "finished without a valid submission",
        "failed": "stopped",
        "interrupted": "interrupted",
    }[event.status]
    out = [
        f"{head}: {event.reason} · {event.steps} steps in {duration(event.wall_s)} · session {event.session}"
    ]
    if event.best_feedback is not None:
        error = f" ±{number(event.best_feedback_se)}" if event.best_feedback_se is not None else ""
        note = "" if event.verified else " (unverified: withheld files were included)"
        out.append(
            f"{event.score_kind or 'feedback'} {event.metric} {number(event.best_feedback)}{error}{note}"
        )
    if event.sealed is not None:
        error = f" ±{number(event.sealed_se)}" if event.sealed_se is not None else ""
        looks = f", look {event.sealed_looks} at this split" if event.sealed_looks else ""
        before = ", before refit" if event.refit == "refitted" else ""
        utility = f"utility {event.utility:.3f}{before}{looks}"
        out.append(f"sealed {event.metric} {number(event.sealed)}{error} ({utility})")
    if event.refit:
        out.append(f"refit on all labelled rows: {event.refit}")
    if event.submission:
        out.append(f"submission: {event.submission}")
        out.append(f"nothing in your folder was changed; to copy it there: mleagent apply {event.session}")
    if event.status in ("failed", "interrupted"):
        out.append(f"go on with: mleagent solve -r {event.session}")
    return out
