"""The warm interpreter itself: imports the common libraries once and forks for each script.

Started by `warm.py` as the `python` that commands get, in their environment; told
by packets on one socket what to run, it answers with process ids and exit codes.
It runs no program's code: the fork does, in a session, a Landlock domain and
limits of its own, with every other descriptor closed.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
from typing import Any

from . import linux
from .confine import Confinement
from .program import Before, Program

UP, READY = b"up", b"ready"
STARTED, ENDED = struct.Struct("=i"), struct.Struct("=iq")
MAX_PACKET = 1 << 17
_UNSAID = (signal.SIGINT, signal.SIGPIPE, signal.SIGKILL)
"""A shell says by which signal a command ended, but for the first two; the third is mostly the runner's."""
_OWN = __name__.partition(".")[0]


class Zygote:
    """Serves one run after another until the other end of the socket closes."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._setup: dict[str, Any] = json.loads(control.recv(MAX_PACKET))
        self._confinement = Confinement(self._setup, int(self._setup["ruleset"]))
        self._before = Before()

    def import_all(self) -> None:
        """Import what is there of the preloads; what a library prints meanwhile is nobody's."""
        for name in self._setup["preload"]:
            # A library that is not installed or does not work is not our business: the program will see.
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        self._before.loaded(_OWN)
        gc.collect()
        # The garbage collector of a fork would otherwise write to, and so copy, every page.
        gc.freeze()
        linux.join_pages()

    def serve(self) -> Program | None:
        """Answer requests. In the parent: None at the end. In a fork: the program to run."""
        while True:
            data, output = _receive(self._control)
            if not data or output < 0:
                return None
            request = json.loads(data)
            try:
                pid = os.fork()
            except OSError:
                os.close(output)
                self._control.send(STARTED.pack(0))
                continue
            if pid == 0:
                return self._become(request, output)
            self._control.send(STARTED.pack(pid))
            _, status, usage = os.wait4(pid, 0)
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) not in _UNSAID:
                _say(output, f"{signal.strsignal(os.WTERMSIG(status))}\n")
            os.close(output)
            self._control.send(ENDED.pack(code, usage.ru_maxrss))

    def _become(self, request: dict[str, Any], output: int) -> Program:
        """In a fork: confined; the program, or in its place, without a return, a fresh interpreter."""
        try:
            os.setsid()
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.chdir(self._setup["work"])
            self._confinement.enter(request["limits"])
            self._control.detach()
            _close_others()
            program = Program.prepare(request["words"], self._before)
            if program is None:
                os.execve("/bin/sh", ["sh", "-c", request["command"]], self._setup["env"])
            program.enter(self._before)
            return program
        except BaseException as error:  # noqa: BLE001 - whatever happens here must not reach the loop
            with contextlib.suppress(OSError):
                os.write(2, f"the command could not be started: {error}\n".encode())
            os._exit(127)


def _say(output: int, text: str) -> None:
    """Write, if there is room: who reads may be busy ending the run."""
    with contextlib.suppress(OSError):
        if select.select([], [output], [], 0)[1]:
            os.write(output, text.encode())


def _close_others() -> None:
    """Nothing but the three standard descriptors is for a program."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the listing's own is closed by now
                os.close(int(name))


def _receive(control: socket.socket) -> tuple[bytes, int]:
    """One packet and the descriptor that came with it (-1: none)."""
    data, ancillary, _, _ = control.recvmsg(MAX_PACKET, socket.CMSG_SPACE(4))
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            return data, array.array("i", content[:4])[0]
    return data, -1


def start(arguments: list[str]) -> Program | None:
    """`--zygote FD`: be one. Returns a program in a fork, None at the end."""
    # Before anything else: nobody may read or trace this process.
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    control.send(UP)
    # Where the runner's own code is found comes first there, and no program sees it.
    del sys.path[0]
    zygote = Zygote(control)
    zygote.import_all()
    control.send(READY)
    return zygote.serve()
