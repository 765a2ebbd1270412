"""`mleagent browse`: a keyboard browser over the trajectory store.

Sessions, a session's steps, one step: a screen each. Lists are read from SQLite a
page at a time; when another process commits, the screen on top follows within a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from ..trajectory.store import Store
from .live import LiveScreen
from .sessions import SessionsScreen

FOLLOW_SECONDS = 1.0
"""How often the store is asked whether another process has committed."""


class BrowseApp(App[None]):
    """The browser over the store at `store_path`. Raises StoreError when it can't be opened."""

    CSS_PATH = "browse.tcss"
    TITLE = "mleagent"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "quit", "Quit", show=False)]

    def __init__(self, store_path: Path) -> None:
        super().__init__()
        self.animation_level = "none"
        self.store = Store.open(store_path)
        self._seen = self.store.changes()

    def on_mount(self) -> None:
        """Start with the list of sessions."""
        self.push_screen(SessionsScreen(), callback=lambda _: self.exit())
        self.set_interval(FOLLOW_SECONDS, self._follow)

    def on_unmount(self) -> None:
        """Close the store with the app."""
        self.store.close()

    def _follow(self) -> None:
        changes = self.store.changes()
        if changes != self._seen and isinstance(self.screen, LiveScreen):
            self._seen = changes
            self.screen.follow()
