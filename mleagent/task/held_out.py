"""What is held out, as the rest of the folder is searched for it.

Decides whether public rows can keep the user's ids, gathers ids and labels of
the held-out rows, and applies them to what only these can judge: the user's
words and the further (train, test) pairs of tables.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from ..records import Withheld
from . import giveaway, media
from .problem import Problem
from .quoting import HeldOut, carries, row_key, without_rows
from .side_tables import Known, companion_reason
from .sources import Sources
from .split import TRAIN, Ints


def clean_words(words: str, held: HeldOut) -> str:
    """The user's words without held-out rows; empty where they could hold many more."""
    clean, _ = without_rows(words, held)
    return "" if carries(clean, held) else clean


def fit_companions(sources: Sources, known: Known) -> tuple[Sources, list[Withheld]]:
    """Keep the (train, test) pairs that are keyed by the id and tell no label; the rest is withheld."""
    kept, refused = [], []
    for train, test in sources.companions:
        reason = companion_reason(train, test, known)
        if reason:
            refused += [Withheld(path=table.rel, reason=reason) for table in (train, test)]
        else:
            kept.append((train, test))
    return replace(sources, companions=tuple(kept)), refused


def remap_reason(
    sources: Sources, problem: Problem, labels: giveaway.Labels, references: tuple[media.Reference, ...]
) -> str:
    """Why public test rows can't keep the user's ids; empty if they can."""
    column = problem.id_column
    if column is None:
        return ""
    if sources.made or any(ref.column == column for ref in references):
        return "file names can tell the target"
    if column not in sources.train:
        return "the train table has no ids"
    ids = sources.train[column].astype(str)
    if not ids.is_unique:
        return "ids repeat in the train table"
    if sources.test is not None and set(ids) & set(sources.test.frame[column].astype(str)):
        return "train and test use the same ids"
    reason = giveaway.telling_names(ids[problem.labelled], labels)
    return "" if reason == "too few to judge" else reason


def known_of(
    sources: Sources,
    problem: Problem,
    values: pd.DataFrame,
    labels: giveaway.Labels,
    parts: Ints,
    remapped: bool,
) -> Known:
    """What side files are searched for: the held-out rows' ids and labels."""
    column, rows = problem.id_column, problem.labelled
    ids = pd.Series(dtype=str)
    pairs: dict[str, str] = {}
    test_ids: frozenset[str] = frozenset()
    if column is not None and column in sources.train:
        ids = sources.train.loc[rows, column].astype(str).reset_index(drop=True)
        raw = sources.train.loc[rows, problem.targets[0]].astype(str).reset_index(drop=True)
        held = parts[rows] != TRAIN
        pairs = dict(zip(ids[held], raw[held], strict=True))
        if sources.test is not None:
            test_ids = frozenset(sources.test.frame[column].astype(str))
    train = sources.train.loc[rows].reset_index(drop=True)
    held_out = HeldOut(pairs, frozenset(ids), test_ids, remapped, labelled=len(train))
    return Known(train, values, problem.targets, labels, column, ids, held_out)


def with_rows(known: Known, held: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Known:
    """`known` with the text of every held-out row, for texts that quote rows without ids."""
    if known.train.shape[1] < 3:
        return known
    rows = known.train[held].astype(str).itertuples(index=False)
    return replace(known, held=replace(known.held, rows=frozenset(map(row_key, rows))))
