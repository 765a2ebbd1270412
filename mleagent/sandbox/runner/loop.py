"""The runner's main loop: one request at a time from the host, until the host hangs up.

The frame stream is moved away from stdin and stdout at once, so that no command
ever holds it. When the stream ends, everything inside ends with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable
from typing import Any

from . import frames
from .confine import Confinement
from .execute import Executor
from .files import Workspace
from .reset import Condition


class HungUp(Exception):
    """The host closed the stream."""


class Wire:
    """Frames from and to the host over two descriptors that no child gets."""

    def __init__(self) -> None:
        self.incoming, self._outgoing = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.close(null)
        self._decoder = frames.Decoder()
        self._frames: list[frames.Frame] = []

    def read(self) -> None:
        """Take in what is there; blocks when nothing is. Raises HungUp, FrameError."""
        data = os.read(self.incoming, 1 << 18)
        if not data:
            raise HungUp
        self._frames += self._decoder.feed(data)

    def next(self) -> frames.Frame:
        """The next frame."""
        while not self._frames:
            self.read()
        return self._frames.pop(0)

    def stop_asked(self) -> bool:
        """Read what is there, without waiting: whether it is the wish to stop the run."""
        if select.select([self.incoming], [], [], 0)[0]:
            self.read()
        asked = any(kind == frames.STOP for kind, _ in self._frames)
        self._frames = [frame for frame in self._frames if frame[0] != frames.STOP]
        return asked

    def send(self, data: bytes) -> None:
        """Write whole frames."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._outgoing, view) :]

    def close_others(self, *kept: int) -> None:
        """Close every other descriptor that whoever started us left open."""
        keep = {0, 1, 2, self.incoming, self._outgoing, *kept}
        limit = max([int(name) for name in _listed("/proc/self/fd")] or [255]) + 1
        for fd in set(range(3, limit)) - keep:
            with contextlib.suppress(OSError):
                os.close(fd)

    def body(self) -> frames.Body:
        """The data frames that follow a request, up to their end frame."""

        def chunk() -> bytes:
            kind, payload = self.next()
            if kind not in (frames.DATA, frames.END):
                raise frames.FrameError("a body was broken off")
            return payload if kind == frames.DATA else b""

        return frames.Body(chunk)


class Runner:
    """Answers requests; made by the first one, `init`."""

    def __init__(self, wire: Wire, setup: dict[str, Any]) -> None:
        self._wire = wire
        wire.close_others(int(setup["oom_events_fd"]))
        # Links first: once confined, the input folder is as visible, but errors are clearer here.
        self._files = Workspace(setup)
        confinement = Confinement(setup)
        self.gaps = confinement.protect()
        self._executor = Executor(setup, confinement, wire.send, wire.incoming, wire.stop_asked)
        self._files.clean_scratch()
        self._condition = Condition([setup["work"], *setup["scratch"]] if setup["confine"] else [])

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked. Raises OSError and ValueError for what can't be done."""
        operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "put": self._put,
            "run": self._run,
            "pull": self._pull,
            "reset": self._reset,
        }
        operation = operations.get(str(request.get("op")))
        if operation is None:
            raise ValueError(f"unknown request {request.get('op')!r}")
        return operation(request)

    def close(self) -> None:
        """End every process below; the files go with the sandbox."""
        self._executor.close()

    def _put(self, _request: dict[str, Any]) -> dict[str, Any]:
        body = self._wire.body()
        try:
            self._files.put(body)
        finally:
            body.drain()
        return {}

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        self._files.relink()
        try:
            return self._executor.run(request)
        finally:
            self._files.clean_scratch()

    def _pull(self, request: dict[str, Any]) -> dict[str, Any]:
        for frame in frames.pack_body(self._files.pull(int(request["max_bytes"]))):
            self._wire.send(frame)
        skipped = self._files.skipped
        shown = [line[:400] for line in skipped[:200]]
        return {"skipped": shown + ([f"... and {len(skipped) - 200} more"] if len(skipped) > 200 else [])}

    def _reset(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Back to how it was at the start; `left` names what could not be brought back."""
        left = [*self._executor.clear(), *self._files.wipe(), *self._condition.changes()]
        return {"left": [line[:200] for line in left[:20]]}


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def main() -> int:
    """Serve until the host hangs up."""
    wire = Wire()
    python = ".".join(map(str, sys.version_info[:3]))
    wire.send(frames.pack_json(frames.HELLO, {"version": frames.VERSION, "python": python}))
    runner: Runner | None = None
    try:
        while True:
            kind, payload = wire.next()
            if kind != frames.REQUEST:
                continue  # a stop that came after the run's end
            request = frames.unpack_json(payload)
            try:
                if runner is None:
                    runner = Runner(wire, request)
                    result: dict[str, Any] = {"gaps": runner.gaps}
                else:
                    result = runner.answer(request)
            except (OSError, ValueError) as error:
                text = f"{type(error).__name__}: {error}"
                wire.send(frames.pack_json(frames.FAILURE, {"error": text[:400]}))
                continue
            wire.send(frames.pack_json(frames.RESULT, result))
    except HungUp:
        return 0
    except (OSError, frames.FrameError) as error:
        sys.stderr.write(f"runner: {error}\n")
        return 1
    finally:
        if runner is not None:
            runner.close()
