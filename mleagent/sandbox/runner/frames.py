"""The wire format between host and runner: length-checked binary frames over a byte stream.

A frame is one kind byte, a big-endian length and the payload, never over
`MAX_FRAME`. Requests and results are JSON; file content travels as a stream of
entries (path, size, bytes) cut into data frames. Both sides import this module
and neither trusts the other: every length is checked before it is believed.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

VERSION = 1
MAX_FRAME = 1 << 20
HEADER = struct.Struct(">cI")
ENTRY = struct.Struct(">Hq")
STAMP = struct.Struct(">d?")
MAX_PATH = 1024
REMOVED = -1
"""Size of an entry that stands for a removed file."""

HELLO, REQUEST, DATA, END, STOP = b"H", b"Q", b"D", b"E", b"S"
OUTPUT, RESULT, FAILURE = b"O", b"R", b"X"
KINDS = frozenset((HELLO, REQUEST, DATA, END, STOP, OUTPUT, RESULT, FAILURE))

Frame = tuple[bytes, bytes]


class FrameError(Exception):
    """The other side does not keep to the format; nothing more of it is believed."""


def pack(kind: bytes, payload: bytes = b"") -> bytes:
    """One frame as bytes. Raises FrameError when the payload is too long."""
    if len(payload) > MAX_FRAME:
        raise FrameError(f"a frame of {len(payload)} bytes is too long")
    return HEADER.pack(kind, len(payload)) + payload


def pack_json(kind: bytes, value: dict[str, Any]) -> bytes:
    """One frame with a JSON object."""
    return pack(kind, json.dumps(value).encode("ascii"))


def unpack_json(payload: bytes) -> dict[str, Any]:
    """The JSON object of a frame. Raises FrameError for anything else."""
    try:
        value = json.loads(payload.decode("ascii"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise FrameError("a message is not JSON") from None
    if not isinstance(value, dict):
        raise FrameError("a message is not an object")
    return value


def pack_body(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a stream of bytes into data frames of about a quarter MiB, then the end frame."""
    pending: list[bytes] = []
    size = 0
    for piece in pieces:
        for at in range(0, len(piece), MAX_FRAME // 4):
            part = piece[at : at + MAX_FRAME // 4]
            pending.append(part)
            size += len(part)
            if size >= MAX_FRAME // 4:
                yield pack(DATA, b"".join(pending))
                pending, size = [], 0
    if pending:
        yield pack(DATA, b"".join(pending))
    yield pack(END)


def entry(path: bytes, size: int) -> bytes:
    """Head of a file in a body; `size` bytes of content follow (none for REMOVED)."""
    return ENTRY.pack(len(path), size) + path


class Decoder:
    """Turns bytes as they arrive into whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Frames completed by `data`. Raises FrameError on an unknown kind or a length over the limit."""
        self._buffer += data
        frames: list[Frame] = []
        at = 0
        while len(self._buffer) - at >= HEADER.size:
            kind, length = HEADER.unpack_from(self._buffer, at)
            if kind not in KINDS or length > MAX_FRAME:
                raise FrameError(f"unknown frame {kind!r} of {length} bytes")
            if len(self._buffer) - at < HEADER.size + length:
                break
            at += HEADER.size
            frames.append((kind, bytes(self._buffer[at : at + length])))
            at += length
        del self._buffer[:at]
        return frames


class Body:
    """Reads exact lengths from the data frames of one message; `next_chunk` gives b'' at its end."""

    def __init__(self, next_chunk: Callable[[], bytes]) -> None:
        self._next = next_chunk
        self._chunk = memoryview(b"")
        self._ended = False

    def _fill(self) -> bool:
        if not self._chunk and not self._ended:
            chunk = self._next()
            self._ended = not chunk
            self._chunk = memoryview(chunk)
        return bool(self._chunk)

    def some(self, size: int) -> bytes:
        """At least one and at most `size` bytes. Raises FrameError at the end."""
        if not self._fill():
            raise FrameError("a message ended early")
        piece = bytes(self._chunk[:size])
        self._chunk = self._chunk[len(piece) :]
        return piece

    def exactly(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        pieces = []
        while size:
            piece = self.some(size)
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def entries(self) -> Iterator[tuple[bytes, int]]:
        """(path, size) of each entry; the caller reads its content before the next."""
        while self._fill():
            length, size = ENTRY.unpack(self.exactly(ENTRY.size))
            if not 0 < length <= MAX_PATH or size < REMOVED:
                raise FrameError(f"an entry with a path of {length} and a size of {size} bytes")
            yield self.exactly(length), size

    def drain(self) -> None:
        """Throw away what is left, so that the next message can be read."""
        while self._fill():
            self._chunk = memoryview(b"")


def checked_path(path: str) -> str:
    """`path` if it is relative, POSIX and stays inside the work folder. Raises ValueError."""
    parts = path.split("/")
    bad = not path or path.startswith("/") or "\0" in path or "\\" in path
    if bad or any(part in ("", ".", "..") for part in parts) or len(path.encode("utf-8")) > MAX_PATH:
        raise ValueError(
            f"path {path[:200]!r} must be relative, without . or .., and lie inside the work folder"
        )
    return path
