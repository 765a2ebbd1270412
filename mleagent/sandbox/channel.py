"""A framed connection to a runner over any byte stream, with deadlines on the host's side.

A thread reads and decodes, so that waiting for a frame can time out whatever the
transport is (pipes, docker's attach socket). The thread's queue is short: a
runner that floods meets back-pressure, never the host's memory.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from .. import clock
from .runner.frames import Decoder, Frame, FrameError

_QUEUE_FRAMES = 64


class ByteReader(Protocol):
    """Where the runner's bytes come from."""

    def read(self, size: int, /) -> bytes | None:
        """Block until at least one byte is there; at most `size`; b'' (or None) at the end."""
        ...

    def close(self) -> None:
        """Free the descriptor. Called by the reading thread once it is done, and by nobody else:
        closed under a read, its number could be another file's by the time the read begins.
        """
        ...


class ByteWriter(Protocol):
    """Where bytes to the runner go."""

    def write(self, data: bytes | memoryview, /) -> int | None:
        """Write some or all of `data`; the number of bytes taken, None for all."""
        ...


class ChannelClosed(Exception):
    """The stream ended, broke, or does not keep to the format; the message says which."""


class Channel:
    """Send and receive frames; `kill` must make a blocked read or write on the transport return."""

    def __init__(self, reader: ByteReader, writer: ByteWriter, kill: Callable[[], None]) -> None:
        self._reader, self._writer, self._kill = reader, writer, kill
        self._frames: queue.Queue[Frame | str] = queue.Queue(_QUEUE_FRAMES)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._pump, name="sandbox-reader", daemon=True)
        self._thread.start()

    def _pump(self) -> None:
        decoder = Decoder()
        why = "the stream ended"
        try:
            while data := self._reader.read(1 << 18):
                for frame in decoder.feed(data):
                    self._offer(frame)
        except (OSError, ValueError) as error:
            why = f"the stream broke: {error}"
        except FrameError as error:
            why = f"the runner sent nonsense: {error}"
        self._offer(why)
        with contextlib.suppress(OSError):
            self._reader.close()

    def _offer(self, item: Frame | str) -> None:
        while not self._closing.is_set():
            try:
                return self._frames.put(item, timeout=1.0)
            except queue.Full:
                continue

    def send(self, frames: Iterable[bytes], timeout_s: float) -> None:
        """Write frames; a write that blocks past `timeout_s` has the runner killed. Raises ChannelClosed."""
        timer: threading.Timer | None = None
        try:
            for number, frame in enumerate(frames):
                # One small frame always fits the pipe's buffer; only more of them can block.
                if timer is None and (number or len(frame) > 32_768):
                    timer = threading.Timer(timeout_s, self._kill)
                    timer.daemon = True
                    timer.start()
                self._write(frame)
        except (OSError, ValueError) as error:
            raise ChannelClosed(f"writing to the runner failed: {error}") from None
        finally:
            if timer is not None:
                timer.cancel()

    def _write(self, frame: bytes) -> None:
        view = memoryview(frame)
        while view:
            taken = self._writer.write(view)
            view = view[len(view) if taken is None else taken :]

    def receive(self, timeout_s: float) -> Frame | None:
        """The next frame, or None when none came within `timeout_s`. Raises ChannelClosed."""
        try:
            item = self._frames.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None
        if isinstance(item, str):
            self._frames.put_nowait(item)
            raise ChannelClosed(item)
        return item

    def close(self) -> None:
        """Stop reading. The transport itself belongs to who opened it."""
        self._closing.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self._frames.get_nowait()
        with contextlib.suppress(queue.Full):
            self._frames.put_nowait("closed")  # for a thread that still waits for a frame


def deadline_left(deadline: float) -> float:
    """Seconds until `deadline` (of `clock.monotonic`), never negative."""
    return max(0.0, deadline - clock.monotonic())
