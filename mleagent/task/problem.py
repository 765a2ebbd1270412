"""What is asked: target, id, kind of problem, classes, metric, and what a submission looks like.

Takes the sources and the options; gives a Problem. The sample submission says
most, the difference between train and test columns the rest; what had to be
guessed is noted in one line each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..records import MetricSpec
from . import metrics
from .columns import class_text, is_number, typed
from .metric_user import load_user_metric
from .names import MEDIA_SUFFIXES
from .options import TaskOptions
from .sources import Sources

_ID_NAME = re.compile(r"^([Ii][Dd]|ids|[Ii]ndex|row_?id|uuid|guid|key|.*_id|.*[a-z]Id|.*ID)$")
_TARGET_NAMES = (
    *("target", "label", "labels", "class", "y", "outcome", "response", "survived", "churn", "saleprice"),
    *("price", "diagnosis", "species", "quality", "sentiment", "category"),
)
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
    id_column, sample_id, predicted = _ids(sources, options)
    targets, guessed = _targets(sources, options, id_column, predicted)
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


def _ids(sources: Sources, options: TaskOptions) -> tuple[str | None, str | None, tuple[str, ...]]:
    """The tables' id column, the submission's id header, and the sample's other columns."""
    tables = [sources.train] if sources.test is None else [sources.train, sources.test.frame]
    if options.id and not any(options.id in frame for frame in tables):
        columns = ", ".join(map(str, sources.train.columns[:12]))
        raise InputError(f"[task] id: there is no column {options.id!r}; the columns are {columns}")
    header = sources.sample.columns if sources.sample is not None else []
    if not header:
        name = options.id or _id_by_name(sources)
        return name or None, name or "id", ()
    first = options.id if options.id in header else header[0]
    if len(header) == 1 or set(header) <= set(options.target):
        return options.id or None, None, tuple(header)
    rest = tuple(name for name in header if name != first)
    column = options.id or _column_of_ids(first, sources)
    if column is None and first in sources.train and not _ID_NAME.match(first):
        return None, None, tuple(header)
    return column, first, rest


def _column_of_ids(name: str, sources: Sources) -> str | None:
    """The test table's column that the sample's ids are from; None: ids are row positions."""
    assert sources.sample is not None
    if sources.test is None:
        return name if name in sources.train and sources.train[name].is_unique else None
    frame = sources.test.frame
    if name in frame and frame[name].is_unique:
        return name
    ids = set(sources.sample.frame[name].astype(str))
    same = [str(c) for c in frame.columns if frame[c].is_unique and set(frame[c].astype(str)) == ids]
    return same[0] if same else None


def _id_by_name(sources: Sources) -> str:
    """A unique column called like an id, else one of file names; unique in the test table too."""
    test = sources.test.frame if sources.test is not None else None
    unique = [
        str(name)
        for name in sources.train.columns
        if sources.train[name].is_unique and (test is None or (name in test and test[name].is_unique))
    ]
    called = [name for name in unique if _ID_NAME.match(name)]
    files = [n for n in unique if sources.train[n].astype(str).str.lower().str.endswith(MEDIA_SUFFIXES).all()]
    return next(iter(called + files), "")


def _targets(
    sources: Sources, options: TaskOptions, id_column: str | None, predicted: tuple[str, ...]
) -> tuple[tuple[str, ...], bool]:
    """Target columns, and whether they were a guess."""
    train = [str(name) for name in sources.train.columns]
    if options.target:
        missing = [name for name in options.target if name not in train]
        if missing:
            raise InputError(
                f"[task] target: the train table has no column {missing[0]!r}; "
                f"candidates: {', '.join(_candidates(sources, id_column))}"
            )
        return options.target, False
    if predicted and all(name in train for name in predicted):
        return predicted, False
    extra = _candidates(sources, id_column)
    if sources.joined:
        extra = [name for name in sources.joined if name != id_column]
    by_class = [name for name in extra if _names_classes(sources.values[name], predicted)]
    if by_class:
        return (by_class[0],), False
    if sources.test is not None and len(extra) == 1:
        return (extra[0],), False
    usual = [name for name in extra if name.lower() in _TARGET_NAMES]
    if usual:
        return (min(usual, key=lambda name: _TARGET_NAMES.index(name.lower())),), sources.test is None
    if sources.made:
        return (train[-1],), False
    raise InputError(
        f"{sources.shards[0].rel}: which column is the target? candidates: {', '.join(extra[-12:])}; "
        f'set [task] target = ["NAME"] in mleagent.toml'
    )


def _candidates(sources: Sources, id_column: str | None) -> list[str]:
    """Columns that may be the target: those the test table lacks, or all but the id."""
    train = [str(name) for name in sources.train.columns if str(name) != id_column]
    if sources.test is None:
        return train
    return [name for name in train if name not in sources.test.columns] or train


def _names_classes(column: pd.Series, predicted: tuple[str, ...]) -> bool:
    if len(predicted) < 2 or column.nunique() > len(predicted):
        return False
    return len(_match_classes(tuple(sorted(class_text(column).dropna().unique())), predicted)) >= 2


def _match_classes(classes: tuple[str, ...], predicted: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(submission column, class) where every class has a column of its name or ending in it; else ()."""
    pairs = []
    for name in predicted:
        hits = [c for c in classes if c == name] or [
            c for c in classes if re.search(rf"[_\- .]{re.escape(c)}$", name)
        ]
        if hits:
            pairs.append((name, max(hits, key=len)))
    return tuple(pairs) if {c for _, c in pairs} == set(classes) and len(pairs) == len(predicted) else ()


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
        pairs = _match_classes(classes, header) if len(header) > 1 and classes else ()
        if len(header) not in (1, len(targets)) and not pairs:
            raise InputError(
                f"sample submission: its {len(header)} prediction columns match neither the {len(targets)} "
                f"target(s) nor the {len(classes)} classes; set [task] target"
            )
        return header, pairs
    if kind == "multiclass" and metric.prediction == "probability":
        return classes, tuple((name, name) for name in classes)
    return targets, ()
