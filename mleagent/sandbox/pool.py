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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event

from .. import clock
from ..errors import MleagentError, SandboxError, UnavailableError
from ..protocols import Sandbox, SandboxSpec
from ..records import Record
from .machine_budget import MachineBudget

_POLL_S = 0.1
_LEAST_CPUS = 0.5
_TRUSTED_S = 1.0
"""An idle sandbox is asked again whether it is well after this long."""


class PoolStats(Record):
    """What a pool has done and holds."""

    started: int = 0
    """Sandboxes made."""
    reused: int = 0
    """Leases served by a used one."""
    failed_resets: int = 0
    """Used sandboxes that could not be proved clean, and were ended."""
    idle: int = 0
    leased: int = 0


@dataclass(eq=False)
class _Held:
    """A sandbox of the pool's; `spec` says what it may use."""

    key: tuple[object, ...]
    spec: SandboxSpec
    sandbox: Sandbox
    since: float = 0.0
    """When it became idle."""


class Pool:
    """At most `size` sandboxes, lent out one user at a time. Thread-safe."""

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
        self._idle: list[_Held] = []
        self._busy: list[_Held | SandboxSpec] = []
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
        held = self._take(self._granted(spec), stop, timeout_s)
        try:
            yield held.sandbox
        finally:
            self._give_back(held)

    def prepare(self, spec: SandboxSpec, count: int = 1) -> int:
        """Start up to `count` idle sandboxes ahead, as far as there is room; how many were started."""
        spec, made = self._granted(spec), 0
        for _ in range(count):
            with self._changed:
                if self._closed or self._waiting or not self._fits(spec):
                    break
                self._busy.append(spec)
            held = self._start(spec)
            made += 1
            self._park(held)
        return made

    @property
    def stats(self) -> PoolStats:
        """Counts so far, and what is held now."""
        with self._changed:
            return PoolStats(
                started=self._started, reused=self._reused, failed_resets=self._failed,
                idle=len(self._idle), leased=len(self._busy),
            )  # fmt: skip

    def close(self) -> None:
        """End every sandbox, lent ones too; twice is harmless. Nothing can be leased afterwards."""
        with self._changed:
            self._closed = True
            gone = [*self._idle, *(held for held in self._busy if isinstance(held, _Held))]
            self._idle.clear()
            self._changed.notify_all()
        for held in gone:
            _end(held.sandbox)
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

    def _take(self, spec: SandboxSpec, stop: Event | None, timeout_s: float | None) -> _Held:
        key = _key(spec)
        deadline = None if timeout_s is None else clock.monotonic() + timeout_s
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                while True:
                    if self._closed:
                        raise UnavailableError("the pool of sandboxes is closed")
                    if self._waiting[0] is ticket:
                        found, gone = self._claim(key, spec)
                        if found is not None or gone is not None:
                            break
                    if stop is not None and stop.is_set():
                        raise UnavailableError("stopped while waiting for a sandbox")
                    if deadline is not None and clock.monotonic() >= deadline:
                        raise UnavailableError(f"no sandbox became free within {timeout_s:g} s")
                    self._changed.wait(None if stop is None and deadline is None else _POLL_S)
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        if found is None:
            return self._start(spec, gone or ())
        return found if self._answers(found) else self._replaced(found)

    def _claim(self, key: tuple[object, ...], spec: SandboxSpec) -> tuple[_Held | None, list[_Held] | None]:
        """An idle sandbox; or the room for a new one, with the idle ones to end for it; or (None, None)."""
        for held in reversed(self._idle):
            if held.key == key:
                self._idle.remove(held)
                self._busy.append(held)
                self._reused += 1
                return held, None
        gone: list[_Held] = []
        while not self._fits(spec) and self._idle:
            gone.append(self._idle.pop(0))  # the one that has been idle longest
        if self._fits(spec):
            self._busy.append(spec)
            return None, gone
        self._idle[:0] = gone
        return None, None

    def _fits(self, spec: SandboxSpec) -> bool:
        """Whether one more may be; the first always may, however large."""
        specs = [held.spec for held in self._idle]
        specs += [held.spec if isinstance(held, _Held) else held for held in self._busy]
        memory = sum(other.limits.memory_mb for other in specs) + spec.limits.memory_mb
        return not specs or (len(specs) < self.size and memory <= self._budget.memory_mb)

    def _start(self, spec: SandboxSpec, instead_of: Sequence[_Held] = ()) -> _Held:
        """Start one in the place reserved under `spec`, which is freed when that fails."""
        try:
            for other in instead_of:
                _end(other.sandbox)
            sandbox = self._make(spec)
            sandbox.start()
        except BaseException:
            with self._changed:
                self._leave(spec)
            raise
        held = _Held(_key(spec), spec, sandbox)
        with self._changed:
            self._started += 1
            self._leave(spec)
            if not self._closed:
                self._busy.append(held)
                return held
        _end(sandbox)
        raise UnavailableError("the pool of sandboxes is closed")

    def _answers(self, held: _Held) -> bool:
        """Whether one that was idle for a while is still there (an engine may have ended it)."""
        if clock.monotonic() - held.since < _TRUSTED_S:
            return True
        try:
            held.sandbox.reset()
        except MleagentError:
            return False
        return True

    def _replaced(self, held: _Held) -> _Held:
        with self._changed:
            self._failed += 1
            self._reused -= 1
            self._leave(held)
            self._busy.append(held.spec)
        return self._start(held.spec, [held])

    # --- giving back ---

    def _give_back(self, held: _Held) -> None:
        try:
            held.sandbox.reset()
        except MleagentError:
            _end(held.sandbox)
            with self._changed:
                self._failed += 1
                self._leave(held)
            return
        except BaseException:
            _end(held.sandbox)
            with self._changed:
                self._leave(held)
            raise
        self._park(held)

    def _park(self, held: _Held) -> None:
        """Make a clean sandbox idle, or end it when the pool was closed meanwhile."""
        with self._changed:
            self._leave(held)
            if not self._closed:
                held.since = clock.monotonic()
                self._idle.append(held)
                self._watch_idle()
                return
        _end(held.sandbox)

    def _leave(self, one: _Held | SandboxSpec) -> None:
        """Free a place; the condition is held."""
        index = next(i for i, other in enumerate(self._busy) if other is one)
        del self._busy[index]
        self._changed.notify_all()

    # --- idle ones ---

    def _watch_idle(self) -> None:
        if self._janitor is None or not self._janitor.is_alive():
            self._janitor = threading.Thread(target=self._tidy, name="sandbox-pool", daemon=True)
            self._janitor.start()

    def _tidy(self) -> None:
        pause = Event()
        while self._tidy_once():
            pause.wait(max(0.05, min(5.0, self._idle_s / 4)))

    def _tidy_once(self) -> bool:
        """End what has been idle too long; False when nothing is left to watch."""
        with self._changed:
            now = clock.monotonic()
            old = [held for held in self._idle if now - held.since >= self._idle_s]
            self._idle = [held for held in self._idle if held not in old]
            if not self._idle:
                self._janitor = None
            left = bool(self._idle)
            if old:
                self._changed.notify_all()
        for held in old:
            _end(held.sandbox)
        return left


def _key(spec: SandboxSpec) -> tuple[object, ...]:
    """Equal for specs that one sandbox can serve: all but who asks; the folder by identity, not by name."""
    there = spec.public.stat()
    return (
        spec.model_copy(update={"session_id": ""}).model_dump_json(),
        there.st_dev,
        there.st_ino,
        there.st_mtime_ns,
    )


def _end(sandbox: Sandbox) -> None:
    # What an engine has to say about a sandbox nobody wants any more concerns nobody.
    with contextlib.suppress(SandboxError, OSError):
        sandbox.close()
