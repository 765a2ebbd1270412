"""From text to values, and what kind of column each is.

Takes a table, gives a typed frame (as pandas would read the file) and a
ColumnProfile a column. The profile is what programs and models decide by, so
its words are few and fixed (records.ColumnType).
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from ..records import ColumnProfile, ColumnType
from .names import MEDIA_SUFFIXES
from .tables import Table

NA_WORDS = frozenset(
    ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>")
) | {"N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
"""What pandas reads as missing by default."""

_BOOLEAN_WORDS = ({"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"})
_DATE = re.compile(r"^\s*(\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ].*)?\s*$")
_SAMPLE = 500


def typed(table: Table) -> pd.DataFrame:
    """The table's values: numbers as numbers, missing as NaN, everything else as text."""
    if table.format.kind == "parquet":
        return table.frame
    return pd.DataFrame({name: typed_column(table.frame[name]) for name in table.frame.columns})


def typed_column(text: pd.Series) -> pd.Series:
    """One column of text as pandas' own CSV reader would give it."""
    missing = text.isin(NA_WORDS)
    values = text[~missing]
    if len(values) and _numeric_like(values):
        numbers = pd.to_numeric(values, errors="coerce")
        if not numbers.isna().any():
            return numbers if not missing.any() else numbers.astype(float).reindex(text.index)
    if len(values) == 0:
        return pd.Series(np.nan, index=text.index, dtype=float)
    return text.mask(missing) if missing.any() else text


def _numeric_like(values: pd.Series) -> bool:
    """A cheap look at a few values before converting a long text column in vain."""
    head = values.iloc[: min(len(values), 20)]
    return not pd.to_numeric(head, errors="coerce").isna().any()


def is_number(column: pd.Series) -> bool:
    """Whether a typed column holds numbers (booleans are not)."""
    return bool(pd.api.types.is_numeric_dtype(column)) and not pd.api.types.is_bool_dtype(column)


def as_dates(column: pd.Series) -> pd.Series | None:
    """The column as timestamps if (nearly) all its values are dates, else None."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return pd.Series(column.dt.tz_localize(None) if getattr(column.dt, "tz", None) else column)
    if is_number(column) or pd.api.types.is_bool_dtype(column):
        return None
    present = column.dropna().astype(str)
    head = present.iloc[:_SAMPLE]
    if not len(head) or not head.map(lambda value: bool(_DATE.match(value))).mean() > 0.95:
        return None
    dates = pd.to_datetime(
        present, errors="coerce", format="mixed", utc=True, dayfirst=_day_first(present)
    ).dt.tz_localize(None)
    return dates.reindex(column.index) if float(dates.isna().mean()) < 0.05 else None


def _day_first(present: pd.Series) -> bool:
    """Whether `03/04/2021` is the third of April: some first number is no month."""
    first = pd.to_numeric(
        present.str.extract(r"^\s*(\d{1,2})[-/.]\d{1,2}[-/.]", expand=False), errors="coerce"
    )
    return bool((first > 12).any())


def class_text(column: pd.Series) -> pd.Series:
    """Labels as text: `1.0` of a whole-number column is `1`; missing stays missing."""
    missing = column.isna()
    if is_number(column):
        present = column[~missing].astype(float)
        if len(present) and bool((present == present.round()).all()):
            return present.astype("int64").astype(str).reindex(column.index).astype(object)
    return column.astype(str).astype(object).mask(missing)


def column_type(column: pd.Series, unique: int) -> ColumnType:
    """The type of a typed column with `unique` distinct values (ids and targets are named elsewhere)."""
    present = column.dropna()
    if unique <= 1:
        return "constant"
    if pd.api.types.is_bool_dtype(column):
        return "boolean"
    if is_number(column):
        return "boolean" if unique == 2 and set(present.unique()) <= {0, 1} else "numeric"
    if as_dates(column) is not None:
        return "date"
    text = present.astype(str)
    if unique <= 2 and set(text.str.lower().unique()) in _BOOLEAN_WORDS:
        return "boolean"
    head = text.iloc[:_SAMPLE]
    if head.str.lower().str.endswith(MEDIA_SUFFIXES).mean() > 0.9:
        return "path"
    if unique > 0.5 * len(present) and (head.str.count(" ").mean() >= 3 or head.str.len().mean() >= 40):
        return "text"
    if unique == len(present) and len(present) >= 20:
        return "id" if head.str.count(" ").mean() < 1 else "text"
    return "categorical"


def profile_columns(frame: pd.DataFrame, special: dict[str, str]) -> tuple[ColumnProfile, ...]:
    """A profile a column; `special` maps names to `target`, `id`, `group`, `time` (goes into the note)."""
    return tuple(_profile(frame[name], str(name), special.get(str(name), "")) for name in frame.columns)


def _profile(column: pd.Series, name: str, role: str) -> ColumnProfile:
    unique = int(column.nunique())
    kind: ColumnType = "id" if role == "id" else column_type(column, unique)
    notes = [role] if role and role != "id" else []
    notes += _notes(column, kind, unique, role)
    return ColumnProfile(
        name=name,
        type=kind,
        missing=round(float(column.isna().mean()), 4) if len(column) else 0.0,
        unique=unique,
        note="; ".join(notes),
    )


def _notes(column: pd.Series, kind: ColumnType, unique: int, role: str) -> list[str]:
    present = column.dropna()
    if kind == "numeric":
        values = present.to_numpy(dtype=np.float64)
        notes = [f"{short(values.min())}..{short(values.max())}"]
        if _skewed(values):
            notes.append("skewed")
        return notes
    if kind == "date":
        dates = as_dates(column)
        if dates is not None:
            return [f"date range {dates.min():%Y-%m-%d}..{dates.max():%Y-%m-%d}"]
    if kind == "categorical" and role != "target":
        if float(pd.to_numeric(present.astype(str), errors="coerce").notna().mean()) > 0.7:
            return ["mostly numbers, some text"]
        if unique > 50:
            return ["high cardinality"]
        if len(present) and present.astype(str).str.strip().str.lower().nunique() < unique:
            return ["same words spelled differently"]
    return []


def _skewed(values: np.ndarray[Any, Any]) -> bool:
    values = values[np.isfinite(values)]
    if values.size < 20 or not float(np.ptp(values)):
        return False
    spread = float(values.std())
    return abs(float(((values - values.mean()) ** 3).mean()) / spread**3) > 2 if spread else False


def short(value: float) -> str:
    """A number in three digits at most, the way a person says it: `0.12`, `4.3`, `1.2k`, `3.5M`."""
    number = float(value)
    if not np.isfinite(number):
        return str(number)
    for limit, mark in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= limit:
            scale = {"G": 1e9, "M": 1e6, "k": 1e3}[mark]
            return f"{number / scale:.3g}{mark}"
    return f"{number:.3g}" if abs(number) < 1000 else f"{number:.0f}"
