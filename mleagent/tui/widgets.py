"""Two widgets with the keys of vi: a table whose edges can turn a page, and a pane of plain text."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import DataTable, RichLog


class VimTable(DataTable[Text]):
    """A table of rows; moving past its first or last row is told to the screen as `Edge`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
        Binding("g", "scroll_top", "Top", show=False),
        Binding("G", "scroll_bottom", "Bottom", show=False),
        Binding("ctrl+d", "page_down", "Page down", show=False),
        Binding("ctrl+u", "page_up", "Page up", show=False),
        Binding("enter,l", "select_cursor", "Open"),
    ]

    class Edge(Message):
        """The cursor wants to leave the table: `direction` is +1 below, -1 above."""

        def __init__(self, direction: int) -> None:
            super().__init__()
            self.direction = direction

    def __init__(self, id: str) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=True)

    def action_cursor_down(self) -> None:
        """One row down, or over the edge."""
        if self.cursor_row >= self.row_count - 1:
            self.post_message(self.Edge(1))
        else:
            super().action_cursor_down()

    def action_cursor_up(self) -> None:
        """One row up, or over the edge."""
        if self.cursor_row <= 0:
            self.post_message(self.Edge(-1))
        else:
            super().action_cursor_up()

    def current_key(self) -> str | None:
        """The key of the row under the cursor; None in an empty table."""
        if not self.row_count:
            return None
        return self.ordered_rows[self.cursor_row].key.value

    def fill(self, rows: list[tuple[str, list[Text]]], cursor: int | None = None) -> None:
        """Replace all rows; the cursor goes to row `cursor`, or stays on its key or row number."""
        key, row = self.current_key(), self.cursor_row
        self.clear()
        for name, cells in rows:
            self.add_row(*cells, key=name)
        if not rows:
            return
        keys = [name for name, _ in rows]
        if cursor is None:
            cursor = keys.index(key) if key in keys else min(row, len(rows) - 1)
        self.move_cursor(row=cursor % len(rows))


class TextPane(RichLog):
    """Plain text, wrapped to the width it has, also after a resize."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", show=False),
        Binding("k", "scroll_up", "Up", show=False),
        Binding("g", "scroll_home", "Top", show=False),
        Binding("G", "scroll_end", "Bottom", show=False),
        Binding("ctrl+d", "page_down", "Page down", show=False),
        Binding("ctrl+u", "page_up", "Page up", show=False),
    ]

    def __init__(self, id: str) -> None:
        super().__init__(id=id, wrap=True, markup=False, highlight=False, auto_scroll=False, min_width=1)
        self._shown = Text()
        self._wrapped_at = 0

    def show(self, text: Text) -> None:
        """Show this text instead of what was there; the place is kept when it only grew."""
        if text == self._shown:
            return
        grew = bool(self._shown.plain) and text.plain.startswith(self._shown.plain)
        self._shown = text
        self._rewrite(keep=grew)

    def _rewrite(self, keep: bool) -> None:
        # The width is given because RichLog itself measures with the console's, which is
        # the old one while a resize is under way.
        width = self.scrollable_content_region.width
        if width <= 0:
            return
        top = self.scroll_y
        self.clear()
        self.write(self._shown, width=width)
        self._wrapped_at = width
        self.scroll_to(y=top if keep else 0, animate=False)

    def on_resize(self, event: events.Resize) -> None:
        """Wrap again for the new width."""
        if self._wrapped_at != self.scrollable_content_region.width:
            self._rewrite(keep=self._wrapped_at > 0)
