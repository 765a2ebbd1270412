"""The split: sizes, strata, duplicates, groups, time, the user's folds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mleagent.task.split import FEEDBACK, SEALED, TRAIN, Ints, SplitSpec, quotas, split, strata_of


def codes(values: list[int]) -> Ints:
    return np.asarray(values, dtype=np.int64)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (100, (30, 10)),
        (999, (300, 100)),
        (1000, (200, 100)),
        (50_000, (10_000, 5_000)),
        (10**6, (20_000, 10_000)),
    ],
)
def test_sizes(rows: int, expected: tuple[int, int]) -> None:
    assert quotas(rows, None, None) == expected


def test_sizes_as_set_by_the_user() -> None:
    assert quotas(500, 0.2, 0.2) == (100, 100)
    assert quotas(10, 0.01, 0.01) == (2, 2)


@given(
    labels=st.lists(st.integers(0, 4), min_size=12, max_size=300),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_every_class_is_in_train_and_sizes_hold(labels: list[int], seed: int) -> None:
    spec = SplitSpec(strata_of([pd.Series(labels)], True), classes=True, seed=seed)
    parts = split(spec)
    assert set(np.asarray(labels)[parts == TRAIN]) == set(labels)
    feedback, sealed = quotas(len(labels), None, None)
    rare = len(set(labels))
    assert abs(int((parts == FEEDBACK).sum()) - feedback) <= rare
    assert abs(int((parts == SEALED).sum()) - sealed) <= rare
    assert (split(spec) == parts).all(), "the same seed gives the same split"


@given(
    groups=st.lists(st.integers(0, 15), min_size=40, max_size=200),
    duplicates=st.lists(st.integers(0, 60), min_size=40, max_size=200),
    seed=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_groups_and_duplicates_never_straddle(groups: list[int], duplicates: list[int], seed: int) -> None:
    rows = min(len(groups), len(duplicates))
    group, double = codes(groups[:rows]), codes(duplicates[:rows])
    labels = codes([number % 2 for number in range(rows)])
    parts = split(SplitSpec(labels, classes=True, seed=seed, groups=group, duplicates=double))
    for code in np.unique(group):
        assert len(set(parts[group == code])) == 1
    counts = Counter(double.tolist())
    small = [code for code, count in counts.items() if count <= 2]
    for code in small:
        assert len(set(parts[double == code])) == 1


def test_exact_duplicates_stay_together_in_a_plain_split() -> None:
    double = np.repeat(np.arange(150), 2).astype(np.int64)
    parts = split(SplitSpec(np.zeros(300, dtype=np.int64), classes=False, duplicates=double))
    assert (parts[::2] == parts[1::2]).all()
    assert abs(int((parts == FEEDBACK).sum()) - 90) <= 1 and abs(int((parts == SEALED).sum()) - 30) <= 1


@given(times=st.lists(st.integers(0, 50), min_size=60, max_size=300).filter(lambda t: len(set(t)) >= 10))
@settings(max_examples=40, deadline=None)
def test_time_keeps_the_latest_rows_and_never_cuts_a_moment(times: list[int]) -> None:
    when = codes(times)
    parts = split(SplitSpec(np.zeros(len(times), dtype=np.int64), classes=False, times=when))
    assert {TRAIN, FEEDBACK, SEALED} == set(parts.tolist())
    assert when[parts == TRAIN].max() < when[parts == FEEDBACK].min()
    assert when[parts == FEEDBACK].max() < when[parts == SEALED].min()


def test_time_and_group_together_keep_groups_whole() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 60, 400)
    when = group * 10 + rng.integers(0, 30, 400)
    parts = split(SplitSpec(np.zeros(400, dtype=np.int64), classes=False, times=when, groups=group))
    for code in np.unique(group):
        assert len(set(parts[group == code])) == 1
    assert (parts == SEALED).any() and (parts == FEEDBACK).any()


def test_class_shares_survive() -> None:
    labels = codes([0] * 900 + [1] * 100)
    parts = split(SplitSpec(labels, classes=True))
    for part in (FEEDBACK, SEALED):
        assert labels[parts == part].mean() == pytest.approx(0.1, abs=0.01)


def test_regression_is_stratified_by_quantiles() -> None:
    target = pd.Series(np.random.default_rng(1).exponential(size=500))
    parts = split(SplitSpec(strata_of([target], False), classes=False))
    ranks = target.rank(pct=True).to_numpy()
    assert ranks[parts == FEEDBACK].mean() == pytest.approx(0.5, abs=0.02)
    assert ranks[parts == SEALED].mean() == pytest.approx(0.5, abs=0.04)


def test_the_users_folds() -> None:
    folds = codes([number % 5 for number in range(100)])
    parts = split(SplitSpec(np.zeros(100, dtype=np.int64), classes=False, folds=folds, seed=2))
    assert set(folds[parts == FEEDBACK]) == {2} and set(folds[parts == SEALED]) == {3}
    two = codes([number % 2 for number in range(100)])
    parts = split(SplitSpec(np.zeros(100, dtype=np.int64), classes=False, folds=two))
    assert set(two[parts == TRAIN]) == {1} and (parts == SEALED).sum() > 0 and (parts == FEEDBACK).sum() > 0


def test_a_table_of_few_distinct_rows_is_still_split() -> None:
    double = codes([number % 4 for number in range(400)])
    parts = split(SplitSpec(codes([number % 2 for number in range(400)]), classes=True, duplicates=double))
    assert int((parts == FEEDBACK).sum()) == 120 and int((parts == SEALED).sum()) == 40
