"""Which commands a fork of the warm interpreter can run as a fresh one would; everything else is not for it.

Takes a command, a program's source and the names beside it; answers yes or no.
When in doubt the answer is no: a fresh interpreter is slower and never wrong.
"""

from __future__ import annotations

import os
import re

_WORD = re.compile(r"[\w@%+:,./=-]+|'[^'\n]*'", re.ASCII)
_INTERPRETERS = ("python", "python3")
MAX_SOURCE = 1 << 20
MAX_BESIDE = 5000

_STACK = re.compile(
    rb"_getframe|currentframe|\binspect\b[^\n]*\bstack\b|getouterframes|(?:print|extract|format|walk)_stack"
    rb"|stack_?info|stacklevel|findCaller|faulthandler|recursion_?limit|RecursionError"
)
"""Programs that look below their own first frame, or count frames: a fork has one more there."""
_PROCESS = re.compile(
    rb"orig_argv|cmdline|/proc/self|gc\.(?:get_|freeze|unfreeze|callbacks)"
    rb"|setsid|[gs]etpg|getsid|getppid|killpg|\bkill\(\s*-?[01]\s*,"
)
"""Programs that look at how their process was started, or at what was there from the start."""
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=]", re.MULTILINE)
_ENVIRONMENT = re.compile(rb"environ\b|putenv")
_SET_ONE = re.compile(rb"environ\s*(?:\[|\.setdefault\s*\()\s*(?:['\"](\w+)['\"])?")
_SET_MANY = re.compile(
    rb"putenv|unsetenv|environ\s*\.\s*(?:update|clear|pop)|environ\s*\|=|environb|\bas\s+environ"
)
_READ_AT_IMPORT = re.compile(
    rb"^(?:OMP|OPENBLAS|MKL|NUMEXPR|VECLIB|BLIS|KMP|GOMP|GOTO|LOKY|JOBLIB|POLARS|RAYON|ARROW|NPY|NUMPY|PANDAS"
    rb"|SCIPY|SKLEARN|MPL|MATPLOTLIB|PYTORCH|TORCH|PYTHON(?!HASHSEED)|LD|MALLOC|KERAS|JAX|XLA)"
)
"""Variables that a library or the loader reads once, when it is imported: in a fork that has been."""


def script_command(command: str) -> list[str] | None:
    """The words of `python SCRIPT [ARGS]` without anything for the shell to do; None for anything else."""
    words, at = [], 0
    text = command.strip(" ")
    while at < len(text):
        found = _WORD.match(text, at)
        if not found or (found.end() < len(text) and text[found.end()] != " "):
            return None
        word = found.group()
        words.append(word[1:-1] if word.startswith("'") else word)
        at = found.end()
        while text[at : at + 1] == " ":
            at += 1
    if len(words) < 2 or words[0] not in _INTERPRETERS or words[1].startswith("-"):
        return None
    return words if words[1].endswith(".py") else None


def plain(source: bytes) -> bool:
    """Whether nothing in the source would come out differently in a fork."""
    if len(source) > MAX_SOURCE or b"\0" in source or source.startswith(b"\xef\xbb\xbf"):
        return False
    try:
        source.decode("utf-8")
    except UnicodeDecodeError:
        return False
    first_lines = b"\n".join(source.split(b"\n", 2)[:2])
    if _CODING.search(first_lines) or _STACK.search(source) or _PROCESS.search(source):
        return False
    return not _ENVIRONMENT.search(source) or _leaves_libraries_alone(source)


def _leaves_libraries_alone(source: bytes) -> bool:
    """Whether no environment variable is set that a library reads when it is imported."""
    if _SET_MANY.search(source):
        return False
    for found in _SET_ONE.finditer(source):
        name = found.group(1)
        if name is None or _READ_AT_IMPORT.match(name):
            return False
    return True


def imports_any(source: bytes, names: set[str]) -> bool:
    """Whether the source has an import statement of one of these top-level modules."""
    wanted = "|".join(re.escape(name) for name in sorted(names))
    return bool(wanted) and bool(
        re.search(rf"^[ \t]*(?:import|from)[ \t]+(?:{wanted})\b".encode(), source, re.MULTILINE)
    )


def nothing_hidden(folder: str, loaded: set[str]) -> bool:
    """Whether no module beside the script has the name of one that is loaded already; each is plain too."""
    with os.scandir(folder) as items:
        for count, item in enumerate(items):
            stem, dot, ending = item.name.partition(".")
            if count > MAX_BESIDE:
                return False
            if not dot and stem in loaded and item.is_dir() and _is_package(item.path):
                return False
            if ending == "py" or ending.endswith(("so", "pyc", "pth")):
                if stem in loaded:
                    return False
                if ending == "py" and not _plain_file(item.path):
                    return False
    return True


def _is_package(path: str) -> bool:
    try:
        return any(name.startswith("__init__.") for name in os.listdir(path))
    except OSError:
        return True


def _plain_file(path: str) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with open(file, "rb") as content:
            return plain(content.read(MAX_SOURCE + 1))
    except OSError:
        return False
