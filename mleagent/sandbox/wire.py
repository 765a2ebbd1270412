"""Asking a runner and waiting for its answer: the wire under the client, and the moment it is given up.

Takes a byte stream; gives request and answer with deadlines. Whatever the other
side does wrong (silence, nonsense, hanging up) ends in the same way: the sandbox
is ended by force and SandboxLostError raised, with the reason in one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..errors import SandboxError, SandboxLostError
from .channel import ByteReader, ByteWriter, Channel, ChannelClosed, deadline_left
from .runner import frames

SEND_S = 15.0
"""How long the runner may take to accept a small request."""


class Wire:
    """One connection to a runner. Not thread-safe."""

    def __init__(
        self, reader: ByteReader, writer: ByteWriter, on_lost: Callable[[], str], sandbox: str
    ) -> None:
        self._on_lost = on_lost
        self._sandbox = sandbox
        self._lost = ""
        self._kill_reason = ""
        self.ready = False
        """Whether the runner was set up."""
        self._channel = Channel(reader, writer, self._kill)

    @property
    def lost(self) -> str:
        """Why the runner was given up; '' while it lives."""
        return self._lost

    def close(self) -> None:
        """Let go of the stream; ending the sandbox is its owner's business. Twice is harmless."""
        self._lost = self._lost or "closed"
        self._channel.close()

    def _ask(
        self, request: dict[str, Any], deadline: float, body: Iterator[bytes] | None = None
    ) -> dict[str, Any]:
        def message() -> Iterator[bytes]:
            yield frames.pack_json(frames.REQUEST, request)
            if body is not None:
                yield from frames.pack_body(body)

        self._send(message(), deadline_left(deadline))
        return self._wait(frames.RESULT, deadline)

    def _send(self, message: Iterable[bytes], timeout_s: float = SEND_S) -> None:
        if self._lost:
            raise SandboxLostError(self._message(self._lost))
        try:
            self._channel.send(message, timeout_s)
        except ChannelClosed as error:
            raise self._lose(str(error)) from None

    def _receive(self, timeout_s: float) -> frames.Frame | None:
        if self._lost:
            raise SandboxLostError(self._message(self._lost))
        try:
            return self._channel.receive(timeout_s)
        except ChannelClosed as error:
            raise self._lose(str(error)) from None

    def _wait(self, wanted: bytes, deadline: float) -> dict[str, Any]:
        frame = self._receive(deadline_left(deadline))
        if frame is None:
            raise self._lose("the runner gave no answer in time")
        if frame[0] == wanted:
            return self._json(frame[1])
        return self._result(*frame)

    def _chunk(self, deadline: float) -> bytes:
        frame = self._receive(deadline_left(deadline))
        if frame is None:
            raise self._lose("the runner gave no answer in time")
        if frame[0] == frames.DATA and frame[1]:
            return frame[1]
        if frame[0] != frames.END:
            self._result(*frame)
            raise frames.FrameError("a result in the middle of an archive")
        return b""

    def _result(self, kind: bytes, payload: bytes) -> dict[str, Any]:
        if kind == frames.RESULT:
            return self._json(payload)
        if kind == frames.FAILURE:
            raise SandboxError(str(self._json(payload).get("error", "the runner failed"))[:500])
        raise self._lose(f"the runner sent {kind!r} out of turn")

    def _json(self, payload: bytes) -> dict[str, Any]:
        try:
            return frames.unpack_json(payload)
        except frames.FrameError as error:
            raise self._lose(f"the runner sent nonsense: {error}") from None

    def _kill(self) -> None:
        """End the sandbox by force; also called by the channel's timer on a blocked write."""
        self._kill_reason = self._on_lost() or self._kill_reason

    def _lose(self, why: str) -> SandboxLostError:
        if not self._lost:
            self._kill()
            reason = self._kill_reason
            # What the runner did wrong says more than how it ended; a broken stream says less.
            self._lost = f"{why} ({reason})" if reason and why.startswith("the runner") else reason or why
            self._channel.close()
        return SandboxLostError(self._message(self._lost))

    def _message(self, why: str) -> str:
        return f"the {self._sandbox or 'sandbox'} sandbox was lost: {why}; start it again"
