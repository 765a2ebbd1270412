"""Typed events that the loop emits; the terminal, the JSON stream and the store only listen.

An event's JSON form is `{"event": <name>, ...fields}`, see `to_json`. The last
event of every session is `SessionEnd` with the fields of DESIGN §11.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

from .records import Action, Direction, Execution, Record, Reward, Score, Session, Step


class Event(Record):
    """Base of all events."""

    event: ClassVar[str] = "event"

    def to_json(self) -> str:
        """One line of JSON, `event` first; NaN and infinities become null."""
        data: dict[str, Any] = {"event": self.event, **self.model_dump(mode="json")}
        return json.dumps(data, ensure_ascii=False)


class SessionStart(Event):
    """A session begins or goes on (`resumed`)."""

    event = "session_start"
    session: Session
    gaps: tuple[str, ...] = ()
    resumed: bool = False


class StepStart(Event):
    """A step begins; `left` fields are the budget before it."""

    event = "step_start"
    step: int
    steps_left: int | None = None
    time_left_s: float | None = None
    tokens_left: int | None = None


class Text(Event):
    """A piece of the policy's reply, as it streams."""

    event = "text"
    text: str


class ActionParsed(Event):
    """The reply was understood (or is `invalid`, with the reason)."""

    event = "action"
    action: Action


class Diff(Event):
    """The action changed a file: unified diff."""

    event = "diff"
    path: str
    diff: str


class RunStart(Event):
    """A command starts in the sandbox."""

    event = "run_start"
    command: str
    limit_s: float


class Output(Event):
    """A piece of the running program's output, escapes removed."""

    event = "output"
    text: str


class RunEnd(Event):
    """The command ended."""

    event = "run_end"
    execution: Execution


class StepEnd(Event):
    """The step is committed to the store."""

    event = "step_end"
    step: Step
    reward: Reward | None = None
    best: Score | None = None
    """Best feedback (or self-reported) score after the step."""
    improved: bool = False
    gain: float | None = None
    """Change of the best score, in the metric's unit, positive is better; None for the first."""
    baseline_gain: float | None = None


class Notice(Event):
    """Something the user should know; `level` says how loudly."""

    event = "notice"
    level: str = "info"
    """`info`, `warning` or `error`."""
    text: str


class Paused(Event):
    """The session waits for the user."""

    event = "paused"
    reason: str = ""


class SessionEnd(Event):
    """The last event. `sealed` and `utility` are on the sealed rows."""

    event = "session_end"
    session: str
    status: str
    metric: str | None
    direction: Direction | None
    best_feedback: float | None
    sealed: float | None
    utility: float | None
    steps: int
    wall_s: float
    submission: str | None
    """The file to upload: the user's own test rows, refitted where it was."""
    score_kind: str | None = None
    """Kind of `best_feedback`: feedback, or self-reported where there are no labels."""
    best_feedback_se: float | None = None
    sealed_se: float | None = None
    sealed_looks: int | None = None
    verified: bool = True
    refit: str = ""
    """`refitted`, `kept: <why>` or `skipped: <why>`."""
    reason: str = ""
    """Why the session ended: submitted, steps, time, stalled, interrupted, an error."""


Listener = Callable[[Event], None]
