"""What sandboxes may use of this machine together: everything, less what keeps it usable.

Half a processor and the larger of 1 GiB and a tenth of the memory are left to the
user's own work. A container's own limits count as the machine.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..records import Record

_LEFT_CPUS = 0.5
_LEFT_MB, _LEFT_SHARE = 1024, 0.1
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class MachineBudget(Record):
    """Processors and memory (MiB) for all sandboxes of a pool together."""

    cpus: float
    memory_mb: int

    @classmethod
    def of_machine(cls) -> MachineBudget:
        """This machine's, never less than half a processor and 256 MiB."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        total = memory_mb()
        left = max(_LEFT_MB, int(total * _LEFT_SHARE))
        return cls(cpus=max(0.5, cores - _LEFT_CPUS), memory_mb=max(256, total - left))


def memory_mb() -> int:
    """This machine's (or this container's) memory in MiB."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in _LIMITS:
        path = Path(name)
        text = path.read_text(encoding="ascii").strip() if path.exists() else ""
        if text.isdigit():
            total = min(total, int(text))
    return total // 2**20
