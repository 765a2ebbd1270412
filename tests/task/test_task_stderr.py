"""Standard errors: what they claim is what fresh samples show, alone, paired and as utilities."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from task_cases import perfect_for, population, random_constant, truth_for

from mleagent.task import metrics
from mleagent.task.stderr import from_bootstrap, norm
from mleagent.task.utility import paired_difference, utility, utility_and_error


@pytest.mark.parametrize("name", metrics.names())
def test_standard_errors_cover(name: str) -> None:
    """The mean claimed error is close to the real spread over fresh samples, alone and paired."""
    metric, rng = metrics.get(name), np.random.default_rng(11)
    scores, errors, deltas, delta_errors = [], [], [], []
    for _ in range(300):
        truth, a, b = population(name, rng, 250)
        y, p = metric.coded(truth, a)
        first, second = metric.measure(y, p), metric.measure(*metric.coded(truth, b))
        scores.append(first.score)
        errors.append(norm(first.deviations))
        deltas.append(first.score - second.score)
        delta_errors.append(norm(first.deviations - second.deviations))
    for claimed, real in ((errors, scores), (delta_errors, deltas)):
        ratio = float(np.mean(np.asarray(claimed, dtype=float)) / np.std(real))
        assert 0.8 < ratio < 1.25, f"{name}: claimed over real {ratio:.2f}"
        inside = np.abs(np.asarray(real) - np.mean(real)) < 1.96 * np.asarray(claimed, dtype=float)
        assert inside.mean() > 0.88, f"{name}: {inside.mean():.2f} within 1.96 standard errors"


def test_delong_agrees_with_the_bootstrap() -> None:
    metric = metrics.get("roc_auc")
    truth, pred, _ = population("roc_auc", np.random.default_rng(4), 300)
    rough = norm(from_bootstrap(metric.score, truth, pred))
    assert metric.standard_error(truth, pred) == pytest.approx(rough, rel=0.3)


def test_one_row_has_no_error() -> None:
    assert metrics.get("mae").standard_error(np.array([1.0]), np.array([2.0])) is None


def test_scores_warn_about_nothing() -> None:
    """Corner cases (constants, perfect, one class predicted) give numbers, not warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in metrics.names():
            metric, rng = metrics.get(name), np.random.default_rng(0)
            truth: Any = truth_for(name, rng, 30)
            for pred in (perfect_for(name, truth), random_constant(name, truth, rng)):
                assert np.isfinite(metric.score(truth, pred))
                assert metric.standard_error(truth, pred) is not None


@pytest.mark.parametrize("name", ["rmse", "accuracy", "roc_auc", "logloss", "f1_macro", "r2"])
def test_utility_errors_cover(name: str) -> None:
    """The best constant is measured on the same rows, so its noise counts as well."""
    metric, rng = metrics.get(name), np.random.default_rng(2)
    values, errors, deltas, delta_errors = [], [], [], []
    for _ in range(300):
        truth, a, b = population(name, rng, 250)
        y, p = metric.coded(truth, a)
        first, second = metric.measure(y, p), metric.measure(*metric.coded(truth, b))
        dummy = metric.measure_dummy(y)
        value, error = utility_and_error(first, dummy, metric.spec.optimum)
        delta, delta_error = paired_difference(first, second, dummy, metric.spec.optimum)
        values.append(value)
        errors.append(error)
        deltas.append(delta)
        delta_errors.append(delta_error)
    assert 0 < np.mean(values) < 1
    assert 0.8 < np.mean(np.asarray(errors, dtype=float)) / np.std(values) < 1.25
    assert 0.8 < np.mean(np.asarray(delta_errors, dtype=float)) / np.std(deltas) < 1.25


def test_pairing_makes_the_error_of_a_difference_smaller() -> None:
    """Two alike submissions share most of their luck."""
    metric, rng = metrics.get("rmse"), np.random.default_rng(0)
    truth = rng.normal(size=500)
    a = truth + rng.normal(size=500)
    one, two = metric.measure(truth, a), metric.measure(truth, a + 0.05 * rng.normal(size=500))
    alone, paired = norm(one.deviations), norm(one.deviations - two.deviations)
    assert alone is not None and paired is not None and paired < alone / 5


def test_utility_is_clipped_and_exact_at_its_ends() -> None:
    assert utility(0.5, 0.5, 1.0) == 0.0 and utility(1.0, 0.5, 1.0) == 1.0
    assert utility(0.2, 0.5, 1.0) == 0.0 and utility(0.0, 2.0, 0.0) == 1.0
    assert utility(1.5, 2.0, 0.0) == pytest.approx(0.25)
    assert utility(0.0, 0.0, 0.0) == 1.0 and utility(0.1, 0.0, 0.0) == 0.0
