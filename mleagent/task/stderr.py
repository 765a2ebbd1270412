"""Standard errors of scores, as vectors that can be subtracted.

A score measured on n rows comes with *deviations*: a vector whose Euclidean norm is the
score's standard error. Analytic influence functions give one entry a row; where a metric
has none (the user's own), a seeded bootstrap gives one entry a replicate. Because the
entries of two submissions belong to the same rows (or the same resamples), the norm of
the difference is the standard error of the *paired* difference, with nothing assumed
about how the two correlate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]

REPLICATES = 50
"""Resamples of the last-resort bootstrap: its cost is this many calls of the metric."""


class Measured(NamedTuple):
    """A score in the metric's unit and its deviations (their norm is its standard error)."""

    score: float
    deviations: Floats


def from_influence(influence: Floats) -> Floats:
    """Deviations of a statistic from its influence function, one value a row (shape n).

    The variance of a regular statistic is that of its influence function over n (Hampel 1974);
    the n / (n - 1) mends the bias of the plug-in variance.
    """
    n = influence.shape[0]
    if n < 2:
        return np.zeros(n)
    return np.asarray(influence / np.sqrt(n * (n - 1.0)))


def from_bootstrap(
    score: Callable[[Array, Array], float], truth: Array, pred: Array, seed: int = 0
) -> Floats:
    """Deviations by resampling rows: the last resort. Same seed and n, same resamples."""
    n = len(truth)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(REPLICATES if n > 1 else 0):
        rows = rng.integers(0, n, n)
        values.append(score(truth[rows], pred[rows]))
    scores = np.asarray(values, dtype=np.float64)
    known = np.isfinite(scores)
    if known.sum() < 2:
        return np.zeros(len(scores))
    centred = np.where(known, scores - scores[known].mean(), 0.0)
    return np.asarray(centred / np.sqrt(known.sum() - 1.0))


def norm(deviations: Floats) -> float | None:
    """The standard error that these deviations stand for; None where there are too few to say."""
    if deviations.shape[0] < 2:
        return None
    return float(np.sqrt(np.dot(deviations, deviations)))
