"""Background runs: a long command goes on in a sandbox of its own while the session does other steps.

`<run background="yes">` starts one (one at a time); it works on a copy of the work folder as it was
then, over the same read-only data, so nothing it does can disturb the foreground. When it has ended,
`collect.py` makes a step of it. A job never outlives its session; one that a kill took along is told
at the resume.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from .. import clock
from ..errors import SandboxError
from ..protocols import Sandbox
from ..records import Execution, Limits
from .folder import write_whole

END_S = 60.0
"""Longest wait for a job that was told to stop."""
TAIL_CHARS = 20_000
"""Live output kept for looking at."""


@dataclass
class Job:
    """One background run. Written by its thread until `done` is set, read by others."""

    number: int
    command: str
    plan: str
    limits: Limits
    files: dict[str, bytes]
    """The work folder it started with."""
    began: float
    sandbox: Sandbox
    stop: Event = field(default_factory=Event)
    done: Event = field(default_factory=Event)
    tail: str = ""
    """The end of its output so far."""
    execution: Execution | None = None
    changed: dict[str, bytes] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()

    def work(self, pull_bytes: int) -> None:
        """Run to the end; what goes wrong with the sandbox is the verdict `lost`."""
        try:
            self.execution = self.sandbox.run(self.command, self.limits, self._hear, self.stop)
            if self.execution.status != "lost":
                self.changed = self.sandbox.pull(pull_bytes)
                self.skipped = self.sandbox.skipped
        except SandboxError as error:
            self.execution = Execution(
                command=self.command,
                status="lost",
                detail=str(error),
                duration_s=clock.monotonic() - self.began,
                sandbox=self.sandbox.name,
            )
        finally:
            self.sandbox.close()
            self.done.set()

    def _hear(self, text: str) -> None:
        self.tail = (self.tail + text)[-TAIL_CHARS:]


class Jobs:
    """The background run of one session, if any."""

    def __init__(self, make: Callable[[], Sandbox], note: Path, pull_bytes: int) -> None:
        """`make` gives a sandbox, not started; `note` says on disk that a job runs."""
        self._make, self._note, self._pull_bytes = make, note, pull_bytes
        self._job: Job | None = None
        self._thread: Thread | None = None
        self._count = 0

    @property
    def job(self) -> Job | None:
        """The job that runs, or has ended and was not collected yet."""
        return self._job

    @property
    def running(self) -> bool:
        """Whether a job runs now."""
        return self._job is not None and not self._job.done.is_set()

    def start(self, command: str, plan: str, files: dict[str, bytes], limits: Limits) -> Job:
        """Start `command` on a copy of `files`. Raises SandboxError when no sandbox can be had.

        The caller has seen to it that no other job is there.
        """
        assert self._job is None
        sandbox = self._make()
        try:
            sandbox.start()
            sandbox.put(dict(files))
        except SandboxError:
            sandbox.close()
            raise
        self._count += 1
        self._job = job = Job(self._count, command, plan, limits, files, clock.monotonic(), sandbox)
        write_whole(self._note, json.dumps({"command": command, "at": clock.now()}).encode())
        self._thread = Thread(
            target=job.work, args=(self._pull_bytes,), name=f"job {job.number}", daemon=True
        )
        self._thread.start()
        return job

    def wait(self, stop: Event) -> None:
        """Until the job has ended or `stop` is set."""
        while self._job is not None and not self._job.done.wait(0.1):
            if stop.is_set():
                return

    def take_ended(self) -> Job | None:
        """The job that has ended, once."""
        if self._job is None or not self._job.done.is_set():
            return None
        job, self._job = self._job, None
        self._note.unlink(missing_ok=True)
        return job

    def kill(self) -> bool:
        """Stop the job; whether one ran."""
        if not self.running or self._job is None:
            return False
        self._job.stop.set()
        return True

    def take_lost(self) -> str:
        """The command of a job that an earlier sitting's end took along, once; '' without."""
        try:
            said = json.loads(self._note.read_bytes())
        except (OSError, ValueError):
            return ""
        self._note.unlink(missing_ok=True)
        return str(said.get("command", "")) if isinstance(said, dict) else ""

    def close(self) -> None:
        """End the job with the session; twice is harmless. What it left is lost, which a resume tells."""
        self.kill()
        if self._thread is not None:
            self._thread.join(END_S)
            self._thread = None
