"""The first screen: all sessions, newest first, filtered by words found anywhere in them."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widgets import Footer, Input, Static

from ..trajectory.detail import printable, when
from ..trajectory.lines import SessionLine, score_text, sealed_text
from .live import LiveScreen
from .session import SessionScreen
from .widgets import VimTable

PAGE = 200
"""Rows loaded at most; a DataTable of all sessions would take seconds to fill."""

_COLUMNS = ("when", "task", "best", "steps", "status", "sealed", "reward", "model", "id")
_STATUS = {
    "done": "green", "running": "cyan", "failed": "red", "no_submission": "yellow", "interrupted": "yellow"
}  # fmt: skip
_TYPING_SECONDS = 0.15


class SessionsScreen(LiveScreen):
    """The list of sessions."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter"),
        Binding("escape", "clear_filter", "Clear", show=False),
        Binding("n,right_square_bracket", "page(1)", "Older"),
        Binding("p,left_square_bracket", "page(-1)", "Newer"),
        Binding("q", "back", "Quit"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._page = 0
        self._total = 0
        self._text = ""
        self._typing: Timer | None = None

    def compose(self) -> ComposeResult:
        """Title, filter, table, or the words that there is nothing."""
        yield Static(id="title")
        yield Input(placeholder="words in plan, code, output, task…", id="filter", compact=True)
        yield VimTable(id="sessions")
        yield Static(id="empty")
        yield Footer()

    def on_mount(self) -> None:
        """Set up the columns and load the first page."""
        table = self.query_one(VimTable)
        for name in _COLUMNS:
            table.add_column(name, key=name)
        self.query_one(Input).display = False
        self.reload()
        table.focus()

    def reload(self) -> None:
        """Read the page again."""
        self._load()

    def _load(self, cursor: int | None = None) -> None:
        self._total = self.store.count_sessions(text=self._text)
        self._page = min(self._page, max(0, (self._total - 1) // PAGE))
        lines = self.store.session_lines(limit=PAGE, offset=self._page * PAGE, text=self._text)
        table = self.query_one(VimTable)
        table.fill([(line.id, _cells(line)) for line in lines], cursor)
        table.display = bool(lines)
        empty = self.query_one("#empty", Static)
        empty.display = not lines
        nothing = "No session yet.\n\nmleagent solve DIR  makes one; it appears here while it runs."
        empty.update(Text(f"Nothing matches {self._text!r}." if self._text else nothing))
        self._show_title(len(lines))

    def _show_title(self, shown: int) -> None:
        words = f"{self._total:,} session{'' if self._total == 1 else 's'}"
        if self._text:
            words += f" with “{self._text}”"
        if self._total > shown:
            first = self._page * PAGE
            words += f", {first + 1:,} to {first + shown:,}"
        title = Text("mleagent  ", style="bold")
        self.query_one("#title", Static).update(title + Text(words, style="not bold"))

    def on_vim_table_edge(self, event: VimTable.Edge) -> None:
        """Past the last row comes the next page, before the first the one before."""
        self._turn(event.direction, cursor=0 if event.direction > 0 else -1)

    def action_page(self, direction: int) -> None:
        """The page of older (+1) or newer (-1) sessions."""
        self._turn(direction, cursor=0)

    def _turn(self, direction: int, cursor: int) -> None:
        page = self._page + direction
        if 0 <= page <= (self._total - 1) // PAGE:
            self._page = page
            self._load(cursor)

    def on_data_table_row_selected(self, event: VimTable.RowSelected) -> None:
        """Open the session under the cursor."""
        session_id = self.query_one(VimTable).current_key()
        if session_id is not None:
            self.app.push_screen(SessionScreen(session_id))

    def action_filter(self) -> None:
        """Show the filter and type into it."""
        box = self.query_one(Input)
        box.display = True
        box.focus()

    def action_clear_filter(self) -> None:
        """Drop the filter and go back to the table."""
        box = self.query_one(Input)
        box.value = ""
        box.display = False
        self._apply("")
        self.query_one(VimTable).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search when typing rests for a moment."""
        if self._typing is not None:
            self._typing.stop()
        value = event.value
        self._typing = self.set_timer(_TYPING_SECONDS, lambda: self._apply(value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search now and go to what was found."""
        self._apply(event.value)
        self.query_one(VimTable).focus()

    def _apply(self, text: str) -> None:
        text = text.strip()
        if text != self._text:
            self._text, self._page = text, 0
            self._load(cursor=0)


def _cells(line: SessionLine) -> list[Text]:
    model = line.model or line.policy
    return [
        Text(when(line.created_at)[5:], style="dim"),
        Text(printable(line.task)[:24]),
        Text(score_text(line.best, line.best_se, line.best_kind, line.verified)),
        Text(str(line.steps), justify="right"),
        Text(line.status, style=_STATUS.get(line.status, "")),
        Text(sealed_text(line)),
        Text("-" if line.reward is None else f"{line.reward:.2f}", justify="right"),
        Text(printable(f"{model} + {line.adapter}" if line.adapter else model)[:28]),
        Text(line.id, style="dim"),
    ]
