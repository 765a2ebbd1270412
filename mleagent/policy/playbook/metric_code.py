"""How a program computes its own validation score: an expression for each metric.

The expression reads `truth` and `guess` in the program: class numbers (or
probabilities) for classification, values for regression. Unknown metrics, such
as a user's own function, fall back on a plain one of the same kind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .brief import Brief

_SKLEARN = "sklearn.metrics"
_ALIASES = {
    "auc": "roc_auc", "log_loss": "logloss", "quadratic_weighted_kappa": "qwk", "acc": "accuracy",
    "f1": "f1", "logloss_binary": "logloss", "logloss_multi": "logloss", "f1_binary": "f1",
    "mean_absolute_error": "mae", "roc_auc_binary": "roc_auc",
}  # fmt: skip
_LABELS = {
    "accuracy": ("accuracy_score", "accuracy_score(truth, guess)"),
    "balanced_accuracy": ("balanced_accuracy_score", "balanced_accuracy_score(truth, guess)"),
    "f1": ("f1_score", "f1_score(truth, guess)"),
    "f1_macro": ("f1_score", 'f1_score(truth, guess, average="macro")'),
    "f1_micro": ("f1_score", 'f1_score(truth, guess, average="micro")'),
    "f1_weighted": ("f1_score", 'f1_score(truth, guess, average="weighted")'),
    "qwk": ("cohen_kappa_score", 'cohen_kappa_score(truth, guess, weights="quadratic")'),
    "mcc": ("matthews_corrcoef", "matthews_corrcoef(truth, guess)"),
}
_TWO = {
    "roc_auc": ("roc_auc_score", "roc_auc_score(truth, guess[:, 1])"),
    "average_precision": ("average_precision_score", "average_precision_score(truth, guess[:, 1])"),
    "logloss": ("log_loss", "log_loss(truth, guess)"),
    "brier": ("", "np.mean((guess[:, 1] - truth) ** 2)"),
}
_MANY = {
    "roc_auc": ("roc_auc_score", 'roc_auc_score(truth, guess, multi_class="ovr")'),
    "roc_auc_ovr": ("roc_auc_score", 'roc_auc_score(truth, guess, multi_class="ovr")'),
    "logloss": ("log_loss", "log_loss(truth, guess)"),
}
_VALUES = {
    "rmse": ("", "np.sqrt(np.mean((truth - guess) ** 2))"),
    "mse": ("", "np.mean((truth - guess) ** 2)"),
    "mae": ("", "np.mean(np.abs(truth - guess))"),
    "rmsle": ("", "np.sqrt(np.mean((np.log1p(truth) - np.log1p(guess)) ** 2))"),
    "mape": ("", "np.mean(np.abs((truth - guess) / np.maximum(np.abs(truth), 1e-9)))"),
    "smape": (
        "",
        "np.mean(2 * np.abs(truth - guess) / np.maximum(np.abs(truth) + np.abs(guess), 1e-9))",
    ),
    "r2": ("r2_score", "r2_score(truth, guess)"),
    "mcrmse": ("", "np.sqrt(np.mean((truth - guess) ** 2, axis=0)).mean()"),
    "pearson": ("", "np.corrcoef(truth, guess)[0, 1]"),
    "spearman": ("", 'pd.Series(truth).corr(pd.Series(guess), method="spearman")'),
    "pinball": ("mean_pinball_loss", "mean_pinball_loss(truth, guess)"),
}


@dataclass(frozen=True)
class MetricCode:
    """The name to print, the expression to compute, and the import it needs."""

    name: str
    expression: str
    imports: tuple[tuple[str, str], ...]


def metric_code(brief: Brief) -> MetricCode:
    """How to score `guess` against `truth` in the program of this task."""
    name = _ALIASES.get(brief.metric, brief.metric)
    if brief.output == "ranking":
        expression = f"np.mean([1 / (1 + r) if (r := np.sum(p > p[t])) < {top(brief)} else 0"
        return MetricCode(name, expression + " for p, t in zip(guess, truth)])", ())
    if brief.multi and brief.mode == "classify":
        if brief.output == "label":
            return MetricCode(name or "accuracy", "np.mean(truth == guess)", ())
        return MetricCode(name or "logloss", "np.mean((truth - guess) ** 2)", ())
    table, fallback = _table(brief)
    if brief.output == "probability" and name in _LABELS:
        function, expression = _LABELS[name]
        return MetricCode(name, expression.replace("guess", "guess.argmax(axis=1)"), ((_SKLEARN, function),))
    if name not in table or (brief.multi and name in {"pearson", "spearman"}):
        name = fallback
    function, expression = table[name]
    shown = brief.metric if _ALIASES.get(brief.metric, brief.metric) == name else name
    return MetricCode(shown, expression, ((_SKLEARN, function),) if function else ())


def _table(brief: Brief) -> tuple[dict[str, tuple[str, str]], str]:
    """Expressions that suit the form of the answer, and the one to fall back on."""
    if brief.mode == "regress":
        return _VALUES, "rmse"
    if brief.output == "label":
        return _LABELS, "accuracy"
    return (_MANY if len(brief.classes) > 2 else _TWO), "logloss"


def top(brief: Brief) -> int:
    """How many classes a ranking names: the k of `map@k`."""
    found = re.search(r"\d+", brief.metric)
    return int(found.group()) if found else 3
