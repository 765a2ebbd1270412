"""The host's side of a runner: put, run, pull and packages over any byte stream.

Takes a reader and a writer connected to the runner's stdout and stdin (pipes,
docker's attach socket); gives the methods of the Sandbox protocol. The runner is
not believed blindly: frames and archives are bounded, paths are checked again,
and one that stays silent past a deadline is killed and the sandbox declared lost.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from threading import Event
from typing import Any

from .. import clock
from ..errors import SandboxError, SandboxLostError
from ..records import Execution, Limits
from .channel import ByteReader, ByteWriter, deadline_left
from .output import Transcript
from .runner import frames
from .verdict import RawRun, judge
from .wire import Wire

START_S = 60.0
"""How long a new runner may take to say hello."""
GRACE_S = 15.0
"""How long past a run's limit (or without an answer) until the runner counts as hung."""
MAX_FILES = 20_000
"""Files that one pull may bring."""
_STOP_POLL_S = 0.05
_PACKAGES = (
    "import importlib.metadata as m;"
    "print('\\n'.join(sorted({f\"{d.metadata['Name']}=={d.version}\" for d in m.distributions() "
    "if d.metadata['Name']}, key=str.lower)))"
)
_PACKAGE = re.compile(r"[A-Za-z0-9][\w.-]*==[\w.!+-]+")


@dataclass(frozen=True)
class Setup:
    """What the runner is told first. All paths are as seen inside."""

    work: str = "/kaggle/working"
    input: str = ""
    """The task's input folder; its entries are linked into the work folder."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The complete environment of every command, see `env.clean_env`."""
    scratch: tuple[str, ...] = ("/tmp", "/dev/shm")
    """Folders emptied after each run and watched for being full; empty for `none`."""
    kill_all: bool = True
    """The runner has the pid namespace to itself: ending a run may kill every other process."""
    confine: bool = True
    """Drop capabilities, filter system calls, and give each command its own Landlock domain."""
    oom_events_fd: int = -1
    """Inherited descriptor of the memory cgroup's `memory.events` or `memory.oom_control`; -1: the runner
    looks under `/sys/fs/cgroup`."""
    supervise_memory: bool = True
    """Sum the tree's memory 50 times a second; False where a cgroup holds the limit, then 10 times."""
    memory_mb: int = 0
    """The sandbox's memory limit in MiB, that a cgroup holds where it is not supervised."""
    limit_processes: bool = False
    """Set RLIMIT_NPROC: only where the user id inside is used by nobody else on the machine."""
    private_cpus: bool = True
    """Limit `cpus` by affinity; False where an engine or a cgroup does it: two that share a machine could
    pick the same processor."""
    warm: bool = True
    """Keep a warm interpreter that forks for `python SCRIPT`; False: every command runs fresh."""
    preload: tuple[str, ...] = ()
    """Modules that the warm interpreter imports, in this order."""


@dataclass(frozen=True)
class Hello:
    """What the runner says of itself."""

    python: str
    """Its version, `3.11.7`."""
    gaps: tuple[str, ...] = ()
    """What it could not confine, a line each."""


class RunnerClient(Wire):
    """One runner. Not thread-safe, but for `stop` events, which any thread may set."""

    def __init__(
        self, reader: ByteReader, writer: ByteWriter, on_lost: Callable[[], str], sandbox: str = ""
    ) -> None:
        """`on_lost` is called when the runner is given up: it must end the sandbox by force, make
        blocked reads and writes return, and may say why it was lost (one line, or '').
        """
        super().__init__(reader, writer, on_lost, sandbox)
        self._removed: tuple[str, ...] = ()
        self._skipped: tuple[str, ...] = ()
        self._packages: tuple[str, ...] | None = None

    # --- life ---

    def hello(self, setup: Setup, timeout_s: float = START_S) -> Hello:
        """Wait for the runner and set it up. Raises SandboxLostError."""
        deadline = clock.monotonic() + timeout_s
        said = self._wait(frames.HELLO, deadline)
        if said.get("version") != frames.VERSION:
            raise self._lose(f"the runner inside speaks version {said.get('version')}, not {frames.VERSION}")
        answer = self._ask({"op": "init", **asdict(setup)}, deadline)
        gaps = answer.get("gaps")
        lines = tuple(str(gap)[:200] for gap in gaps[:20]) if isinstance(gaps, list) else ()
        self.ready = True
        return Hello(python=str(said.get("python", ""))[:40], gaps=lines)

    # --- files ---

    def put(self, files: Mapping[str, bytes | None], timeout_s: float = 120.0) -> None:
        """Write (or with None remove) files of the work folder.

        Raises ValueError for a path outside it, SandboxError when it is full, SandboxLostError.
        """
        for path in files:
            frames.checked_path(path)
        if files:
            self._ask({"op": "put"}, clock.monotonic() + timeout_s, body=_entries(files))

    def pull(self, max_bytes: int, timeout_s: float = 300.0) -> dict[str, bytes]:
        """Changed regular files, smallest first, at most `max_bytes` in all. Raises SandboxLostError."""
        deadline = clock.monotonic() + timeout_s
        self._send([frames.pack_json(frames.REQUEST, {"op": "pull", "max_bytes": max_bytes})])
        files: dict[str, bytes] = {}
        removed: list[str] = []
        try:
            self._read_entries(frames.Body(lambda: self._chunk(deadline)), max_bytes, files, removed)
        except (frames.FrameError, ValueError) as error:
            raise self._lose(f"the runner sent a bad archive: {error}") from None
        answer = self._wait(frames.RESULT, deadline)
        skipped = answer.get("skipped")
        self._skipped = tuple(str(line)[:400] for line in skipped[:500]) if isinstance(skipped, list) else ()
        self._removed = tuple(removed)
        return files

    @staticmethod
    def _read_entries(body: frames.Body, max_bytes: int, files: dict[str, bytes], removed: list[str]) -> None:
        left = max_bytes
        for raw, size in body.entries():
            path = frames.checked_path(raw.decode("utf-8"))
            if len(files) + len(removed) > 2 * MAX_FILES or size > left or path in files:
                raise frames.FrameError("more than was asked for")
            if size == frames.REMOVED:
                removed.append(path)
            else:
                files[path] = body.exactly(size)
                left -= size

    @property
    def removed(self) -> tuple[str, ...]:
        """Files gone, as seen by the last `pull`."""
        return self._removed

    @property
    def skipped(self) -> tuple[str, ...]:
        """What the last `pull` left behind, `path: why`."""
        return self._skipped

    def reset(self, timeout_s: float = 30.0) -> None:
        """Empty everything a program could have written, end every process, check that it is so.

        Raises SandboxLostError, the sandbox ended, when anything is left or a command no longer runs.
        """
        left = self._ask({"op": "reset"}, clock.monotonic() + timeout_s).get("left")
        if left != []:
            shown = left[0] if isinstance(left, list) and isinstance(left[0], str) else "no clear answer"
            raise self._lose(f"the reset failed: {shown[:200]}")
        self._removed = self._skipped = ()
        word = clock.new_id()
        result = self.run(f"echo {word}", Limits(wall_s=10.0, output_bytes=4096))
        if result.status != "ok" or result.output != f"{word}\n":
            raise self._lose(f"the reset failed: a command no longer runs ({result.detail or result.status})")

    # --- running ---

    def run(
        self,
        command: str,
        limits: Limits,
        on_output: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> Execution:
        """Run a shell command to its end or limit.

        A runner lost under the run gives an Execution with status `lost`; one lost
        before it raises SandboxLostError.
        """
        if "\0" in command:
            raise ValueError("a command can't hold a NUL byte")
        self._send([frames.pack_json(frames.REQUEST, {"op": "run", **_run_fields(command, limits)})])
        began = clock.monotonic()
        transcript = Transcript(on_output)
        try:
            answer = self._follow(limits, transcript, stop)
        except SandboxLostError as error:
            transcript.finish_line()
            return Execution(
                command=command,
                status="lost",
                duration_s=clock.monotonic() - began,
                output=transcript.text,
                line_times=transcript.line_times,
                detail=str(error),
                sandbox=self._sandbox,
            )
        raw = _raw(answer, clock.monotonic() - began)
        verdict = judge(raw, transcript.text, limits)
        if raw.unclean:
            self._lose("a process inside could not be ended")
        return Execution(
            command=command,
            status=verdict.status,
            exit_code=verdict.exit_code,
            duration_s=raw.duration_s,
            peak_memory_mb=raw.peak_memory_mb,
            output=transcript.text,
            dropped_bytes=_whole(answer.get("dropped")),
            line_times=transcript.line_times,
            missing_package=verdict.missing_package,
            detail=verdict.detail,
            sandbox=self._sandbox,
        )

    def packages(self) -> tuple[str, ...]:
        """`name==version` of every distribution that the Python inside can import; asked once."""
        if self._packages is None:
            limits = Limits(wall_s=60.0, output_bytes=256_000)
            result = self.run(f"python -I -c {shlex.quote(_PACKAGES)}", limits)
            if result.status == "lost":
                raise SandboxLostError(result.detail)
            if result.status != "ok":
                raise SandboxError(f"the Python inside the sandbox does not run: {result.detail}")
            self._packages = tuple(x for x in result.output.split() if _PACKAGE.fullmatch(x))
        return self._packages

    def _follow(self, limits: Limits, transcript: Transcript, stop: Event | None) -> dict[str, Any]:
        """Take in output until the result; pass `stop` on."""
        deadline = clock.monotonic() + limits.wall_s + GRACE_S
        kept, asked_stop = 0, False
        while True:
            wait = deadline_left(deadline)
            if stop is not None and not asked_stop:
                if stop.is_set():
                    self._send([frames.pack(frames.STOP)])
                    asked_stop, deadline = True, min(deadline, clock.monotonic() + GRACE_S)
                wait = min(wait, _STOP_POLL_S)
            frame = self._receive(wait)
            if frame is None:
                if not deadline_left(deadline):
                    raise self._lose(f"the runner gave no answer {GRACE_S:g} s past the run's limit")
                continue
            kind, payload = frame
            if kind == frames.OUTPUT and len(payload) >= frames.STAMP.size:
                at_s, keep = frames.STAMP.unpack_from(payload)
                kept += len(payload) if keep else 0
                if not math.isfinite(at_s) or kept > limits.output_bytes + (4 << 20):
                    raise self._lose("the runner sent more output than was asked for")
                data = payload[frames.STAMP.size :]
                transcript.feed(at_s, data) if keep else transcript.preview(data)
            elif kind == frames.DATA and len(payload) <= 20 and payload.isdigit():
                transcript.gap(int(payload))
            else:
                transcript.finish_line()
                return self._result(kind, payload)


def _entries(files: Mapping[str, bytes | None]) -> Iterator[bytes]:
    # Removals first: a folder may take the place of a removed file.
    for path, content in sorted(files.items(), key=lambda item: (item[1] is not None, item[0])):
        yield frames.entry(path.encode("utf-8"), frames.REMOVED if content is None else len(content))
        if content:
            yield content


def _run_fields(command: str, limits: Limits) -> dict[str, Any]:
    return {"command": command, **json.loads(limits.model_dump_json())}


def _raw(answer: Mapping[str, Any], host_s: float) -> RawRun:
    """The runner's facts, each checked for its type; a duration can't exceed what the host saw."""
    code, duration, peak = (answer.get(name) for name in ("exit_code", "duration_s", "peak_mb"))
    return RawRun(
        exit_code=code if isinstance(code, int) else None,
        duration_s=min(max(float(duration), 0.0), host_s) if isinstance(duration, (int, float)) else host_s,
        peak_memory_mb=float(peak) if isinstance(peak, (int, float)) else None,
        timed_out=answer.get("timed_out") is True,
        stopped=answer.get("stopped") is True,
        oom=answer.get("oom") is True,
        disk_full=answer.get("disk_full") is True,
        crowded=answer.get("crowded") is True,
        unclean=answer.get("unclean") is True,
    )


def _whole(value: object) -> int:
    return max(0, value) if isinstance(value, int) else 0
