"""The contract between preparation and grading: what `private/` holds.

`prepare` writes it, `grade` reads it, nobody else does.

- `private/layout.json`: a `SubmissionLayout`.
- `private/answers.parquet`: one row a row of the public test table, with
  `__id__` (the public id, as text; the row's position where the task has no id),
  `__part__` (`feedback`, `sealed` or `test`: the user's own row),
  `__user_id__` (text; the id the user's own test file has; null for held-out rows),
  `__order__` (int; position in the user's own test file; -1 for held-out rows),
  and the target columns (null for the user's own rows).
"""

from __future__ import annotations

from pathlib import Path

from ..records import MetricSpec, Record

LAYOUT_FILE = "layout.json"
ANSWERS_FILE = "answers.parquet"
ID, PART, USER_ID, ORDER = "__id__", "__part__", "__user_id__", "__order__"


class SubmissionLayout(Record):
    """What a submission must look like, and how its columns meet the answers'."""

    id_column: str | None
    """None: rows are matched by position."""
    columns: tuple[str, ...]
    """The exact header, id first where there is one."""
    targets: tuple[str, ...]
    """Label columns of the answers."""
    metric: MetricSpec
    metric_source: str = ""
    """For a user's own metric: `path/of/file.py:function`; empty for the registry's."""
    problem: str = "unknown"
    classes: tuple[str, ...] = ()
    """Labels as text, for classification; the order is the one of probability columns."""
    class_columns: tuple[tuple[str, str], ...] = ()
    """(submission column, class) for probabilities with a column a class."""
    integer_ids: bool = False
    """The user's ids are whole numbers: `7`, `7.0` and `007` are told apart as text otherwise."""
    user_columns: tuple[str, ...] = ()
    """Header of the file to upload, where it differs from `columns`; empty: the same."""


def layout_of(private: Path) -> SubmissionLayout:
    """Read the layout of a prepared task's private folder."""
    return SubmissionLayout.model_validate_json((private / LAYOUT_FILE).read_text(encoding="utf-8"))
