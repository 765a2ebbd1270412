"""What a run uses while it runs: memory, processes, free space; and the moment it is too much.

The tree's memory is summed at every sample and the run ended at its limit; where
a cgroup holds the limit too, the kernel's count of its out-of-memory kills is
read. Disk-full is seen in the file systems themselves.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from .tree import Tree, proportional_mb, resident_mb

_EVENTS = (
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
)
_MOST_ASKED = 32
"""Processes whose share of shared memory is asked for; of more, each counts whole."""


def files_allowed(size_mb: int) -> int:
    """How many files a memory file system of this size may hold."""
    return min(1024 + size_mb * 64, 100_000)


class Meter:
    """Samples one run. `begin`, then `sample` now and then, then read the results."""

    def __init__(self, setup: dict[str, Any], tree: Tree) -> None:
        self._tree = tree
        self._watched = [setup["work"], *setup["scratch"]] if setup["confine"] else []
        self._kill_all = bool(setup["kill_all"])
        self._events = int(setup["oom_events_fd"])
        if self._events < 0 and setup["confine"]:
            self._events = next((os.open(p, os.O_RDONLY) for p in _EVENTS if os.path.exists(p)), -1)
        if self._events >= 0:
            os.set_inheritable(self._events, False)
        self._limits: dict[str, Any] = {}
        self._kills = 0
        self._held_mb = 0 if setup["supervise_memory"] else int(setup.get("memory_mb", 0))
        self.interval_s = 0.02 if setup["supervise_memory"] else 0.1
        self.begin({})

    def begin(self, limits: dict[str, Any]) -> None:
        """Start anew for a run under `limits`."""
        self._limits = limits
        self._kills = self._oom_kills()
        self._files = {path: self._count(path) for path in self._watched}
        self._peak_mb = 0.0
        self._tree.max_rss_mb = 0.0
        self.oom = self.disk_full = False
        self.crowded = False
        """More processes than allowed, where nothing else would stop them."""

    @property
    def peak_mb(self) -> float:
        """Largest resident memory seen: of the tree at a sample, or of one process over its life."""
        return max(self._peak_mb, self._tree.max_rss_mb)

    def sample(self) -> bool:
        """Look once; True when the run must be ended for memory or processes."""
        self.watch_disk()
        pids = self._tree.pids()
        resident = resident_mb(pids)
        self._peak_mb = max(self._peak_mb, resident)
        self.crowded = self.crowded or (self._kill_all and len(pids) > int(self._limits["pids"]))
        self.oom = self.oom or self._oom_kills() > self._kills
        if not (self.oom or self.crowded):
            self.oom = self._over_memory(pids, resident)
        return self.oom or self.crowded or self._too_many_files()

    def _over_memory(self, pids: list[int], resident: float) -> bool:
        """Whether the run uses more than its own limit, which may be lower than the sandbox's.

        What a cgroup holds is left to it: a process that forks without end keeps its memory map locked,
        and to ask for its share would make the runner wait for it.
        """
        limit, files = float(self._limits["memory_mb"]), self._files_mb()
        if 0 < self._held_mb <= limit or resident + files <= limit:
            return False
        if len(pids) > _MOST_ASKED:
            return True
        anonymous, shared = proportional_mb(pids)
        # What is mapped of our own file systems is in both: the larger of them counts.
        return anonymous + max(shared, files) > limit

    def _too_many_files(self) -> bool:
        """Names cost kernel memory; not every sandbox can have the file system bound their number."""
        allowed = files_allowed(int(self._limits["disk_mb"]))
        for path, before in self._files.items():
            # A run that finds too many may still remove them.
            if self._count(path) > max(allowed, before):
                self.disk_full = True
                return True
        return False

    @staticmethod
    def _count(path: str) -> int:
        with contextlib.suppress(OSError):
            there = os.statvfs(path)
            return there.f_files - there.f_ffree
        return 0

    def watch_disk(self) -> None:
        """Note whether a writable file system is full right now."""
        for path in self._watched:
            with contextlib.suppress(OSError):
                there = os.statvfs(path)
                full = (there.f_blocks and not there.f_bavail) or (there.f_files and not there.f_favail)
                self.disk_full = self.disk_full or bool(full)

    def finish(self) -> None:
        """A last look at the kernel's counter: a run may have ended before a sample saw it."""
        self.oom = self.oom or self._oom_kills() > self._kills

    def _files_mb(self) -> float:
        used = 0.0
        for path in self._watched:
            with contextlib.suppress(OSError):
                there = os.statvfs(path)
                used += (there.f_blocks - there.f_bfree) * there.f_frsize / 2**20
        return used

    def _oom_kills(self) -> int:
        if self._events < 0:
            return 0
        with contextlib.suppress(OSError, ValueError):
            for line in os.pread(self._events, 4096, 0).splitlines():
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
        return 0
