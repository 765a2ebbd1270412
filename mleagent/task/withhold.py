"""Which of the user's files the sandbox may read, and why the others may not.

Inputs are recognised positively: the task's tables, media that a table names,
look-up tables, descriptions, code. Everything else is withheld with a reason,
because any of it could carry held-out labels; `include` overrides, and marks
the scores unverified.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import InputError
from ..records import Withheld
from .discover import File, Found, looks_predicted
from .names import is_code, is_media, is_table, is_text, stem
from .options import TaskOptions
from .quoting import carries, clean_code, without_rows
from .side_tables import Known, side_table_reason
from .tables import read_table

Role = Literal["train", "test", "sample_submission", "description", "media", "table", "code", "other"]
_TEXT_LIMIT = 2**20
_REASONS: Mapping[str, str] = {
    **dict.fromkeys((".npy", ".npz", ".mat"), "an array can hold out-of-fold predictions or labels"),
    **dict.fromkeys(
        (".pkl", ".pickle", ".joblib", ".dill"), "a pickle can hold labels, and runs code when opened"
    ),
    **dict.fromkeys(
        (".pt", ".pth", ".ckpt", ".h5", ".hdf5", ".keras", ".onnx", ".bin", ".safetensors", ".cbm", ".model"),
        "a model trained on all rows knows the held-out ones",
    ),
    **dict.fromkeys(
        (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst"),
        "an archive can hold the full train table",
    ),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3", ".duckdb"), "a database can hold the full train table"),
    **dict.fromkeys(
        (".feather", ".arrow", ".xlsx", ".xls", ".json", ".jsonl"), "a table in a format that is not searched"
    ),
    **dict.fromkeys((".log", ".out", ".html", ".pdf"), "the output of an earlier run can quote labels"),
}


@dataclass(frozen=True)
class Mount:
    """A file that goes into the public folder, and how."""

    file: File
    role: Role
    data: bytes | None = None
    """Its content where that differs from the file's; None: as it is."""


def judge(
    found: Found, used: frozenset[str], known: Known | None, options: TaskOptions
) -> tuple[list[Mount], list[Withheld], bool]:
    """(mounts beside the task's own tables and media, withheld, verified)."""
    mounts: list[Mount] = []
    withheld = list(found.skipped)
    for file in found.files:
        if file.rel in used:
            continue
        verdict = _judge_file(file, known)
        if isinstance(verdict, Mount):
            mounts.append(verdict)
        else:
            withheld.append(Withheld(path=file.rel, reason=verdict))
    refused = next((item for item in withheld if item.path == options.start), None)
    if refused is not None and options.start not in options.include:
        raise InputError(
            f"--start {options.start}: {refused.reason}; take them out of the script, or [task] include it"
        )
    included = _included(found, withheld, options)
    names = {mount.file.rel for mount in included}
    tops = set(options.include)
    withheld = [item for item in withheld if item.path not in names and item.path not in tops]
    return mounts + included, _folded(withheld), not included


def _judge_file(file: File, known: Known | None) -> Mount | str:
    name = file.name.lower()
    if name == "leaderboard.csv":
        return "standings of others, not an input"
    if is_table(name):
        return _judge_table(file, known)
    if is_code(name):
        return _judge_code(file, known)
    if is_text(name):
        return _judge_text(file, known)
    if is_media(name):
        return "no table names it"
    suffix = next((s for s in _REASONS if name.endswith(s)), "")
    return _REASONS.get(suffix, "not recognised as an input")


def _judge_code(file: File, known: Known | None) -> Mount | str:
    if file.bytes > _TEXT_LIMIT and not file.name.endswith(".ipynb"):
        return "too long for a program: it could hold data"
    data = clean_code(file)
    text = (file.path.read_bytes() if data is None else data).decode("utf-8", errors="replace")
    if known is None:
        return Mount(file, "code", data)
    _, count = without_rows(text, known.held)
    reason = f"names {count} held-out rows with their labels" if count else carries(text, known.held)
    return reason or Mount(file, "code", data)


def _judge_text(file: File, known: Known | None) -> Mount | str:
    if file.bytes > _TEXT_LIMIT:
        return "too long for a description: it could hold data"
    try:
        text = file.path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return "not UTF-8 text"
    clean, cut = without_rows(text, known.held) if known else (text, 0)
    if cut > 20:
        return f"names {cut} held-out rows with their labels"
    reason = carries(clean, known.held) if known else ""
    if reason:
        return reason
    return Mount(file, "description", clean.encode("utf-8") if cut else None)


def _judge_table(file: File, known: Known | None) -> Mount | str:
    if known is None:
        return Mount(file, "table")
    if looks_predicted(stem(file.rel)) or any(
        looks_predicted(part) for part in file.parent.split("/") if part
    ):
        return "looks like predictions or a submission of an earlier run"
    try:
        table = read_table(file.path, file.rel)
    except InputError as error:
        return f"not readable: {str(error).removeprefix(str(file.path) + ': ')}"
    reason = side_table_reason(table, known)
    return reason or Mount(file, "table")


def _included(found: Found, withheld: list[Withheld], options: TaskOptions) -> list[Mount]:
    """Mounts that `include` asks for among the withheld. Raises InputError for one that is not there."""
    files = {file.rel: file for file in found.files}
    mounts: dict[str, Mount] = {}
    for pattern in options.include:
        if pattern.startswith("column:"):
            continue
        pattern = pattern.strip("/")
        hits = [item.path for item in withheld if _matches(item.path, pattern)]
        for path in hits:
            for file in [files[path]] if path in files else _below(found.base / path, found.base):
                mounts[file.rel] = Mount(file, "other")
        if not hits and not any(_matches(rel, pattern) for rel in files):
            raise InputError(
                f"[task] include: there is no {pattern!r} in {found.base}; mend or remove the entry"
            )
    return list(mounts.values())


def _matches(path: str, pattern: str) -> bool:
    return path == pattern or path.startswith(pattern + "/") or fnmatch.fnmatch(path, pattern)


def _below(path: Path, base: Path) -> list[File]:
    found = [path] if path.is_file() else [p for p in sorted(path.rglob("*")) if p.is_file()]
    return [File(p.relative_to(base).as_posix(), p, p.stat().st_size, p.stat().st_mtime_ns) for p in found]


def _folded(withheld: list[Withheld]) -> list[Withheld]:
    """More than 20 files of one folder with one reason become one line."""
    groups: dict[tuple[str, str], list[Withheld]] = {}
    for item in withheld:
        groups.setdefault((item.path.rpartition("/")[0], item.reason), []).append(item)
    lines = []
    for (parent, reason), items in groups.items():
        if parent and len(items) > 20:
            lines.append(Withheld(path=f"{parent}/ ({len(items)} files)", reason=reason))
        else:
            lines.extend(items)
    return sorted(lines, key=lambda item: item.path)
