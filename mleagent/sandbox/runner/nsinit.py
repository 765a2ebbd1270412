"""Makes the namespaces sandbox: own namespaces, own root of read-only pieces, no privileges, then the runner.

Run on the host as `python -I -S <runner folder> --nsinit PLAN` with the plan as
JSON (see `namespaces.py`). Works as root and, by a user namespace, as anybody. Its child
is process 1 inside and becomes the runner; this process only waits for it, and
ends it by dying.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import sys
from typing import Any

from . import linux
from .meter import files_allowed

_NAMESPACES = (
    linux.CLONE_NEWNS
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWNET
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWCGROUP
)
MASKED = ("kcore", "keys", "timer_list", "sched_debug", "kmsg", "kallsyms", "sysrq-trigger", "latency_stats")
_READ_ONLY = ("sys", "bus", "fs", "irq")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_HARDENED = linux.MS_NOSUID | linux.MS_NODEV


def main(plan: dict[str, Any]) -> int:
    """Enter the namespaces, fork process 1, wait for it."""
    for fd in plan["join_fds"]:
        os.write(fd, b"0")
        os.close(fd)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("-500")  # the runner should outlive its commands; needs privilege
    uid = _enter_namespaces(int(plan["uid"]))
    pid = os.fork()
    if pid == 0:
        _first_process(plan, uid)
    for fd in (0, 1):
        os.close(fd)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) & 0xFF


def _enter_namespaces(uid: int) -> int:
    """Unshare everything; the user id to become inside. As root first without a user namespace."""
    if os.geteuid() == 0 and uid != 0:
        with contextlib.suppress(PermissionError):
            linux.unshare(_NAMESPACES)
            return uid
    owner, group = os.geteuid(), os.getegid()
    linux.unshare(_NAMESPACES | linux.CLONE_NEWUSER)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"1000 {owner} 1")
    _write("/proc/self/gid_map", f"1000 {group} 1")
    return 1000


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _first_process(plan: dict[str, Any], uid: int) -> None:
    """Build the root, go there, give everything up, become the runner. Never returns."""
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
        _build_root(plan, uid)
        linux.pivot_root(plan["root"])
        linux.libc.sethostname(b"sandbox", 7)
        _loopback_up()
        _become_nobody(uid)
        # Descriptors past 2 are close-on-exec, but for those the host handed down on purpose.
        python, environment = plan["python"], {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
        os.execve(python, [python, "-I", "-S", plan["runner_inside"]], environment)
    except BaseException as error:  # noqa: BLE001 - a forked child must never run its parent's code
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
    finally:
        os._exit(1)


def _loopback_up() -> None:
    """Let programs talk to themselves over 127.0.0.1, as everywhere; nothing else is on this network."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def _become_nobody(uid: int) -> None:
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    linux.drop_bounding()
    if os.geteuid() == 0:
        os.setgroups([])
    if os.geteuid() != uid:
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    linux.drop_capabilities()
    # Changing the user id clears it.
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)


# --- the root -----------------------------------------------------------------


def _build_root(plan: dict[str, Any], uid: int) -> None:
    root = plan["root"]
    own = f"uid={uid},gid={uid}," if os.geteuid() == 0 else ""
    linux.mount("tmpfs", root, "tmpfs", _HARDENED, "mode=0755,size=8m,nr_inodes=4096")
    for path, target in plan["links"]:
        _parents(root + path)
        os.symlink(target, root + path)
    # First these: a Python may lie under /tmp.
    for path, size_mb in plan["tmpfs"]:
        os.makedirs(root + path, 0o755, exist_ok=True)
        # Names cost kernel memory too, so their number is bounded beside their size.
        data = f"{own}mode=0755,size={size_mb}m,nr_inodes={files_allowed(size_mb)}"
        linux.mount("tmpfs", root + path, "tmpfs", _HARDENED, data)
    for source, path in plan["binds"]:
        _bind(source, root + path)
    for path, text in plan["files"]:
        _parents(root + path)
        _write(root + path, text.replace("{uid}", str(uid)))
    _devices(root, plan["devices"])
    _proc(root)
    linux.set_mount_flags(root, linux.MS_RDONLY, recursive=False)


def _parents(path: str) -> None:
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)


def _bind(source: str, target: str, flags: int = linux.MS_RDONLY | _HARDENED) -> None:
    if os.path.isdir(source):
        os.makedirs(target, 0o755, exist_ok=True)
    else:
        _parents(target)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    linux.mount(source, target, flags=linux.MS_BIND | linux.MS_REC)
    linux.set_mount_flags(target, flags)


def _devices(root: str, more: list[list[str]]) -> None:
    for source, path in [*((f"/dev/{name}", f"/dev/{name}") for name in _DEVICES), *more]:
        _bind(source, root + path, flags=linux.MS_NOSUID | linux.MS_NOEXEC)
    links = (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"))
    for name, target in links:
        os.symlink(target, f"{root}/dev/{name}")


def _proc(root: str) -> None:
    """A fresh /proc of the new pid namespace, its kernel-wide parts covered."""
    os.makedirs(f"{root}/proc", 0o755, exist_ok=True)
    linux.mount("proc", f"{root}/proc", "proc", _HARDENED | linux.MS_NOEXEC)
    for name in _READ_ONLY:
        path = f"{root}/proc/{name}"
        if os.path.isdir(path):
            linux.mount(path, path, flags=linux.MS_BIND | linux.MS_REC)
            linux.set_mount_flags(path, linux.MS_RDONLY)
    for name in MASKED:
        path = f"{root}/proc/{name}"
        if os.path.exists(path):
            linux.mount("/dev/null", path, flags=linux.MS_BIND)


def start(arguments: list[str]) -> int:
    """`main` with the plan from the command line; one line on stderr when it can't be done."""
    try:
        return main(json.loads(arguments[0]))
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
