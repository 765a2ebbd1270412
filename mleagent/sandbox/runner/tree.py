"""The processes that a run started: found, measured, and ended to the last one.

In a pid namespace of its own the runner may kill everything but itself at once;
without one (`none`) it adopts orphans (subreaper) and walks its descendants, so
double forks and daemons with their own session do not escape either.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SPARE_S = 0.3
_HAS_PROC = os.path.isdir("/proc/self")


class Tree:
    """All processes below this one."""

    def __init__(self, kill_all: bool) -> None:
        self._kill_all = kill_all
        self._group = 0
        self.spared = 0
        """A process of the runner's own that is no part of a run: the warm interpreter; 0: none."""
        self.max_rss_mb = 0.0
        """Largest resident size of a single process reaped so far."""
        if sys.platform.startswith("linux"):
            from . import linux

            linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)

    def started(self, pid: int) -> None:
        """Note a command's first process, which leads a group of its own."""
        self._group = pid

    def reap(self) -> dict[int, int]:
        """Collect what has ended without waiting: {pid: exit code as a shell reports it}."""
        return self._reap()[0]

    def _reap(self) -> tuple[dict[int, int], bool]:
        """Exit codes, and whether any child is left."""
        ended: dict[int, int] = {}
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return ended, False
            if not pid:
                return ended, True
            if pid == self.spared:
                self.spared = 0
                continue
            unit = 1024 if sys.platform.startswith("linux") else 2**20
            self.max_rss_mb = max(self.max_rss_mb, usage.ru_maxrss / unit)
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
            ended[pid] = code

    def end(self, timeout_s: float = 5.0) -> tuple[dict[int, int], bool]:
        """Kill everything and reap it: (exit codes, whether nothing is left).

        Orphans become children of this process, so no child left means nothing left. The spared one
        lives on, unless the others multiply faster than they can be killed one by one.
        """
        ended: dict[int, int] = {}
        seen: set[int] = set()
        began = time.monotonic()
        while True:
            self._signal()
            fresh, left = self._reap()
            ended.update(fresh)
            waited_s = time.monotonic() - began
            if self.spared:
                there = self.pids()
                left = bool(there)
                # One that takes long to die has a number already seen; new ones mean that it goes on.
                if waited_s > _SPARE_S and not seen.issuperset(there):
                    self.spared = 0
                seen.update(there)
            if not left or waited_s > timeout_s:
                return ended, not left
            time.sleep(0.0005)

    def _signal(self) -> None:
        if self._kill_all and not self.spared:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(-1, signal.SIGKILL)
            return
        if self._group:  # 0, before any command, would be our own
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, signal.SIGKILL)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def pids(self) -> list[int]:
        """Process ids of the run: all but the runner's and what stands above it."""
        if not _HAS_PROC:
            return []
        me = os.getpid()
        everyone = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        if self._kill_all:
            return [pid for pid in everyone if pid not in (1, me, self.spared)]
        parents = {pid: parent for pid in everyone if (parent := _parent(pid)) is not None and pid != me}
        found: set[int] = set()
        growing = True
        while growing:
            fresh = {pid for pid, parent in parents.items() if parent == me or parent in found} - found
            found |= fresh
            growing = bool(fresh)
        return sorted(found - {self.spared})


def _parent(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def resident_mb(pids: list[int]) -> float:
    """Resident memory of these processes in MiB; shared pages count once a process, so never too little."""
    resident = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/statm", "rb") as file:
            resident += int(file.read().split()[1])
    return resident * _PAGE / 2**20


def proportional_mb(pids: list[int]) -> tuple[float, float]:
    """(anonymous, shared) memory of these processes in MiB, pages shared after a fork counted once in all.

    The second number is what they map of memory file systems and of anonymous shared memory.
    """
    anonymous = shared = 0.0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
                lines = dict(line.split()[:2] for line in file.read().splitlines()[1:])
            anonymous += int(lines.get(b"Pss_Anon:", lines.get(b"Pss:", 0))) / 1024
            shared += int(lines.get(b"Pss_Shmem:", 0)) / 1024
        except (OSError, ValueError):
            # A process may hide this file by making itself undumpable; it can't hide its size.
            anonymous += resident_mb([pid])
    return anonymous, shared
