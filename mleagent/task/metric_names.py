"""Names of metrics: aliases people use, and the metric a task's description asks for.

`canonical` turns `AUC`, `log loss` or `MAP@5` into the registry's name; `named_in` looks for the metric
in the user's own words (Kaggle's "evaluated on the area under the ROC curve ...").
"""

from __future__ import annotations

import re

ALIASES: dict[str, str] = {
    "auc": "roc_auc",
    "auroc": "roc_auc",
    "rocauc": "roc_auc",
    "auc_roc": "roc_auc",
    "roc_auc_ovr": "roc_auc",
    "roc_auc_score": "roc_auc",
    "ap": "average_precision",
    "pr_auc": "average_precision",
    "auprc": "average_precision",
    "average_precision_score": "average_precision",
    "log_loss": "logloss",
    "binary_logloss": "logloss",
    "multi_logloss": "logloss",
    "multiclass_logloss": "logloss",
    "cross_entropy": "logloss",
    "neg_log_loss": "logloss",
    "brier_score": "brier",
    "brier_score_loss": "brier",
    "acc": "accuracy",
    "accuracy_score": "accuracy",
    "bal_acc": "balanced_accuracy",
    "balanced_accuracy_score": "balanced_accuracy",
    "f1_score": "f1",
    "f1_binary": "f1",
    "macro_f1": "f1_macro",
    "micro_f1": "f1_micro",
    "weighted_f1": "f1_weighted",
    "kappa": "qwk",
    "quadratic_weighted_kappa": "qwk",
    "quadratic_kappa": "qwk",
    "cohen_kappa": "qwk",
    "matthews": "mcc",
    "matthews_corrcoef": "mcc",
    "root_mean_squared_error": "rmse",
    "root_mean_squared_log_error": "rmsle",
    "root_mean_squared_logarithmic_error": "rmsle",
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "l1": "mae",
    "l2": "mse",
    "mean_absolute_percentage_error": "mape",
    "symmetric_mean_absolute_percentage_error": "smape",
    "r2_score": "r2",
    "r_squared": "r2",
    "r^2": "r2",
    "pearsonr": "pearson",
    "pearson_correlation": "pearson",
    "spearmanr": "spearman",
    "spearman_correlation": "spearman",
    "columnwise_rmse": "mcrmse",
    "mean_columnwise_rmse": "mcrmse",
    "quantile_loss": "pinball",
    "map@k": "map@5",
    "mapk": "map@5",
    "mean_average_precision": "map@5",
}

_WORDS: tuple[tuple[str, str], ...] = (
    (r"mean[ -]?column-?wise (?:root[ -]mean[ -]squared?[ -]error|rmse)|\bmcrmse\b", "mcrmse"),
    (r"root[ -]mean[ -]squared?[ -]log(?:arithmic|arithm)?[ -]error|\brmsle\b", "rmsle"),
    (r"(?:\brmse\b|root[ -]mean[ -]squared?[ -]error)\W+(?:\w+\W+){0,6}(?:log|logarithm)\b", "rmsle"),
    (r"root[ -]mean[ -]squared?[ -](?:error|deviation)|\brmse\b", "rmse"),
    (r"symmetric mean absolute percent(?:age)? error|\bsmape\b", "smape"),
    (r"mean absolute percent(?:age)? error|\bmape\b", "mape"),
    (r"mean absolute error|\bmae\b", "mae"),
    (r"mean squared error|\bmse\b", "mse"),
    (r"quadratic(?:ally)?[ -]weighted kappa|\bqwk\b", "qwk"),
    (r"matthews|\bmcc\b", "mcc"),
    (r"mean average precision(?: at (\d+))?|\bmap ?@ ?(\d+)", "map@"),
    (r"area under the (?:precision[ -]recall|pr) curve|average precision|\bauprc\b", "average_precision"),
    (r"area under (?:the )?(?:\w+ ){0,4}(?:roc|receiver)|\broc[ -_]?auc\b|\bauc\b|\bauroc\b", "roc_auc"),
    (r"log(?:arithmic)?[ -]?loss|cross[ -]entropy", "logloss"),
    (r"brier", "brier"),
    (r"balanced accuracy", "balanced_accuracy"),
    (r"macro[ -](?:averaged )?f1|f1[ -_]?(?:score)?[ ,-]*\(?macro", "f1_macro"),
    (r"micro[ -](?:averaged )?f1|f1[ -_]?(?:score)?[ ,-]*\(?micro", "f1_micro"),
    (r"weighted[ -](?:averaged )?f1|f1[ -_]?(?:score)?[ ,-]*\(?weighted", "f1_weighted"),
    (r"\bf1\b|\bf-?(?:1[ -])?score\b|\bf-measure\b", "f1"),
    (r"pearson", "pearson"),
    (r"spearman|rank correlation", "spearman"),
    (r"pinball|quantile loss", "pinball"),
    (r"\br-?squared\b|\br2\b|\br\^2|\br²|coefficient of determination", "r2"),
    (r"accuracy|(?:percentage|proportion|share|fraction) (?:\w+ ){0,4}correct", "accuracy"),
)
"""What descriptions write, the more special first: a word inside a longer name is not the name."""

_ASKED = re.compile(r"evaluat|metric|scored? (?:on|by|using|with)|judged|measured", re.IGNORECASE)


def canonical(name: str) -> str:
    """The registry's name for an alias, lower-case; unknown names come back merely tidied."""
    key = re.sub(r"[\s\-]+", "_", name.strip().lower())
    at = re.fullmatch(r"(map|pinball)(?:_at_?|_?@_?|_)(k|[\d.]+)", key)
    if at:
        key = f"{at[1]}@{at[2]}"
    return ALIASES.get(key, key)


def named_in(description: str) -> str | None:
    """The metric a description names: the first one after words like "evaluated" or "metric".

    Where no such words stand, any metric named but bare `accuracy` or `F1`, which prose uses loosely.
    """
    for asked in _ASKED.finditer(description):
        found = _first(description[asked.start() : asked.start() + 400])
        if found:
            return found
    loose = _first(description)
    return None if loose in ("accuracy", "f1", "mcc", "r2") else loose


def _first(text: str) -> str | None:
    """The earliest metric named in `text`; of two at one place, the more special."""
    plain = re.sub(r"[*_`\[\]]+", " ", text.lower())
    plain = re.sub(r"\s+", " ", plain)
    best: tuple[int, str] | None = None
    for pattern, name in _WORDS:
        hit = re.search(pattern, plain)
        if hit and (best is None or hit.start() < best[0]):
            number = next((part for part in hit.groups() if part), "5") if name == "map@" else ""
            best = (hit.start(), name + number)
    return best[1] if best else None
