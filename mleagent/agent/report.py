"""What the model is told of a run: output head and tail, the verdict, the score with its error.

Never a sealed number, never a clock. Text of data or programs stays data.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Execution, Grade, Score

MAX_OUTPUT = 4000
"""Characters of output in an observation; the log keeps more."""
WORDS = {
    "ok": "The run ended normally",
    "error": "The run failed",
    "timeout": "The run was ended at its time limit",
    "oom": "The run was ended: out of memory",
    "disk": "The run failed: the work folder is full",
    "killed": "The run was killed",
    "missing_package": "The run failed: a package is not installed and can't be had; do without it",
    "lost": "The sandbox went away during the run; nothing of it is left. Try again",
}


def observation(run: Execution, skipped: Sequence[str] = ()) -> str:
    """The body of the observation after a run. Output is already cleaned and redacted."""
    head = WORDS[run.status]
    if run.status in ("error", "killed") and run.exit_code is not None:
        head += f" (exit code {run.exit_code})"
    if run.detail and run.status != "ok":
        head += f": {run.detail}"
    lines = [head + "."]
    output = run.output.strip("\n")
    lines.append(f"Output:\n{middle_out(output, MAX_OUTPUT)}" if output else "It printed nothing.")
    if skipped:
        lines.append("Not kept: " + "; ".join(skipped[:5]))
    return "\n".join(lines)


def verdict_line(grade: Grade | None) -> str:
    """What the scorer says, for the model."""
    if grade is None:
        return "No submission was left."
    if not grade.valid:
        return f"The submission is invalid: {grade.reason}"
    if grade.score is None:
        return "The submission is valid; it has no score (print one validation line)."
    text = f"The submission is valid. {describe(grade.score)}"
    if grade.delta_utility is not None:
        better = "better than" if grade.delta_utility > 0 else "not better than"
        noise = ""
        if grade.delta_se and abs(grade.delta_utility) < grade.delta_se:
            noise = " (within noise)"
        text += f", {better} the best before{noise}"
    return text + "."


def describe(score: Score) -> str:
    """`accuracy 0.8123 (0.0096), more is better`."""
    error = f" ({score.se:.2g})" if score.se is not None else ""
    sense = "more is better" if score.direction == "maximize" else "less is better"
    kind = "" if score.kind == "feedback" else f" {score.kind}"
    return f"{score.metric} {score.value:.5g}{error}{kind}, {sense}"


def middle_out(text: str, most: int) -> str:
    """Head and tail of a text: a third and two thirds, the end of a traceback matters most."""
    if len(text) <= most:
        return text
    head, tail = most // 3, most - most // 3
    return f"{text[:head]}\n... {len(text) - most} characters left out ...\n{text[-tail:]}"
