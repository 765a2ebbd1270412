"""Sessions and steps as lists show them: a line each, without the texts.

`SessionLine` and `StepLine` come straight from columns, so a list of thousands
costs no decoding. The functions below put them into words (DESIGN §11) for the
terminal and the browser alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..records import ActionKind, Direction, ExecutionStatus, Label, Record, ScoreKind, SessionStatus


class SessionLine(Record):
    """One session in a list."""

    id: str
    created_at: float
    folder: str
    task: str
    policy: str
    model: str
    adapter: str
    status: SessionStatus
    steps: int
    direction: Direction | None = None
    best: float | None = None
    best_se: float | None = None
    best_kind: ScoreKind | None = None
    best_utility: float | None = None
    verified: bool = True
    """False when the user's `include` overrode what was withheld."""
    reward: float | None = None
    """Sum over the steps, by the session's scheme; None while no step has one."""
    sealed: float | None = None
    """The newest sealed score; for eyes only, nothing learns from it."""
    sealed_se: float | None = None
    looks: int | None = None


class StepLine(Record):
    """One step in a list."""

    id: str
    session_id: str
    parent_id: str | None
    index: int
    created_at: float
    kind: ActionKind
    plan: str
    status: ExecutionStatus | None = None
    submission: str = "none"
    compaction: bool = False
    score: float | None = None
    score_se: float | None = None
    score_kind: ScoreKind | None = None
    direction: Direction | None = None
    utility: float | None = None
    reward: float | None = None
    duration_s: float = 0.0
    label: Label | None = None
    """The newest label."""


class Progress(Record):
    """A step's line with what only the steps before it can tell."""

    line: StepLine
    best: float | None
    """Best score up to and including this step."""
    gain: float | None = None
    """How much this step's score is better than the best before it; negative is worse."""
    baseline_gain: float | None = None
    """The same against step 0, the user's own script."""

    @property
    def improved(self) -> bool:
        """Whether this step set the best score."""
        return self.line.score is not None and (self.gain is None or self.gain > 0)


def progress(lines: Sequence[StepLine]) -> list[Progress]:
    """Running best and gains over the lines of one session, oldest first."""
    best: float | None = None
    baseline: float | None = None
    out = []
    for line in lines:
        gain = baseline_gain = None
        if line.score is not None:
            sign = -1.0 if line.direction == "minimize" else 1.0
            gain = None if best is None else sign * (line.score - best)
            baseline_gain = None if baseline is None else sign * (line.score - baseline)
            if line.index == 0:
                baseline = line.score
            if gain is None or gain > 0:
                best = line.score
        out.append(Progress(line=line, best=best, gain=gain, baseline_gain=baseline_gain))
    return out


def number(value: float | None, digits: int = 4) -> str:
    """A score for a narrow column: `digits` decimals, fewer for large values, `-` for none."""
    if value is None:
        return "-"
    if abs(value) >= 1e7 or (value != 0 and abs(value) < 10**-digits):
        return f"{value:.3g}"
    return f"{value:.{max(0, digits - len(str(int(abs(value)))) + 1)}f}"


def with_error(value: float | None, error: float | None) -> str:
    """`0.8123 ±.0096`."""
    text = number(value)
    return f"{text} ±{number(error).removeprefix('0')}" if value is not None and error is not None else text


def score_text(
    value: float | None, error: float | None, kind: ScoreKind | None, verified: bool = True
) -> str:
    """A score with its standard error and whatever makes it less than a feedback score."""
    words = [with_error(value, error)]
    if value is not None and kind == "self-reported":
        words.append("self-reported")
    if value is not None and not verified:
        words.append("unverified")
    return " ".join(words)


def sealed_text(line: SessionLine) -> str:
    """`0.8012 ±.0100 (look 2)`: the sealed score and how often its split has been looked at."""
    looks = f" (look {line.looks})" if line.looks is not None else ""
    return with_error(line.sealed, line.sealed_se) + (looks if line.sealed is not None else "")


def signed(value: float) -> str:
    """`+.0041`."""
    text = number(abs(value))
    return ("-" if value < 0 else "+") + (text.removeprefix("0") if text.startswith("0.") else text)


def duration(seconds: float) -> str:
    """`0.4s`, `38s`, `12m05s`, `3h20m`."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def outcome(line: StepLine) -> str:
    """What came of a step in a word or a number: its score, or why there is none."""
    if line.score is not None:
        return score_text(line.score, line.score_se, line.score_kind)
    if line.kind == "invalid":
        return "malformed"
    if line.status not in (None, "ok"):
        return str(line.status)
    if line.submission == "invalid":
        return "invalid submission"
    return "no submission" if line.status == "ok" else line.kind


def sign(line: StepLine) -> str:
    """`✓` a score, `✗` a failure, `·` nothing to score."""
    if line.score is not None:
        return "✓"
    failed = line.kind == "invalid" or line.status not in (None, "ok") or line.submission == "invalid"
    return "✗" if failed else "·"


def step_text(step: Progress) -> str:
    """`step 7 ✓ 0.8123 ±.0096 (best +.0041, baseline +.0120) 38s` (DESIGN §11)."""
    line = step.line
    gains = []
    if step.gain is not None:
        gains.append(f"best {signed(step.gain)}")
    if step.baseline_gain is not None:
        gains.append(f"baseline {signed(step.baseline_gain)}")
    middle = f" ({', '.join(gains)})" if gains else ""
    return f"step {line.index} {sign(line)} {outcome(line)}{middle} {duration(line.duration_s)}"
