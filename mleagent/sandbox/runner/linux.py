"""The few Linux calls that Python has no function for, by ctypes: namespaces, mounts, prctl, capabilities.

Every function raises OSError with the call's name, so that a failure says which
protection could not be had. Nothing here decides anything.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_MADV_COLLAPSE = 25
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_SYS_MOUNT_SETATTR = 442
_MOUNT_ATTR = {MS_RDONLY: 1, MS_NOSUID: 2, MS_NODEV: 4, MS_NOEXEC: 8}
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

libc = ctypes.CDLL(None, use_errno=True)


def checked(name: str, result: int) -> int:
    """`result` of a C call, or OSError from errno when it is negative."""
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


def syscall(name: str, number: int, *arguments: object) -> int:
    """A system call by number."""
    return checked(name, libc.syscall(ctypes.c_long(number), *arguments))


def unshare(flags: int) -> None:
    """Enter new namespaces."""
    checked("unshare", libc.unshare(flags))


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """`mount(2)`."""
    done = libc.mount(
        source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None
    )
    checked(f"mount {target}", done)


def umount(target: str) -> None:
    """Detach a mount, also a busy one."""
    checked("umount", libc.umount2(target.encode(), MNT_DETACH))


def set_mount_flags(target: str, flags: int, recursive: bool = True) -> None:
    """Add MS_RDONLY, MS_NOSUID, ... to a mount and what lies under it.

    `mount_setattr` (Linux 5.12) keeps the flags that are locked in a user
    namespace; older kernels get a bind remount with those read back first.
    """
    bits = sum(bit for flag, bit in _MOUNT_ATTR.items() if flags & flag)
    attributes = (ctypes.c_uint64 * 4)(bits, 0, 0, 0)
    try:
        syscall(
            "mount_setattr",
            _SYS_MOUNT_SETATTR,
            _AT_FDCWD,
            target.encode(),
            _AT_RECURSIVE if recursive else 0,
            ctypes.byref(attributes),
            ctypes.c_size_t(32),
        )
    except OSError:
        kept = os.statvfs(target).f_flag & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | 1024 | 2048 | 4096)
        # statvfs and mount agree on these bits, but relatime's is nine higher in mount.
        times = (1024 if kept & 1024 else 0) | (2048 if kept & 2048 else 0) | ((kept & 4096) << 9)
        mount("none", target, flags=MS_REMOUNT | MS_BIND | flags | (kept & 15) | times)


def pivot_root(new: str) -> None:
    """Make `new` (a mount point) the root and let the old one go."""
    os.chdir(new)
    syscall("pivot_root", _SYS_PIVOT_ROOT[os.uname().machine], b".", b".")
    umount(".")
    os.chdir("/")


def join_pages() -> None:
    """Put this process's own memory on huge pages where the kernel can: a fork then copies far fewer entries.

    Does nothing before Linux 6.1. Only memory that is there anyway is moved.
    """
    size = 1 << 21
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    with contextlib.suppress(OSError), open("/proc/self/maps") as maps:
        for line in maps.read().splitlines():
            fields = line.split()
            if fields[1] != "rw-p" or (len(fields) > 5 and fields[5] != "[heap]"):
                continue
            start, end = (int(x, 16) for x in fields[0].split("-"))
            for at in range(-(-start // size) * size, end - size + 1, size):
                libc.madvise(at, size, _MADV_COLLAPSE)


def prctl(option: int, *arguments: int) -> int:
    """`prctl(2)` with integer arguments."""
    padded = [ctypes.c_ulong(x) for x in (*arguments, 0, 0, 0, 0)[:4]]
    return checked("prctl", libc.prctl(option, *padded))


def drop_bounding() -> None:
    """Empty the bounding set, so that no file's capabilities count; needs CAP_SETPCAP, else does nothing."""
    with contextlib.suppress(OSError):
        for capability in range(64):
            prctl(PR_CAPBSET_DROP, capability)


def drop_capabilities() -> None:
    """Empty the permitted, effective, inheritable and ambient sets."""
    with contextlib.suppress(OSError):  # before Linux 4.3
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    checked("capset", libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())))
