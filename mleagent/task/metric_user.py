"""A user's own metric: a Python function of theirs, `my_metric.py:score`, as a `Metric`.

The function is called as `score(truth, pred)` with numpy arrays of the same length: numbers (one
column a target), labels (as numbers where all classes are numbers, else text), or the truth as class
codes with the probability of class 1 or one column a class. It must return a finite number. It runs in
this process, outside the sandbox: it is the user's own code, like a plug-in. Nothing is known of its
shape, so its standard error comes from the bootstrap and its best constant from a search.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..records import MetricSpec, Prediction
from .metric import Metric
from .stderr import Array, Measured, from_bootstrap

_CONSTANTS = 32
"""Constants tried at most when searching for the best one."""


def load_user_metric(
    source: str, folder: Path, maximize: bool, optimum: float, prediction: Prediction = "value"
) -> Metric:
    """The function `path/of/file.py:function`, relative to `folder`. Raises InputError."""
    score = _checked(_load_function(source, folder), source)
    spec = MetricSpec(
        name=source.rpartition(":")[2],
        direction="maximize" if maximize else "minimize",
        optimum=optimum,
        prediction=prediction,
    )

    def measure(truth: Array, pred: Array) -> Measured:
        return Measured(score(truth, pred), from_bootstrap(score, truth, pred))

    def constant(truth: Array, columns: int) -> Array:
        options = _candidates(truth, prediction, columns)
        scores = [score(truth, np.broadcast_to(one, (len(truth), *one.shape))) for one in options]
        return options[int(np.argmax(scores) if maximize else np.argmin(scores))]

    return Metric(spec, f"the user's own ({source})", measure, constant, by_value=True, own=True)


def _load_function(source: str, folder: Path) -> Callable[[Array, Array], object]:
    file, _, name = source.rpartition(":")
    path = folder / file
    if not file or not name.isidentifier():
        raise InputError(f"metric {source!r} is not of the form my_metric.py:score; mend [task] metric")
    if not path.is_file():
        raise InputError(f"metric {source!r}: there is no file {path}; mend [task] metric")
    module_spec = importlib.util.spec_from_file_location(f"mleagent_user_{path.stem}", path)
    if module_spec is None or module_spec.loader is None:
        raise InputError(f"metric {source!r}: {path} is not a Python file; mend [task] metric")
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything; they get one line
        raise InputError(f"metric {source!r}: {path} fails with {_line(error)}; mend the file") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(f"metric {source!r}: {path} has no function {name!r}; mend [task] metric")
    return function  # type: ignore[no-any-return]


def _checked(function: Callable[[Array, Array], object], source: str) -> Callable[[Array, Array], float]:
    def score(truth: Array, pred: Array) -> float:
        try:
            value = float(function(truth, pred))  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything; they get one line
            raise InputError(f"metric {source!r} fails with {_line(error)}; mend the function") from None
        if not math.isfinite(value):
            raise InputError(f"metric {source!r} returned {value}; it must return a finite number")
        return value

    return score


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _candidates(truth: Array, prediction: Prediction, columns: int) -> list[Array]:
    """Constants worth trying: the classes, the base rates, or the values at even quantiles and the mean."""
    if prediction == "probability" and truth.ndim == 1:
        if not columns:
            return [np.asarray(share) for share in ((truth == 1).mean(), 0.0, 0.5, 1.0)]
        rates = np.bincount(truth, minlength=columns) / len(truth)
        corners = np.eye(columns)[np.argsort(-rates)[: _CONSTANTS - 2]]
        return [rates, np.full(columns, 1.0 / columns), *corners]
    if prediction in ("label", "ranking"):
        values, counts = np.unique(truth, axis=0, return_counts=True)
        return [np.asarray(values[k]) for k in np.argsort(-counts, kind="stable")[:_CONSTANTS]]
    quantiles = np.quantile(truth, np.linspace(0, 1, _CONSTANTS - 1), axis=0, method="inverted_cdf")
    return [np.asarray(truth.mean(axis=0)), *(np.asarray(one) for one in quantiles)]
