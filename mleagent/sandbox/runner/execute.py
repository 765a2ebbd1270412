"""One run from spawn to verdict's facts: output relayed with times, limits enforced, everything ended.

Takes the command and its limits, sends output frames as they come, returns the
facts as the result's JSON. Of a flood the head is sent at once, the tail kept
in a ring and sent at the end; in between a short preview twice a second.
"""

from __future__ import annotations

import collections
import contextlib
import os
import select
import time
from collections.abc import Callable
from typing import Any

from . import frames
from .confine import Confinement
from .meter import Meter
from .spawn import Child, spawn
from .tree import Tree
from .warm import Warm

_PREVIEW_S, _PREVIEW_BYTES = 0.5, 2000
_DRAIN_S = 1.0


class Relay:
    """Sends a run's output within its cap, half of it head, half tail."""

    def __init__(self, send: Callable[[bytes], None], cap: int) -> None:
        self._send = send
        self._head_left = cap // 2
        self._tail_cap = cap - cap // 2
        self._tail: collections.deque[tuple[float, bytes]] = collections.deque()
        self._tail_size = 0
        self._previewed = 0.0
        self.dropped = 0

    def take(self, at_s: float, data: bytes) -> None:
        """A chunk that arrived `at_s` seconds after the start."""
        head, rest = data[: self._head_left], data[self._head_left :]
        if head:
            self._head_left -= len(head)
            self._frame(at_s, head, keep=True)
        if not rest:
            return
        self._tail.append((at_s, rest))
        self._tail_size += len(rest)
        while self._tail_size - len(self._tail[0][1]) >= self._tail_cap:
            gone = len(self._tail.popleft()[1])
            self._tail_size -= gone
            self.dropped += gone
        if at_s - self._previewed > _PREVIEW_S:
            self._previewed = at_s
            self._frame(at_s, rest[-_PREVIEW_BYTES:], keep=False)

    def finish(self) -> None:
        """Send the tail, preceded by how much is missing before it."""
        over = self._tail_size - self._tail_cap
        if over > 0:
            at_s, data = self._tail.popleft()
            self._tail.appendleft((at_s, data[over:]))
            self.dropped += over
        if self.dropped:
            self._send(frames.pack(frames.DATA, str(self.dropped).encode()))
        for at_s, data in self._tail:
            self._frame(at_s, data, keep=True)

    def _frame(self, at_s: float, data: bytes, keep: bool) -> None:
        self._send(frames.pack(frames.OUTPUT, frames.STAMP.pack(at_s, keep) + data))


class Executor:
    """Runs one command at a time."""

    def __init__(
        self,
        setup: dict[str, Any],
        confinement: Confinement,
        send: Callable[[bytes], None],
        control: int,
        asked_to_stop: Callable[[], bool],
    ) -> None:
        """`asked_to_stop` reads what is there on `control` and says whether it was a stop."""
        self._setup, self._confinement, self._send = setup, confinement, send
        self._control, self._asked_to_stop = control, asked_to_stop
        self._tree = Tree(bool(setup["kill_all"]))
        self._meter = Meter(setup, self._tree)
        self._warm = Warm(setup, confinement, self._tree)

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """The facts of one run (see `verdict.RawRun` on the host's side)."""
        self._meter.begin(request)
        relay = Relay(self._send, int(request["output_bytes"]))
        began = time.monotonic()
        try:
            child = self._warm.start(request, self._control) or spawn(
                str(request["command"]), self._setup, request, self._confinement
            )
        except OSError as error:
            relay.take(0.0, f"the command could not be started: {error}\n".encode())
            return {"exit_code": None, "duration_s": 0.0, "dropped": 0}
        self._tree.started(child.pid)
        facts: dict[str, Any] = {"exit_code": None}
        try:
            self._watch(child, relay, began, float(request["wall_s"]), facts)
            facts["duration_s"] = time.monotonic() - began
            self._meter.watch_disk()
            ended, clean = self._tree.end()
            self._drain(child, relay, began)
            if facts["exit_code"] is None:
                facts["exit_code"] = child.collect(ended, last=True)
        finally:
            child.close()
        relay.finish()
        self._meter.finish()
        self._warm.tend()
        return {
            **facts,
            "unclean": not clean,
            "oom": self._meter.oom,
            "disk_full": self._meter.disk_full,
            "crowded": self._meter.crowded,
            "peak_mb": self._meter.peak_mb,
            "dropped": relay.dropped,
        }

    def close(self) -> None:
        """End whatever runs, and what runs it."""
        self._warm.close()
        self._tree.end()

    def clear(self) -> list[str]:
        """End whatever runs; what would not end, a line each."""
        _, clean = self._tree.end()
        left = self._tree.pids()
        return [] if clean and not left else [f"{len(left)} processes can't be ended"]

    def _watch(self, child: Child, relay: Relay, began: float, wall_s: float, facts: dict[str, Any]) -> None:
        """Relay output until the command ends, is too much, too long, or unwanted."""
        poll = select.poll()
        for fd in (child.output, child.ended, self._control):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        if self._asked_to_stop():  # it may have come together with the request and wake no poll
            facts["stopped"] = True
            return
        next_sample = began + self._meter.interval_s
        while facts["exit_code"] is None:
            now = time.monotonic()
            if now - began >= wall_s:
                facts["timed_out"] = True
                return
            if now >= next_sample:
                if self._meter.sample():
                    return
                # Sampling walks the processes; it slows down so that it never takes much of a processor.
                next_sample = now + max(self._meter.interval_s, 20 * (time.monotonic() - now))
            wake = min(next_sample, began + wall_s) - now
            ready = dict(poll.poll(max(0.0, min(wake, 0.01 if child.ended < 0 else wake)) * 1000))
            if child.output in ready and not self._copy(child, relay, began):
                poll.unregister(child.output)
            if self._control in ready and self._asked_to_stop():
                facts["stopped"] = True
                return
            if child.ended in ready or child.ended < 0:
                facts["exit_code"] = child.collect(self._tree.reap())

    def _copy(self, child: Child, relay: Relay, began: float) -> bool:
        """Pass on one chunk; False at the end of the output."""
        try:
            data = os.read(child.output, 65_536)
        except BlockingIOError:
            return True
        if data:
            relay.take(time.monotonic() - began, data)
        return bool(data)

    def _drain(self, child: Child, relay: Relay, began: float) -> None:
        """What is still in the pipe once nobody can write to it any more."""
        deadline = time.monotonic() + _DRAIN_S
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline and (data := os.read(child.output, 65_536)):
                relay.take(time.monotonic() - began, data)
