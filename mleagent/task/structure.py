"""The structure of the train table: which columns stay, what groups rows, what orders them in time.

Takes sources and problem; gives Columns and the SplitSpec made from them.
Group and time are inferred only where the user's test table proves that they
matter; each inference is a note with the setting that turns it off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import InputError
from . import giveaway
from .columns import as_dates, is_number
from .options import TaskOptions
from .problem import Problem
from .sources import Sources
from .split import Ints, SplitSpec, strata_of

_OFF = "none"
_PREFIXED = r"^(.+)[_\-.]\d+$"


@dataclass(frozen=True)
class Columns:
    """Which columns stay, and which carry structure."""

    dropped: dict[str, str]
    """Column → reason."""
    group: str = ""
    time: str = ""
    id_groups: bool = False
    """Rows whose ids begin alike (`0012_01`, `0012_02`) stay together."""
    notes: tuple[str, ...] = ()


def decide_columns(
    sources: Sources, problem: Problem, options: TaskOptions, values: pd.DataFrame, labels: giveaway.Labels
) -> Columns:
    """Decide which feature columns are withheld, and find group and time."""
    train = [str(name) for name in sources.train.columns]
    for key in ("group", "time", "fold_column"):
        wanted = getattr(options, key)
        if wanted and wanted != _OFF and wanted not in train:
            raise InputError(
                f"[holdout] {key}: the train table has no column {wanted!r}; it has {', '.join(train[:12])}"
            )
    features = [name for name in train if name not in (*problem.targets, problem.id_column)]
    group, time, notes = _structure(sources, problem, options, features)
    dropped = _missing_in_test(sources, features, {group, time, options.fold_column})
    kept = {entry.removeprefix("column:") for entry in options.include if entry.startswith("column:")}
    for name, reason in giveaway.telling_columns(values, features, labels):
        if name in (group, time, options.fold_column):
            notes.append(f"column {name!r} nearly tells the target: {reason}")
        else:
            dropped[name] = (
                f"{dropped[name]}; {reason}" if name in dropped else f"gives the target away: {reason}"
            )
    dropped = {name: reason for name, reason in dropped.items() if name not in kept}
    texts = giveaway.telling_texts(values, [n for n in features if n not in dropped], labels)
    notes += [
        f"text column {name!r} mostly contains the word of the class: scores may flatter" for name in texts
    ]
    id_groups = not (group or time or options.group == _OFF or options.fold_column) and _ids_group(
        sources, problem
    )
    if id_groups:
        notes.append("rows whose ids begin alike stay together, as in the test table")
    unlabelled = len(sources.train) - len(values)
    if unlabelled:
        notes.append(f"{unlabelled} train rows have no target; they stay in train, unlabelled")
    if sources.test is not None and any(name in sources.test.columns for name in problem.targets):
        notes.append("the test table carries the target: the column is left out")
    return Columns(dropped, group, time, id_groups, tuple(notes))


def _missing_in_test(sources: Sources, features: list[str], keep: set[str]) -> dict[str, str]:
    dropped = {}
    for name in features:
        if name.startswith("Unnamed: ") and sources.train[name].is_unique:
            dropped[name] = "a nameless row number"
        elif sources.test is not None and sources.test_values is not None and name not in keep:
            if name not in sources.test.columns:
                dropped[name] = "not in the test table"
            elif sources.test_values[name].isna().all() and sources.values[name].notna().any():
                dropped[name] = "empty in the test table"
    return dropped


def _structure(
    sources: Sources, problem: Problem, options: TaskOptions, features: list[str]
) -> tuple[str, str, list[str]]:
    """Group and time columns: as set, else inferred where the test table shows that they matter."""
    notes: list[str] = []
    group = "" if options.group == _OFF else options.group
    time = "" if options.time == _OFF else options.time
    if sources.test_values is None or options.fold_column:
        return group, time, notes
    shared = [name for name in features if name in sources.test_values]
    if not options.time:
        time = next((n for n in shared if _later(sources.values[n], sources.test_values[n])), "")
        if time:
            notes.append(
                f'split by time on {time!r}: every test row is later; [holdout] time = "none" turns it off'
            )
    if not options.group and not time:
        group = next((n for n in shared if _grouped(sources.values[n], sources.test_values[n])), "")
        if group:
            notes.append(
                f"grouped by {group!r}: no value of it is in both train and test; "
                f'[holdout] group = "none" turns it off'
            )
    return group, time, notes


def _later(train: pd.Series, test: pd.Series) -> bool:
    """Whether a date column puts every test row after every train row."""
    first, second = as_dates(train), as_dates(test)
    return first is not None and second is not None and bool(first.max() <= second.min())


def _grouped(train: pd.Series, test: pd.Series) -> bool:
    """Whether a repeating, key-like column has no value in common between train and test."""
    if is_number(train) and not bool((train.dropna() == train.dropna().round()).all()):
        return False
    groups, rows = train.nunique(), int(train.notna().sum())
    others = test.nunique()
    if groups < 10 or others < 3 or rows < 2 * groups or as_dates(train) is not None:
        return False
    return not set(train.dropna().unique()) & set(test.dropna().unique())


def _ids_group(sources: Sources, problem: Problem) -> bool:
    """Whether the first parts of the ids repeat, and train and test have none in common."""
    column = problem.id_column
    if column is None or sources.test is None or column not in sources.train:
        return False
    train, test = sources.train[column].astype(str), sources.test.frame[column].astype(str)
    if not (train.str.fullmatch(_PREFIXED).all() and test.str.fullmatch(_PREFIXED).all()):
        return False
    groups, others = set(_beginnings(train)), set(_beginnings(test))
    return len(groups) >= 10 and len(train) > 1.1 * len(groups) and not groups & others


def _beginnings(ids: pd.Series) -> pd.Series:
    return ids.str.replace(_PREFIXED, r"\1", regex=True)


def split_spec(sources: Sources, problem: Problem, options: TaskOptions, columns: Columns) -> SplitSpec:
    """What the split of the labelled rows must respect. Raises InputError for an unusable column."""
    rows = problem.labelled
    values = sources.values.loc[rows].reset_index(drop=True)
    content = sources.train.loc[rows].drop(
        columns=[problem.id_column] if problem.id_column in sources.train else []
    )
    hashes = pd.util.hash_pandas_object(content, index=False).to_numpy()
    groups = values[columns.group] if columns.group else None
    if columns.id_groups and problem.id_column:
        groups = _beginnings(sources.train.loc[rows, problem.id_column].astype(str))
    return SplitSpec(
        strata=strata_of(
            [values[name] for name in problem.targets], problem.classification or problem.kind == "ranking"
        ),
        classes=problem.classification,
        feedback=options.feedback,
        sealed=options.sealed,
        seed=options.seed,
        groups=_group_codes(groups) if groups is not None else None,
        duplicates=np.unique(hashes, return_inverse=True)[1].astype(np.int64),
        times=_time_codes(values[columns.time]) if columns.time else None,
        folds=_fold_codes(values[options.fold_column]) if options.fold_column else None,
    )


def _group_codes(column: pd.Series) -> Ints:
    """Codes of the values; each row without one is a group of its own."""
    codes = np.asarray(pd.factorize(column, sort=True)[0], dtype=np.int64)
    alone = codes < 0
    codes[alone] = codes.max() + 1 + np.arange(int(alone.sum()))
    return codes


def _time_codes(column: pd.Series) -> Ints:
    """Ranks of the values in time; missing ones come first, so that they stay in train."""
    dates = as_dates(column)
    if dates is None and not is_number(column):
        raise InputError(f"[holdout] time: column {str(column.name)!r} holds neither dates nor numbers")
    ordered = dates if dates is not None else column
    return np.asarray(ordered.rank(method="dense").fillna(0), dtype=np.int64)


def _fold_codes(column: pd.Series) -> Ints:
    codes = np.asarray(pd.factorize(column, sort=True)[0], dtype=np.int64)
    if codes.max() < 1:
        raise InputError(f"[holdout] fold_column: column {str(column.name)!r} holds fewer than two folds")
    return codes
