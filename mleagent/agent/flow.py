"""Control flow of a session as exceptions, so that the loop has no flags.

Each says why the session stops or what the model is told; `agent/session.py`
catches them in one place.
"""

from __future__ import annotations

from ..records import SessionStatus


class Finished(Exception):
    """The session ends. `reason` is one word or line for the end's report."""

    status: SessionStatus | None = None
    """None: `done` when there is a valid submission, else `no_submission`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Submitted(Finished):
    """The policy handed in its best submission."""

    def __init__(self) -> None:
        super().__init__("submitted")


class BudgetSpent(Finished):
    """Steps, wall time, tokens or execution time are used up."""


class Stalled(Finished):
    """Nothing is gained any more, or the policy goes in circles."""


class Interrupted(Finished):
    """The user left; the session can be resumed."""

    status: SessionStatus | None = "interrupted"

    def __init__(self) -> None:
        super().__init__("interrupted")


class Broken(Finished):
    """Model or sandbox failed for good; the session can be resumed."""

    status: SessionStatus | None = "failed"
