"""Improving a script of the user's own: read it, change its source, keep what gains.

For projects whose metric a command prints (`kind == "eval"`) with a start
script. The script's text comes from `<read>` observations (or from the best
version written so far); each step writes one variant of the best whole.
"""

from __future__ import annotations

import re
from random import Random

from ...records import State
from .history import Attempt, attempts, best_of, stalled
from .source_ideas import blend, variants

_LINE = re.compile(r"^(\d+):(?: (.*))?$")
_MORE = re.compile(r"read from (\d+)\)")
SUBMIT = "Plan: submit the best so far\n<submit/>"
PATIENCE = 10
BLEND_AFTER = 5


def concerns(state: State) -> bool:
    """Whether this session improves a script instead of writing one from tables."""
    return state.task.kind == "eval" and bool(state.task.start)


def action(state: State, rng: Random, turn: int = 0) -> str:
    """The next action's text; other turns give other variants."""
    path = state.solution
    source, missing = script(state, path)
    if missing is not None:
        begin = f' from="{missing}"' if missing > 1 else ""
        return f'Plan: read the script\n<read path="{path}"{begin}/>'
    tried = attempts(state)
    if turn == 0 and _finished(state, tried):
        return SUBMIT
    found = _variant(source, tried, rng, turn)
    if found is None:
        return SUBMIT if best_of(tried) else f"Plan: run the script as it is\n<run>\npython {path}\n</run>"
    name, text = found
    return f'Plan: {name}\n<write path="{path}">\n{text}</write>'


def script(state: State, path: str) -> tuple[str, int | None]:
    """The script's original text, and the line to read from next (None: it is whole)."""
    lines: dict[int, str] = {}
    following: int | None = 1
    for step in state.steps:
        if step.action.kind != "read" or step.action.path.removeprefix("./") != path:
            continue
        following = None
        for line in step.observation.split("\n"):
            found = _LINE.match(line)
            if found:
                lines[int(found.group(1))] = found.group(2) or ""
            elif more := _MORE.search(line):
                following = int(more.group(1))
        if following is not None and following - 1 not in lines:
            following = None  # reading makes no headway: work with what there is
    text = "\n".join(lines[number] for number in sorted(lines))
    return text + "\n" if text else "", following


def _variant(source: str, tried: list[Attempt], rng: Random, turn: int) -> tuple[str, str] | None:
    """A change of the best version that was not tried yet."""
    seen = {attempt.body.strip() for attempt in tried}
    best = best_of(tried)
    base = best.body if best and best.body else source
    plans = [attempt.plan for attempt in tried if attempt.value is not None and attempt.body]
    swapped = sorted(
        (a for a in tried if a.value is not None and a.plan in plans), key=lambda a: -(a.value or 0)
    )
    found = []
    if len(swapped) >= BLEND_AFTER:
        joined = blend(source, [a.plan for a in swapped])
        found += [joined] if joined else []
    found += [*(variants(source) if len(tried) <= BLEND_AFTER else ()), *variants(base)]
    fresh = [(name, text) for name, text in found if text.strip() not in seen]
    if not fresh:
        return None
    if turn or len(tried) > BLEND_AFTER + 2:
        return rng.choice(fresh)
    return fresh[0]


def _finished(state: State, tried: list[Attempt]) -> bool:
    if best_of(tried) is None:
        return len(tried) >= 12
    if state.steps_left is not None and state.steps_left <= 1:
        return True
    slow = max((attempt.seconds for attempt in tried[-5:]), default=0.0)
    if state.time_left_s is not None and state.time_left_s < max(5.0, 1.5 * slow):
        return True
    return len(tried) > PATIENCE and stalled(tried) >= PATIENCE
