"""From a submission's text to the arrays a metric scores, or one exact reason why not.

Takes the aligned text table of `submission` and the layout; gives numbers, class codes, probabilities
or ranked lists, one row a test row. Every row is checked, whichever part it belongs to: a file that
Kaggle would refuse is refused here. The same labels code the answers, see `Labels`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import InputError
from .layout import SubmissionLayout
from .metric import Metric
from .stderr import Array, Floats
from .submission import SubmissionError, first_of, quoted

_SLACK = 1e-6
"""Probabilities may leave 0..1 by this much (32-bit rounding); they are clipped."""

_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "<na>", "nat", "-nan"})


class Labels:
    """The classes of a task as codes 0..K-1; text is matched as `1` = `1.0`, `True` = `true`."""

    def __init__(self, classes: Sequence[str]):
        self.classes = tuple(classes)
        self._boolean = {text.casefold() for text in classes} == {"true", "false"}
        numbers = [_number(text) for text in classes]
        self._numeric = bool(classes) and None not in numbers
        self._codes = {self._key(text): code for code, text in enumerate(self.classes)}
        self.levels: Array = (
            np.asarray(numbers, dtype=np.float64) if self._numeric else np.asarray(self.classes, dtype=str)
        )
        """The classes' own values: numbers where all are numbers, else text; shape (K,)."""

    @property
    def numeric(self) -> bool:
        """Whether all classes are numbers."""
        return self._numeric

    def _key(self, text: str) -> object:
        if self._numeric:
            number = _number(text)
            return text if number is None else number
        return text.casefold() if self._boolean else text

    def code(self, text: str) -> int:
        """The class's code; -1 for what is no class."""
        found = self._codes.get(self._key(text))
        return self._codes.get(self._key(text.strip()), -1) if found is None else found

    def codes(self, column: Any) -> tuple[Array, list[str]]:
        """Codes of an arrow text column, shape (n,), and the distinct texts that are no class."""
        encoded = pc.dictionary_encode(column)
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        texts = encoded.dictionary.to_pylist()
        lookup = np.asarray([self.code(text) for text in texts] or [-1], dtype=np.int64)
        codes = lookup[encoded.indices.to_numpy(zero_copy_only=False)]
        return codes, [text for text, code in zip(texts, lookup, strict=False) if code < 0]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


Where = Callable[[int], str]
"""Names a row for people: by its id where there is one."""


def parse(table: Any, layout: SubmissionLayout, metric: Metric, labels: Labels) -> Array:
    """Predictions in the answers' row order: numbers or codes (n,), one column a target or class
    (n, k), or text of ranked lists (n,). Raises SubmissionError with the column, count and an example.
    """
    where = _row_names(table, layout)
    columns = prediction_columns(layout)
    kind = metric.spec.prediction
    if kind == "value":
        parts = [_values(table.column(name), name, where, metric) for name in columns]
    elif layout.class_columns:
        return _class_probabilities(table, layout, where, labels, metric)
    elif kind == "label" and not labels.classes:
        parts = [_whole(table.column(name), name, where) for name in columns]
    elif kind == "label":
        parts = [_labels(table.column(name), name, where, labels) for name in columns]
    elif kind == "ranking":
        return _ranking(table.column(columns[0]), columns[0], where)
    else:
        parts = [_probabilities(table.column(name), name, where) for name in columns]
    return parts[0] if len(parts) == 1 else np.column_stack(parts)


def prediction_columns(layout: SubmissionLayout) -> list[str]:
    """Submission columns that hold predictions, in the order of the targets they answer."""
    rest = [name for name in layout.columns if name != layout.id_column]
    if layout.id_column is not None and layout.id_column not in layout.columns:
        rest = rest[1:]
    if set(layout.targets) <= set(rest):
        return list(layout.targets)
    return rest


def _row_names(table: Any, layout: SubmissionLayout) -> Where:
    if layout.id_column is None:
        return lambda row: f"row {row + 1}"
    name = layout.id_column if layout.id_column in layout.columns else layout.columns[0]
    ids = table.column(name)
    return lambda row: f"id {quoted(ids[row].as_py()).strip(chr(39))}"


def _refuse(what: str, rows: Array, name: str, where: Where, mend: str = "") -> SubmissionError:
    """`3 missing values in column 'x' (id 1, id 2, id 3)`."""
    shown = first_of((where(int(row)) for row in rows[:3]), len(rows))
    return SubmissionError(f"{len(rows)} {what} in column {quoted(name)} ({shown}){mend}")


def _plural(rows: Array, one: str, many: str) -> str:
    return one if len(rows) == 1 else many


def _numbers(column: Any, name: str, where: Where) -> Floats:
    """A text column as finite numbers, shape (n,)."""
    try:
        numbers = pc.cast(column, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        numbers = _numbers_one_by_one(column, name, where)
    finite = np.isfinite(numbers)
    if not finite.all():
        missing = np.flatnonzero(np.isnan(numbers))
        if len(missing):
            raise _refuse(
                _plural(missing, "missing value (NaN)", "missing values (NaN)"), missing, name, where
            )
        rows = np.flatnonzero(~finite)
        raise _refuse(_plural(rows, "infinite value", "infinite values"), rows, name, where)
    return np.asarray(numbers, dtype=np.float64)


def _numbers_one_by_one(column: Any, name: str, where: Where) -> Floats:
    """The slow way, for columns with blanks or text: says exactly what is no number."""
    texts = [text.strip() for text in column.to_pylist()]
    numbers = np.empty(len(texts))
    bad = []
    for row, text in enumerate(texts):
        if text.casefold() in _MISSING:
            numbers[row] = np.nan
            continue
        try:
            numbers[row] = float(text)
        except ValueError:
            bad.append(row)
    if bad:
        rows = np.asarray(bad)
        what = _plural(rows, "value is no number", "values are no numbers")
        raise _refuse(f"{what}, e.g. {quoted(texts[bad[0]])},", rows, name, where)
    return numbers


def _values(column: Any, name: str, where: Where, metric: Metric) -> Floats:
    numbers = _numbers(column, name, where)
    if metric.low is not None:
        rows = np.flatnonzero(numbers < metric.low)
        if len(rows):
            what = f"{_plural(rows, 'value', 'values')} below {metric.low:g}, e.g. {numbers[rows[0]]:g},"
            mend = f"; {metric.spec.name} needs values of at least {metric.low:g}"
            raise _refuse(what, rows, name, where, mend)
    return numbers


def _probabilities(column: Any, name: str, where: Where) -> Floats:
    numbers = _numbers(column, name, where)
    rows = np.flatnonzero((numbers < -_SLACK) | (numbers > 1.0 + _SLACK))
    if len(rows):
        what = _plural(rows, "probability", "probabilities")
        raise _refuse(f"{what} outside 0..1, e.g. {numbers[rows[0]]:g},", rows, name, where)
    return np.clip(numbers, 0.0, 1.0)


def _class_probabilities(
    table: Any, layout: SubmissionLayout, where: Where, labels: Labels, metric: Metric
) -> Array:
    """One column a class in the order of the classes, shape (n, K); for two classes that of class 1.

    Where the metric wants labels, the code of the likeliest class, shape (n,).
    """
    by_code = {
        labels.code(label): _probabilities(table.column(name), name, where)
        for name, label in layout.class_columns
    }
    if len(labels.classes) == 2 and len(by_code) == 1:
        return by_code[1] if 1 in by_code else 1.0 - by_code[0]
    if sorted(by_code) != list(range(len(labels.classes))):
        raise InputError("the prepared task names no column for some class; prepare the task anew")
    matrix = np.column_stack([by_code[code] for code in range(len(labels.classes))])
    total = matrix.sum(axis=1)
    rows = np.flatnonzero(total <= 0)
    if len(rows):
        shown = first_of((where(int(row)) for row in rows[:3]), len(rows))
        what = _plural(rows, "row", "rows")
        raise SubmissionError(f"{len(rows)} {what} whose probabilities are all 0 ({shown})")
    if metric.spec.prediction == "label":
        return np.asarray(matrix.argmax(axis=1))
    return matrix[:, 1] / total if matrix.shape[1] == 2 else matrix


def _labels(column: Any, name: str, where: Where, labels: Labels) -> Array:
    codes, strange = labels.codes(column)
    if not strange:
        return codes
    rows = np.flatnonzero(codes < 0)
    if all(text.strip().casefold() in _MISSING for text in strange):
        raise _refuse(_plural(rows, "missing label", "missing labels"), rows, name, where)
    example = next(text for text in strange if text.strip().casefold() not in _MISSING)
    shown = ", ".join(labels.classes[:6]) + (", ..." if len(labels.classes) > 6 else "")
    number = _number(example)
    fraction = number is not None and labels.numeric and number != int(number)
    mend = "; write labels, not probabilities" if fraction else ""
    what = f"{_plural(rows, 'label', 'labels')} not among the classes ({shown}), e.g. {quoted(example)},"
    raise _refuse(what, rows, name, where, mend)


def _whole(column: Any, name: str, where: Where) -> Floats:
    """Labels of a task that lists no classes: any whole numbers."""
    numbers = _numbers(column, name, where)
    rows = np.flatnonzero(numbers != np.round(numbers))
    if len(rows):
        what = f"{_plural(rows, 'label is', 'labels are')} no whole number, e.g. {numbers[rows[0]]:g},"
        raise _refuse(what, rows, name, where)
    return numbers


def _ranking(column: Any, name: str, where: Where) -> Array:
    texts = np.asarray(column.to_pylist(), dtype=object)
    rows = np.asarray([row for row, text in enumerate(texts) if not text.strip()], dtype=np.int64)
    if len(rows):
        raise _refuse(_plural(rows, "empty list", "empty lists"), rows, name, where)
    return texts
