"""Whether a used sandbox is as good as a new one: what must be equal, taken at the start and compared.

Programs may write three file systems and, as they run under the runner's own user
id, lower its limits, priority and processors. A reset empties the first; this
module finds what is left of either. Anything found means: end the sandbox.
"""

from __future__ import annotations

import os
import resource
from typing import Any

_LIMITS = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))


class Condition:
    """The state of a fresh sandbox as its runner sees it."""

    def __init__(self, folders: list[str]) -> None:
        """`folders` are file systems of the sandbox's own; none where it has none."""
        self._used = {path: _used(path) for path in folders if os.path.isdir(path)}
        self._self = _own_state()

    def changes(self) -> list[str]:
        """What is not as it was, a line each."""
        found = []
        for path, before in self._used.items():
            blocks, files = _used(path)
            if blocks > before[0] or files > before[1]:
                found.append(f"{path} holds {files - before[1]} files and {blocks - before[0]} bytes more")
            found += [f"{path} has the attribute {name}" for name in _attributes(path)]
        now = _own_state()
        return found + [
            f"the runner's {name} was changed" for name in now if now[name] != self._self.get(name)
        ]


def _used(path: str) -> tuple[int, int]:
    """Bytes and files in use, deleted ones that something holds open included."""
    there = os.statvfs(path)
    return (there.f_blocks - there.f_bfree) * there.f_frsize, there.f_files - there.f_ffree


def _attributes(path: str) -> list[str]:
    try:
        return os.listxattr(path) if hasattr(os, "listxattr") else []
    except OSError:
        return []


def _own_state() -> dict[str, Any]:
    """What another process of the same user can change about this one."""
    state: dict[str, Any] = {name: resource.getrlimit(getattr(resource, name)) for name in _LIMITS}
    state["priority"] = os.getpriority(os.PRIO_PROCESS, 0)
    if hasattr(os, "sched_getaffinity"):
        state["processors"] = os.sched_getaffinity(0)
        state["scheduling"] = os.sched_getscheduler(0)
    return state
