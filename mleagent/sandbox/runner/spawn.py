"""How a command is started: the one place that knows.

A command becomes a fresh shell in a session of its own, with one pipe as stdout
and stderr and nothing else of the runner's. The other way to start one, a fork of
the warm interpreter, is in `warm.py` and gives a `Child` too.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Any

from .confine import Confinement


@dataclass
class Child:
    """A command that was started."""

    pid: int
    output: int
    """Read end of its stdout and stderr, non-blocking."""
    ended: int
    """Becomes readable when the first process ends (a pidfd); -1 where there is no such thing."""

    def collect(self, reaped: dict[int, int], last: bool = False) -> int | None:
        """Its exit code, if it is among the `reaped`; `last`: everything has ended, so it must be."""
        return reaped.get(self.pid)

    def close(self) -> None:
        """Let go of the descriptors."""
        for fd in (self.output, self.ended):
            if fd >= 0:
                os.close(fd)


def spawn(command: str, setup: dict[str, Any], limits: dict[str, Any], confinement: Confinement) -> Child:
    """Start `command` in the work folder. Raises OSError when no process can be had."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(command, setup, limits, confinement, writing)
    os.close(writing)
    os.set_blocking(reading, False)
    ended = -1
    with contextlib.suppress(OSError, AttributeError):
        ended = os.pidfd_open(pid)
    return Child(pid, reading, ended)


def _become(
    command: str, setup: dict[str, Any], limits: dict[str, Any], confinement: Confinement, writing: int
) -> None:
    """In the child: turn into the command. Never returns."""
    try:
        os.setsid()
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.chdir(setup["work"])
        confinement.enter(limits)
        # Every other descriptor is close-on-exec.
        os.execve("/bin/sh", ["sh", "-c", command], setup["env"])
    except BaseException as error:  # noqa: BLE001 - whatever happens here must not reach the runner's loop
        with contextlib.suppress(OSError):
            os.write(2, f"the command could not be started: {error}\n".encode())
    finally:
        os._exit(127)
