"""One session: what it was, how its best score grew, a line a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Sparkline, Static

from ..records import Label, SealedGrade, Session
from ..trajectory.detail import printable
from ..trajectory.lines import (
    Progress,
    StepLine,
    duration,
    number,
    outcome,
    progress,
    score_text,
    sign,
    signed,
    with_error,
)
from .live import LiveScreen
from .step import StepScreen
from .widgets import VimTable

_COLUMNS = ("#", "", "score", "best", "reward", "time", "±", "action", "plan")
_SIGN = {"✓": "green", "✗": "red", "·": "dim"}
_LABEL = {"+": "bold green", "-": "bold red"}


class SessionScreen(LiveScreen):
    """The steps of a session."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus", "label('+')", "Good", key_display="+"),
        Binding("minus", "label('-')", "Bad", key_display="-"),
        Binding("q,escape,h", "back", "Back", key_display="q"),
    ]

    def __init__(self, session_id: str) -> None:
        super().__init__()
        self.session_id = session_id
        self._lines: list[StepLine] = []

    def compose(self) -> ComposeResult:
        """Header, sparkline, table of steps."""
        yield Static(id="title")
        yield Static(id="summary")
        yield Sparkline(id="best", summary_function=max)
        yield VimTable(id="steps")
        yield Static(id="empty")
        yield Footer()

    def on_mount(self) -> None:
        """Set up the columns and read the session."""
        table = self.query_one(VimTable)
        for name in _COLUMNS:
            table.add_column(name, key=name or "sign")
        self.follow()
        table.focus()

    def reload(self) -> None:
        """Read session and steps again."""
        session = self.store.session(self.session_id)
        self._lines = self.store.step_lines(self.session_id)
        steps = progress(self._lines)
        self.query_one("#title", Static).update(_title(session))
        self.query_one("#summary", Static).update(_facts(session, self.store.sealed(self.session_id)))
        self._draw_best(steps)
        table = self.query_one(VimTable)
        table.fill([(step.line.id, _cells(step)) for step in steps])
        table.display = bool(steps)
        empty = self.query_one("#empty", Static)
        empty.display = not steps
        empty.update("No step yet.")

    def _draw_best(self, steps: Sequence[Progress]) -> None:
        """Best score after each step, up is better whichever way the metric goes."""
        flip = -1.0 if any(step.line.direction == "minimize" for step in steps) else 1.0
        values = [flip * step.best for step in steps if step.best is not None]
        spark = self.query_one(Sparkline)
        spark.display = len(values) > 1
        spark.data = values

    def on_data_table_row_selected(self, event: VimTable.RowSelected) -> None:
        """Open the step under the cursor."""
        step_id = self.query_one(VimTable).current_key()
        if step_id is not None:
            self.app.push_screen(StepScreen(self.session_id, step_id))

    def action_label(self, label: Label) -> None:
        """Label the step under the cursor."""
        step_id = self.query_one(VimTable).current_key()
        if step_id is not None:
            self.store.add_label(step_id, label)
            self.follow()


def _title(session: Session) -> Text:
    model = session.model or session.policy
    words = f"{session.task.name}  ·  {model}  ·  {session.status}  ·  {session.steps} steps"
    return Text(printable(f"{session.id}  "), style="bold") + Text(printable(words), style="not bold")


def _facts(session: Session, sealed: Sequence[SealedGrade]) -> Text:
    parts = []
    if session.task.metric is not None:
        parts.append(f"{session.task.metric.name} ({session.task.metric.direction})")
    if session.best is not None:
        best = session.best
        parts.append(f"best {score_text(best.value, best.se, best.kind, session.task.verified)}")
    if sealed:
        score = sealed[-1].score
        parts.append(f"sealed {with_error(score.value, score.se)} (look {score.looks})")
    if session.instruction:
        parts.append(f"“{session.instruction}”")
    return Text(printable("  ·  ".join(parts)), style="dim", no_wrap=True, overflow="ellipsis")


def _cells(step: Progress) -> list[Text]:
    line = step.line
    style = _SIGN[sign(line)]
    gain = signed(step.gain) if step.gain is not None else ""
    return [
        Text(str(line.index), justify="right"),
        Text(sign(line), style=style),
        Text(outcome(line), style="bold" if step.improved else ""),
        Text(gain, style="green" if step.improved else "dim"),
        Text("-" if line.reward is None else number(line.reward, 3), justify="right"),
        Text(duration(line.duration_s), justify="right"),
        Text(line.label or "", style=_LABEL.get(line.label or "", "dim")),
        Text(line.kind, style="dim"),
        Text(" ".join(printable(line.plan).split())),
    ]
