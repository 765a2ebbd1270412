"""How the runner protects itself and each command it starts.

The runner gives up every capability, can't be dumped or traced, and filters
system calls; each command gets its own Landlock domain, limits, and a high
out-of-memory score, so that the kernel ends it and not the runner.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import resource
import signal
import sys
from typing import Any

LINUX = sys.platform.startswith("linux")
if LINUX:
    from . import landlock, linux, seccomp


class Confinement:
    """Applied once to the runner (`protect`), then in every forked child (`enter`)."""

    def __init__(self, setup: dict[str, Any], ruleset: int = -1) -> None:
        """`ruleset` is a descriptor from another process that was protected already."""
        self._on = bool(setup["confine"]) and LINUX
        self._limit_processes = bool(setup["limit_processes"])
        self._supervised = bool(setup["supervise_memory"])
        self._private_cpus = bool(setup["private_cpus"])
        self._writable = [setup["work"], *(path for path in setup["scratch"] if os.path.isdir(path))]
        self.ruleset = ruleset

    def protect(self) -> list[str]:
        """Confine the runner itself; what could not be had, a line each."""
        if not self._on:
            return []
        linux.drop_bounding()
        linux.drop_capabilities()
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        gaps = []
        version = landlock.abi()
        if version < landlock.SCOPED_ABI:
            what = f"only version {version}" if version else "none"
            gaps.append(f"Landlock: {what} here; a program may signal processes of its own sandbox")
        if version:
            self.ruleset = landlock.build(self._writable)
        try:
            seccomp.install(self._supervised)
        except (OSError, KeyError) as error:
            gaps.append(f"no system call filter ({error})")
        return gaps

    def enter(self, limits: dict[str, Any]) -> None:
        """In a forked child, before it becomes the command."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if self._limit_processes:
            resource.setrlimit(resource.RLIMIT_NPROC, (int(limits["pids"]), int(limits["pids"])))
        if LINUX:
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
            _limit_cpus(float(limits["cpus"]) if self._private_cpus else 0.0)
            # The child's memory is a copy of the runner's and as closed; its own file must be its own.
            linux.prctl(linux.PR_SET_DUMPABLE, 1)
            with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
                file.write("1000")
        if self.ruleset >= 0:
            landlock.enter(self.ruleset)


def _limit_cpus(cpus: float) -> None:
    there = os.sched_getaffinity(0)
    if cpus > 0 and math.ceil(cpus) < len(there):
        # A random choice, so that several sandboxes do not crowd the same processor.
        os.sched_setaffinity(0, random.sample(sorted(there), math.ceil(cpus)))
