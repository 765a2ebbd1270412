"""One file from a hub, whole or not at all: written beside its place, checked, then renamed.

What has arrived stays in `NAME.<hash>.part` when the connection, the program or the machine goes away,
and the next try goes on from there; only a full disk or bytes that don't match their hash remove it. The
final name never holds anything but bytes that matched.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import httpx

from ..errors import InputError, MleagentError, UnavailableError
from .hub import Hub, RemoteFile, Repo

Progress = Callable[[str, int, int], None]
"""Called with the file's name, its bytes that are here, and all its bytes."""

_TRIES = 5
"""Failures in a row, without a byte between them, after which a download gives up (resumable)."""
_WAIT_S = 0.5
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _Broken(Exception):
    """The connection ended early; what is here is good."""


class _Part:
    """The growing file with the hashes of what it holds: small files of a hub have their git hash only."""

    def __init__(self, out: IO[bytes], file: RemoteFile) -> None:
        """`out` is open for reading and appending; what it holds already is hashed."""
        self._out, self._file = out, file
        self._clear()
        out.seek(0)
        while chunk := out.read(1 << 22):
            self._hash(chunk)
        if self.have > file.bytes:
            self.restart()

    def restart(self) -> None:
        """Drop everything."""
        self._out.truncate(0)
        self._clear()

    def append(self, chunk: bytes) -> None:
        """Raises OSError when the disk is full."""
        self._out.write(chunk)
        self._hash(chunk)

    def matches(self) -> bool:
        """Whether these are the bytes that the hub states the hash of."""
        if self._file.sha256:
            return self.sha256.hexdigest() == self._file.sha256.lower()
        return self._git.hexdigest() == self._file.git_sha1.lower()

    def _clear(self) -> None:
        self.have = 0
        self.sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % self._file.bytes, usedforsecurity=False)

    def _hash(self, chunk: bytes) -> None:
        self.sha256.update(chunk)
        if not self._file.sha256:
            self._git.update(chunk)
        self.have += len(chunk)


def part_of(target: Path, file: RemoteFile) -> Path:
    """Where the file grows; named by its hash, so that another version's rest is never gone on with."""
    return target.with_name(f"{target.name}.{(file.sha256 or file.git_sha1)[:12]}.part")


def fetch(hub: Hub, repo: Repo, file: RemoteFile, target: Path, progress: Progress) -> str:
    """Bring `file` to `target`; its sha256. What is there already is checked and kept.

    Raises InputError (refused, another download holds it), UnavailableError (the connection; resumable),
    MleagentError (disk full; wrong bytes).
    """
    if not file.sha256 and not file.git_sha1:
        raise InputError(
            f"{repo.name} states no hash for {file.path}, so it can't be checked; not downloaded"
        )
    path = part_of(target, file)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file() and target.stat().st_size == file.bytes:
            with target.open("rb") as data:
                whole = _Part(data, file)
            if whole.matches():
                return whole.sha256.hexdigest()
        with path.open("a+b") as out:
            _lock(out, target)
            part = _Part(out, file)
            _fill(hub, repo, file, part, progress)
            out.flush()
            if not part.matches():
                path.unlink(missing_ok=True)
                raise MleagentError(
                    f"{file.path} of {repo.name} does not match its hash; it was removed, pull it again"
                )
            os.fsync(out.fileno())
            os.replace(path, target)
        _sync_folder(target.parent)
    except OSError as error:
        if error.errno not in _FULL:
            raise MleagentError(f"{error.filename or target} can't be written: {error.strerror}") from None
        path.unlink(missing_ok=True)
        raise MleagentError(
            f"the disk of {target.parent} is full: {file.path} needs {file.bytes / 1e9:.2f} GB; what had "
            "arrived was removed, make room and pull again"
        ) from None
    return part.sha256.hexdigest()


def _fill(hub: Hub, repo: Repo, file: RemoteFile, part: _Part, progress: Progress) -> None:
    """Append until all bytes are there, over as many connections as it takes."""
    failures = 0
    while part.have < file.bytes:
        before, why = part.have, "no bytes"
        try:
            _receive(hub, repo, file, part, progress)
        except (httpx.HTTPError, _Broken) as error:
            why = " ".join(str(error).split()) or type(error).__name__
        failures = 0 if part.have > before else failures + 1
        if failures == _TRIES:
            raise UnavailableError(
                f"{file.path} broke off at {part.have / 1e6:.1f} of {file.bytes / 1e6:.1f} MB ({why}); "
                "the same command goes on from there"
            )
        if failures:
            time.sleep(_WAIT_S * failures)


def _receive(hub: Hub, repo: Repo, file: RemoteFile, part: _Part, progress: Progress) -> None:
    """One connection's bytes. Raises httpx.HTTPError, _Broken; InputError where the hub refuses."""
    with hub.open(repo, file, part.have) as response:
        status = response.status_code
        if status in (408, 429) or status >= 500:
            raise _Broken(f"HTTP {status}")
        if status == 416 or (status == 206 and not _begins_at(response, part.have)):
            part.restart()
            raise _Broken("the server gave another range than was asked for")
        if status not in (200, 206):
            raise hub.refusal(response, repo.name)
        if status == 200:  # the server begins anew, and so do we
            part.restart()
        for chunk in response.iter_raw():
            if part.have + len(chunk) > file.bytes:
                raise MleagentError(f"{file.path} is longer than the hub says; pull it again later")
            part.append(chunk)
            progress(file.path, part.have, file.bytes)


def _begins_at(response: httpx.Response, start: int) -> bool:
    return str(response.headers.get("content-range", "")).startswith(f"bytes {start}-")


def _lock(out: IO[bytes], target: Path) -> None:
    try:
        fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"another mleagent is downloading {target.name} now; wait for it") from None


def _sync_folder(folder: Path) -> None:
    """The rename itself on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
