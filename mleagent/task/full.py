"""The folder for the refit: all labelled rows in train, the user's own rows in test.

Made on demand from the user's folder under the same names, columns, ids and
media names as `public/`, so that the same program runs on both. `padded` puts
a refit's predictions into the shape of a whole submission, for the grader's
`cut` and `agreement`.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from ..clock import new_id
from ..errors import InputError
from ..records import Task
from . import assemble, rows
from .layout import ANSWERS_FILE, ID, PART, layout_of
from .options import TaskOptions
from .prepare import OPTIONS_FILE, readable, understand


def full_public(task: Task, home: Path) -> Path | None:
    """Public folder for the refit; None where the user has no test rows or nothing is held out.

    Raises InputError when the user's folder has changed since the task was prepared.
    """
    if task.private is None or not task.rows_test:
        return None
    place = home / "tasks" / task.content_hash / "full"
    if place.is_dir():
        return place
    stored = (place.parent / OPTIONS_FILE).read_text(encoding="utf-8")
    understood = understand(task.folder, TaskOptions.model_validate_json(stored), home)
    if understood.task.content_hash != task.content_hash:
        raise InputError(
            f"{task.folder}: changed since the session began, so it can't be refitted; start anew"
        )
    decided = rows.Decided.of(understood)
    work = place.parent.parent / f".tmp-{os.getpid()}-{new_id()}"
    try:
        assemble.write_public(decided, rows.test_rows(decided), work, full=True)
        readable(work)
        if not place.is_dir():
            os.rename(work, place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return place


def padded(refit: bytes, best: bytes, private: Path) -> bytes:
    """`best` (a valid submission) with the user's own rows taken from `refit`, a CSV over those rows.

    Raises InputError when `refit` lacks a row or has another header.
    """
    layout = layout_of(private)
    keys = pq.read_table(private / ANSWERS_FILE, columns=[ID, PART])
    own = [number for number, part in enumerate(keys.column(PART).to_pylist()) if part == "test"]
    fresh, whole = _rows(refit), _rows(best)
    if not fresh or fresh[0] != whole[0]:
        raise InputError(f"the refit's submission has not the header {','.join(layout.columns)}")
    if layout.id_column is None:
        if len(fresh) - 1 != len(own):
            raise InputError(f"the refit's submission has {len(fresh) - 1} rows, not {len(own)}")
        for number, row in zip(own, fresh[1:], strict=True):
            whole[1 + number] = row
    else:
        at = whole[0].index(layout.id_column)
        ids = keys.column(ID).to_pylist()
        wanted = {ids[number] for number in own}
        given = {_plain(row[at]): row for row in fresh[1:] if len(row) == len(whole[0])}
        missing = sorted(wanted - set(given))
        if missing:
            raise InputError(f"the refit's submission lacks {len(missing)} rows, e.g. id {missing[0]}")
        whole[1:] = [given[_plain(r[at])] if _plain(r[at]) in wanted else r for r in whole[1:]]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(whole)
    return out.getvalue().encode("utf-8")


def _plain(text: str) -> str:
    """An id without the `.0` that a float column adds."""
    return text.strip().removesuffix(".0")


def _rows(data: bytes) -> list[list[str]]:
    reader = csv.reader(io.StringIO(data.decode("utf-8-sig", errors="replace"), newline=""))
    return [row for row in reader if row]
