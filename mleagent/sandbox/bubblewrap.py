"""The sandbox by bubblewrap (`bwrap`), for machines that have it: same root and runner as namespaces.

Takes the root's plan from `namespaces.py` and says it in bwrap's options. A
shell stays between us and bwrap: bwrap dies with its parent, and a parent that
is one of our threads would end it too early.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from ..errors import UnavailableError
from ..protocols import SandboxSpec
from . import cgroup, gpu
from .base import RUNNER_INSIDE, RunnerSandbox
from .client import RunnerClient, Setup
from .env import Interpreter, clean_env, interpreter
from .namespaces import BIN_INSIDE, WORK, root_plan
from .process import RunnerProcess
from .runner.nsinit import MASKED

_UID = 1000
_SHELL = 'for fd in $1; do echo 0 > /dev/fd/$fd || exit 1; done; shift; "$@"; exit $?'


class BubblewrapSandbox(RunnerSandbox):
    """See the module. Works as root and, where user namespaces are allowed, as anybody."""

    kind = "bubblewrap"

    def __init__(self, spec: SandboxSpec) -> None:
        super().__init__(spec)
        self._process: RunnerProcess | None = None
        self._cgroup: cgroup.Cgroup | None = None

    def _launch(self) -> tuple[RunnerClient, Setup]:
        bwrap = shutil.which("bwrap")
        if bwrap is None or not sys.platform.startswith("linux"):
            raise UnavailableError("bubblewrap: not installed (bwrap is not on PATH)")
        python = interpreter(self.spec.python)
        self._cgroup = cgroup.create(self.spec.limits)
        joins = self._cgroup.join_fds if self._cgroup else []
        events = self._cgroup.oom_events_fd if self._cgroup else -1
        files = _file_pipes(self.spec, python)
        command = ["/bin/sh", "-c", _SHELL, "sh", " ".join(map(str, joins))]
        command += [bwrap, *_options(self.spec, python, files)]
        command += [str(python.executable), "-I", "-S", RUNNER_INSIDE]
        handed = [*joins, *([events] if events >= 0 else []), *files.values()]
        try:
            self._process = RunnerProcess(command, handed)
        finally:
            for fd in files.values():
                os.close(fd)
            if self._cgroup:
                self._cgroup.close_fds()
        client = RunnerClient(self._process.reader, self._process.writer, self._end, self.kind)
        setup = Setup(
            work=WORK,
            input=f"/kaggle/input/{self.spec.task_name}",
            env=clean_env(self.spec.limits, (str(python.executable.parent), BIN_INSIDE)),
            oom_events_fd=events,
            supervise_memory=self._cgroup is None,
            limit_processes=os.geteuid() != 0,
            private_cpus=not (self._cgroup and self._cgroup.limits_cpus),
        )
        return client, setup

    def _end(self) -> str:
        why = self._process.end() if self._process is not None else ""
        if self._cgroup is not None:
            self._cgroup.remove()
            self._cgroup = None
        return why

    def _own_gaps(self) -> tuple[str, ...]:
        gaps = ["the kernel is shared with this machine", "the number of files is watched by sampling"]
        if self._process is not None and self._cgroup is None:
            gaps.append(cgroup.NONE)
        if os.geteuid() == 0:
            gaps.append("started as root: programs keep root's user id, without its powers")
        about_gpus = gpu.gap(self.spec.gpus)
        return (*gaps, about_gpus) if about_gpus else tuple(gaps)


def _file_pipes(spec: SandboxSpec, python: Interpreter) -> dict[str, int]:
    """{path inside: descriptor to read its content from}, for bwrap's `--ro-bind-data`."""
    pipes = {}
    for path, text in root_plan(spec, python)["files"]:
        reading, writing = os.pipe()
        os.write(writing, text.replace("{uid}", str(_UID)).encode())
        os.close(writing)
        pipes[path] = reading
    return pipes


def _options(spec: SandboxSpec, python: Interpreter, files: dict[str, int]) -> list[str]:
    plan = root_plan(spec, python)
    options = ["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--as-pid-1"]
    options += ["--uid", str(_UID), "--gid", str(_UID), "--hostname", "sandbox", "--cap-drop", "ALL"]
    options += ["--clearenv", "--setenv", "LC_ALL", "C.UTF-8", "--setenv", "PATH", "/usr/bin:/bin"]
    for path, target in plan["links"]:
        options += ["--symlink", target, path]
    options += ["--dev", "/dev"]
    for path, size_mb in plan["tmpfs"]:
        options += ["--perms", "0755", "--size", str(size_mb * 2**20), "--tmpfs", path]
    for source, path in plan["binds"]:
        options += ["--ro-bind", source, path]
    for path, fd in files.items():
        options += ["--ro-bind-data", str(fd), path]
    options += ["--proc", "/proc"]
    for source, path in plan["devices"]:
        options += ["--dev-bind", source, path]
    for name in MASKED:
        if os.path.exists(f"/proc/{name}"):
            options += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    return [*options, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--"]


def version() -> str:
    """What `bwrap --version` says; '' where it is not installed."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return ""
    said = subprocess.run([bwrap, "--version"], capture_output=True, text=True, timeout=10, check=False)
    return said.stdout.strip()
