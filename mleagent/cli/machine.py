"""What this machine has: cores, memory, disk. Read from the system, without any library."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from ..config import data_home

_GB = 1e9


class Machine(NamedTuple):
    """Sizes in GB (1e9 bytes)."""

    system: str
    cores: int
    memory_gb: float
    memory_free_gb: float
    disk_free_gb: float
    """Where the data folder lies or will lie."""


def facts() -> Machine:
    """Measure this machine."""
    total, free = _memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=cores,
        memory_gb=total / _GB,
        memory_free_gb=free / _GB,
        disk_free_gb=shutil.disk_usage(_existing(data_home())).free / _GB,
    )


def _existing(path: Path) -> Path:
    """The nearest folder above that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _memory() -> tuple[int, int]:
    """Total and available memory in bytes; a container's own limit counts as its total."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return total, _free_darwin(total)
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    total, free = (int(fields[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    limit = _cgroup_limit()
    return (min(total, limit), min(free, limit)) if limit else (total, free)


def _cgroup_limit() -> int:
    """Memory limit of this container in bytes; 0 for none."""
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        path = Path(name)
        text = path.read_text().strip() if path.exists() else ""
        if text.isdigit() and int(text) < 1 << 60:
            return int(text)
    return 0


def _free_darwin(total: int) -> int:
    """macOS: free and inactive pages, by `vm_stat`; all of it where that is missing."""
    try:
        words = subprocess.run(["vm_stat"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return total
    pages = 0
    for line in words.splitlines():
        name, _, count = line.partition(":")
        if name in ("Pages free", "Pages inactive", "Pages speculative"):
            pages += int(count.strip(" ."))
    return pages * os.sysconf("SC_PAGE_SIZE")
