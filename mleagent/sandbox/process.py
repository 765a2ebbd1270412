"""A runner that is a child process of ours, connected by pipes: how three of the sandboxes hold theirs.

Gives a reader and a writer for the client, and one way to end it all by force.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from ..errors import UnavailableError


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
            raise UnavailableError(f"{command[0]} could not be started: {error}") from None

    @property
    def pid(self) -> int:
        """Process id on this machine."""
        return self._process.pid

    @property
    def reader(self) -> IO[bytes]:
        """The runner's stdout."""
        return cast("IO[bytes]", self._process.stdout)

    @property
    def writer(self) -> IO[bytes]:
        """The runner's stdin."""
        return cast("IO[bytes]", self._process.stdin)

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
        if code is None and self._gentle_s and self._process.stdin is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                self._process.stdin.close()
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
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        for folder in self._leftovers:
            shutil.rmtree(folder, ignore_errors=True)
        return why
