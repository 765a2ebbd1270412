"""A session's own folder in the data folder: workspace, checkpoints, submissions, the lock.

Under `sessions/<id>`:

    work             the workspace
    checkpoints      bare git repository
    submissions      N.csv: a copy of what step N left
    packages         what /install put in; mounted read-only
    job.json         the background job that runs now
    submission.csv   the file to upload, written at the end
    lock             held while a process works on the session

Files are written whole or not at all (temporary name, then rename).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ..errors import InputError


def write_whole(path: Path, data: bytes) -> Path:
    """Write `data` so that a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    return path


class SessionFolder:
    """Paths and lock of one session."""

    def __init__(self, home: Path, session_id: str) -> None:
        """Nothing is created until `lock`."""
        self.root = home / "sessions" / session_id
        self._lock_file: int | None = None

    @property
    def work(self) -> Path:
        """The workspace's files."""
        return self.root / "work"

    @property
    def checkpoints(self) -> Path:
        """The checkpoint repository."""
        return self.root / "checkpoints"

    @property
    def packages(self) -> Path:
        """Packages that `/install` put in; mounted read-only, so it is there before the sandbox."""
        folder = self.root / "packages"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        return folder

    @property
    def submission(self) -> Path:
        """The file to upload."""
        return self.root / "submission.csv"

    def keep_submission(self, index: int, data: bytes) -> str:
        """Store what a step left; the path relative to the session's folder."""
        name = f"submissions/{index}.csv"
        write_whole(self.root / name, data)
        return name

    def submission_of(self, name: str) -> bytes | None:
        """A kept submission, None when it is gone."""
        path = self.root / name
        return path.read_bytes() if name and path.is_file() else None

    def lock(self) -> None:
        """Claim the session for this process. Raises InputError when another works on it."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._lock_file = os.open(self.root / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock_file)
            self._lock_file = None
            raise InputError(
                f"session {self.root.name} is open in another process; end that one first"
            ) from None

    def unlock(self) -> None:
        """Give the session back; twice is harmless."""
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None


def is_live(home: Path, session_id: str) -> bool:
    """Whether some process holds the session's lock right now."""
    folder = SessionFolder(home, session_id)
    if not (folder.root / "lock").is_file():
        return False
    try:
        folder.lock()
    except InputError:
        return True
    folder.unlock()
    return False
