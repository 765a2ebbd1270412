"""What the playbook knows of a task: column lists, sizes and the form of the answer.

Takes a `records.Task` (any, also one with an empty profile), gives a `Brief` of
plain tuples and numbers. Ideas decide by it whether they apply; the composer
decides by it what a program must contain. Nothing here reads a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt
from typing import Literal

from ...records import ColumnType, Task

Mode = Literal["classify", "regress"]
Output = Literal["label", "probability", "value", "ranking"]

_CLASSIFYING = {
    "accuracy", "balanced_accuracy", "f1", "f1_binary", "f1_macro", "f1_micro", "f1_weighted",
    "roc_auc", "roc_auc_ovr", "average_precision", "logloss", "log_loss", "logloss_multi",
    "logloss_binary", "brier", "qwk", "mcc",
}  # fmt: skip


@dataclass(frozen=True)
class Brief:
    """A task in the playbook's terms. Column names are the train table's own."""

    name: str
    metric: str
    mode: Mode
    output: Output
    targets: tuple[str, ...]
    id_column: str | None
    submission: tuple[str, ...]
    """Header of the submission; empty when unknown."""
    classes: tuple[str, ...]
    numeric: tuple[str, ...]
    category: tuple[str, ...]
    """Categorical and boolean columns."""
    dates: tuple[str, ...]
    text: tuple[str, ...]
    paths: tuple[str, ...]
    """Columns that name an image file each."""
    drop: tuple[str, ...]
    """Identifiers, constants and group columns: of no use to a model."""
    group: str | None
    time: str | None
    rows: int
    missing: bool
    skewed_target: bool
    widest: int
    """Distinct values of the category column with the most."""
    spelling: bool
    """Whether a category occurs in several spellings."""
    pixels: int
    """Columns of an image table, where they make a square; else 0."""
    known: bool
    """False when the task has no column profile: programs then look at types themselves."""
    packages: tuple[str, ...] = ()

    @property
    def multi(self) -> bool:
        """Whether several targets are predicted."""
        return len(self.targets) > 1

    @property
    def numbers(self) -> int:
        """Numeric columns a pipeline sees, pixels of image files included."""
        return len(self.numeric) + (256 if self.paths else 0)

    @property
    def width(self) -> int:
        """Columns a model sees, about."""
        return max(1, self.numbers + 4 * len(self.category) + 60 * len(self.text))

    @property
    def image_table(self) -> bool:
        """Many numeric columns and little else: pixels, spectra, sensor values."""
        return len(self.numeric) >= 40 and not self.text + self.dates and len(self.category) < self.width / 6

    @property
    def has_category(self) -> bool:
        """Whether non-numeric columns must be expected."""
        return bool(self.category) or not self.known

    def has(self, package: str) -> bool:
        """Whether the sandbox's Python is said to have `package`."""
        return package in self.packages


def brief_of(task: Task, packages: Iterable[str] = ()) -> Brief:
    """The brief of a task; `packages` as in `State.packages` (`name` or `name==version`)."""
    targets = task.targets or tuple(c for c in task.submission_columns if c != task.id_column)
    group, time = _usable(task, task.group_column), _usable(task, task.time_column)
    skip = {*targets, task.id_column}
    columns = [c for c in task.columns if c.name not in skip]

    def names(*types: ColumnType) -> tuple[str, ...]:
        return tuple(c.name for c in columns if c.type in types and c.name != group)

    paths = names("path")
    if not paths and task.kind == "media" and task.id_column:
        paths = (task.id_column,)
    category = names("categorical", "boolean")
    square = _square(len(names("numeric", "boolean", "constant")), len(names("numeric")))
    return Brief(
        name=task.name,
        metric=task.metric.name if task.metric else "",
        mode=_mode(task),
        output=_output(task),
        targets=targets,
        id_column=task.id_column,
        submission=task.submission_columns,
        classes=task.classes,
        numeric=names("numeric"),
        category=category,
        dates=names("date"),
        text=names("text"),
        paths=paths,
        drop=tuple(
            dict.fromkeys(
                [*names("id", "path"), *(() if square else names("constant")), *([group] if group else [])]
            )
        ),
        group=group,
        time=time,
        rows=max(task.rows_train, 1) if task.rows_train else max(task.rows_labelled, 1),
        missing=not columns or any(c.missing > 0 for c in columns),
        skewed_target=any(c.name in targets and "skew" in c.note for c in task.columns),
        widest=max((c.unique for c in columns if c.name in category), default=0),
        spelling=any("spelled" in c.note for c in columns if c.name in category),
        pixels=square,
        known=bool(columns),
        packages=tuple(p.split("=")[0].strip().lower() for p in packages),
    )


def _usable(task: Task, column: str | None) -> str | None:
    """`column` if the train table has it, as far as is known."""
    return column if column and (not task.columns or any(c.name == column for c in task.columns)) else None


def _square(columns: int, numeric: int) -> int:
    """`columns` when they may be the pixels of a square image, else 0."""
    return columns if numeric >= 40 and isqrt(columns) ** 2 == columns else 0


def _mode(task: Task) -> Mode:
    if task.problem in ("binary", "multiclass", "ranking"):
        return "classify"
    if task.problem == "regression":
        return "regress"
    if task.metric is None:
        return "classify" if len(task.classes) >= 2 else "regress"
    by_name = task.metric.name in _CLASSIFYING
    return (
        "classify" if by_name or task.metric.prediction in ("label", "probability", "ranking") else "regress"
    )


def _output(task: Task) -> Output:
    if _mode(task) == "regress":
        return "value"
    if task.metric is None or task.metric.prediction == "value":
        return "label"
    return task.metric.prediction
