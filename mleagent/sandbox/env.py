"""What a command inside finds around it: environment variables and the Python it runs.

The environment is written from nothing, never derived from the host's, so that
no secret of the user's can be in it. The interpreter is found with the folders
that must be visible for it to run, wherever it was installed.
"""

from __future__ import annotations

import functools
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UnavailableError
from ..records import Limits

SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/nix/store", "/gnu/store")
"""Folders of the operating system; they hold nobody's data."""
_VENV_MARK = "pyvenv.cfg"
_VENV_PARTS = (_VENV_MARK, "bin", "lib", "lib64", "include", "share", "etc")
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "LOKY_MAX_CPU_COUNT",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
_ASK = (
    "import sys,json;print(json.dumps({'executable':sys.executable,'prefixes':[sys.prefix,sys.base_prefix,"
    "sys.exec_prefix,sys.base_exec_prefix]}))"
)


@dataclass(frozen=True)
class Interpreter:
    """A Python on this machine, and what of the machine it needs."""

    executable: Path
    """As named, a venv's own link unresolved: Python finds its venv by that."""
    folders: tuple[Path, ...]
    """What to make visible beside the system's own: folders, and a venv's one file. Never the root or a
    home; of a venv only its own parts, for people make venvs in the folder that holds their data."""


def clean_env(limits: Limits, bins: Sequence[str] = (), home: str = "/tmp") -> dict[str, str]:
    """The complete environment of a command; the folders `bins` come first on PATH."""
    threads = str(max(1, math.floor(limits.cpus)))
    return {
        "PATH": ":".join([*bins, "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": f"{home}/.matplotlib",
        "JOBLIB_TEMP_FOLDER": home,
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin for each other starve a busy machine
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        **dict.fromkeys(_THREADS, threads),
    }


@functools.lru_cache(maxsize=8)
def interpreter(python: str = "") -> Interpreter:
    """The Python to run inside: `python` (a path), or the one running mleagent.

    Raises UnavailableError when it does not run or can't be shown without showing a whole home.
    """
    if not python:
        prefixes = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
        return _interpreter(Path(sys.executable), prefixes)
    try:
        answer = subprocess.run(
            [python, "-I", "-c", _ASK], capture_output=True, text=True, timeout=30, check=True
        )
        said = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise UnavailableError(f"the Python {python!r} does not run: {error}; name another one") from None
    return _interpreter(Path(said["executable"]), said["prefixes"])


def _interpreter(executable: Path, prefixes: list[str]) -> Interpreter:
    # The real file's own prefix too: a venv's python is a link, and its base may be a link again.
    named = [*prefixes, str(Path(os.path.realpath(executable)).parent.parent)]
    folders: list[Path] = []
    for folder in dict.fromkeys(Path(name).absolute() for name in named):
        for place in (folder, folder.resolve()):
            if place in folders or _within(place, [Path(x) for x in SYSTEM]):
                continue
            if place == Path("/") or place == Path.home() or len(place.parts) < 3:
                raise UnavailableError(
                    f"the Python {executable} is installed in {place}, which can't be shown to a sandbox;"
                    " use one in a folder of its own (a venv)"
                )
            folders.append(place)
    parts = [part for folder in folders for part in _parts(folder)]
    outer = [place for place in parts if not _within(place, [x for x in parts if x != place])]
    return Interpreter(executable.absolute(), tuple(outer))


def _parts(folder: Path) -> list[Path]:
    if not (folder / _VENV_MARK).is_file():
        return [folder]
    return [folder / name for name in _VENV_PARTS if (folder / name).exists()]


def _within(path: Path, folders: list[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
