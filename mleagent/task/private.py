"""Writes the private folder: the held-out labels and the submission's layout (see `layout`).

It is never mounted; only the grader reads it. A user's own metric file is
copied in, so that grading does not depend on the user's folder any more.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from .columns import class_text
from .layout import ANSWERS_FILE, ID, LAYOUT_FILE, ORDER, PART, USER_ID, SubmissionLayout
from .rows import Decided, TestRows, is_whole
from .split import FEEDBACK


def write_private(decided: Decided, rows: TestRows, private: Path) -> None:
    """Write the answers and the submission layout (see `layout`)."""
    private.mkdir(parents=True, mode=0o700)
    held = rows.held >= 0
    names = np.where(decided.parts[np.maximum(rows.held, 0)] == FEEDBACK, "feedback", "sealed")
    answers = pd.DataFrame(
        {
            ID: pd.Series(rows.ids, dtype=object),
            PART: np.where(held, names, "test"),
            USER_ID: pd.Series(rows.user_ids, dtype=object),
            ORDER: rows.own.astype(np.int64),
        }
    )
    for target in decided.problem.targets:
        column = decided.sources.values[target]
        if decided.problem.classification or decided.problem.kind == "ranking":
            text = class_text(column).to_numpy(dtype=object)
            answers[target] = [text[row] if row >= 0 else None for row in rows.held]
        else:
            numbers = column.to_numpy(dtype=float)
            answers[target] = np.where(held, numbers[np.maximum(rows.held, 0)], np.nan)
    answers.to_parquet(private / ANSWERS_FILE, index=False)
    (private / LAYOUT_FILE).write_text(_layout(decided, rows, private).model_dump_json(), encoding="utf-8")


def _layout(decided: Decided, rows: TestRows, private: Path) -> SubmissionLayout:
    problem, source = decided.problem, decided.problem.metric_source
    if source:
        file, _, name = source.rpartition(":")
        kept = Path(file).name
        (private / kept).write_bytes((decided.u.found.folder / file).read_bytes())
        source = f"{kept}:{name}"
    return SubmissionLayout(
        id_column=problem.sample_id,
        columns=problem.columns,
        targets=problem.targets,
        metric=problem.metric,
        metric_source=source,
        problem=problem.kind,
        classes=problem.classes if problem.classification else (),
        class_columns=problem.class_columns,
        integer_ids=all(is_whole(text) for text in rows.ids),
    )
