"""From a signal to an answer: the kind of problem, the metric, noise, labels, the sample submission.

Takes a process's `Made`; gives an `Answer`, the target column of every row with the metric that fits it.
Every metric is one of the registry's (`mleagent metrics`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .synth_base import Column, Floats, Ints, Made, Problem, Rng, standard

T = TypeVar("T", bound=str)

METRIC_WORDS = {
    "rmse": "the root mean squared error",
    "mae": "the mean absolute error",
    "r2": "the coefficient of determination (R2)",
    "rmsle": "the root mean squared logarithmic error",
    "mape": "the mean absolute percentage error",
    "smape": "the symmetric mean absolute percentage error (SMAPE)",
    "pearson": "Pearson's correlation",
    "spearman": "Spearman's rank correlation",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "the F1 score of the positive class",
    "f1_macro": "the macro F1 score",
    "mcc": "Matthews' correlation coefficient",
    "qwk": "the quadratic weighted kappa",
    "roc_auc": "the area under the ROC curve",
    "average_precision": "average precision",
    "logloss": "log loss",
    "brier": "the Brier score",
}
"""How a brief calls each metric."""
_PLAIN: dict[str, float] = {"rmse": 4, "mae": 3, "r2": 1, "pearson": 0.5, "spearman": 1}
_GROWN: dict[str, float] = {"rmsle": 4, "mape": 1.5, "smape": 1, "mae": 2, "rmse": 0.7, "spearman": 0.7}
_TWO: dict[str, float] = {
    "accuracy": 2, "roc_auc": 3, "logloss": 2, "f1": 1, "balanced_accuracy": 1, "mcc": 1, "brier": 0.7,
    "average_precision": 0.7,
}  # fmt: skip
_RARE: dict[str, float] = {
    "f1": 3,
    "balanced_accuracy": 3,
    "mcc": 2,
    "average_precision": 2,
    "roc_auc": 2,
    "logloss": 1,
}
_MANY: dict[str, float] = {
    "accuracy": 3,
    "logloss": 3,
    "f1_macro": 1.5,
    "balanced_accuracy": 1,
    "roc_auc": 0.7,
}
_GRADES: dict[str, float] = {"qwk": 4, "accuracy": 0.7}
PROBABILITY = frozenset({"roc_auc", "logloss", "brier", "average_precision"})
_NAMES = (
    ("no", "yes"), ("bad", "good"), ("negative", "positive"), ("fail", "pass"), ("left", "stayed"),
)  # fmt: skip
_CLASSES = (
    ("amber", "blue", "coral", "dune", "ebony", "fern", "grey", "hazel", "ivory"),
    ("A", "B", "C", "D", "E", "F", "G", "H", "I"),
    ("alpha", "beta", "delta", "gamma", "kappa", "lambda", "omega", "sigma", "theta"),
)


@dataclass(frozen=True)
class Answer:
    """The target of every row, and how it is asked for."""

    problem: Problem
    metric: str
    target: Column
    classes: tuple[str, ...] = ()
    """In the order of probability columns; empty for numbers."""

    @property
    def by_class(self) -> bool:
        """Whether a submission has a column a class."""
        return len(self.classes) > 2 and self.metric in PROBABILITY


def answer(rng: Rng, made: Made) -> Answer:
    """Draw problem, metric and noise for a process."""
    chances: dict[Problem, float] = {"regression": 0.42, "binary": 0.33, "multiclass": 0.16, "ordinal": 0.09}
    problem = _pick(
        rng,
        {p: chances[p] * (2 if p == "multiclass" and made.classes is not None else 1) for p in made.problems},
    )
    signal = standard(made.signal)
    if problem == "regression":
        return _regression(rng, made, signal)
    if problem == "binary":
        return _binary(rng, signal)
    if problem == "multiclass":
        return _multiclass(rng, made, signal)
    return _ordinal(rng, signal)


def _pick(rng: Rng, chances: Mapping[T, float]) -> T:
    names = list(chances)
    shares = np.array([float(chances[name]) for name in names])
    return names[int(rng.choice(len(names), p=shares / shares.sum()))]


def significant(values: Floats, digits: int = 5) -> Floats:
    """Values rounded to that many significant digits."""
    size = np.floor(np.log10(np.maximum(np.abs(values), 1e-12)))
    unit = 10.0 ** (digits - 1 - size)
    return np.asarray(np.round(values * unit) / unit)


def _regression(rng: Rng, made: Made, signal: Floats) -> Answer:
    noise = rng.uniform(0.08, 0.35)
    if made.tails:
        noisy = signal + 0.35 * rng.standard_t(1.8, len(signal)).clip(-30, 30)
    else:
        noisy = signal + noise * rng.normal(size=len(signal))
    unit = float(rng.choice([0.1, 1.0, 10.0, 1000.0]))
    if made.growth:
        metric = _pick(rng, _GROWN)
        target = unit * np.exp(rng.uniform(0.7, 1.3) * np.round(noisy, 9).clip(-4, 4))
        return Answer("regression", metric, significant(target))
    metric = "mae" if made.tails and rng.random() < 0.8 else _pick(rng, _PLAIN)
    return Answer("regression", metric, significant(unit * (noisy + rng.choice([0.0, 5.0, 20.0]))))


def _binary(rng: Rng, signal: Floats) -> Answer:
    rare = rng.random() < 0.3
    share = rng.uniform(0.12, 0.22) if rare else rng.uniform(0.35, 0.65)
    metric = _pick(rng, _RARE if rare else _TWO)
    noisy = standard(signal + rng.uniform(0.05, 0.3) * rng.normal(size=len(signal)))
    positive = _above(noisy, 1 - share)
    if metric in PROBABILITY or metric == "f1" or rng.random() < 0.5:
        return Answer("binary", metric, positive, ("0", "1"))
    names = _NAMES[int(rng.integers(len(_NAMES)))]
    return Answer("binary", metric, [names[code] for code in positive], tuple(sorted(names)))


def _above(values: Floats, share: float) -> Ints:
    """1 for the upper part, as near to `1 - share` of the rows as ties allow, never none or all."""
    cuts = np.unique(values)
    best = min(cuts[:-1], key=lambda cut: abs(float((values <= cut).mean()) - share))
    return np.asarray(values > best, dtype=np.int64)


def _multiclass(rng: Rng, made: Made, signal: Floats) -> Answer:
    metric = _pick(rng, _MANY)
    natural = made.classes
    codes = natural.copy() if natural is not None else _grades(rng, signal, int(rng.integers(3, 5)))
    wrong = rng.random(len(codes)) < rng.uniform(0.0, 0.08)
    codes[wrong] = rng.permutation(codes)[wrong]
    if rng.random() < 0.4:
        return Answer("multiclass", metric, codes, tuple(str(code) for code in range(int(codes.max()) + 1)))
    names: Sequence[str] = _CLASSES[int(rng.integers(len(_CLASSES)))]
    return Answer("multiclass", metric, [names[code] for code in codes], tuple(names[: int(codes.max()) + 1]))


def _grades(rng: Rng, signal: Floats, count: int) -> Ints:
    """Cut into `count` grades of uneven shares; ties stay together."""
    noisy = standard(signal + rng.uniform(0.05, 0.25) * rng.normal(size=len(signal)))
    shares = rng.dirichlet(np.full(count, 6.0)).cumsum()[:-1]
    return np.searchsorted(np.quantile(noisy, shares), noisy).astype(np.int64)


def _ordinal(rng: Rng, signal: Floats) -> Answer:
    grades = _grades(rng, signal, int(rng.integers(4, 7))) + 1
    return Answer("ordinal", _pick(rng, _GRADES), grades, tuple(str(g) for g in sorted(set(grades.tolist()))))


def sample_values(given: Answer, train: Sequence[int]) -> list[Column | float | str]:
    """The constant that a sample submission holds, one entry a column."""
    if given.metric in PROBABILITY:
        return [round(1 / len(given.classes), 4)] * len(given.classes) if given.by_class else [0.5]
    if given.problem == "regression":
        assert isinstance(given.target, np.ndarray)
        return [float(significant(np.array([given.target[list(train)].mean()]), 3)[0])]
    return [given.classes[0]]
