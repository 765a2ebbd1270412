"""How alike two sets of predictions are: the check that a refit did not go astray (DESIGN §5).

Takes two prediction arrays for the same rows. Numbers and probabilities: Spearman's rank correlation,
averaged over the columns. Labels in order (a weighted kappa): likewise. Other labels: the share of equal
labels. Ranked lists: the share of guesses in common. Predictions that collapsed to a constant while the
others did not agree in nothing.
"""

from __future__ import annotations

import numpy as np

from .metric import Metric
from .metric_values import spearman
from .stderr import Array


def agreement(a: Array, b: Array, metric: Metric) -> float:
    """Agreement in -1..1, 1 for equal predictions or no rows at all; `a` and `b` of equal shape."""
    if not len(a):
        return 1.0
    if metric.spec.prediction == "ranking":
        return float(np.mean([_common(str(x), str(y)) for x, y in zip(a, b, strict=True)]))
    ranked = metric.spec.prediction != "label" or metric.by_value
    one = _ranked if ranked else _equal
    left, right = a.reshape(len(a), -1), b.reshape(len(b), -1)
    return float(np.mean([one(left[:, k], right[:, k]) for k in range(left.shape[1])]))


def _constant(column: Array) -> bool:
    return bool((column == column[0]).all())


def _ranked(a: Array, b: Array) -> float:
    if len(a) < 2 or (_constant(a) and _constant(b)):
        return 1.0
    return spearman(a, b).score


def _equal(a: Array, b: Array) -> float:
    if len(a) > 1 and _constant(a) != _constant(b):
        return 0.0
    return float((a == b).mean())


def _common(a: str, b: str) -> float:
    left, right = set(a.split()), set(b.split())
    return len(left & right) / max(len(left), len(right), 1)
