"""What a sandbox's container is made of: every hardening option in one place, as plain data.

`options` turns a SandboxSpec and what the engine says of itself into the arguments of the docker
SDK's `containers.create`; nothing here talks to an engine. The order of the page is that of
DESIGN §7: no network, read-only root, no capabilities, own user, limits.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config import data_home
from ..protocols import SandboxSpec
from . import gpu
from .base import RUNNER_DIR, RUNNER_INSIDE, package_binds

WORK = "/kaggle/working"
SCRATCH_MB = 1024
"""Most that /tmp and /dev/shm may hold, each; both count into the memory limit as the work folder does."""
INODES = 100_000
OPEN_FILES = 4096
PROCESSES = 4096
_TMPFS = "rw,exec,nosuid,nodev"


def options(
    spec: SandboxSpec,
    image: str,
    info: Mapping[str, Any],
    labels: Mapping[str, str],
    name: str,
    podman: bool = False,
) -> dict[str, Any]:
    """Arguments of `containers.create`. Raises InputError for a `gpus` that can't be read.

    Podman often comes without an init program, so there the runner is the first process itself, as
    it may be; its older versions also know no owner and no inode limit of a tmpfs.
    """
    import docker

    limits = spec.limits
    user = user_id()
    scratch = min(SCRATCH_MB, limits.disk_mb)
    extra = "" if podman else f",nr_inodes={INODES},uid={user},gid={user}"
    ulimit = docker.types.Ulimit
    return {
        "image": image,
        "entrypoint": ["python3", "-I", "-S", RUNNER_INSIDE],
        "command": [],
        "name": name,
        "hostname": "kaggle",
        "labels": dict(labels),
        "stdin_open": True,
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges", *(["label=disable"] if _selinux(info) else [])],
        "user": f"{user}:{user}",
        "init": not podman,
        "working_dir": WORK,
        "mounts": _mounts(spec),
        "tmpfs": {
            WORK: f"{_TMPFS},size={limits.disk_mb}m,mode=1777{extra}",
            "/tmp": f"{_TMPFS},size={scratch}m,mode=1777{extra}",
        },
        "shm_size": f"{scratch}m",
        "mem_limit": f"{limits.memory_mb}m",
        "memswap_limit": f"{limits.memory_mb}m",
        "nano_cpus": int(min(limits.cpus, float(info.get("NCPU") or limits.cpus)) * 1e9),
        "pids_limit": limits.pids,
        "ulimits": [
            ulimit(name="core", soft=0, hard=0),
            ulimit(name="nofile", soft=OPEN_FILES, hard=OPEN_FILES),
            # Podman's own default may be more than its service is allowed to set; the cgroup limits first.
            *([ulimit(name="nproc", soft=PROCESSES, hard=PROCESSES)] if podman else []),
        ],
        "oom_score_adj": 500,
        "device_requests": _gpus(spec.gpus),
    }


def user_id() -> int:
    """Who runs inside, never root: the user's own id, so that a private umask hides no input, else 1000."""
    return os.getuid() if sys.platform == "linux" and os.getuid() != 0 else 1000


def gaps(info: Mapping[str, Any]) -> tuple[str, ...]:
    """What this engine does not isolate or limit, a line each."""
    virtual = sys.platform == "darwin" or info.get("OperatingSystem") == "Docker Desktop"
    found = [] if virtual else ["the kernel is shared with the engine's machine"]
    for field, line in (
        ("MemoryLimit", "the engine has no memory cgroup: memory is watched from inside"),
        ("PidsLimit", "the engine can't limit the number of processes"),
        ("CpuCfsQuota", "the engine can't limit the share of the processors"),
    ):
        if not info.get(field, True):
            found.append(line)
    security = " ".join(info.get("SecurityOptions") or ())
    if "seccomp" not in security:
        found.append("the engine filters no system calls (no seccomp)")
    if _selinux(info):
        found.append("SELinux labels are off for the container, else it could not read its inputs")
    return tuple(found)


def runner_copy() -> Path:
    """A copy of the runner in the data folder, readable by the user inside; made once per content.

    The data folder must be mountable anyway, as the inputs lie there; the place Python packages are
    installed in need not be (a virtual machine on macOS shares the home folders only).
    """
    sources = sorted(RUNNER_DIR.rglob("*.py"))
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.relative_to(RUNNER_DIR).as_posix().encode() + b"\0" + source.read_bytes())
    place = data_home() / "runner" / digest.hexdigest()[:16]
    if place.is_dir():
        return place
    building = place.with_name(f"{place.name}.{os.getpid()}")
    for source in sources:
        target = building / source.relative_to(RUNNER_DIR)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o644)
        target.parent.chmod(0o755)
    building.chmod(0o755)
    try:
        building.rename(place)
    except OSError:
        shutil.rmtree(building)  # another session was faster
    return place


def _mounts(spec: SandboxSpec) -> list[Any]:
    """Read-only binds; a source that is missing is an error at creation, never made as an empty folder."""
    from docker.types import Mount

    binds = [(runner_copy(), RUNNER_INSIDE), (spec.public, f"/kaggle/input/{spec.task_name}")]
    binds += [(path, str(path)) for path in spec.mounts]
    binds += package_binds(spec)
    return [Mount(target, str(source.absolute()), type="bind", read_only=True) for source, target in binds]


def _selinux(info: Mapping[str, Any]) -> bool:
    return "name=selinux" in " ".join(info.get("SecurityOptions") or ())


def _gpus(text: str) -> list[Any]:
    """Docker's `--gpus`, see `gpu.wanted`. Not run on a GPU by our tests."""
    from docker.types import DeviceRequest

    which = gpu.wanted(text)
    if isinstance(which, tuple):
        return [DeviceRequest(device_ids=list(which), capabilities=[["gpu"]])]
    return [DeviceRequest(count=which, capabilities=[["gpu"]])] if which else []
