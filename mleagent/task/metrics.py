"""The metric registry: every metric by name, with direction, optimum, best constant and error.

`get("auc")` gives a `Metric` (see `metric`). A user's own function comes in through
`load_user_metric`; `infer` guesses a metric from a task's words, problem and sample submission.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from ..errors import InputError
from ..records import MetricSpec
from . import metric_constants as constants
from . import metric_labels as labels
from . import metric_names
from . import metric_probabilities as probabilities
from . import metric_values as values
from .metric import Metric
from .metric_user import load_user_metric
from .metric_values import Loss, Measure

__all__ = ["Metric", "get", "infer", "inferred_note", "load_user_metric", "names", "of_spec"]


def _value(
    name: str,
    describe: str,
    single: Measure,
    constant: constants.Constant,
    maximize: bool = False,
    rows: Loss | None = None,
    low: float | None = None,
) -> Metric:
    spec = MetricSpec(
        name=name,
        direction="maximize" if maximize else "minimize",
        optimum=1.0 if maximize else 0.0,
        prediction="value",
    )
    return Metric(
        spec, describe, single, lambda truth, _: constant(truth), rows=rows, low=low, varied=maximize
    )


def _loss(name: str, describe: str, loss: Loss, constant: constants.Constant) -> Metric:
    return _value(name, describe, values.mean_of(loss), constant, rows=loss)


def _label(name: str, describe: str, single: Measure, varied: bool = False, by_value: bool = False) -> Metric:
    spec = MetricSpec(name=name, direction="maximize", optimum=1.0, prediction="label")
    constant = constants.positive if name == "f1" else constants.commonest
    return Metric(spec, describe, single, lambda truth, _: constant(truth), varied=varied, by_value=by_value)


def _probability(name: str, describe: str, single: Measure, maximize: bool) -> Metric:
    spec = MetricSpec(
        name=name,
        direction="maximize" if maximize else "minimize",
        optimum=1.0 if maximize else 0.0,
        prediction="probability",
    )
    return Metric(
        spec,
        describe,
        single,
        lambda truth, columns: constants.base_rates(columns)(truth),
        varied=maximize,
    )


_RMSE = values.root_mean_of(values.squared)

_ALL = (
    _value("rmse", "root mean squared error", _RMSE, constants.mean),
    _value("mcrmse", "mean over the targets of their root mean squared errors", _RMSE, constants.mean),
    _loss("mse", "mean squared error", values.squared, constants.mean),
    _loss("mae", "mean absolute error", values.absolute, constants.quantile(0.5)),
    _value(
        "rmsle",
        "root mean squared error of log(1 + value)",
        values.root_mean_of(values.log_squared),
        constants.log_mean,
        low=0.0,
    ),
    _loss("mape", "mean absolute error relative to the truth", values.relative, constants.relative_median),
    _loss("smape", "symmetric percentage error, 0 to 200", values.symmetric, constants.smape),
    _value("r2", "share of the variance explained", values.r2, constants.mean, maximize=True),
    _value("pearson", "Pearson's correlation", values.pearson, constants.mean, maximize=True),
    _value("spearman", "Spearman's rank correlation", values.spearman, constants.mean, maximize=True),
    _label("accuracy", "share of labels that are right", labels.accuracy),
    _label("balanced_accuracy", "mean recall over the classes", labels.balanced_accuracy),
    _label("f1", "F1 of the second of two classes", labels.f1("binary")),
    _label("f1_macro", "F1 averaged over the classes", labels.f1("macro")),
    _label("f1_micro", "F1 over all decisions (equals accuracy, one label a row)", labels.accuracy),
    _label("f1_weighted", "F1 averaged over the classes by their share", labels.f1("weighted")),
    _label(
        "qwk",
        "Cohen's kappa with quadratic weights",
        labels.quadratic_kappa,
        varied=True,
        by_value=True,
    ),
    _label("mcc", "Matthews' correlation coefficient", labels.matthews, varied=True),
    _probability(
        "roc_auc",
        "area under the ROC curve (several classes: mean one-vs-rest)",
        probabilities.roc_auc,
        True,
    ),
    _probability("average_precision", "average precision", probabilities.average_precision, True),
    _probability("logloss", "mean negative log likelihood", probabilities.logloss, False),
    _probability("brier", "mean squared error of the probabilities", probabilities.brier, False),
)

_METRICS = {metric.spec.name: metric for metric in _ALL}


def _pinball(quantile: float) -> Metric:
    name = "pinball" if quantile == 0.5 else f"pinball@{quantile:g}"
    return _loss(
        name,
        f"quantile loss at {quantile:g}",
        values.pinball(quantile),
        constants.quantile(quantile),
    )


def _map_at(k: int) -> Metric:
    spec = MetricSpec(name=f"map@{k}", direction="maximize", optimum=1.0, prediction="ranking")
    top = constants.top(k)
    return Metric(
        spec,
        f"mean average precision of the first {k} guesses",
        probabilities.map_at(k),
        lambda truth, _: top(truth),
    )


def names() -> tuple[str, ...]:
    """Every metric's name; `map@k` and `pinball@q` take any k and q."""
    return (*_METRICS, "pinball", "map@5")


def get(name: str) -> Metric:
    """The metric of that name or alias. Raises InputError naming the nearest ones."""
    key = metric_names.canonical(name)
    if key in _METRICS:
        return _METRICS[key]
    ranked = re.fullmatch(r"map@(\d{1,4})", key)
    if ranked and int(ranked[1]) > 0:
        return _map_at(int(ranked[1]))
    quantile = re.fullmatch(r"pinball(?:@(0?\.\d+))?", key)
    if quantile:
        share = float(quantile[1] or 0.5)
        if 0 < share < 1:
            return _pinball(share)
    known = [*names(), *metric_names.ALIASES]
    near = dict.fromkeys(metric_names.canonical(hit) for hit in difflib.get_close_matches(key, known, 5, 0.5))
    hint = f"did you mean {' or '.join(near)}" if near else f"known: {', '.join(names())}"
    raise InputError(f"unknown metric {name!r}; {hint}? `mleagent metrics` lists all")


def check(metric: Metric, problem: str, classes: Sequence[str]) -> None:
    """Raise InputError where a metric of the registry can't score such a problem; unknown ones pass."""
    name, kind = metric.spec.name, metric.spec.prediction
    if metric.own or problem == "unknown":
        return
    if kind not in _FITTING.get(problem, (kind,)) and not (kind == "value" and numeric(classes)):
        fitting = [each for each in names() if get(each).spec.prediction in _FITTING[problem]]
        raise InputError(
            f"metric {name} does not fit a {problem} task; set [task] metric to one of {', '.join(fitting)}"
        )
    if name == "f1" and len(classes) > 2:
        raise InputError(f"metric f1 is for two classes, here are {len(classes)}; f1_macro or f1_weighted?")


def numeric(classes: Sequence[str]) -> bool:
    """Whether there are classes and all are written as numbers."""
    return bool(classes) and all(re.fullmatch(r"[+-]?\d+(\.\d*)?", text.strip()) for text in classes)


def of_spec(spec: MetricSpec) -> Metric:
    """The registry's metric that `spec` names."""
    return get(spec.name)


_FITTING: dict[str, tuple[str, ...]] = {
    "binary": ("label", "probability"),
    "multiclass": ("label", "probability", "ranking"),
    "regression": ("value",),
    "multi-target": ("value", "label", "probability"),
    "ranking": ("ranking",),
}


def _guess(problem: str, classes: Sequence[str], hint: str | None, description: str) -> tuple[str, str]:
    """Name and origin of the guess: the description, else the problem's usual metric."""
    named = metric_names.named_in(description)
    if named == "f1" and len(classes) > 2:
        named = "f1_macro"
    if named == "rmse" and problem == "multi-target":
        named = "mcrmse"
    if named and get(named).spec.prediction in _FITTING.get(problem, (get(named).spec.prediction,)):
        return named, "the description"
    usual = {
        "binary": "roc_auc" if hint == "probability" else "accuracy",
        "multiclass": "logloss" if hint == "probability" else "accuracy",
        "multi-target": "roc_auc" if hint == "probability" else "accuracy" if hint == "label" else "mcrmse",
        "ranking": "map@5",
    }
    return usual.get(problem, "rmse"), f"the problem ({problem})"


def infer(
    problem: str, classes: Sequence[str] = (), prediction_hint: str | None = None, description: str = ""
) -> MetricSpec:
    """The metric a task most likely wants.

    `problem` is `Task.problem`; `prediction_hint` what the sample submission's values look like
    (`label`, `probability`, `value` or None); `description` the task's own words.
    """
    return get(_guess(problem, classes, prediction_hint, description)[0]).spec


def inferred_note(
    problem: str, classes: Sequence[str] = (), prediction_hint: str | None = None, description: str = ""
) -> str:
    """One line for `Task.notes`: which metric `infer` guessed, and from what."""
    name, origin = _guess(problem, classes, prediction_hint, description)
    return f"metric {name} was guessed from {origin}; set [task] metric in mleagent.toml to fix it"
