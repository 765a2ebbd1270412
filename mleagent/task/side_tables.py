"""Further tables of the user's: which are look-up or feature tables, and which could carry labels.

A table is mounted only when it is recognised: keyed by a repeating column of
the train table, or by ids that cover the test rows as well. Everything that
lines up with the labelled rows alone is withheld, whatever its columns are
called.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from .columns import typed
from .discover import looks_predicted
from .giveaway import Labels, tells
from .quoting import HeldOut
from .tables import Table


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


def companion_reason(train: Table, test: Table, known: Known) -> str:
    """Why a (train, test) pair of further tables is withheld; empty if it goes in, split like the rows."""
    key = known.id_column
    if key is None or key not in train.columns or key not in test.columns:
        return "not keyed by the id, so it can't be split like the rows"
    shared = [name for name in test.columns if name in train.columns and name != key]
    telling = [n for n in shared if n in known.targets or looks_predicted(n) or _label_like(n)]
    if telling:
        return f"column {telling[0]!r} speaks of labels or predictions"
    return _joined_reason(train.take(train.frame[[key, *shared]]), key, known.ids, known)


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
