"""The sandbox that needs nothing installed: Linux namespaces, Landlock, seccomp, and cgroups where allowed.

Plans a root made of read-only pieces of this machine (system folders, the
Python's own folders, the task's data) and size-limited memory file systems, and
starts `runner/nsinit.py`, which builds it and becomes the runner inside.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..config import data_home
from ..errors import UnavailableError
from ..protocols import SandboxSpec
from . import cgroup, gpu
from .base import RUNNER_DIR, RUNNER_INSIDE, RunnerSandbox, package_binds
from .client import RunnerClient, Setup
from .env import SYSTEM, Interpreter, clean_env, interpreter
from .process import RunnerProcess, own_folder

_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "fonts", "mime.types")
_FILES = (
    ("/etc/passwd", "root:x:0:0:root:/:/bin/false\nrunner:x:{uid}:{uid}:runner:/tmp:/bin/sh\n"),
    ("/etc/group", "root:x:0:\nrunner:x:{uid}:\n"),
    ("/etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n"),
    ("/etc/hostname", "sandbox\n"),
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
)
_FIRST_UID = 1_400_000_000
_LOOKED_AT = 20_000
WORK = "/kaggle/working"
BIN_INSIDE = "/opt/mleagent/bin"
"""Holds `python` and `python3`, for a Python whose own folder has no such names. Last choice: a link
from elsewhere hides from Python that it belongs to a venv."""


class NamespacesSandbox(RunnerSandbox):
    """See the module. Works as root and, where user namespaces are allowed, as anybody."""

    kind = "namespaces"

    def __init__(self, spec: SandboxSpec) -> None:
        super().__init__(spec)
        self._process: RunnerProcess | None = None
        self._cgroup: cgroup.Cgroup | None = None

    def _launch(self) -> tuple[RunnerClient, Setup]:
        if not sys.platform.startswith("linux"):
            raise UnavailableError("namespaces: Linux only; use docker or podman")
        python = interpreter(self.spec.python)
        limits = self.spec.limits
        plan, uid = root_plan(self.spec, python), inside_uid(self.spec, python)
        self._cgroup = cgroup.create(limits)
        root = own_folder(self.kind)
        plan |= {
            "root": str(root),
            "uid": uid,
            "join_fds": self._cgroup.join_fds if self._cgroup else [],
            "python": str(python.executable),
            "runner_inside": RUNNER_INSIDE,
        }
        command = [sys.executable, "-I", "-S", str(RUNNER_DIR), "--nsinit", json.dumps(plan)]
        events = self._cgroup.oom_events_fd if self._cgroup else -1
        fds = [*plan["join_fds"], *([events] if events >= 0 else [])]
        try:
            self._process = RunnerProcess(command, fds, leftovers=(root,))
        finally:
            if self._cgroup:
                self._cgroup.close_fds()
        client = RunnerClient(self._process.reader, self._process.writer, self._end, self.kind)
        setup = Setup(
            work=WORK,
            input=f"/kaggle/input/{self.spec.task_name}",
            env=clean_env(limits, (str(python.executable.parent), BIN_INSIDE)),
            oom_events_fd=events,
            supervise_memory=not self._cgroup,
            limit_processes=uid != 0,
            private_cpus=not (self._cgroup and self._cgroup.limits_cpus),
        )
        return client, setup

    def _end(self) -> str:
        why = ""
        if self._process is not None:
            why = self._process.end()
        if self._cgroup is not None:
            self._cgroup.remove()
            self._cgroup = None
        return why

    def _started(self) -> None:
        # The root lives on as a mount inside; the folder it was made on is free.
        if self._process is not None:
            self._process.started()

    def _explain(self, why: str) -> str:
        if "not permitted" in why or "unshare" in why:
            return (
                f"not allowed on this machine ({why}); allow user namespaces (sysctl"
                " user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns) or use docker"
            )
        return super()._explain(why)

    def _own_gaps(self) -> tuple[str, ...]:
        gaps = ["the kernel is shared with this machine"]
        if self._process is not None and self._cgroup is None:
            gaps.append(cgroup.NONE)
        about_gpus = gpu.gap(self.spec.gpus)
        return (*gaps, about_gpus) if about_gpus else tuple(gaps)


# --- what is seen inside ------------------------------------------------------


def root_plan(spec: SandboxSpec, python: Interpreter) -> dict[str, Any]:
    """Links, binds, files and memory file systems of the root; shared with bubblewrap."""
    links, binds = [], []
    for place in SYSTEM:
        if os.path.islink(place):
            links.append((place, os.readlink(place)))
        elif os.path.isdir(place):
            binds.append((place, place))
    binds += [
        (os.path.realpath(f"/etc/{name}"), f"/etc/{name}") for name in _ETC if os.path.exists(f"/etc/{name}")
    ]
    own = [folder for folder in python.folders if not any(folder.is_relative_to(m) for m in spec.mounts)]
    binds += [(str(path.resolve()), str(path.absolute())) for path in (*spec.mounts, *own)]
    _keep_private([Path(source) for source, _ in binds])
    binds.append((str(RUNNER_DIR), RUNNER_INSIDE))
    binds += [(str(folder.resolve()), place) for folder, place in package_binds(spec)]
    binds.append((str(spec.public.resolve()), f"/kaggle/input/{spec.task_name}"))
    links += [("/var/tmp", "/tmp")]
    links += [(f"{BIN_INSIDE}/{name}", str(python.executable)) for name in ("python", "python3")]
    return {
        "links": links,
        "binds": binds,
        "files": list(_FILES),
        "devices": [(str(node), f"/dev/{node.name}") for node in gpu.device_nodes(spec.gpus)],
        "tmpfs": [(WORK, work_mb(spec)), ("/tmp", work_mb(spec)), ("/dev/shm", work_mb(spec))],
    }


def _keep_private(shown: list[Path]) -> None:
    """The data folder holds the held-out labels: it must lie in nothing that is shown whole."""
    home = data_home().resolve()
    for folder in shown:
        if home == folder or home.is_relative_to(folder):
            raise UnavailableError(
                f"the data folder {home} lies in {folder}, open to programs; set MLEAGENT_HOME elsewhere"
            )


def work_mb(spec: SandboxSpec) -> int:
    """Size of the work folder: its limit, but some memory stays for programs."""
    return max(16, min(spec.limits.disk_mb, spec.limits.memory_mb - 128))


def inside_uid(spec: SandboxSpec, python: Interpreter) -> int:
    """The user id on this machine that commands run as.

    Not root: our own (a namespace shows it as 1000). Root: one that nobody has,
    unless the data or the Python can't be read by strangers: then their owner's.
    """
    if os.geteuid() != 0:
        return 1000
    for folder in python.folders:
        # An installation is of one piece: its top folders tell.
        tops = (folder, folder / "bin", folder / "lib") if folder.is_dir() else (folder,)
        owner = _private_owner(path for path in tops if path.exists())
        if owner is not None:
            return owner
    for folder in (spec.public, *spec.mounts):
        owner = _private_owner(itertools.islice(_walk(folder), _LOOKED_AT))
        if owner is not None:
            return owner
    return _FIRST_UID + secrets.randbelow(1 << 28)


def _private_owner(paths: Iterable[Path]) -> int | None:
    """Owner of the first of `paths` that not everybody may read; None when all are open."""
    for path in paths:
        there = path.stat()
        needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(there.st_mode) else 0)
        if there.st_mode & needed != needed:
            return there.st_uid
    return None


def _walk(folder: Path) -> Iterator[Path]:
    yield folder
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *files))
