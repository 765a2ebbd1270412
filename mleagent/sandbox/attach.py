"""A container's stdin and stdout as a pair of byte streams, over the engine's attach socket.

The engine multiplexes stdout and stderr on one connection, each piece behind an 8-byte header
(Docker Engine API, "Attach to a container": stream type, three zero bytes, length as big-endian
uint32). `attach` undoes that: the reader gives stdout only, stderr is kept as a short tail for
error messages. It needs no shared folder with the engine, so it also works where that runs in a
virtual machine (macOS) or elsewhere. When the socket closes, the container's stdin ends.
"""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_HEADER = struct.Struct(">BxxxI")
_STDERR = 2
_TAIL_BYTES = 4096


class Attachment:
    """Both directions of one attached container; `reader` and `writer` are ordinary binary streams."""

    def __init__(self, handle: Any):
        # The handle owns the HTTP response; the socket below it dies if the handle is collected.
        self._handle = handle
        self._socket: socket.socket = getattr(handle, "_sock", handle)
        self._socket.settimeout(None)
        self._tail = b""
        self._closed = threading.Event()
        self.reader = io.BufferedReader(_Stdout(self._socket, self._keep), buffer_size=1 << 16)
        self.writer = _Stdin(self._socket)

    @property
    def stderr(self) -> str:
        """The last few KiB the container wrote to stderr."""
        return self._tail.decode("utf-8", "replace").strip()

    def _keep(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-_TAIL_BYTES:]

    def close(self) -> None:
        """End the container's stdin and both streams; twice is harmless."""
        if self._closed.is_set():
            return
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._socket.close()
        with contextlib.suppress(OSError):
            self._handle.close()


def attach(container: Any) -> Attachment:
    """Attach to a created, not yet started container: nothing it says is missed."""
    params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    return Attachment(container.attach_socket(params=params))


class _Stdout(io.RawIOBase):
    """The stdout pieces of the multiplexed stream, joined; end of file when the engine hangs up."""

    def __init__(self, sock: socket.socket, on_stderr: Callable[[bytes], None]):
        self._socket = sock
        self._on_stderr = on_stderr
        self._left = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        try:
            while self._left == 0:
                header = self._exactly(_HEADER.size)
                if header is None:
                    return 0
                stream, length = _HEADER.unpack(header)
                if stream == _STDERR:
                    self._on_stderr(self._exactly(length) or b"")
                else:
                    self._left = length
            got = self._socket.recv_into(view[: self._left])
        except OSError:
            return 0
        self._left -= got
        return got

    def _exactly(self, size: int) -> bytes | None:
        data = bytearray()
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                return None
            data += piece
        return bytes(data)


class _Stdin(io.RawIOBase):
    """Unbuffered writes to the container's stdin; raises BrokenPipeError once it is gone."""

    def __init__(self, sock: socket.socket):
        self._socket = sock

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        view = memoryview(data).cast("B")
        self._socket.sendall(view)
        return len(view)
