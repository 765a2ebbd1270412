"""Warm sandboxes kept for the next user: created ahead, lent out, reset and checked, lent out again.

Takes a maker of sandboxes; `lease(spec)` gives one over that public folder with
those limits, new or used. A used one has passed a verified reset (`Sandbox.reset`);
one that failed it was ended. How many run at once is bounded in number, memory and
processors, so that the machine stays usable while thousands of programs run.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from threading import Event

from .. import clock
from ..errors import MleagentError, SandboxError, UnavailableError
from ..protocols import Sandbox, SandboxSpec
from ..records import Record
from .machine_budget import MachineBudget
from .pool_places import Place, Places

_POLL_S = 0.1
_LEAST_CPUS = 0.5
_TRUSTED_S = 1.0
"""An idle sandbox is asked again whether it is well after this long."""
_CLOSED = "the pool of sandboxes is closed"


class PoolStats(Record):
    """What a pool has done and holds."""

    started: int = 0
    """Sandboxes made."""
    reused: int = 0
    """Leases served by one that was there."""
    failed_resets: int = 0
    """Used sandboxes that could not be proved clean, and were ended."""
    idle: int = 0
    leased: int = 0


class Pool:
    """At most `size` sandboxes, each lent to one user at a time. Thread-safe."""

    def __init__(
        self,
        make: Callable[[SandboxSpec], Sandbox],
        size: int = 0,
        budget: MachineBudget | None = None,
        idle_s: float = 300.0,
    ) -> None:
        """`make` gives an unstarted sandbox; `size` 0: as many as there are processors to spare.

        `budget` is what all together may use (default: this machine, less what keeps it usable);
        a sandbox idle for `idle_s` seconds is ended.
        """
        self._make = make
        self._budget = budget or MachineBudget.of_machine()
        self.size = size or max(1, round(self._budget.cpus))
        self._idle_s = idle_s
        self._changed = threading.Condition()
        self._places = Places(self.size, self._budget)
        self._waiting: collections.deque[object] = collections.deque()
        self._started = self._reused = self._failed = 0
        self._closed = False
        self._janitor: threading.Thread | None = None
        atexit.register(self.close)

    # --- for users ---

    @contextlib.contextmanager
    def lease(
        self, spec: SandboxSpec, stop: Event | None = None, timeout_s: float | None = None
    ) -> Iterator[Sandbox]:
        """A started sandbox with an empty work folder, for the length of a `with`.

        Waits for its turn, first come first served. Its processors are an equal share
        of the budget; memory is never lowered, for that would change verdicts. Raises
        UnavailableError when `stop` is set or `timeout_s` passes before one is free,
        SandboxError when none can be started.
        """
        place = self._take(self._granted(spec), stop, timeout_s)
        try:
            yield _of(place)
        finally:
            self._give_back(place)

    def prepare(self, spec: SandboxSpec, count: int = 1) -> int:
        """Start up to `count` idle sandboxes ahead, as far as there is room; how many were started."""
        spec = self._granted(spec)
        for made in range(count):
            with self._changed:
                if self._closed or self._waiting or not self._places.fits(spec):
                    return made
                place = self._places.reserve(spec)
            self._start(place)
            self._park(place)
        return count

    @property
    def stats(self) -> PoolStats:
        """Counts so far, and what is held now."""
        with self._changed:
            return PoolStats(
                started=self._started,
                reused=self._reused,
                failed_resets=self._failed,
                idle=len(self._places.idle),
                leased=len(self._places.busy),
            )

    def close(self) -> None:
        """End every sandbox, lent ones too; twice is harmless. Nothing can be leased afterwards."""
        with self._changed:
            self._closed = True
            gone = [*self._places.idle, *self._places.busy]
            self._places.idle.clear()
            self._changed.notify_all()
        _end(gone)
        atexit.unregister(self.close)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- taking ---

    def _granted(self, spec: SandboxSpec) -> SandboxSpec:
        share = max(_LEAST_CPUS, self._budget.cpus / self.size)
        limits = spec.limits.model_copy(update={"cpus": min(spec.limits.cpus, share)})
        return spec.model_copy(update={"limits": limits})

    def _take(self, spec: SandboxSpec, stop: Event | None, timeout_s: float | None) -> Place:
        place, gone = self._wait_for(spec, stop, timeout_s)
        if place.sandbox is not None and self._answers(place):
            with self._changed:
                self._reused += 1
            return place
        if place.sandbox is not None:
            gone = [Place(place.spec, place.key, place.sandbox)]
            place.sandbox = None
            with self._changed:
                self._failed += 1
        self._start(place, gone)
        return place

    def _wait_for(
        self, spec: SandboxSpec, stop: Event | None, timeout_s: float | None
    ) -> tuple[Place, list[Place]]:
        """Stand in line until a place can be claimed; see `Places.claim`."""
        deadline = None if timeout_s is None else clock.monotonic() + timeout_s
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                while True:
                    if self._closed:
                        raise UnavailableError(_CLOSED)
                    claimed = self._places.claim(spec) if self._waiting[0] is ticket else None
                    if claimed is not None:
                        return claimed
                    if stop is not None and stop.is_set():
                        raise UnavailableError("stopped while waiting for a sandbox")
                    if deadline is not None and clock.monotonic() >= deadline:
                        raise UnavailableError(f"no sandbox became free within {timeout_s:g} s")
                    self._changed.wait(None if stop is None and deadline is None else _POLL_S)
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _answers(self, place: Place) -> bool:
        """Whether one that was idle for a while is still there (an engine may have ended it)."""
        if clock.monotonic() - place.since < _TRUSTED_S:
            return True
        try:
            _of(place).reset()
        except MleagentError:
            return False
        return True

    def _start(self, place: Place, instead_of: Iterable[Place] = ()) -> None:
        """Start a sandbox in an empty busy place, which is given up when that fails."""
        try:
            _end(instead_of)
            sandbox = self._make(place.spec)
            sandbox.start()
        except BaseException:
            with self._changed:
                self._leave(place)
            raise
        with self._changed:
            self._started += 1
            place.sandbox = sandbox
            if not self._closed:
                return
            self._leave(place)
        _end([place])
        raise UnavailableError(_CLOSED)

    # --- giving back ---

    def _give_back(self, place: Place) -> None:
        try:
            _of(place).reset()
        except BaseException as error:
            _end([place])
            with self._changed:
                self._failed += 1
                self._leave(place)
            if not isinstance(error, MleagentError):
                raise
            return
        self._park(place)

    def _park(self, place: Place) -> None:
        """Make a clean sandbox idle, or end it when the pool was closed meanwhile."""
        with self._changed:
            self._leave(place)
            if not self._closed:
                place.since = clock.monotonic()
                self._places.idle.append(place)
                if self._janitor is None:
                    self._janitor = threading.Thread(target=self._tidy, name="sandbox-pool", daemon=True)
                    self._janitor.start()
                return
        _end([place])

    def _leave(self, place: Place) -> None:
        """The place is no longer busy; the lock is held."""
        self._places.busy.remove(place)
        self._changed.notify_all()

    def _tidy(self) -> None:
        """The janitor's thread: ends what has been idle too long, and itself when nothing is idle."""
        pause = Event()
        while True:
            with self._changed:
                old = self._places.expired(clock.monotonic() - self._idle_s)
                left = bool(self._places.idle)
                if not left:
                    self._janitor = None
                self._changed.notify_all()
            _end(old)
            if not left:
                return
            pause.wait(max(0.05, min(5.0, self._idle_s / 4)))


def _of(place: Place) -> Sandbox:
    assert place.sandbox is not None
    return place.sandbox


def _end(places: Iterable[Place]) -> None:
    for place in places:
        # What an engine has to say about a sandbox nobody wants any more concerns nobody.
        with contextlib.suppress(SandboxError, OSError):
            if place.sandbox is not None:
                place.sandbox.close()
