"""Stop strings over streamed text: what may be shown, and where the reply ends.

Takes the pieces as they come and gives the text that is certain: a tail that
could still grow into a stop string is held back until it is decided.
"""

from __future__ import annotations

from collections.abc import Sequence


class StopFilter:
    """Cuts a streamed text before the first stop string; `hit` says that one came."""

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.text = ""
        """Everything let through so far."""
        self.hit = False

    def feed(self, piece: str) -> str:
        """Add a piece; returns the text that became certain (often the piece itself)."""
        if self.hit:
            return ""
        if not self._stops:
            self.text += piece
            return piece
        pending = self._held + piece
        found = [at for at in (pending.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.hit = True
            return self._let(pending, min(found))
        return self._let(pending, len(pending) - self._tail(pending))

    def finish(self) -> str:
        """The reply is over: lets the held tail through (nothing after a hit)."""
        return "" if self.hit else self._let(self._held, len(self._held))

    def _let(self, pending: str, end: int) -> str:
        out, self._held = pending[:end], pending[end:]
        self.text += out
        return out

    def _tail(self, pending: str) -> int:
        """Length of the longest end of `pending` that begins a stop string."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for size in range(min(longest, len(pending)), 0, -1):
            if any(stop.startswith(pending[-size:]) for stop in self._stops):
                return size
        return 0
