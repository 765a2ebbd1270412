"""Private folders as preparation writes them, made by hand for the grader's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mleagent.task import metrics
from mleagent.task.layout import ANSWERS_FILE, ID, LAYOUT_FILE, ORDER, PART, USER_ID, SubmissionLayout


def make_private(
    folder: Path,
    metric: str,
    truth: Mapping[str, Sequence[Any]],
    parts: Sequence[str],
    ids: Sequence[str] | None = None,
    **layout: Any,
) -> Path:
    """A private folder: `truth` by target (None on the user's own rows), `parts` one a row.

    The user's own rows have ids `u0`, `u1`, ... in reverse order of their public position.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = [row for row, part in enumerate(parts) if part == "test"]
    place = {row: len(own) - 1 - k for k, row in enumerate(own)}
    public = list(ids) if ids is not None else [str(100 + row) for row in range(len(parts))]
    columns = {
        ID: pa.array(public, pa.string()),
        PART: pa.array(list(parts), pa.string()),
        USER_ID: pa.array([f"u{place[row]}" if row in place else None for row in range(len(parts))]),
        ORDER: pa.array([place.get(row, -1) for row in range(len(parts))], pa.int64()),
    }
    for name, values in truth.items():
        columns[name] = pa.array([None if p == "test" else v for v, p in zip(values, parts, strict=True)])
    pq.write_table(pa.table(columns), folder / ANSWERS_FILE)
    fields: dict[str, Any] = {
        "id_column": "id",
        "columns": ("id", *truth),
        "targets": tuple(truth),
        "metric": layout.pop("spec", None) or metrics.get(metric).spec,
        "integer_ids": ids is None,
    }
    text = SubmissionLayout(**{**fields, **layout}).model_dump_json()
    (folder / LAYOUT_FILE).write_text(text, encoding="utf-8")
    return folder


def parts_of(feedback: int, sealed: int, test: int) -> list[str]:
    """Part names, interleaved so that no part is a block."""
    names = ["feedback"] * feedback + ["sealed"] * sealed + ["test"] * test
    return [names[(7919 * k) % len(names)] if len(names) % 7919 else names[k] for k in range(len(names))]


def csv_of(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """A CSV file's bytes from columns."""
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    return ("\n".join(lines) + "\n").encode()
