"""What a metric is here: direction, optimum, best constant, and a score with its standard error.

A `Metric` takes arrays and gives a score (`score`), the score with deviations that errors and paired
differences are made of (`measure`), and the best constant prediction (`dummy`). Several targets are
averaged column by column, as Kaggle's column-wise metrics do. The registry is `metrics`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..records import MetricSpec
from .metric_values import Loss, Measure
from .stderr import Array, Floats, Measured, norm


@dataclass(frozen=True)
class Metric:
    """A metric: what submissions hold for it, how good is measured, what the best constant is.

    Arrays: numbers (n,) or one column a target; labels as class codes (n,); probabilities of class 1
    (n,) or one column a class (n, K); ranked lists as codes (n, k). `score` and `dummy` also take
    labels as text and lists as space-separated text, and code them.
    """

    spec: MetricSpec
    describe: str
    single: Measure
    """Scores one target."""
    constant: Callable[[Array, int], Array]
    """The best constant for one target, given its truth and the number of probability columns (0: one)."""
    rows: Loss | None = None
    """Contribution of each row, where the score is their mean."""
    low: float | None = None
    """Smallest allowed number, where there is one."""
    varied: bool = False
    """Not defined on a truth with a single value."""
    by_value: bool = False
    """Wants the values of classes that are numbers, instead of their codes."""
    own: bool = False
    """A user's own function: takes several targets at once, and labels as they are written."""

    def measure(self, truth: Array, pred: Array) -> Measured:
        """Score with deviations; truth and pred already coded. Several targets: the mean over them."""
        if self._whole(truth):
            return self.single(truth, pred)
        columns = [k for k in range(truth.shape[1]) if self._defined(truth[:, k])]
        columns = columns or list(range(truth.shape[1]))
        parts = [self.single(truth[:, k], pred[:, k]) for k in columns]
        return Measured(
            float(np.mean([part.score for part in parts])),
            np.mean([part.deviations for part in parts], axis=0),
        )

    def measure_dummy(self, truth: Array, columns: int = 0) -> Measured:
        """Score with deviations of the best constant on these rows; `columns` of probabilities a row."""
        return self.measure(truth, self.constant_prediction(truth, columns))

    def constant_prediction(self, truth: Array, columns: int = 0) -> Array:
        """The best constant prediction, repeated for every row."""
        if self._whole(truth):
            one = self.constant(truth, columns)
            return np.broadcast_to(one, (len(truth), *one.shape))
        parts = [self.constant(truth[:, k], 0) for k in range(truth.shape[1])]
        return np.broadcast_to(np.stack(parts), truth.shape)

    def _whole(self, truth: Array) -> bool:
        return truth.ndim == 1 or self.own or self.spec.prediction == "ranking"

    def _defined(self, truth: Array) -> bool:
        return not self.varied or bool((truth != truth[0]).any())

    def undefined(self, truth: Array) -> str:
        """Why no score can be had on this truth, one line; empty when it can."""
        if not len(truth):
            return "there are no rows to score"
        if self.spec.prediction != "ranking":
            columns = truth.reshape(len(truth), -1)
            if not any(self._defined(columns[:, k]) for k in range(columns.shape[1])):
                return f"{self.spec.name} is not defined where every row has the same truth"
        return ""

    def score(self, truth: Array, pred: Array) -> float:
        """The score in the metric's own unit."""
        y, p = self.coded(np.asarray(truth), np.asarray(pred))
        return self.measure(y, p).score

    def standard_error(self, truth: Array, pred: Array) -> float | None:
        """The standard error of `score`, in the metric's own unit."""
        y, p = self.coded(np.asarray(truth), np.asarray(pred))
        return norm(self.measure(y, p).deviations)

    def dummy(self, truth: Array) -> float:
        """The score of the best constant prediction on these rows."""
        y, _ = self.coded(np.asarray(truth), np.asarray(truth))
        classes = int(y.max()) + 1 if self.spec.prediction == "probability" and y.ndim == 1 else 0
        return self.measure_dummy(y, classes if classes > 2 else 0).score

    def per_row(self, truth: Array, pred: Array) -> Floats | None:
        """Each row's contribution, shape (n,), whose mean is the score; None where there is no such thing."""
        if self.rows is None:
            return None
        y, p = self.coded(np.asarray(truth), np.asarray(pred))
        return self.rows(y, p) if self._whole(y) else None

    def coded(self, truth: Array, pred: Array) -> tuple[Array, Array]:
        """Both sides as `measure` takes them: text labels as codes, lists as matrices of codes."""
        kind = self.spec.prediction
        if kind == "value":
            return truth.astype(np.float64), pred.astype(np.float64)
        if self.by_value:
            return truth, pred
        if kind == "probability":
            known, codes = np.unique(truth, return_inverse=True)
            if known.dtype.kind in "iub":
                return truth.astype(np.int64), pred
            return codes.reshape(truth.shape), pred
        if kind == "ranking":
            return (truth, pred) if truth.dtype.kind == "i" and pred.dtype.kind == "i" else lists(truth, pred)
        _, codes = np.unique(np.concatenate([truth, pred]), return_inverse=True)
        codes = codes.reshape(-1, *truth.shape[1:])
        return codes[: len(truth)], codes[len(truth) :]


def lists(truth: Array, pred: Array) -> tuple[Array, Array]:
    """Space-separated lists as code matrices, padded with -1 (truth) and -2 (predictions)."""
    wanted = [str(item).split() for item in truth]
    guesses = [str(item).split() for item in pred]
    codes = {word: k for k, word in enumerate(dict.fromkeys(word for row in wanted for word in row))}

    def matrix(rows: list[list[str]], pad: int) -> Array:
        table = np.full((len(rows), max((len(row) for row in rows), default=0) or 1), pad)
        for place, row in enumerate(rows):
            table[place, : len(row)] = [codes.get(word, -2) for word in row]
        return table

    return matrix(wanted, -1), matrix(guesses, -2)
