"""How a user steers a running session from another thread: pause, words, undo, leave.

The loop asks `Control` between and during steps; a terminal (or a signal) calls
it. Headless sessions use it as it is: nothing is ever paused or asked.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Condition, Event
from typing import TypeVar

from ..records import Action, Record

T = TypeVar("T")


class Request(Record):
    """Something the user wants done at the next step's border."""

    name: str
    """`undo`, `submit`, `label`, `budget`, `model` or `install`."""
    argument: str = ""


class Control:
    """Thread-safe switches of one session."""

    def __init__(self, approve: Callable[[Action], str | None] | None = None) -> None:
        """`approve` is asked before an action that `--ask` covers: None lets it pass, words reject it."""
        self.stop = Event()
        """Set: whatever generates or runs now must end. Cleared when the loop goes on."""
        self._leave = False
        self._paused = False
        self._changed = Condition()
        self._words: SimpleQueue[str] = SimpleQueue()
        self._requests: SimpleQueue[Request] = SimpleQueue()
        self.approve = approve

    @property
    def leaving(self) -> bool:
        """Whether the session should end, resumable."""
        return self._leave

    @property
    def paused(self) -> bool:
        """Whether the session waits at the next step's border."""
        return self._paused

    def pause(self) -> None:
        """Wait at the next border; a reply being generated ends now."""
        with self._changed:
            self._paused = True
            self._changed.notify_all()

    def resume(self) -> None:
        """Go on."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def leave(self) -> None:
        """End the session now; it can be resumed."""
        with self._changed:
            self._leave = True
            self._paused = False
            self.stop.set()
            self._changed.notify_all()

    def cancel(self) -> None:
        """End what generates or runs now; the session goes on with the next step."""
        self.stop.set()

    def steer(self, words: str) -> None:
        """Tell the model something with the next prompt."""
        self._words.put(words)

    def ask_for(self, request: Request) -> None:
        """Have something done at the next border."""
        self._requests.put(request)

    def take_words(self) -> str:
        """What the user said since last asked, lines joined."""
        return "\n".join(_drain(self._words))

    def take_requests(self) -> list[Request]:
        """Requests since last asked."""
        return _drain(self._requests)

    def wait_while_paused(self) -> None:
        """Block until the session may go on or leaves."""
        with self._changed:
            self._changed.wait_for(lambda: self._leave or not self._paused)


def _drain(queue: SimpleQueue[T]) -> list[T]:
    items: list[T] = []
    while True:
        try:
            items.append(queue.get_nowait())
        except Empty:
            return items
