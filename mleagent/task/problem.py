"""What is asked: target, id, kind of problem, classes, metric, and what a submission looks like.

Takes the sources and the options; gives a Problem. The sample submission says
most, the difference between train and test columns the rest; what had to be
guessed is noted in one line each.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..records import MetricSpec
from . import metrics
from .columns import class_text, is_number, typed
from .metric_user import load_user_metric
from .options import TaskOptions
from .roles import ids_of, match_classes, targets_of
from .sources import Sources

MIN_LABELLED = 10


@dataclass(frozen=True)
class Problem:
    """The task as understood, before anything is held out."""

    targets: tuple[str, ...]
    id_column: str | None
    """Column of the train and test tables; None: rows are known by position."""
    sample_id: str | None
    """Header of the submission's id column."""
    kind: str
    """As `Task.problem`."""
    classes: tuple[str, ...]
    metric: MetricSpec
    metric_source: str
    """`file.py:function` for a metric of the user's own."""
    predicted: tuple[str, ...]
    """Submission columns after the id."""
    class_columns: tuple[tuple[str, str], ...]
    labelled: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """Which train rows have all targets."""
    notes: tuple[str, ...] = ()

    @property
    def classification(self) -> bool:
        """Whether the target is a class."""
        return self.kind in ("binary", "multiclass")

    @property
    def columns(self) -> tuple[str, ...]:
        """The submission's header."""
        return ((self.sample_id,) if self.sample_id else ()) + self.predicted


def understand_problem(sources: Sources, options: TaskOptions, folder: Path, description: str) -> Problem:
    """Infer everything a Problem says. Raises InputError where the folder can't be used."""
    id_column, sample_id, predicted = ids_of(sources, options)
    targets, guessed = targets_of(sources, options, id_column, predicted)
    notes = [f"target {targets[0]!r} was guessed; set [task] target in mleagent.toml"] if guessed else []
    labelled = sources.values[list(targets)].notna().all(axis=1).to_numpy()
    _enough(labelled, targets, sources)
    metric = _chosen_metric(options, folder)
    hint = _prediction_hint(sources, predicted)
    kind, classes = _kind(sources.values.loc[labelled, list(targets)], metric, hint, options)
    if metric is None:
        metric = metrics.infer(kind, classes, hint, description)
        notes.append(metrics.inferred_note(kind, classes, hint, description))
    _check_values(kind, metric, sources.values.loc[labelled, list(targets)])
    predicted, class_columns = _predicted(predicted, targets, classes, metric, kind)
    return Problem(
        targets,
        id_column,
        sample_id,
        kind,
        classes,
        metric,
        options.metric if ".py:" in options.metric else "",
        predicted,
        class_columns,
        labelled,
        tuple(notes),
    )


def _enough(
    labelled: np.ndarray[tuple[int], np.dtype[np.bool_]], targets: tuple[str, ...], sources: Sources
) -> None:
    count = int(labelled.sum())
    if count < MIN_LABELLED:
        raise InputError(
            f"{sources.shards[0].rel}: {count} of {len(labelled)} rows have a value in {', '.join(targets)}; "
            f"at least {MIN_LABELLED} are needed to hold some out"
        )


def _chosen_metric(options: TaskOptions, folder: Path) -> MetricSpec | None:
    if not options.metric:
        return None
    if ".py:" in options.metric:
        if options.maximize is None or options.optimum is None:
            raise InputError(
                f"[task] metric {options.metric!r}: set maximize (true or false) and optimum too"
            )
        return load_user_metric(options.metric, folder, options.maximize, options.optimum).spec
    return metrics.get(options.metric).spec


def _prediction_hint(sources: Sources, predicted: tuple[str, ...]) -> str | None:
    """What the sample's values look like: `probability`, `label`, `value`; None without a sample."""
    if sources.sample is None or not predicted or not sources.sample.rows:
        return None
    frame = typed(sources.sample)[list(predicted)]
    if not all(is_number(frame[name]) for name in predicted):
        return "label"
    values = frame.to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    inside = bool(len(values)) and float(values.min()) >= 0 and float(values.max()) <= 1
    if inside and (bool((values != values.round()).any()) or len(predicted) > 1):
        return "probability"
    return "label" if bool((values == values.round()).all()) else "value"


def _kind(
    frame: pd.DataFrame, metric: MetricSpec | None, hint: str | None, options: TaskOptions
) -> tuple[str, tuple[str, ...]]:
    """Kind of problem and, for classes, their names: numbers in order, words sorted; the last is positive."""
    if metric is not None and metric.prediction == "ranking":
        return "ranking", _class_names(frame.iloc[:, 0])
    if frame.shape[1] > 1:
        texts = [str(name) for name in frame.columns if not _countable(frame[name])]
        if texts:
            raise InputError(f"target {texts[0]!r} holds text; several targets must all be numbers")
        return "multi-target", ()
    column = frame.iloc[:, 0]
    own = ".py:" in options.metric
    wants_classes = metric is not None and not own and metric.prediction in ("label", "probability")
    wants_numbers = metric is not None and not own and metric.prediction == "value"
    is_class = wants_classes or (not wants_numbers and _looks_like_classes(column, hint))
    if not is_class:
        return "regression", ()
    classes = _class_names(column)
    if len(classes) < 2:
        raise InputError(
            f"target {column.name!r} has one class only ({classes[0]!r}); two are needed to learn from"
        )
    return ("binary" if len(classes) == 2 else "multiclass"), classes


def _countable(column: pd.Series) -> bool:
    return is_number(column) or bool(pd.api.types.is_bool_dtype(column))


def _looks_like_classes(column: pd.Series, hint: str | None) -> bool:
    if not is_number(column):
        return True
    values = column.to_numpy(dtype=float)
    whole = bool((values == values.round()).all())
    unique = len(np.unique(values))
    if hint == "value" and unique > 2:
        return False
    return whole and unique <= max(2, min(20, len(values) // 5))


def _class_names(column: pd.Series) -> tuple[str, ...]:
    names = class_text(column).dropna().unique().tolist()
    if is_number(column):
        return tuple(sorted(names, key=float))
    return tuple(sorted(map(str, names)))


def _check_values(kind: str, metric: MetricSpec, frame: pd.DataFrame) -> None:
    """Targets that the metric can't score."""
    if kind not in ("regression", "multi-target"):
        return
    for name in frame.columns:
        column = frame[name]
        if not _countable(column):
            example = column[pd.to_numeric(column, errors="coerce").isna()].iloc[0]
            raise InputError(
                f"target {str(name)!r} must be numbers for {metric.name}, but holds {str(example)!r}"
            )
        if not np.isfinite(column.to_numpy(dtype=float)).all():
            raise InputError(f"target {str(name)!r} holds infinite values; remove those rows")
        if kind == "regression" and column.nunique() < 2:
            raise InputError(
                f"target {str(name)!r} has one value only ({column.iloc[0]}); nothing can be learned"
            )


def _predicted(
    header: tuple[str, ...], targets: tuple[str, ...], classes: tuple[str, ...], metric: MetricSpec, kind: str
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The submission's prediction columns, and which class each probability column is of."""
    if header:
        pairs = match_classes(classes, header) if len(header) > 1 and classes else ()
        if len(header) not in (1, len(targets)) and not pairs:
            raise InputError(
                f"sample submission: its {len(header)} prediction columns match neither the {len(targets)} "
                f"target(s) nor the {len(classes)} classes; set [task] target"
            )
        return header, pairs
    if kind == "multiclass" and metric.prediction == "probability":
        return classes, tuple((name, name) for name in classes)
    return targets, ()
