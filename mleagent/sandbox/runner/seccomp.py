"""A seccomp filter that denies the system calls no training program needs and most kernel exploits do.

Built by hand as classic BPF for x86-64 and arm64; elsewhere `install` raises and
the sandbox reports the gap. Denied calls fail with EPERM, so a program goes on.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from .linux import PR_SET_SECCOMP, checked, libc

_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# name: (x86-64, arm64); None: the architecture has no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "pidfd_getfd": (438, 438), "kcmp": (312, 272),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "move_mount": (429, 429), "open_tree": (428, 428), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "unshare": (272, 97), "setns": (308, 268), "open_by_handle_at": (304, 265),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "syslog": (103, 116), "vhangup": (153, 58), "nfsservctl": (180, 42),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None), "uselib": (134, None),
    "lookup_dcookie": (212, 18), "fanotify_init": (300, 262), "mbind": (237, 235),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "personality": (135, 92),
    # System V objects outlive their makers, so a run could leave something behind in them.
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
}  # fmt: skip
_UNSEEN = ((319, 279), (447, 447))
"""memfd_create, memfd_secret: memory that no sum over processes or file systems shows."""
_SOCKET, _CLONE, _CLONE3 = (41, 198), (56, 220), (435, 435)
_FAMILIES = (1, 2, 10, 16)
"""unix, IPv4, IPv6, netlink (getifaddrs); vsock and AF_ALG reach past the namespaces."""
_OWN_ONLY = ((302, 261), (144, 119), (142, 118), (314, 274))
"""prlimit64, sched_setscheduler, sched_setparam, sched_setattr: on others of the same user they would reach
the runner, which Landlock does not scope."""
_SETPRIORITY, _PRIO_USER = (141, 140), 2
_NEW_NAMESPACES = 0x7E020000
"""Every CLONE_NEW* flag that clone takes."""

_LOAD, _JUMP_EQUAL, _JUMP_GE, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NR, _ARCH_AT, _ARG0, _ARG1 = 0, 4, 16, 24


def _instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def program(machine: str, supervised: bool = False) -> bytes:
    """The filter for one architecture; `supervised`: memory is summed by us, so all of it must be seen.

    Raises KeyError for an architecture that is not known.
    """
    column = {"x86_64": 0, "aarch64": 1}[machine]
    deny = _instruction(_RETURN, _ERRNO | errno.EPERM)
    allow = _instruction(_RETURN, _ALLOW)
    code = [
        _instruction(_LOAD, _ARCH_AT),
        _instruction(_JUMP_EQUAL, _ARCH[machine], yes=1),
        deny,  # another architecture's numbers mean other calls
        _instruction(_LOAD, _NR),
    ]
    if machine == "x86_64":
        code += [_instruction(_JUMP_GE, 0x40000000, no=1), deny]  # the x32 calls
    for numbers in (*_DENIED.values(), *(_UNSEEN if supervised else ())):
        number = numbers[column]
        if number is not None:
            code += [_instruction(_JUMP_EQUAL, number, no=1), deny]
    for numbers in _OWN_ONLY:
        code += [
            _instruction(_JUMP_EQUAL, numbers[column], no=4),
            _instruction(_LOAD, _ARG0),
            _instruction(_JUMP_EQUAL, 0, no=1),
            allow,
            deny,
        ]
    code += [
        _instruction(_JUMP_EQUAL, _SETPRIORITY[column], no=6),
        _instruction(_LOAD, _ARG0),
        _instruction(_JUMP_EQUAL, _PRIO_USER, yes=3),
        _instruction(_LOAD, _ARG1),
        _instruction(_JUMP_EQUAL, 0, no=1),
        allow,
        deny,
    ]
    # clone3 hides its flags behind a pointer: without it, libraries fall back to clone.
    code += [
        _instruction(_JUMP_EQUAL, _CLONE3[column], no=1),
        _instruction(_RETURN, _ERRNO | errno.ENOSYS),
        _instruction(_JUMP_EQUAL, _CLONE[column], no=4),
        _instruction(_LOAD, _ARG0),
        _instruction(_JUMP_SET, _NEW_NAMESPACES, no=1),
        deny,
        allow,
        _instruction(_JUMP_EQUAL, _SOCKET[column], no=2 + len(_FAMILIES)),
        _instruction(_LOAD, _ARG0),
    ]
    # The farther from the end of the list, the longer the jump over it and the final denial.
    for at, family in enumerate(_FAMILIES):
        code.append(_instruction(_JUMP_EQUAL, family, yes=len(_FAMILIES) - at))
    return b"".join([*code, deny, allow])


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(supervised: bool) -> None:
    """Filter this process and its children (needs no_new_privs); see `program`. Raises OSError, KeyError."""
    code = program(os.uname().machine, supervised)
    handle = _Program(len(code) // 8, code)
    checked("seccomp", libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.byref(handle), 0, 0))
