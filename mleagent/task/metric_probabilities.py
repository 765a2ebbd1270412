"""Metrics of predicted probabilities, and of ranked lists: AUC, average precision, logloss, Brier, map@k.

Truth is integer class codes of shape (n,); predictions are the probability of class 1, shape (n,),
or one column a class, shape (n, K). For map@k both are codes, shape (n, m) and (n, k), padded with
negative numbers. Each function gives the score with deviations (see `stderr`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .metric_values import Measure, mean_of
from .stderr import Array, Floats, Measured, from_influence

SMALLEST = 1e-15
"""A probability below this counts as this in logloss, as Kaggle does."""


def _of_true_class(truth: Array, pred: Array) -> Floats:
    """Probability given to what happened, rows of several classes normalised to sum 1; shape (n,)."""
    if pred.ndim == 1:
        return np.asarray(np.where(truth == 1, pred, 1.0 - pred))
    return np.asarray(pred[np.arange(len(truth)), truth] / pred.sum(axis=1))


def _surprise(truth: Array, pred: Array) -> Floats:
    return np.asarray(0.0 - np.log(np.maximum(_of_true_class(truth, pred), SMALLEST)))


def _brier(truth: Array, pred: Array) -> Floats:
    if pred.ndim == 1:
        return np.asarray((pred - (truth == 1)) ** 2)
    share = pred / pred.sum(axis=1, keepdims=True)
    own = share[np.arange(len(truth)), truth]
    return np.asarray((share**2).sum(axis=1) - 2.0 * own + 1.0)


logloss: Measure = mean_of(_surprise)
"""Mean negative log of the probability given to the true class."""

brier: Measure = mean_of(_brier)
"""Mean squared distance to the truth: (p - y)^2 for two classes, summed over the columns for more."""


class _Counts(NamedTuple):
    """Rows by distinct prediction, ascending: `group` of each row, positives and negatives a group."""

    group: Array
    positive: Floats
    negative: Floats


def _counts(truth: Array, pred: Array) -> _Counts:
    _, group = np.unique(pred, return_inverse=True)
    positive = np.asarray(np.bincount(group, weights=truth), dtype=np.float64)
    return _Counts(group, positive, np.asarray(np.bincount(group) - positive))


def _auc_influence(truth: Array, pred: Array) -> tuple[float, Floats]:
    """AUC and its influence by DeLong's placements, ties counted half; `truth` is 0/1 and has both."""
    group, positive, negative = _counts(truth, pred)
    ones, zeros = positive.sum(), negative.sum()
    below = (np.cumsum(negative) - negative / 2.0) / zeros
    above = 1.0 - (np.cumsum(positive) - positive / 2.0) / ones
    auc = float(positive @ below) / ones
    share = ones / len(truth)
    return auc, np.where(truth == 1, (below[group] - auc) / share, (above[group] - auc) / (1.0 - share))


def _average_precision_influence(truth: Array, pred: Array) -> tuple[float, Floats]:
    """Average precision (the step-wise sum, as in scikit-learn) and its influence.

    AP = E[y T(s) / R(s)] / P(y), T and R the shares of positives and of all rows at or above s. A
    row moves AP by its own precision, by P(y), and by the precision at every threshold below it.
    """
    group, positive, negative = _counts(truth, pred)
    n, share = len(truth), positive.sum() / len(truth)
    reached = np.cumsum((positive + negative)[::-1])[::-1] / n
    precision = np.cumsum(positive[::-1])[::-1] / n / reached
    score = float(positive @ precision) / n / share
    step = positive / n / reached
    lower, lower_precision = np.cumsum(step), np.cumsum(step * precision)
    moved = truth * lower[group] - lower_precision[group]
    return score, (truth * (precision[group] - score) + moved) / share


def _one_versus_rest(binary: bool, truth: Array, pred: Array) -> Measured:
    """AUC (`binary` True) or average precision, averaged over the classes that can be scored."""
    single = _auc_influence if binary else _average_precision_influence
    if pred.ndim == 1:
        sides = [((truth == 1).astype(np.float64), pred)]
    else:
        sides = [((truth == k).astype(np.float64), pred[:, k]) for k in range(pred.shape[1])]
    parts = [single(y, p) for y, p in sides if 0 < y.sum() < len(y)]
    if not parts:
        return Measured(0.5 if binary else float(np.mean(sides[0][0])), np.zeros(len(truth)))
    influence = np.mean([part[1] for part in parts], axis=0)
    return Measured(float(np.mean([part[0] for part in parts])), from_influence(influence))


def roc_auc(truth: Array, pred: Array) -> Measured:
    """Area under the ROC curve; for several classes the plain mean of one-versus-rest areas."""
    return _one_versus_rest(True, truth, pred)


def average_precision(truth: Array, pred: Array) -> Measured:
    """Average precision; for several classes the plain mean of one-versus-rest values."""
    return _one_versus_rest(False, truth, pred)


def map_at(k: int) -> Measure:
    """Mean over rows of the average precision of the first k distinct guesses (Kaggle's MAP@k)."""

    def rows(truth: Array, pred: Array) -> Floats:
        wanted = truth.reshape(len(truth), -1)
        guesses = pred.reshape(len(pred), -1)[:, :k]
        hit = np.zeros(guesses.shape)
        for place in range(guesses.shape[1]):
            guess = guesses[:, place : place + 1]
            repeated = (guesses[:, :place] == guess).any(axis=1)
            hit[:, place] = ((wanted == guess) & (guess >= 0)).any(axis=1) & ~repeated
        precision = np.cumsum(hit, axis=1) / np.arange(1, guesses.shape[1] + 1)
        relevant = np.clip((wanted >= 0).sum(axis=1), 1, k)
        return np.asarray((precision * hit).sum(axis=1) / relevant)

    return mean_of(rows)
