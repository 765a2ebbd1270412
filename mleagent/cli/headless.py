"""Sessions without a terminal: quiet, or one JSON event a line. Same engine, events only.

Ctrl-C or SIGTERM ends the session in order (resumable, exit 130); a second one
ends the process at once.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

from ..agent.finish import finish
from ..agent.session import Solver
from ..agent.wish import Wish
from ..events import Event, Notice, SessionEnd, StepEnd
from . import lines


class Headless:
    """Runs one session and prints its events."""

    def __init__(self, wish: Wish, as_json: bool, yes: bool) -> None:
        """`yes` answers the question before a long refit; otherwise it is not done."""
        self._wish, self._json = wish, as_json
        wish.emit = self._emit
        wish.confirm_refit = lambda _seconds: yes

    def run(self, begin: Callable[[], Solver]) -> SessionEnd:
        """Begin the session and work until it ends; the last event."""
        before = [(number, signal.signal(number, self._leave)) for number in (signal.SIGINT, signal.SIGTERM)]
        try:
            solver = begin()
            try:
                return solver.run(finish)
            finally:
                solver.parts.close()
        finally:
            for number, handler in before:
                signal.signal(number, handler)

    def _leave(self, number: int, frame: FrameType | None) -> None:
        if self._wish.control.leaving:
            raise KeyboardInterrupt
        self._wish.control.leave()

    def _emit(self, event: Event) -> None:
        if self._json:
            sys.stdout.write(event.to_json() + "\n")
            sys.stdout.flush()
        elif isinstance(event, StepEnd):
            print(lines.step(event), file=sys.stderr, flush=True)  # noqa: T201
        elif isinstance(event, Notice):
            print(f"{event.level}: {event.text}", file=sys.stderr, flush=True)  # noqa: T201
        elif isinstance(event, SessionEnd):
            print("\n".join(lines.end(event)), flush=True)  # noqa: T201
