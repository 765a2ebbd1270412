"""Which labelled rows are held out: feedback and sealed.

A pure function of labels, groups, times, folds, duplicates and a seed. Rows
that must stay together (a group, exact duplicates) form a unit; units are
dealt out stratum by stratum, so that class shares and the target's
distribution survive. DESIGN §5 has the sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

TRAIN, FEEDBACK, SEALED = 0, 1, 2
MAX_FEEDBACK, MAX_SEALED = 20_000, 10_000
SMALL = 1_000
Ints = np.ndarray[Any, np.dtype[np.int64]]
Stratify = Literal["classes", "values", "nothing"]


@dataclass(frozen=True)
class SplitSpec:
    """What the split must respect; every array has one entry a labelled row."""

    strata: Ints
    """Stratum of each row: class codes, or quantile bins of a regression target."""
    classes: bool
    """Strata are classes: each must have a row in train."""
    feedback: float | None = None
    sealed: float | None = None
    seed: int = 0
    groups: Ints | None = None
    duplicates: Ints | None = None
    """Code of the row's content; equal codes are exact duplicates."""
    times: Ints | None = None
    """Sortable time of each row, e.g. nanoseconds or ranks."""
    folds: Ints | None = None
    """The user's own fold of each row; -1 for none."""


def quotas(rows: int, feedback: float | None, sealed: float | None) -> tuple[int, int]:
    """Rows of feedback and sealed: 0.2 (0.3 under 1,000 rows) and 0.1, capped, at least two each."""
    share = feedback if feedback is not None else (0.3 if rows < SMALL else 0.2)
    first = min(max(2, round(share * rows)), MAX_FEEDBACK)
    second = min(max(2, round((sealed if sealed is not None else 0.1) * rows)), MAX_SEALED)
    return first, second


def strata_of(labels: Sequence[pd.Series], classification: bool, bins: int = 10) -> Ints:
    """Strata of the rows: class codes, or quantile bins of the (averaged, ranked) targets."""
    if classification:
        return np.asarray(pd.factorize(labels[0], sort=True)[0], dtype=np.int64)
    ranks = np.mean([series.rank(pct=True).to_numpy() for series in labels], axis=0)
    count = max(1, min(bins, len(ranks) // 10))
    order = np.argsort(np.argsort(ranks, kind="stable"), kind="stable")
    return np.asarray(order * count // max(1, len(ranks)), dtype=np.int64)


def split(spec: SplitSpec) -> Ints:
    """The part of each row: 0 train, 1 feedback, 2 sealed. Same spec, same answer."""
    rows = len(spec.strata)
    wanted = quotas(rows, spec.feedback, spec.sealed)
    if spec.folds is not None:
        return _by_folds(spec, wanted)
    units = _units(spec, wanted)
    if spec.times is not None:
        return _by_time(units, spec.times, wanted)
    parts = _stratified(units, spec, wanted)
    return _every_class_in_train(parts, units, spec) if spec.classes else parts


def _units(spec: SplitSpec, wanted: tuple[int, int]) -> Ints:
    """Unit of each row: rows joined by group or by being duplicates, transitively."""
    rows = len(spec.strata)
    links = [] if spec.groups is None else [spec.groups]
    if spec.duplicates is not None:
        counts = np.bincount(spec.duplicates)
        # A table of few distinct rows repeats them by nature; such a block can't be dealt out whole.
        large = counts[spec.duplicates] > max(2, min(wanted))
        fresh = spec.duplicates.max() + 1 + np.arange(rows)
        links.append(np.where(large, fresh, spec.duplicates))
    if not links:
        return np.arange(rows)
    if len(links) == 1:
        return np.unique(links[0], return_inverse=True)[1].astype(np.int64)
    return _components(links[0], links[1])


def _components(first: Ints, second: Ints) -> Ints:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    left = np.unique(first, return_inverse=True)[1]
    right = np.unique(second, return_inverse=True)[1] + left.max() + 1
    size = int(right.max()) + 1
    graph = coo_matrix((np.ones(len(left)), (left, right)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1]
    return np.unique(labels[left], return_inverse=True)[1].astype(np.int64)


def _by_folds(spec: SplitSpec, wanted: tuple[int, int]) -> Ints:
    """One of the user's folds is feedback, the next is sealed; of two folds, one is cut in two."""
    assert spec.folds is not None
    names = np.unique(spec.folds[spec.folds >= 0])
    parts = np.zeros(len(spec.folds), dtype=np.int64)
    first = names[spec.seed % len(names)]
    if len(names) > 2:
        parts[spec.folds == first] = FEEDBACK
        parts[spec.folds == names[(spec.seed + 1) % len(names)]] = SEALED
        return parts
    inside = np.flatnonzero(spec.folds == first)
    shuffled = np.random.default_rng(spec.seed).permutation(inside)
    cut = round(len(inside) * wanted[0] / (wanted[0] + wanted[1]))
    parts[shuffled[:cut]], parts[shuffled[cut:]] = FEEDBACK, SEALED
    return parts


def _by_time(units: Ints, times: Ints, wanted: tuple[int, int]) -> Ints:
    """Train, then feedback, then sealed along time; a unit goes where its last row is, ties stay together."""
    last = np.full(int(units.max()) + 1, np.iinfo(np.int64).min)
    np.maximum.at(last, units, times)
    when = last[units]
    order = np.sort(when)
    rows = len(order)
    sealed_from = order[max(0, rows - wanted[1])]
    feedback_from = order[max(0, rows - wanted[1] - wanted[0])]
    parts = np.zeros(rows, dtype=np.int64)
    parts[when >= feedback_from] = FEEDBACK
    parts[when >= sealed_from] = SEALED
    return _repair_ties(parts, when)


def _repair_ties(parts: Ints, when: Ints) -> Ints:
    """Where one moment swallowed a whole part, deal the distinct moments out 70/20/10 instead."""
    if all((parts == part).any() for part in (TRAIN, FEEDBACK, SEALED)):
        return parts
    moments, inverse = np.unique(when, return_inverse=True)
    if len(moments) < 3:
        return parts
    rank = np.zeros(len(moments), dtype=np.int64)
    rank[-1] = SEALED
    rank[-1 - max(1, round(0.2 * len(moments))) : -1] = FEEDBACK
    rank[0] = TRAIN
    return np.asarray(rank[inverse], dtype=np.int64)


def _stratified(units: Ints, spec: SplitSpec, wanted: tuple[int, int]) -> Ints:
    """Deal whole units out to sealed and feedback, stratum by stratum, to the rows wanted."""
    rng = np.random.default_rng(spec.seed)
    size = np.bincount(units)
    stratum = _unit_strata(units, spec.strata)
    parts = np.zeros(len(size), dtype=np.int64)
    for part, quota in ((SEALED, wanted[1]), (FEEDBACK, wanted[0])):
        shares = _shares(stratum, size, quota, spec.classes)
        for code, share in enumerate(shares):
            free = np.flatnonzero((stratum == code) & (parts == TRAIN))
            _take(parts, rng.permutation(free), size, share, part)
        _top_up(parts, rng.permutation(np.flatnonzero(parts == TRAIN)), size, quota, part)
    return np.asarray(parts[units], dtype=np.int64)


def _unit_strata(units: Ints, strata: Ints) -> Ints:
    """The stratum most rows of a unit are in."""
    count = int(units.max()) + 1
    if count == len(units):
        result = np.empty(count, dtype=np.int64)
        result[units] = strata
        return result
    table = np.zeros((count, int(strata.max()) + 1), dtype=np.int64)
    np.add.at(table, (units, strata), 1)
    return np.asarray(table.argmax(axis=1), dtype=np.int64)


def _shares(stratum: Ints, size: Ints, quota: int, classes: bool) -> Ints:
    """Rows of each stratum for this part: largest remainders, with one of every class that has five."""
    rows = np.bincount(stratum, weights=size)
    exact = quota * rows / rows.sum()
    share = np.floor(exact).astype(np.int64)
    rest = quota - int(share.sum())
    share[np.argsort(share - exact, kind="stable")[:rest]] += 1
    if classes and np.count_nonzero(rows >= 5) <= quota:
        share = np.where((rows >= 5) & (share == 0), 1, share)
        while share.sum() > quota and share.max() > 1:
            share[int(share.argmax())] -= 1
    return np.asarray(share, dtype=np.int64)


def _take(parts: Ints, order: Ints, size: Ints, share: int, part: int) -> None:
    """Give units to `part` until `share` rows are reached; none that overshoots by more than it fills."""
    have = 0
    for unit in order:
        if have >= share:
            return
        if have + size[unit] - share <= share - have:
            parts[unit] = part
            have += int(size[unit])


def _top_up(parts: Ints, order: Ints, size: Ints, quota: int, part: int) -> None:
    """Large units leave gaps in every stratum; fill them from what is left, whatever its stratum."""
    have = int(size[parts == part].sum())
    _take(parts, order, size, quota - have, part)
    if not (parts == part).any() and len(order) > 2:
        parts[order[int(np.argmin(size[order]))]] = part


def _every_class_in_train(parts: Ints, units: Ints, spec: SplitSpec) -> Ints:
    """A class without a row in train can't be learned: move its smallest unit back."""
    for code in np.unique(spec.strata):
        mine = spec.strata == code
        if (parts[mine] == TRAIN).any():
            continue
        choices, counts = np.unique(units[mine], return_counts=True)
        parts[units == choices[int(counts.argmin())]] = TRAIN
    return parts
