"""Which of the user's files the sandbox may read, and why the others may not.

Inputs are recognised positively: the task's tables, media that a table names,
look-up tables, descriptions, code. Everything else is withheld with a reason,
because any of it could carry held-out labels; `include` overrides, and marks
the scores unverified.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ..errors import InputError
from ..records import Withheld
from .columns import typed
from .discover import File, Found, looks_predicted
from .giveaway import Labels, tells
from .options import TaskOptions
from .tables import Table, read_table, stem

Role = Literal["train", "test", "sample_submission", "description", "media", "table", "code", "other"]
_TEXT_LIMIT = 2**20
_SEPARATORS = re.compile(r"[,;|\t]")
_WORD = re.compile(r"[^\s,;|\"'`\[\](){}<>:=]+")
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


@dataclass(frozen=True)
class HeldOut:
    """What must not be found in public: ids and labels of the held-out rows."""

    labels: Mapping[str, str]
    """Label by id, both as text; empty where rows have no ids."""
    ids: frozenset[str]
    """Ids of all labelled rows."""
    test_ids: frozenset[str]
    remapped: bool
    """Public ids differ from the user's."""


@dataclass(frozen=True)
class Known:
    """What is known of the task when side tables are judged."""

    train: pd.DataFrame
    values: pd.DataFrame
    """Labelled rows only, typed; the index counts them from 0."""
    targets: tuple[str, ...]
    labels: Labels
    id_column: str | None
    ids: pd.Series
    """Id of each labelled row, as text."""
    held: HeldOut


def judge(
    found: Found, used: frozenset[str], known: Known | None, options: TaskOptions
) -> tuple[list[Mount], list[Withheld], bool]:
    """(mounts beside the task's own tables and media, withheld, verified)."""
    mounts: list[Mount] = []
    withheld = list(found.skipped)
    for file in found.files:
        if file.rel in used:
            continue
        verdict = _judge_file(file, known, options)
        if isinstance(verdict, Mount):
            mounts.append(verdict)
        else:
            withheld.append(Withheld(path=file.rel, reason=verdict))
    included = _included(found, withheld, options)
    names = {mount.file.rel for mount in included}
    tops = set(options.include)
    withheld = [item for item in withheld if item.path not in names and item.path not in tops]
    return mounts + included, _folded(withheld), not included


def _judge_file(file: File, known: Known | None, options: TaskOptions) -> Mount | str:
    name = file.name.lower()
    if name == "leaderboard.csv":
        return "standings of others, not an input"
    if file.rel == options.start:
        return Mount(file, "code", _clean_code(file))
    for test, decide in _BY_KIND:
        if test(file, name):
            return decide(file, known)
    suffix = next((s for s in _REASONS if name.endswith(s)), "")
    return _REASONS.get(suffix, "not recognised as an input")


def _is_table_file(file: File, name: str) -> bool:
    from .tables import is_table

    return is_table(name)


def _is_code(file: File, name: str) -> bool:
    from .discover import CODE_SUFFIXES

    return name.endswith(CODE_SUFFIXES)


def _is_text(file: File, name: str) -> bool:
    from .discover import DOC_SUFFIXES

    return name.endswith(DOC_SUFFIXES) or name in ("license", "readme", "requirements.txt")


def _is_media(file: File, name: str) -> bool:
    from .columns import MEDIA_SUFFIXES

    return name.endswith(MEDIA_SUFFIXES)


def _judge_code(file: File, known: Known | None) -> Mount | str:
    if file.bytes > _TEXT_LIMIT and not file.name.endswith(".ipynb"):
        return "too long for a program: it could hold data"
    data = _clean_code(file)
    text = (file.path.read_bytes() if data is None else data).decode("utf-8", errors="replace")
    count = len(quoted(text, known.held)) if known else 0
    return f"names {count} held-out rows with their labels" if count else Mount(file, "code", data)


def _clean_code(file: File) -> bytes | None:
    """A notebook without outputs, attachments and metadata; None for plain code."""
    if not file.name.lower().endswith(".ipynb"):
        return None
    try:
        book = json.loads(file.path.read_text(encoding="utf-8"))
        cells = [_clean_cell(cell) for cell in book.get("cells", [])]
    except (ValueError, AttributeError, OSError):
        return json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()
    clean = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return (json.dumps(clean, indent=1, ensure_ascii=False) + "\n").encode("utf-8")


def _clean_cell(cell: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {"cell_type": cell["cell_type"], "metadata": {}, "source": cell.get("source", "")}
    if kept["cell_type"] == "code":
        kept |= {"outputs": [], "execution_count": None}
    return kept


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
    return Mount(file, "description", clean.encode("utf-8") if cut else None)


def without_rows(text: str, held: HeldOut) -> tuple[str, int]:
    """`text` less the lines that name a held-out row with its label, and how many those were."""
    lines, cut = [], 0
    for line in text.splitlines(keepends=True):
        if _quotes(line, held):
            cut += 1
            lines.append("[a row of the train table that is held out]\n")
        else:
            lines.append(line)
    return ("".join(lines), cut) if cut else (text, 0)


def _quotes(line: str, held: HeldOut) -> list[str]:
    """Held-out ids that stand in a line together with their label."""
    words = _WORD.findall(line)
    present = set(words)
    found = [word for word in present if word in held.labels and held.labels[word] in present - {word}]
    if not found:
        return []
    # Small numbers are everywhere in prose and programs: as ids they count in table rows only.
    plain = [word for word in found if word.isdigit()]
    if plain and not (len(_SEPARATORS.findall(line)) >= 1 and words[0] in plain):
        many = len(plain) > 10
        found = [word for word in found if not word.isdigit() or many]
    return found


def quoted(text: str, held: HeldOut) -> set[str]:
    """Held-out ids that `text` names on one line with their label."""
    return {name for line in text.splitlines() for name in _quotes(line, held)}


def _judge_media(file: File, known: Known | None) -> Mount | str:
    return "no table names it"


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


def side_table_reason(table: Table, known: Known) -> str:
    """Why a further table is withheld; empty if it is a look-up or feature table."""
    lower = {name.lower() for name in table.columns}
    targets = {name.lower() for name in known.targets}
    if lower & targets:
        return f"has the target column {sorted(lower & targets)[0]!r}"
    predicted = [name for name in table.columns if looks_predicted(name) or _label_like(name)]
    if predicted:
        return f"column {predicted[0]!r} speaks of labels or predictions"
    if table.rows == len(known.train):
        return "has as many rows as the train table: could be out-of-fold predictions"
    shared = [name for name in table.columns if name in known.train.columns]
    if len(shared) >= max(3, len(known.train.columns) // 2):
        return "looks like another version of the train table"
    keyed = _keyed_by_ids(table, known)
    if keyed:
        return _keyed_reason(table, keyed, known)
    key = next((name for name in shared if _is_lookup(table, name, known)), "")
    if not key:
        return "not recognised as an input: no column leads from the train table to it"
    return _joined_reason(table, key, known.train[key].astype(str), known)


def _label_like(name: str) -> bool:
    return bool(re.search(r"(^|_)(label|target|truth|answer|y|gt|class|actual)(_|$)", name.lower()))


def _keyed_by_ids(table: Table, known: Known) -> str:
    """The column that holds ids of labelled rows, if any: matched by values, whatever its name."""
    if not known.held.ids:
        return ""
    for name in table.columns:
        values = set(table.frame[name].astype(str).unique())
        named = name == known.id_column
        hits = len(values & known.held.ids)
        if hits and (named or hits >= 0.3 * len(known.held.ids)):
            return name
    return ""


def _keyed_reason(table: Table, key: str, known: Known) -> str:
    if key != known.id_column:
        return f"column {key!r} holds ids of labelled rows"
    if known.held.remapped:
        return "keyed by ids that are renamed in the held-out rows"
    ids = set(table.frame[key].astype(str).unique())
    train_cover = len(ids & known.held.ids) / max(1, len(known.held.ids))
    test_cover = len(ids & known.held.test_ids) / max(1, len(known.held.test_ids))
    if not known.held.test_ids or test_cover < 0.5 * train_cover:
        return "keyed by ids of labelled rows, and says little of the test rows"
    return _joined_reason(table, key, known.ids, known)


def _is_lookup(table: Table, name: str, known: Known) -> bool:
    keys = set(table.frame[name].astype(str))
    column = known.train[name].astype(str)
    repeated = column.nunique() <= 0.5 * len(column)
    return len(keys) == table.rows and repeated and bool(column.isin(keys).mean() >= 0.5)


def _joined_reason(table: Table, key: str, rows: pd.Series, known: Known) -> str:
    """Whether a column, joined to the labelled rows, tells the target."""
    values = typed(table)
    first = values[~table.frame[key].astype(str).duplicated().to_numpy()].copy()
    first.index = pd.Index(table.frame.loc[first.index, key].astype(str))
    for name in table.columns:
        if name == key:
            continue
        joined = first[name].reindex(rows.to_numpy()).reset_index(drop=True)
        reason = tells(joined, known.labels, purity=0.95)
        if reason:
            return f"column {name!r}: {reason}"
    return ""


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


_BY_KIND: tuple[tuple[Callable[[File, str], bool], Callable[[File, Known | None], Mount | str]], ...] = (
    (_is_table_file, _judge_table),
    (_is_code, _judge_code),
    (_is_text, _judge_text),
    (_is_media, _judge_media),
)
