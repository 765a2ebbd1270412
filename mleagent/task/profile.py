"""A table and a task in few words, for models and for people.

`table_profile` answers the `<data>` action, `task_profile` is the data part of
the task brief. Both give the same bytes for the same input, with numbers in
three digits at most, because they stand in the prompt's fixed prefix and
small models read them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..records import ColumnProfile, Task
from .columns import profile_columns, short, typed
from .tables import read_table

_WIDTH = 24
_MAX_LINES = 24
_MARKS = {
    "numeric": "num",
    "categorical": "cat",
    "boolean": "bool",
    "date": "date",
    "text": "text",
    "path": "path",
    "id": "id",
    "constant": "const",
}


def table_profile(path: Path, max_rows: int = 200_000) -> str:
    """Types, missing values, cardinality, ranges and head of the table at `path`.

    Looks at the first `max_rows` rows. Raises InputError where it is no readable table.
    """
    table = read_table(path, limit=max_rows + 1)
    cut = table.rows > max_rows
    frame = typed(table.take(table.frame.head(max_rows)))
    rows = f"over {max_rows}" if cut else str(len(frame))
    lines = [f"{path.name}: {rows} rows, {len(table.columns)} columns"]
    if len(frame):
        lines += _column_lines(profile_columns(frame, {}), _frequent(frame))
        lines += _head(table.frame)
    return "\n".join(lines)


def task_profile(task: Task) -> str:
    """The data part of the brief: files, sizes, columns, what a submission looks like."""
    lines = [_asked(task)] if task.targets else []
    lines += [f"files: {_files(task)}"] if task.inputs else []
    if task.submission_columns:
        key = f", one row for each `{task.id_column}` of the sample" if task.id_column else ", row by row"
        lines.append(f"submission.csv: header {_names(task.submission_columns)}{key}")
    if task.group_column:
        lines.append(f"groups: {task.group_column} (validate by group)")
    if task.time_column:
        lines.append(f"time: {task.time_column} (test is later than train)")
    return "\n".join(lines + _column_lines(task.columns, {}))


def _asked(task: Task) -> str:
    kind = f"{len(task.classes)} classes" if len(task.classes) > 2 else task.problem
    metric = f", metric {task.metric.name}, {task.metric.direction}" if task.metric else ""
    return f"predict {_names(task.targets)} ({kind}){metric}"


def _names(names: Iterable[str]) -> str:
    listed = list(names)
    return ",".join(listed) if len(listed) <= 8 else f"{','.join(listed[:3])},..,{listed[-1]} ({len(listed)})"


def _files(task: Task) -> str:
    test = task.rows_feedback + task.rows_sealed + task.rows_test
    counts = {"train": f" {task.rows_train} rows", "test": f" {test} rows"}
    shown = [item.path + counts.get(item.role, "") for item in task.inputs if item.role != "description"]
    return _limited(shown, 10)


def _limited(items: list[str], limit: int) -> str:
    return ", ".join(items[:limit]) + (f", {len(items) - limit} more" if len(items) > limit else "")


def _column_lines(columns: Iterable[ColumnProfile], frequent: dict[str, str]) -> list[str]:
    """One line a column; like columns (numbered families, then same type) share one where there are many."""
    columns = list(columns)
    if len(columns) <= _MAX_LINES:
        return [_line(column, frequent.get(column.name, "")) for column in columns]
    lines: list[str] = []
    families: dict[tuple[str, str, str], list[ColumnProfile]] = {}
    for column in columns:
        special = "" if not column.note.startswith(("target", "group", "time")) else column.name
        families.setdefault((_family(column.name), column.type, special), []).append(column)
    if len(families) > _MAX_LINES:
        families = _by_type(columns)
    for members in families.values():
        lines.append(_line(members[0], "") if len(members) == 1 else _family_line(members))
    return lines


def _family(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _by_type(columns: list[ColumnProfile]) -> dict[tuple[str, str, str], list[ColumnProfile]]:
    groups: dict[tuple[str, str, str], list[ColumnProfile]] = {}
    for column in columns:
        special = column.name if column.note.startswith(("target", "group", "time")) else ""
        missing = "missing" if column.missing else ""
        groups.setdefault((missing, column.type, special), []).append(column)
    return groups


def _family_line(members: list[ColumnProfile]) -> str:
    names = f"{members[0].name}..{members[-1].name} ({len(members)})"
    gaps = sum(1 for member in members if member.missing)
    missing = f", missing in {gaps}" if gaps else ""
    return f"- {names}: {_MARKS[members[0].type]}{missing}"


def _line(column: ColumnProfile, frequent: str) -> str:
    parts = [_MARKS[column.type]]
    if column.type in ("categorical", "text", "numeric", "date", "path") and column.unique:
        parts.append(f"{short(column.unique)} values")
    if column.missing:
        parts.append(f"{_share(column.missing)} missing")
    parts += [text for text in (column.note, frequent) if text]
    return f"- {column.name}: {', '.join(parts)}"


def _share(share: float) -> str:
    return "under 1%" if share < 0.01 else f"{share:.0%}"


def _frequent(frame: pd.DataFrame) -> dict[str, str]:
    """The most frequent values of columns with few."""
    found = {}
    for name in frame.columns:
        column = frame[name].dropna()
        if not len(column) or not 2 <= column.nunique() <= 12:
            continue
        shares = column.astype(str).value_counts(normalize=True)
        ordered = sorted(shares.items(), key=lambda item: (-item[1], str(item[0])))[:4]
        found[str(name)] = "e.g. " + ", ".join(f"{_clip(str(value))} {share:.0%}" for value, share in ordered)
    return found


def _head(frame: pd.DataFrame, rows: int = 3, columns: int = 12) -> list[str]:
    part = frame.iloc[:rows, :columns].astype(str)
    more = ",.." if frame.shape[1] > columns else ""
    lines = ["head:", ",".join(map(str, part.columns)) + more]
    return lines + [",".join(_clip(value) for value in row) + more for row in part.itertuples(index=False)]


def _clip(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _WIDTH else flat[: _WIDTH - 2] + ".."
