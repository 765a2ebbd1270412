"""Metrics of predicted numbers: losses, r2 and correlations, each with its influence function.

Every function takes float arrays `truth` and `pred` of shape (n,) and gives the score with
deviations whose norm is its standard error (see `stderr`). Written in numpy, not called from
scikit-learn, because a step may cost 25 ms and importing scikit-learn alone costs a second;
tests hold them equal to scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .stderr import Array, Floats, Measured, from_influence

Measure = Callable[[Array, Array], Measured]
Loss = Callable[[Array, Array], Floats]

_EPS = float(np.finfo(np.float64).eps)


# --- losses of one row --------------------------------------------------------------


def squared(truth: Array, pred: Array) -> Floats:
    """(y - p)^2."""
    return np.asarray((truth - pred) ** 2, dtype=np.float64)


def absolute(truth: Array, pred: Array) -> Floats:
    """|y - p|."""
    return np.abs(np.asarray(truth - pred, dtype=np.float64))


def log_squared(truth: Array, pred: Array) -> Floats:
    """(log(1+y) - log(1+p))^2, for values of at least 0."""
    return np.asarray((np.log1p(truth) - np.log1p(pred)) ** 2, dtype=np.float64)


def relative(truth: Array, pred: Array) -> Floats:
    """|y - p| / |y|, a fraction; a truth of 0 counts as the smallest float step, as in scikit-learn."""
    return np.asarray(np.abs(truth - pred) / np.maximum(np.abs(truth), _EPS), dtype=np.float64)


def symmetric(truth: Array, pred: Array) -> Floats:
    """200 |y - p| / (|y| + |p|), percent in 0..200; 0 where both are 0 (Kaggle's SMAPE)."""
    size = np.abs(truth) + np.abs(pred)
    gap = np.abs(truth - pred)
    return np.asarray(200.0 * np.divide(gap, size, out=np.zeros(np.shape(gap)), where=size > 0))


def pinball(quantile: float) -> Loss:
    """The quantile loss: q (y - p) above the prediction, (1 - q) (p - y) below it."""

    def loss(truth: Array, pred: Array) -> Floats:
        gap = np.asarray(truth - pred, dtype=np.float64)
        return np.maximum(quantile * gap, (quantile - 1.0) * gap)

    return loss


# --- from losses to scores ----------------------------------------------------------


def mean_of(loss: Loss) -> Measure:
    """The mean loss."""

    def measure(truth: Array, pred: Array) -> Measured:
        rows = loss(truth, pred)
        mean = float(rows.mean())
        return Measured(mean, from_influence(rows - mean))

    return measure


def root_mean_of(loss: Loss) -> Measure:
    """The square root of the mean loss; its influence by the delta method, (l - m) / (2 sqrt m)."""

    def measure(truth: Array, pred: Array) -> Measured:
        rows = loss(truth, pred)
        mean = float(rows.mean())
        root = mean**0.5
        influence = (rows - mean) / (2.0 * root) if root > 0 else np.zeros(len(rows))
        return Measured(root, from_influence(influence))

    return measure


def r2(truth: Array, pred: Array) -> Measured:
    """1 - MSE / variance of the truth; the influence is that of the ratio.

    A truth without variance gives 1 for a perfect prediction and 0 otherwise, as in scikit-learn.
    """
    loss, spread = squared(truth, pred), squared(truth, truth.mean())
    mse, variance = float(loss.mean()), float(spread.mean())
    if variance == 0:
        return Measured(float(mse == 0), np.zeros(len(truth)))
    influence = -(loss - mse) / variance + mse / variance**2 * (spread - variance)
    return Measured(1.0 - mse / variance, from_influence(influence))


# --- correlations -------------------------------------------------------------------


def _standardised(values: Array) -> tuple[Floats, float] | None:
    """Values less their mean over their spread, and that spread; None for a constant.

    A constant's computed spread need not be exactly 0, hence the comparison relative to size.
    """
    centred = np.asarray(values - values.mean(), dtype=np.float64)
    spread = float(np.sqrt(np.mean(centred**2)))
    if spread <= 1e-13 * float(np.max(np.abs(values), initial=0.0)) or spread == 0:
        return None
    return centred / spread, spread


def pearson(truth: Array, pred: Array) -> Measured:
    """Pearson's correlation; 0 where a side is constant. Influence: zx zy - r (zx^2 + zy^2) / 2."""
    x, y = _standardised(truth), _standardised(pred)
    if x is None or y is None:
        return Measured(0.0, np.zeros(len(truth)))
    product = x[0] * y[0]
    r = float(product.mean())
    influence = product - r * (x[0] ** 2 + y[0] ** 2) / 2.0
    return Measured(min(1.0, max(-1.0, r)), from_influence(influence))


def ranks(values: Array) -> Floats:
    """Mid-ranks as shares: the empirical distribution at each value, ties counted half (shape n)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(((np.cumsum(counts) - counts / 2.0) / len(values))[inverse])


def _moved_ranks(values: Array, weight: Floats) -> Floats:
    """E[w (1{x0 < X} + 1{x0 = X} / 2)] for each x0: how a new row at x0 lifts the ranks above it."""
    _, inverse = np.unique(values, return_inverse=True)
    sums = np.bincount(inverse, weights=weight) / len(values)
    above = np.cumsum(sums[::-1])[::-1] - sums
    moved = (above + sums / 2.0)[inverse]
    return np.asarray(moved - moved.mean())


def spearman(truth: Array, pred: Array) -> Measured:
    """Pearson's correlation of mid-ranks; 0 where a side is constant.

    Influence: Pearson's on the ranks, plus what a row does by moving the other rows' ranks.
    """
    x, y = _standardised(ranks(truth)), _standardised(ranks(pred))
    if x is None or y is None:
        return Measured(0.0, np.zeros(len(truth)))
    product = x[0] * y[0]
    r = float(product.mean())
    influence = product - r * (x[0] ** 2 + y[0] ** 2) / 2.0
    influence = influence + _moved_ranks(truth, (y[0] - r * x[0]) / x[1])
    influence = influence + _moved_ranks(pred, (x[0] - r * y[0]) / y[1])
    return Measured(min(1.0, max(-1.0, r)), from_influence(influence))
