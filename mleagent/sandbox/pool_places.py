"""The pool's bookkeeping: which sandboxes there are, which are free, and whether one more may be.

No threads and no sandbox calls here: `pool.py` holds its lock around every use.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import SandboxError
from ..protocols import Sandbox, SandboxSpec
from .machine_budget import MachineBudget

Key = tuple[object, ...]


@dataclass(eq=False)
class Place:
    """Room for one sandbox; `spec` says what it may use."""

    spec: SandboxSpec
    key: Key
    sandbox: Sandbox | None = None
    """None while it is being started."""
    since: float = 0.0
    """When it became idle, by `clock.monotonic`."""


class Places:
    """At most `size` places within a budget of memory."""

    def __init__(self, size: int, budget: MachineBudget) -> None:
        self._size, self._budget = size, budget
        self.idle: list[Place] = []
        """Longest idle first."""
        self.busy: list[Place] = []

    def fits(self, spec: SandboxSpec) -> bool:
        """Whether one more may be; the first always may, however large."""
        there = [*self.idle, *self.busy]
        memory = sum(place.spec.limits.memory_mb for place in there) + spec.limits.memory_mb
        return not there or (len(there) < self._size and memory <= self._budget.memory_mb)

    def claim(self, spec: SandboxSpec) -> tuple[Place, list[Place]] | None:
        """A busy place: one with an idle sandbox for `spec`, or an empty one; None when neither is to be had.

        An empty one may cost idle sandboxes of others: these come second and are to be ended.
        """
        key = key_of(spec)
        for place in reversed(self.idle):
            if place.key == key:
                self.idle.remove(place)
                self.busy.append(place)
                return place, []
        gone: list[Place] = []
        while not self.fits(spec) and self.idle:
            gone.append(self.idle.pop(0))
        if not self.fits(spec):
            self.idle = gone
            return None
        return self.reserve(spec), gone

    def reserve(self, spec: SandboxSpec) -> Place:
        """An empty busy place."""
        place = Place(spec, key_of(spec))
        self.busy.append(place)
        return place

    def expired(self, before: float) -> list[Place]:
        """Take out those idle since `before` or longer."""
        old = [place for place in self.idle if place.since <= before]
        self.idle = [place for place in self.idle if place.since > before]
        return old


def key_of(spec: SandboxSpec) -> Key:
    """Equal for specs that one sandbox can serve: all but who asks; the folder by identity, not by name.

    Raises SandboxError when the public folder is gone.
    """
    try:
        there = spec.public.stat()
    except OSError as error:
        raise SandboxError(f"the prepared data can't be read: {error}; prepare the task again") from None
    fields = spec.model_copy(update={"session_id": ""}).model_dump_json()
    return fields, there.st_dev, there.st_ino, there.st_mtime_ns
