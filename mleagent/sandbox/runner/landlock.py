"""Landlock: each command may write its work folder and scratch only, and reach no process but its own.

The ruleset is built once; a forked child enters it in one call. What the kernel
offers is asked at run time: from ABI 6 on, signals and abstract unix sockets are
scoped too, so a command can't even signal the runner that has its user id.
"""

from __future__ import annotations

import ctypes
import os

from .linux import syscall

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
_ALL_ABI1 = (1 << 13) - 1
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_SCOPES = 1 | 2
"""Abstract unix sockets, signals."""
SCOPED_ABI = 6


def abi() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    try:
        return syscall("landlock_create_ruleset", _CREATE, None, ctypes.c_size_t(0), _VERSION)
    except OSError:
        return 0


def build(writable: list[str]) -> int:
    """A ruleset's descriptor: read and execute anywhere visible, write under `writable` and to devices.

    Raises OSError where Landlock is not to be had.
    """
    version = abi()
    if not version:
        raise OSError("Landlock is not there")
    handled = _ALL_ABI1 | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = (ctypes.c_uint64 * 3)(handled, 0, _SCOPES if version >= SCOPED_ABI else 0)
    size = 24 if version >= SCOPED_ABI else 16 if version >= 4 else 8
    ruleset = syscall("landlock_create_ruleset", _CREATE, ctypes.byref(attributes), ctypes.c_size_t(size), 0)
    os.set_inheritable(ruleset, False)
    _allow(ruleset, "/", EXECUTE | READ_FILE | READ_DIR)
    for path in writable:
        _allow(ruleset, path, handled & ~_MAKE_CHAR & ~_MAKE_BLOCK)
    if os.path.isdir("/dev"):
        _allow(ruleset, "/dev", handled & (WRITE_FILE | READ_FILE | READ_DIR | _TRUNCATE))
    return ruleset


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _allow(ruleset: int, path: str, access: int) -> None:
    parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(access, parent)
        syscall("landlock_add_rule", _ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(parent)


def enter(ruleset: int) -> None:
    """Confine this process and all it will start (needs no_new_privs). Can't be undone."""
    syscall("landlock_restrict_self", _RESTRICT, ruleset, 0)
