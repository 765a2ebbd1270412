"""From what was measured of a run to its verdict: one pure function, the same for every sandbox.

Takes the runner's raw facts and the text the program printed; gives status,
exit code, the missing distribution and one line for people. Kept apart so that
it can be tested without any sandbox.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import NamedTuple

from ..records import ExecutionStatus, Limits

_NO_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([^']+)'")
_NO_OPTIONAL = re.compile(r"^ImportError: Missing optional dependency '([\w.-]+)'")
_NO_MEMORY = re.compile(r"^(?:[\w.]+\.)?_?(?:Array)?MemoryError\b|^MemoryError\b|std::bad_alloc")
_NO_SPACE = re.compile(r"\[Errno 28\]|No space left on device|database or disk is full")
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning)\b.*")

DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "skimage": "scikit-image",
    "bs4": "beautifulsoup4",
    "dateutil": "python-dateutil",
    "umap": "umap-learn",
    "hdbscan": "hdbscan",
    "imblearn": "imbalanced-learn",
    "category_encoders": "category-encoders",
    "pytorch_lightning": "pytorch-lightning",
    "lightning": "lightning",
    "tabpfn": "tabpfn",
    "Levenshtein": "levenshtein",
    "sentence_transformers": "sentence-transformers",
    "faiss": "faiss-cpu",
    "tables": "tables",
    "pytorch_tabnet": "pytorch-tabnet",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "google.protobuf": "protobuf",
    "attr": "attrs",
    "dotenv": "python-dotenv",
    "Bio": "biopython",
    "serial": "pyserial",
    "spacy": "spacy",
}
"""Import names whose distribution is called otherwise."""


@dataclass(frozen=True)
class RawRun:
    """What the runner measured of one run."""

    exit_code: int | None
    """As a shell reports it; 128 + n for signal n; None when nothing could be started."""
    duration_s: float
    peak_memory_mb: float | None = None
    timed_out: bool = False
    stopped: bool = False
    """Ended because the caller asked for it."""
    oom: bool = False
    """The kernel's or the supervisor's memory limit struck."""
    disk_full: bool = False
    """A writable folder had no free space at some moment of the run."""
    crowded: bool = False
    """More processes than allowed, ended for it."""
    unclean: bool = False
    """Something could not be killed."""


class Verdict(NamedTuple):
    """Status, exit code (None when ended from outside), distribution, one line for people."""

    status: ExecutionStatus
    exit_code: int | None
    missing_package: str = ""
    detail: str = ""


def judge(raw: RawRun, output: str, limits: Limits) -> Verdict:
    """The verdict on a run; `output` is its cleaned text. The first cause that applies wins."""
    if raw.unclean:
        return Verdict("lost", None, detail="a process could not be ended; the sandbox is given up")
    if raw.stopped:
        return Verdict("killed", None, detail="stopped on request")
    if raw.crowded:
        return Verdict("killed", None, detail=f"more than {limits.pids} processes at once")
    if raw.oom and raw.exit_code != 0:
        return Verdict("oom", None, detail=f"used more than its {limits.memory_mb} MiB of memory")
    if raw.timed_out:
        return Verdict("timeout", None, detail=f"still running after {limits.wall_s:g} s")
    if raw.exit_code == 0:
        return Verdict("ok", 0)
    return _failure(raw, [line for line in output.splitlines()[-40:] if line.strip()], limits)


def _failure(raw: RawRun, tail: list[str], limits: Limits) -> Verdict:
    last = tail[-6:]
    for line in reversed(last):
        missing = missing_distribution(line)
        if missing:
            return Verdict("missing_package", raw.exit_code, missing, f"package {missing} is not installed")
        if _NO_MEMORY.search(line):
            detail = f"could not allocate memory within its {limits.memory_mb} MiB"
            return Verdict("oom", raw.exit_code, detail=detail)
    if raw.disk_full or any(_NO_SPACE.search(line) for line in last):
        return Verdict(
            "disk", raw.exit_code, detail=f"filled the {limits.disk_mb} MiB of the work folder (or /tmp)"
        )
    code = raw.exit_code
    if code is None:
        return Verdict("error", None, detail=tail[-1] if tail else "could not be started")
    if code == 128 + signal.SIGKILL:
        return Verdict("killed", None, detail="ended by SIGKILL")
    if 128 < code < 128 + 65 and code - 128 in set(signal.Signals):
        return Verdict("error", code, detail=f"ended by {signal.Signals(code - 128).name}")
    exception = next((line for line in reversed(last) if _EXCEPTION.match(line)), "")
    return Verdict("error", code, detail=(exception or f"exit code {code}")[:300])


def missing_distribution(line: str) -> str:
    """The distribution that a traceback's last line misses; '' when it is another error.

    `No module named 'a.b'` means that `a` is there: a wrong name, not a missing package.
    """
    found = _NO_MODULE.match(line)
    if found:
        module = found.group(1)
        return "" if "." in module and module not in DISTRIBUTIONS else DISTRIBUTIONS.get(module, module)
    found = _NO_OPTIONAL.match(line)
    return DISTRIBUTIONS.get(found.group(1), found.group(1)) if found else ""
