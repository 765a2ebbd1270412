"""Which columns are the id and the targets, from the sample submission and the two tables.

The sample's first column is the id, the others are what is predicted; without
one the columns that the test table lacks are candidates. What can't be decided
is asked for, with the candidates named.
"""

from __future__ import annotations

import re

import pandas as pd

from ..errors import InputError
from .columns import class_text
from .names import MEDIA_SUFFIXES
from .options import TaskOptions
from .sources import Sources

_ID_NAME = re.compile(r"^([Ii][Dd]|ids|[Ii]ndex|row_?id|uuid|guid|key|.*_id|.*[a-z]Id|.*ID)$")
_TARGET_NAMES = (
    *("target", "label", "labels", "class", "y", "outcome", "response", "survived", "churn", "saleprice"),
    *("price", "diagnosis", "species", "quality", "sentiment", "category"),
)


def ids_of(sources: Sources, options: TaskOptions) -> tuple[str | None, str | None, tuple[str, ...]]:
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


def targets_of(
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
    return len(match_classes(tuple(sorted(class_text(column).dropna().unique())), predicted)) >= 2


def match_classes(classes: tuple[str, ...], predicted: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(submission column, class) where every class has a column of its name or ending in it; else ()."""
    pairs = []
    for name in predicted:
        hits = [c for c in classes if c == name] or [
            c for c in classes if re.search(rf"[_\- .]{re.escape(c)}$", name)
        ]
        if hits:
            pairs.append((name, max(hits, key=len)))
    return tuple(pairs) if {c for _, c in pairs} == set(classes) and len(pairs) == len(predicted) else ()
