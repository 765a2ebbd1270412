"""A container's stdin and stdout as a byte reader and writer, over the engine's attach socket.

The engine multiplexes stdout and stderr on one connection, each piece behind an 8-byte header
(Docker Engine API, "Attach to a container": stream type, three zero bytes, length as big-endian
uint32). `attach` undoes that: the reader gives stdout only, stderr is kept as a short tail for
error messages. It needs no shared folder with the engine, so it also works where that runs in a
virtual machine (macOS). When the socket closes, the container's stdin ends.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Any

_HEADER = struct.Struct(">BxxxI")
_STDERR = 2
_TAIL_BYTES = 4096


class Attachment:
    """Both directions of one attached container; a ByteReader and a ByteWriter for a runner's channel."""

    def __init__(self, handle: Any):
        # The handle owns the HTTP response; the socket below it dies if the handle is collected.
        self._handle = handle
        self._socket: socket.socket = getattr(handle, "_sock", handle)
        self._socket.settimeout(None)
        self._tail = b""
        self._left = 0

    @property
    def stderr(self) -> str:
        """The last few KiB the container wrote to stderr."""
        return self._tail.decode("utf-8", "replace").strip()

    def read(self, size: int, /) -> bytes:
        """At least one and at most `size` bytes of stdout; b'' when the engine has hung up."""
        while self._left == 0:
            header = self._exactly(_HEADER.size)
            if len(header) < _HEADER.size:
                return b""
            stream, length = _HEADER.unpack(header)
            if stream == _STDERR:
                self._tail = (self._tail + self._exactly(length))[-_TAIL_BYTES:]
            else:
                self._left = length
        data = self._socket.recv(min(size, self._left))
        self._left -= len(data)
        return data

    def _exactly(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end of the stream."""
        data = b""
        while len(data) < size and (piece := self._socket.recv(size - len(data))):
            data += piece
        return data

    def write(self, data: bytes | memoryview, /) -> None:
        """Write all of `data` to stdin; raises OSError once the container is gone."""
        self._socket.sendall(data)

    def hang_up(self) -> None:
        """End the container's stdin, and any read or write that waits; twice is harmless."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Free the socket; the reading thread does so, once nothing waits on it any more."""
        self.hang_up()
        with contextlib.suppress(OSError):
            self._socket.close()
        with contextlib.suppress(OSError):
            self._handle.close()


def attach(container: Any) -> Attachment:
    """Attach to a created, not yet started container: nothing it says is missed."""
    params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    return Attachment(container.attach_socket(params=params))
