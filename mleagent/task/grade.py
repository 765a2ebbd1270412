"""The grader: a submission's bytes against the held-out labels, outside the sandbox.

Reads a prepared task's private folder once. `grade` scores the feedback rows and never reads the sealed
labels; `seal` scores the sealed rows, for reports, the gate and benchmarks only; `cut` gives the file to
upload, the user's own test rows. A submission that can't be scored is a `Grade` with the reason.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq

from ..errors import InputError
from ..records import Direction, Grade, Score, SealedGrade
from . import metrics
from .agreement import agreement
from .answers import code_pair, read_labels
from .layout import ANSWERS_FILE, ID, ORDER, PART, USER_ID, SubmissionLayout, layout_of
from .metric import Metric
from .stderr import Array, Measured, norm
from .submission import Ids, SubmissionError, read_table, write_csv
from .submission_values import Labels, parse, prediction_columns
from .utility import paired_difference, utility_and_error

Part = Literal["feedback", "sealed"]

_KEPT = 4
"""Submissions kept parsed: the new one and the best before it, with room to spare."""


@dataclass
class _Parsed:
    """A valid submission: its text, its predictions, and what it measured so far by part."""

    table: Any
    predictions: Array
    measured: dict[Part, Measured] = field(default_factory=dict)


@dataclass(frozen=True)
class _Truth:
    """Coded labels of one part, with the best constant's score on them."""

    rows: Array
    labels: Array
    dummy: Measured


class Grader:
    """Grades submissions of one prepared task. Not thread-safe."""

    def __init__(self, private: Path, verified: bool = True):
        """Read layout and ids; labels are read when a part is first scored.

        Raises InputError when the folder is not a prepared one or its metric does not fit.
        """
        self._path = private / ANSWERS_FILE
        self._verified = verified
        try:
            self.layout: SubmissionLayout = layout_of(private)
            keys = pq.read_table(self._path, columns=[ID, PART, USER_ID, ORDER], use_threads=False)
        except (OSError, ValueError) as error:
            detail = " ".join(str(error).split())[:120]
            raise InputError(f"{private} can't be read ({detail}); prepare the task anew") from None
        self.metric = _metric_of(self.layout, private)
        metrics.check(self.metric, self.layout.problem, self.layout.classes)
        _check_columns(self.layout, self.metric)
        binary = ("0", "1") if self.metric.spec.prediction == "probability" else ()
        self._labels = Labels(self.layout.classes or binary)
        self._part = np.asarray(keys.column(PART).to_pylist())
        self._ids = Ids.of(keys.column(ID), self.layout.integer_ids)
        own = keys.column(ID).take(np.flatnonzero(self._part == "test"))
        self._own_ids = Ids.of(own, self.layout.integer_ids)
        self._user_ids = keys.column(USER_ID)
        self._order = keys.column(ORDER).to_numpy()
        self._parsed: OrderedDict[bytes, _Parsed] = OrderedDict()
        self._truths: dict[Part, _Truth] = {}

    # --- what others ask -----------------------------------------------------------

    def grade(self, submission: bytes, best_before: bytes | None = None) -> Grade:
        """The feedback rows' verdict; `best_before` is the best earlier submission, for the paired gain.

        Never raises for what the bytes hold: an unusable submission is a Grade with its reason.
        """
        try:
            measured = self._measure(submission, "feedback")
        except SubmissionError as error:
            return Grade(valid=False, reason=str(error))
        truth, optimum = self._truth("feedback"), self.metric.spec.optimum
        value, error_of = utility_and_error(measured, truth.dummy, optimum)
        delta: tuple[float, float | None] | tuple[None, None] = (None, None)
        if best_before is not None:
            try:
                before = self._measure(best_before, "feedback")
                delta = paired_difference(measured, before, truth.dummy, optimum)
            except SubmissionError:
                pass
        return Grade(
            valid=True,
            score=self._score(measured, "feedback"),
            utility=value,
            utility_se=error_of,
            delta_utility=delta[0],
            delta_se=delta[1],
        )

    def seal(self, submission: bytes) -> SealedGrade:
        """The sealed rows' verdict; whoever calls it counts the look. Raises SubmissionError."""
        measured = self._measure(submission, "sealed")
        value, error = utility_and_error(measured, self._truth("sealed").dummy, self.metric.spec.optimum)
        return SealedGrade(score=self._score(measured, "sealed"), utility=value, utility_se=error)

    def dummy(self, part: Part = "feedback") -> float:
        """The best constant prediction's score on that part's rows. Raises InputError where undefined."""
        return self._truth(part).dummy.score

    def facts(self) -> tuple[Direction, float, float]:
        """Direction, optimum and the best constant's feedback score."""
        spec = self.metric.spec
        return spec.direction, spec.optimum, self.dummy("feedback")

    def cut(self, submission: bytes) -> bytes:
        """The file to upload: the user's own test rows, ids, order and header. Raises SubmissionError.

        `submission` answers every public test row, or, after a refit, the user's own rows alone.
        Numbers stand as they were written; labels in the spelling of the user's own classes.
        """
        parsed, rows = self._own(submission)
        table = parsed.table.take(rows)
        answers = set(prediction_columns(self.layout))
        as_classes = self.metric.spec.prediction == "label" and not self.layout.class_columns
        columns: list[list[str]] = []
        for name in self.layout.columns:
            texts = table.column(name)
            if name not in answers:
                columns.append(self._user_ids.take(self._own_rows()).to_pylist())
            elif as_classes and self._labels.classes:
                codes, _ = self._labels.codes(texts)
                columns.append([self._labels.classes[code] for code in codes])
            else:
                columns.append(texts.to_pylist())
        return write_csv(self.layout.user_columns or self.layout.columns, columns)

    def agreement(self, a: bytes, b: bytes) -> float:
        """How alike two submissions rank the user's own test rows, -1..1 (see `agreement`).

        Each may answer every row or the user's own alone. 1 where there are no such rows. Raises
        SubmissionError when either can't be read.
        """
        (left, rows), (right, others) = self._own(a), self._own(b)
        return agreement(left.predictions[rows], right.predictions[others], self.metric)

    # --- inside --------------------------------------------------------------------

    def _own_rows(self) -> Array:
        """Rows of the user's own test file, in its order."""
        rows = np.flatnonzero(self._part == "test")
        return rows[np.argsort(self._order[rows], kind="stable")]

    def _own(self, submission: bytes) -> tuple[_Parsed, Array]:
        """A submission and which of its rows, in what order, are the user's own test file's."""
        try:
            return self._read(submission), self._own_rows()
        except SubmissionError as error:
            try:
                parsed = self._read(submission, own=True)
            except SubmissionError:
                raise error from None
        return parsed, np.argsort(self._order[self._part == "test"], kind="stable")

    def _read(self, submission: bytes, own: bool = False) -> _Parsed:
        """Parse, or recall; `own`: only the user's own rows are answered."""
        key = hashlib.blake2b(submission, digest_size=16, salt=b"own" if own else b"all").digest()
        known = self._parsed.get(key)
        if known is None:
            table = read_table(submission, self.layout, self._own_ids if own else self._ids)
            known = _Parsed(table, parse(table, self.layout, self.metric, self._labels))
            self._parsed[key] = known
        self._parsed.move_to_end(key)
        while len(self._parsed) > _KEPT:
            self._parsed.popitem(last=False)
        return known

    def _measure(self, submission: bytes, part: Part) -> Measured:
        parsed = self._read(submission)
        if part not in parsed.measured:
            truth = self._truth(part)
            with np.errstate(over="ignore", invalid="ignore"):
                predictions = parsed.predictions[truth.rows]
                measured = self.metric.measure(
                    *code_pair(self.metric, self._labels, truth.labels, predictions)
                )
            if not np.isfinite(measured.score):
                raise SubmissionError("the predictions are too large in size to be scored")
            parsed.measured[part] = measured
        return parsed.measured[part]

    def _truth(self, part: Part) -> _Truth:
        if part not in self._truths:
            labels = read_labels(self._path, part, self.layout, self.metric, self._labels)
            undefined = self.metric.undefined(labels)
            if undefined:
                raise InputError(f"the {part} rows can't be scored: {undefined}; mend [holdout] {part}")
            classes = len(self._labels.classes) if self.layout.class_columns else 0
            coded = code_pair(self.metric, self._labels, labels, labels)[0]
            dummy = self.metric.measure_dummy(coded, classes if classes > 2 else 0)
            self._truths[part] = _Truth(np.flatnonzero(self._part == part), labels, dummy)
        return self._truths[part]

    def _score(self, measured: Measured, part: Part) -> Score:
        return Score(
            value=measured.score,
            metric=self.metric.spec.name,
            direction=self.metric.spec.direction,
            kind=part,
            se=norm(measured.deviations),
            n=len(self._truth(part).rows),
            verified=self._verified,
        )


def _metric_of(layout: SubmissionLayout, private: Path) -> Metric:
    spec = layout.metric
    if not layout.metric_source:
        return metrics.of_spec(spec)
    kind = spec.prediction
    # Where nothing said what the function takes: columns of classes are probabilities, words are no values.
    if kind == "value" and layout.class_columns:
        kind = "probability"
    elif kind == "value" and layout.classes and not metrics.numeric(layout.classes):
        kind = "label"
    user = metrics.load_user_metric(
        layout.metric_source, private, spec.direction == "maximize", spec.optimum, kind
    )
    return replace(user, spec=spec.model_copy(update={"prediction": kind}))


def _check_columns(layout: SubmissionLayout, metric: Metric) -> None:
    """Raise InputError where the submission's columns can't answer the targets."""
    given, wanted = len(prediction_columns(layout)), len(layout.targets)
    many = metric.spec.prediction == "probability" and len(layout.classes) > 2
    by_class = bool(layout.class_columns) and metric.spec.prediction in ("label", "probability")
    if by_class or (given == wanted and not many):
        return
    count, of = (len(layout.classes), "classes") if many else (wanted, "target(s)")
    raise InputError(
        f"metric {metric.spec.name} needs prediction columns, one for each of the {count} {of}, and the "
        f"sample submission has {given}; mend sample_submission.csv or set another [task] metric"
    )
