"""The runner's hold on its warm interpreter: starts it, asks it for forks, makes it anew when it dies.

Importing begins with the sandbox and goes on in the background. Until it is done
a script that needs what is being imported waits for it, for that is sooner than
importing the same once more; any other runs fresh. The warm interpreter is
watched as the runner is: whatever a program changed about it, or a death, ends
it, and the next one starts clean.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from typing import Any

from . import faithful
from .confine import LINUX, Confinement
from .spawn import Child
from .tree import Tree

UP, READY = b"up", b"ready"
STARTED, ENDED = struct.Struct("=i"), struct.Struct("=iq")
_UP_S = 5.0
_WAIT_S = 8.0
"""Longest wait of a script for the imports it needs."""
_ANSWER_S = 3.0
_MOST_DEATHS = 5
"""Deaths in a row without a good run between, after which there is no warm interpreter any more."""
_EXEC = 'exec "$0" "$@"'
_LIMITS = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))


class Warm:
    """At most one warm interpreter, and at most one run of it."""

    def __init__(self, setup: dict[str, Any], confinement: Confinement, tree: Tree) -> None:
        self._setup, self._confinement, self._tree = setup, confinement, tree
        self._wanted = bool(setup["warm"]) and LINUX and sys.version_info >= (3, 9)
        self._tops = {name.partition(".")[0] for name in setup["preload"]}
        self._pid = 0
        self._socket: socket.socket | None = None
        self._ready = False
        self._deaths = 0
        self._state: object = None
        self.begin()

    # --- life ---

    def begin(self) -> None:
        """Start one in the background, unless it lives or can't live here."""
        if not self._wanted or self._socket is not None:
            return
        if self._deaths >= _MOST_DEATHS:
            self._wanted = False
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            self._become(theirs.fileno())
        theirs.close()
        self._socket, self._pid, self._ready = ours, pid, False
        self._tree.spared = pid
        self._state = None
        ruleset = 5 if self._confinement.ruleset >= 0 else -1
        told = {name: value for name, value in self._setup.items() if name != "input"}
        if not self._send({**told, "ruleset": ruleset}):
            return
        # Not before it is closed to others may a program run.
        self._expect(UP, _UP_S)

    def _become(self, control: int) -> None:
        """In the child: turn into the warm interpreter. Never returns."""
        try:
            os.setsid()
            reading, writing = os.pipe()
            os.set_blocking(writing, False)
            os.dup2(writing, 1)
            os.dup2(writing, 2)
            # The reading end is held by its own writer: what a library prints is lost and no error.
            handed = (control, reading, self._confinement.ruleset)
            for at, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in handed if fd >= 0]):
                os.dup2(fd, 3 + at)
            os.chdir(self._setup["work"])
            main = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
            words = ["sh", "-c", _EXEC, "python", main, "--zygote", "3"]
            # Through a shell, and in the work folder, as commands are: a shell adds variables of its own.
            os.execve("/bin/sh", words, self._setup["env"])
        finally:
            os._exit(127)

    def tend(self) -> None:
        """Between runs: end one that a program has changed, start one where there is none."""
        if self._socket is not None and self._state is not None and self._state != _state_of(self._pid):
            self._give_up()
        self.begin()

    def close(self) -> None:
        """End it for good."""
        self._wanted = False
        self._give_up()

    def _give_up(self) -> None:
        if self._socket is None:
            return
        self._deaths += 1
        if self._tree.spared == self._pid:  # not reaped yet, so the number is still its own
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        self._socket.close()
        self._socket, self._ready, self._tree.spared = None, False, 0

    # --- running ---

    def start(self, request: dict[str, Any], control: int) -> Child | None:
        """The command as a fork; None when it is for a fresh interpreter. `control` ends a wait."""
        words = faithful.script_command(str(request["command"]))
        if words is None or self._socket is None or not self._await(words[1], control):
            return None
        reading, writing = os.pipe()
        try:
            limits = {name: request[name] for name in ("pids", "cpus")}
            message = {"words": words, "command": request["command"], "limits": limits}
            sent = self._send(message, writing)
            answer = self._receive(_ANSWER_S) if sent else b""
        finally:
            os.close(writing)
        pid = STARTED.unpack(answer)[0] if len(answer) == STARTED.size else 0
        if pid <= 0:
            os.close(reading)
            if len(answer) != STARTED.size:
                self._give_up()
            return None
        os.set_blocking(reading, False)
        return WarmChild(self, pid, reading)

    def _await(self, script: str, control: int) -> bool:
        """Whether it is ready, after a wait where that is worth it."""
        if self._ready:
            return True
        wait_s = _WAIT_S if self._worth_waiting(script) else 0.0
        deadline = time.monotonic() + wait_s
        while not self._ready and self._socket is not None:
            left = max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select([self.fileno, control], [], [], left)
            if self.fileno not in readable:
                return False
            self._expect(READY, 0.0)
        return self._ready

    def _worth_waiting(self, script: str) -> bool:
        try:
            file = os.open(os.path.join(self._setup["work"], script), os.O_RDONLY | os.O_NONBLOCK)
            with open(file, "rb") as source:
                return faithful.imports_any(source.read(faithful.MAX_SOURCE), self._tops)
        except OSError:
            return False

    def _expect(self, message: bytes, wait_s: float) -> None:
        """Take in one message; anything else than `message` ends the warm interpreter."""
        if self._receive(wait_s) != message:
            self._give_up()
        elif message == READY:
            self._ready = True
            self._state = _state_of(self._pid)

    # --- the socket ---

    def _send(self, message: dict[str, Any], descriptor: int = -1) -> bool:
        assert self._socket is not None
        try:
            data = [json.dumps(message).encode("ascii")]
            rights = struct.pack("=i", descriptor)
            extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptor >= 0 else []
            self._socket.sendmsg(data, extra, socket.MSG_DONTWAIT)
        except OSError:
            self._give_up()
            return False
        return True

    def _receive(self, wait_s: float) -> bytes:
        """One message; b'' when there is none, or nobody to send it."""
        if self._socket is None or not select.select([self._socket], [], [], wait_s)[0]:
            return b""
        try:
            return self._socket.recv(64, socket.MSG_DONTWAIT)
        except OSError:
            return b""

    @property
    def fileno(self) -> int:
        """Readable once a run has ended or the warm interpreter has; -1 without one."""
        return self._socket.fileno() if self._socket is not None else -1

    def result(self, wait_s: float) -> int | None:
        """The exit code of the run, if it is known within `wait_s`; without an answer there is none."""
        answer = self._receive(wait_s)
        if len(answer) != ENDED.size:
            if wait_s or answer or self.fileno < 0:
                self._give_up()
            return None
        code, peak_kb = ENDED.unpack(answer)
        self._tree.max_rss_mb = max(self._tree.max_rss_mb, peak_kb / 1024)
        self._deaths = 0
        return int(code)


class WarmChild(Child):
    """A fork of the warm interpreter: the interpreter, its parent, reports its end."""

    def __init__(self, warm: Warm, pid: int, output: int) -> None:
        super().__init__(pid, output, warm.fileno)
        self._warm = warm
        self._open = True

    def collect(self, reaped: dict[int, int], last: bool = False) -> int | None:
        """As `Child.collect`; an orphan, its parent dead, is the runner's own to reap."""
        if self._open:
            readable = bool(select.select([self.ended], [], [], 0)[0]) if self._warm.fileno >= 0 else False
            if readable or last:
                self._open = False
                code = self._warm.result(_ANSWER_S if last else 0.1)
                if code is not None:
                    return code
                self.ended = -1
        return reaped.get(self.pid)

    def close(self) -> None:
        """Let go of the output; the socket stays for the next run."""
        os.close(self.output)


def _state_of(pid: int) -> object:
    """What another process of the same user can change about this one."""
    try:
        limits = [resource.prlimit(pid, getattr(resource, name)) for name in _LIMITS]
        priority = os.getpriority(os.PRIO_PROCESS, pid)
        return limits, priority, os.sched_getaffinity(pid), os.sched_getscheduler(pid)
    except OSError:
        return None
