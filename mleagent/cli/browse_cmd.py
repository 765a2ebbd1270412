"""`mleagent browse`: the terminal browser over all sessions."""

from __future__ import annotations

import sys

from ..config import data_home
from ..errors import InputError


def browse() -> None:
    """Browse sessions, steps, rewards and prompts; label steps with + and -."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("browse needs a terminal; `mleagent runs list` works without one")
    from ..trajectory.store import STORE_NAME
    from ..tui.app import BrowseApp

    BrowseApp(data_home() / STORE_NAME).run()
