"""What all screens of the browser share: they show the store and follow it.

A screen redraws itself in `reload`; the app calls it when another process has
committed something, and a screen that comes back to the top calls it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.screen import Screen

from ..errors import InputError

if TYPE_CHECKING:
    from ..trajectory.store import Store
    from .app import BrowseApp


class LiveScreen(Screen[None]):
    """A screen over the store."""

    @property
    def store(self) -> Store:
        """The store of the app."""
        return cast("BrowseApp", self.app).store

    def reload(self) -> None:
        """Read the store again and redraw, keeping the place. Raises InputError when it is gone."""
        raise NotImplementedError

    def follow(self) -> None:
        """Reload; a screen whose session was deleted meanwhile closes itself and says so."""
        try:
            self.reload()
        except InputError as error:
            self.notify(str(error), severity="warning")
            if self.is_current:
                self.dismiss()

    def on_screen_resume(self) -> None:
        """Back on top: what lay above may have changed something."""
        if self.is_mounted:
            self.follow()

    def action_back(self) -> None:
        """Close this screen."""
        self.dismiss()
