"""The held-out labels as arrays, and both sides as the metric wants them.

Takes the answers file and one part's name; gives that part's labels, coded by the task's own classes.
Only the rows of the part asked for are kept, so that whoever holds feedback labels holds no others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import InputError
from .layout import PART, SubmissionLayout
from .metric import Metric, lists
from .stderr import Array
from .submission_values import Labels


def read_labels(path: Path, part: str, layout: SubmissionLayout, metric: Metric, labels: Labels) -> Array:
    """Labels of one part: numbers or class codes (n,), one column a target (n, t), or text of lists (n,).

    Raises InputError when the file does not hold what the layout promises.
    """
    try:
        table = pq.read_table(
            path, columns=list(layout.targets), filters=[(PART, "==", part)], use_threads=False
        )
        columns = [_column(table.column(name), metric, labels) for name in layout.targets]
    except (OSError, KeyError, pa.ArrowInvalid, ValueError) as error:
        detail = " ".join(str(error).split())[:120]
        raise InputError(
            f"the answers of this task can't be used ({detail}); prepare the task anew"
        ) from None
    if metric.low is not None and any((column < metric.low).any() for column in columns):
        raise InputError(
            f"metric {metric.spec.name} needs labels of at least {metric.low:g}; set another [task] metric"
        )
    return columns[0] if len(columns) == 1 else np.column_stack(columns)


def _column(column: Any, metric: Metric, labels: Labels) -> Array:
    if column.null_count:
        raise ValueError(f"{column.null_count} labels are missing")
    if metric.spec.prediction == "value" or (metric.spec.prediction == "label" and not labels.classes):
        return np.asarray(pc.cast(column, pa.float64()).to_numpy(), dtype=np.float64)
    if pa.types.is_boolean(column.type) and labels.numeric:
        column = pc.cast(column, pa.int64())
    text = pc.cast(column, pa.string())
    if metric.spec.prediction == "ranking":
        return np.asarray(text.to_pylist(), dtype=object)
    codes, strange = labels.codes(text)
    if strange:
        raise ValueError(f"label {strange[0][:40]!r} is none of the classes")
    return codes


def code_pair(metric: Metric, labels: Labels, truth: Array, pred: Array) -> tuple[Array, Array]:
    """Truth and predictions as `metric.measure` takes them, from their coded forms."""
    kind = metric.spec.prediction
    if kind == "ranking" and not metric.own:
        return lists(truth, pred)
    if kind != "label":
        return truth, pred
    if not labels.classes:
        return (truth, pred) if metric.own else metric.coded(truth, pred)
    if metric.own or (metric.by_value and labels.numeric):
        return labels.levels[truth], labels.levels[pred]
    return truth, pred
