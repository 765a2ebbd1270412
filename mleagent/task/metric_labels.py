"""Metrics of predicted labels: accuracy, F1, kappa, MCC, each with its influence function.

Truth and predictions are integer class codes of shape (n,), but for the weighted kappa, which
takes the classes' own values. All are smooth functions of the confusion matrix, so that the
delta method gives their standard errors without resampling, and pairs two submissions by row.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from .metric_values import Measure, mean_of
from .stderr import Array, Floats, Measured, from_influence


def _right(truth: Array, pred: Array) -> Floats:
    return np.asarray(truth == pred, dtype=np.float64)


accuracy: Measure = mean_of(_right)
"""Share of rows whose label is right."""


def _shares(codes: Array, classes: int) -> Floats:
    """Share of each class, shape (classes,)."""
    return np.bincount(codes, minlength=classes) / max(len(codes), 1)


def _class_count(truth: Array, pred: Array) -> int:
    return int(max(truth.max(initial=0), pred.max(initial=0))) + 1


def balanced_accuracy(truth: Array, pred: Array) -> Measured:
    """Mean recall over the classes that occur in the truth."""
    share = _shares(truth, _class_count(truth, pred))
    right = (truth == pred).astype(np.float64)
    hits = np.bincount(truth, weights=right, minlength=len(share)) / len(truth)
    present = share > 0
    recall = np.divide(hits, share, out=np.zeros(len(share)), where=present)
    influence = (right - recall[truth]) / share[truth] / present.sum()
    return Measured(float(recall[present].mean()), from_influence(influence))


def f1(average: Literal["binary", "macro", "weighted"]) -> Measure:
    """F1 of class 1 (`binary`), its plain mean over classes (`macro`) or by their share (`weighted`).

    As in scikit-learn, `macro` counts the classes that occur in the truth or in the predictions,
    and a class without any prediction or truth scores 0.
    """

    def measure(truth: Array, pred: Array) -> Measured:
        classes = max(_class_count(truth, pred), 2)
        n, right = len(truth), truth == pred
        share = _shares(truth, classes)
        size = share + _shares(pred, classes)
        hits = np.bincount(truth[right], minlength=classes) / n
        score = np.divide(2.0 * hits, size, out=np.zeros(classes), where=size > 0)
        if average == "binary":
            weight = np.zeros(classes)
            weight[1] = 1.0
        elif average == "macro":
            weight = (size > 0) / np.count_nonzero(size)
        else:
            weight = share
        # d F_k = (2 hit_k - F_k (1[truth = k] + 1[pred = k])) / size_k, summed over classes k.
        factor = np.divide(weight, size, out=np.zeros(classes), where=size > 0)
        influence = factor[truth] * (2.0 * right - score[truth]) - (factor * score)[pred]
        total = float(weight @ score)
        if average == "weighted":
            influence = influence + score[truth] - total
        return Measured(total, from_influence(influence))

    return measure


def quadratic_kappa(truth: Array, pred: Array) -> Measured:
    """Cohen's kappa with quadratic weights, on the classes' values (for 0..K-1 as in scikit-learn).

    1 - E(y - p)^2 / E(y - p')^2, p' drawn independently of y; 0 where the denominator is 0.
    """
    y, p = truth.astype(np.float64), pred.astype(np.float64)
    gap = (y - p) ** 2
    observed = float(gap.mean())
    expected = float(y.var() + p.var() + (y.mean() - p.mean()) ** 2)
    if expected == 0 or p.min() == p.max():
        return Measured(0.0, np.zeros(len(y)))
    # What a row adds to E(y - p')^2: its truth against all predictions, and the other way round.
    versus = (y - p.mean()) ** 2 + p.var() + (p - y.mean()) ** 2 + y.var()
    influence = -(gap - observed) / expected + observed / expected**2 * (versus - 2.0 * expected)
    return Measured(1.0 - observed / expected, from_influence(influence))


def matthews(truth: Array, pred: Array) -> Measured:
    """Matthews' correlation for any number of classes (Gorodkin's R_K); 0 where a side is constant."""
    classes = _class_count(truth, pred)
    a, b = _shares(truth, classes), _shares(pred, classes)
    right = (truth == pred).astype(np.float64)
    hit, both = float(right.mean()), float(a @ b)
    covariance, var_a, var_b = hit - both, 1.0 - float(a @ a), 1.0 - float(b @ b)
    if a.max() == 1.0 or b.max() == 1.0:
        return Measured(0.0, np.zeros(len(truth)))
    scale = (var_a * var_b) ** 0.5
    d_covariance = right - hit - (b[truth] + a[pred] - 2.0 * both)
    d_var_a = -2.0 * (a[truth] - float(a @ a))
    d_var_b = -2.0 * (b[pred] - float(b @ b))
    slope = covariance / (2.0 * scale**3)
    influence = d_covariance / scale - slope * (var_b * d_var_a + var_a * d_var_b)
    return Measured(covariance / scale, from_influence(influence))
