"""A runner that is a child process of ours, connected by pipes: how three of the sandboxes hold theirs.

Gives a reader and a writer for the client, and one way to end it all by force.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from ..errors import UnavailableError


class Writer:
    """A pipe's writing end that one thread may close while another writes.

    Without the lock the number of the closed descriptor could be another file's
    by the time the write begins.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def write(self, data: bytes | memoryview, /) -> int | None:
        """Write some of `data`; how much. Raises OSError or ValueError once the other end is gone."""
        with self._lock:
            return self._pipe.write(data)

    def close(self, wait: bool) -> bool:
        """Close; whether it was. Without `wait`, not while a write is under way."""
        if not self._lock.acquire(blocking=wait):
            return False
        try:
            with contextlib.suppress(OSError):
                self._pipe.close()
        finally:
            self._lock.release()
        return True


class RunnerProcess:
    """Started at once; its stderr (one line when something fails) goes to a file without a name."""

    def __init__(
        self,
        command: Sequence[str],
        pass_fds: Sequence[int] = (),
        leftovers: tuple[Path, ...] = (),
        gentle_s: float = 0.0,
    ) -> None:
        """Raises UnavailableError when it can't be started.

        `leftovers` are folders removed at the end; `gentle_s` is how long the runner
        may take to end by itself once the stream is closed.
        """
        self._gentle_s = gentle_s
        self._leftovers = leftovers
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self._lock = threading.Lock()
        self._why: str | None = None
        try:
            self._process = subprocess.Popen(
                list(command),
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={"LC_ALL": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"},
                pass_fds=tuple(pass_fds),
                start_new_session=True,
                cwd="/",
            )
        except OSError as error:
            self._errors.close()
            for folder in leftovers:
                shutil.rmtree(folder, ignore_errors=True)
            raise UnavailableError(f"{command[0]} could not be started: {error}") from None
        self._writer = Writer(cast("IO[bytes]", self._process.stdin))

    @property
    def pid(self) -> int:
        """Process id on this machine."""
        return self._process.pid

    @property
    def reader(self) -> IO[bytes]:
        """The runner's stdout; closed by who reads it."""
        return cast("IO[bytes]", self._process.stdout)

    @property
    def writer(self) -> Writer:
        """The runner's stdin."""
        return self._writer

    def started(self) -> None:
        """The sandbox stands: folders that only its start needed can go."""
        for folder in self._leftovers:
            with contextlib.suppress(OSError):
                folder.rmdir()
        self._leftovers = ()

    def end(self) -> str:
        """Kill it and wait; why it had ended by itself, or ''. Any thread, any number of times."""
        with self._lock:
            if self._why is None:
                self._why = self._end()
        return self._why

    def _end(self) -> str:
        code = self._process.poll()
        if code is None and self._gentle_s and self._writer.close(wait=False):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._gentle_s)
        if code is None and self._process.poll() is None:
            # Only this process is known here; what is below it dies with it (see nsinit, bubblewrap).
            self._process.kill()
            self._process.wait()
        why = "" if code is None else f"the runner ended with code {code}"
        self._errors.seek(0)
        said = self._errors.read(4000).decode("utf-8", "replace").strip().splitlines()
        if said:
            why = f"{why}: {said[-1][:300]}".removeprefix(": ")
        self._errors.close()
        # A write that waited has failed by now, for nobody is left to read.
        self._writer.close(wait=True)
        for folder in self._leftovers:
            shutil.rmtree(folder, ignore_errors=True)
        return why


def own_folder(kind: str) -> Path:
    """A fresh temporary folder that names its owner; those of owners that were killed are removed."""
    prefix = f"mleagent-{kind}-"
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*-*"):
        owner = folder.name.removeprefix(prefix).split("-")[0]
        if owner.isdigit() and not _alive(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-"))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
