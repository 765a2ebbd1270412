"""The best constant prediction of each metric: what a submission has to beat (utility 0).

Each function takes the truth of shape (n,) and gives the constant as an array of shape () or,
for a probability a class or a ranked list, (K,). Closed forms where there are; where a loss has
none (SMAPE), a search over the truth's own values, refined. Tests check that no other constant wins.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .metric_values import Loss, symmetric
from .stderr import Array, Floats

Constant = Callable[[Array], Array]

_CANDIDATES = 256


def mean(truth: Array) -> Array:
    """The mean: best for squared loss; also stands for any constant where all score the same."""
    return np.asarray(truth.mean())


def log_mean(truth: Array) -> Array:
    """exp(mean log(1 + y)) - 1: best for squared logarithmic loss."""
    return np.asarray(np.expm1(np.log1p(truth).mean()))


def quantile(share: float) -> Constant:
    """An observed value at that quantile: best for pinball loss, at 0.5 for absolute loss."""

    def constant(truth: Array) -> Array:
        return np.asarray(np.quantile(truth, share, method="inverted_cdf"))

    return constant


def relative_median(truth: Array) -> Array:
    """The median weighted by 1 / |y|: best for the absolute percentage error."""
    values = np.sort(truth)
    weight = np.cumsum(1.0 / np.maximum(np.abs(values), np.finfo(np.float64).eps))
    return np.asarray(values[np.searchsorted(weight, weight[-1] / 2.0)])


def search(loss: Loss) -> Constant:
    """The best constant for a loss without a closed form: grid of observed values, then zoomed in."""

    def constant(truth: Array) -> Array:
        def cost(value: float) -> float:
            return float(loss(truth, np.full(len(truth), value)).mean())

        known = np.unique(truth)
        grid = known[np.linspace(0, len(known) - 1, min(len(known), _CANDIDATES)).astype(int)]
        best = int(np.argmin([cost(value) for value in grid]))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        between = known[(known >= low) & (known <= high)]
        near = between[np.linspace(0, len(between) - 1, min(len(between), _CANDIDATES)).astype(int)]
        options = np.concatenate([grid[best : best + 1], near, np.linspace(low, high, 64)])
        return np.asarray(options[int(np.argmin([cost(value) for value in options]))])

    return constant


smape: Constant = search(symmetric)


def commonest(truth: Array) -> Array:
    """The most frequent class; best for accuracy and, since 2s/(1+s) grows with s, for the F1 means."""
    values, counts = np.unique(truth, return_counts=True)
    return np.asarray(values[int(np.argmax(counts))])


def positive(truth: Array) -> Array:
    """Class 1 everywhere: the only constant with a binary F1 above 0."""
    return np.asarray(1, dtype=truth.dtype)


def base_rates(classes: int) -> Constant:
    """Each class's share, shape (classes,), or the share of class 1 where `classes` is 0."""

    def constant(truth: Array) -> Array:
        if not classes:
            return np.asarray((truth == 1).mean())
        shares: Floats = np.bincount(truth, minlength=classes) / len(truth)
        return shares

    return constant


def top(k: int) -> Constant:
    """The k most frequent labels in order, shape (k,): best for MAP@k with one label a row.

    Where rows have several labels, one row's precision depends on which of them are together in
    it; the frequent ones, each weighed by 1 / min(labels of the row, k), are then a close guess.
    """

    def constant(truth: Array) -> Array:
        wanted = truth.reshape(len(truth), -1)
        known = wanted >= 0
        weight = np.broadcast_to(1.0 / np.clip(known.sum(axis=1, keepdims=True), 1, k), wanted.shape)
        total = np.bincount(wanted[known], weights=weight[known])
        order = np.argsort(-total, kind="stable")[:k]
        return np.pad(order, (0, max(0, k - len(order))), constant_values=-2)

    return constant
