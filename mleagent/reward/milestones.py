"""Turns a run's output into milestones that count, and gives the output back clean.

A milestone printed by a program is a claim. It counts once, in order, if the annotator
marked it, and only up to `validation score`; whether test rows were predicted and a
submission was saved is read off the graded file. What remains: a program that reads its
own file finds the tag and can print the five claims itself. That forgery is worth at most
0.2 * 5/7 < 0.15 (DESIGN §8), less than any valid submission, and nothing in `ml-agent`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..records import MILESTONES, Grade, Milestone, Record
from .instrument import Instrumented

CLAIMABLE = MILESTONES[:5]
"""Milestones for which a program's word is taken."""
_NAMES = "|".join(map(re.escape, MILESTONES))
_QUOTED = re.compile(rf'[ \t]*(?:; )?print\("\[mle:[^\]\s]+\] (?:{_NAMES})", flush=True\)[ \t]*(?:\r?\n)?')
"""Our own statement as text: a program or a traceback shows its source. Not a claim."""


class Collected(Record):
    """What one run's output says."""

    milestones: tuple[Milestone, ...] = ()
    forged: int = 0
    """Claims that did not count, and claims with another run's tag."""
    output: str = ""
    """The program's own output."""
    line_times: tuple[float, ...] = ()
    """Seconds since the start at which each line of `output` arrived; empty if unknown."""


def collect(
    instrumented: Instrumented,
    output: str,
    line_times: Sequence[float] = (),
    grade: Grade | None = None,
    submission_saved: bool = False,
) -> Collected:
    """Milestones of a run of `instrumented` that printed `output`.

    `line_times` holds a time for each line of `output`, or nothing. `grade` is the
    scorer's verdict on the submission that this run left, None when it left none.
    Repeats of a claim that counted are dropped silently where the print stands in a
    loop or a function, and are forgeries elsewhere.
    """
    text, times = _cut(_QUOTED, output, list(line_times))
    claim = re.compile(
        rf"\[mle:([^\]\s]+)\] ({_NAMES})(\r?\n|\Z)|\[mle:{re.escape(instrumented.tag)}\][^\n]*\n?"
    )
    reached: dict[str, float | None] = {}
    forged = 0
    for found in claim.finditer(text):
        name = found[2] if found[1] == instrumented.tag else None
        if name is None or not _counts(name, instrumented, reached):
            forged += 1
        elif name not in reached:
            row = text.count("\n", 0, found.start())
            reached[name] = times[row] if row < len(times) else None
    text, times = _cut(claim, text, times)
    graded = {MILESTONES[5]: grade is not None and grade.valid, MILESTONES[6]: submission_saved}
    milestones = [Milestone(name=n, at_s=at) for n, at in reached.items() if n in CLAIMABLE]
    milestones += [
        Milestone(name=n, at_s=reached.get(n), source="grader") for n, yes in graded.items() if yes
    ]
    return Collected(milestones=tuple(milestones), forged=forged, output=text, line_times=tuple(times))


def _counts(name: str, instrumented: Instrumented, reached: dict[str, float | None]) -> bool:
    """Whether a claim is in order and marked; a repeat is fine where the print may repeat."""
    if name not in {mark.name for mark in instrumented.marks}:
        return False
    if name in reached:
        return name in instrumented.repeatable
    return all(MILESTONES.index(name) > MILESTONES.index(earlier) for earlier in reached)


def _cut(pattern: re.Pattern[str], text: str, times: list[float]) -> tuple[str, list[float]]:
    """`text` without the matches, and the times of the lines that are left.

    A match that ends its line takes the line break with it: glued to the end of other
    text the next line follows on, as it would have without our print.
    """
    kept: list[str] = []
    kept_times: list[float] = []
    end, row = 0, 0
    for found in pattern.finditer(text):
        before = text[end : found.start()]
        kept.append(before)
        end = found.end()
        for _ in range(before.count("\n")):
            kept_times += times[row : row + 1]
            row += 1
        row += found[0].count("\n")
    kept.append(text[end:])
    return "".join(kept), kept_times + times[row:]
