"""A control group of the sandbox's own, where this machine lets us make one (root, or a delegated tree).

Gives descriptors: to join, and to read the kernel's count of out-of-memory kills.
Both cgroup versions. Where none can be made the runner's supervisor takes over,
and the sandbox says so.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from .. import clock
from ..records import Limits

_MOUNT = Path("/sys/fs/cgroup")
_PREFIX = "mleagent-"
NONE = (
    "no memory cgroup: a supervisor sums memory 50 times a second and ends what exceeds it;"
    " shared memory that a program unmaps but keeps is not seen"
)
"""What to say of a sandbox without a group."""


class Cgroup:
    """One group (version 2) or one a controller (version 1) under a common name."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders
        self.join_fds = [os.open(folder / "cgroup.procs", os.O_WRONLY) for folder in folders.values()]
        memory = folders.get("memory")
        events = "memory.events" if memory and (memory / "memory.events").exists() else "memory.oom_control"
        self.oom_events_fd = os.open(memory / events, os.O_RDONLY) if memory else -1

    @property
    def limits_memory(self) -> bool:
        """Whether the kernel holds the memory limit."""
        return "memory" in self._folders

    @property
    def limits_processes(self) -> bool:
        """Whether the kernel holds the limit of processes and threads."""
        return "pids" in self._folders

    @property
    def limits_cpus(self) -> bool:
        """Whether the kernel holds the share of the processors."""
        return "cpu" in self._folders

    def close_fds(self) -> None:
        """Let go of the descriptors once the sandbox has its own copies."""
        for fd in (*self.join_fds, self.oom_events_fd):
            if fd >= 0:
                os.close(fd)
        self.join_fds, self.oom_events_fd = [], -1

    def remove(self) -> None:
        """Remove the group; waits a moment for its last process to be gone."""
        for folder in set(self._folders.values()):
            for _ in range(100):
                with contextlib.suppress(OSError):
                    folder.rmdir()
                if not folder.exists():
                    break
                time.sleep(0.01)


def create(limits: Limits) -> Cgroup | None:
    """A group under `limits`, or None where none with a memory limit can be made."""
    name = f"{_PREFIX}{os.getpid()}-{clock.new_id()}"
    made: dict[str, Path] = {}
    try:
        for controller, parent in _parents().items():
            _sweep(parent)
            folder = parent / name
            folder.mkdir(exist_ok=True)
            made[controller] = folder
            _limit(controller, folder, limits)
        return Cgroup(made) if "memory" in made else None
    except OSError:
        for folder in made.values():
            with contextlib.suppress(OSError):
                folder.rmdir()
        return None


def _limit(controller: str, folder: Path, limits: Limits) -> None:
    unified = (folder / "cgroup.controllers").exists()
    memory = limits.memory_mb * 2**20
    if controller == "memory":
        (folder / ("memory.max" if unified else "memory.limit_in_bytes")).write_text(str(memory))
        swap, none = ("memory.swap.max", 0) if unified else ("memory.memsw.limit_in_bytes", memory)
        with contextlib.suppress(OSError):  # the kernel may count no swap
            (folder / swap).write_text(str(none))
    elif controller == "pids":
        (folder / "pids.max").write_text(str(limits.pids + 8))  # the runner's own, and some air
    elif controller == "cpu" and limits.cpus > 0:
        period = 100_000
        quota = int(limits.cpus * period)
        if unified:
            (folder / "cpu.max").write_text(f"{quota} {period}")
        else:
            (folder / "cpu.cfs_period_us").write_text(str(period))
            (folder / "cpu.cfs_quota_us").write_text(str(quota))


def _parents() -> dict[str, Path]:
    """{controller: the folder under which a group for it can be made}."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        _, names, path = line.split(":", 2)
        if not names:
            found.update(_unified_parents(path))
        for name in names.split(","):
            here = _MOUNT / name / path.lstrip("/")
            if name in ("memory", "pids", "cpu") and os.access(here, os.W_OK):
                found[name] = here
    return found


def _unified_parents(path: str) -> dict[str, Path]:
    """Version 2: the nearest folder above that hands controllers on and that we may write."""
    root = _MOUNT if (_MOUNT / "cgroup.controllers").exists() else _MOUNT / "unified"
    here = root / path.lstrip("/")
    for folder in (here, *here.parents):
        if not folder.is_relative_to(root) or not (folder / "cgroup.subtree_control").exists():
            break
        handed = (folder / "cgroup.subtree_control").read_text(encoding="ascii").split()
        if "memory" in handed and os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK):
            return {name: folder for name in ("memory", "pids", "cpu") if name in handed}
    return {}


def _sweep(parent: Path) -> None:
    """Remove groups left by processes that are gone."""
    for folder in parent.glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).split("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(OSError):
                folder.rmdir()
