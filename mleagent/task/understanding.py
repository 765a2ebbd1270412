"""Everything decided about a folder before a byte is written.

`understand` discovers, infers, splits and withholds in memory; `--dry-run` and
`mleagent init` show its result, `prepare` writes it. The order matters: what
is held out must be known before files can be searched for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..records import MetricSpec, Task, Withheld
from . import giveaway, media, metrics
from .columns import MEDIA_SUFFIXES, as_dates, class_text, is_number, profile_columns
from .discover import Found, describe, discover
from .hashing import content_hash
from .options import TaskOptions
from .problem import Problem, understand_problem
from .sources import Sources, load_sources
from .split import FEEDBACK, SEALED, TRAIN, Ints, SplitSpec, split, strata_of
from .withhold import HeldOut, Known, Mount, judge

_OFF = "none"


@dataclass(frozen=True)
class Columns:
    """Which columns stay, and which carry structure."""

    dropped: dict[str, str]
    """Column → reason."""
    group: str = ""
    time: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Understanding:
    """A folder understood. `task` is what `prepare` would give; its public folder is not there yet."""

    task: Task
    options: TaskOptions
    found: Found
    mounts: tuple[Mount, ...]
    sources: Sources | None = None
    problem: Problem | None = None
    columns: Columns | None = None
    parts: Ints | None = None
    """Part of each train row (split.TRAIN, FEEDBACK, SEALED); unlabelled rows are in train."""
    references: tuple[media.Reference, ...] = ()
    remap: str = ""
    """Why the public test rows get new ids; empty if they keep the user's."""


def understand(folder: Path, options: TaskOptions, home: Path | None = None) -> Understanding:
    """Look at `folder` and decide everything, writing nothing. Raises InputError."""
    found = discover(folder)
    words = "\n\n".join(text for text in (describe(found), options.instruction) if text)
    digest = content_hash(found, options)
    base = _blank_task(found, options, words, digest, (home or Path()) / "tasks" / digest)
    if options.start and options.start not in {file.rel for file in found.files}:
        raise InputError(f"--start {options.start}: no such file in {found.base}; give a path relative to it")
    if options.eval_command:
        return _without_labels(base, found, options, "eval")
    sources = load_sources(found, options)
    if sources is None:
        if found.code:
            return _without_labels(base, found, options, "self-reported")
        raise InputError(f"{found.folder}: no train table; put train.csv there, or give --eval for a project")
    return _with_labels(base, found, options, sources, words)


def _blank_task(found: Found, options: TaskOptions, words: str, digest: str, place: Path) -> Task:
    return Task(
        name=task_name(options.name or found.folder.name),
        kind="table",
        folder=found.folder,
        public=place / "public",
        content_hash=digest,
        description=words,
        start=options.start or None,
        eval_command=options.eval_command or None,
        seed=options.seed,
        learn=options.learn,
    )


def task_name(text: str) -> str:
    """A name that is safe as a folder: lower case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "task"


def _without_labels(task: Task, found: Found, options: TaskOptions, kind: str) -> Understanding:
    """A project scored by a command or by its own claims: nothing is held out."""
    spec = _project_metric(options)
    names = {file.rel for file in found.code}
    mounts = tuple(
        Mount(
            file,
            "code"
            if file.rel in names
            else "media"
            if file.name.lower().endswith(MEDIA_SUFFIXES)
            else "other",
        )
        for file in sorted(found.files, key=lambda f: f.rel)
    )
    note = (
        "scores are read from the project's own command: self-reported"
        if kind == "eval"
        else "no labels to hold out: scores are the program's own claims (self-reported)"
    )
    task = task.model_copy(
        update={
            "kind": kind,
            "metric": spec,
            "withheld": found.skipped,
            "notes": (note,),
            "problem": "unknown",
        }
    )
    return Understanding(task, options, found, mounts)


def _project_metric(options: TaskOptions) -> MetricSpec:
    """The metric a command prints: the registry's if it has the name, else as the options say."""
    name = options.metric or "score"
    try:
        spec = metrics.get(name).spec
    except InputError:
        lower = options.maximize is False or (
            options.maximize is None
            and re.search(r"loss|error|rmse|mae|mse|perplexity", name.lower()) is not None
        )
        optimum = options.optimum if options.optimum is not None else (0.0 if lower else 1.0)
        return MetricSpec(
            name=name, direction="minimize" if lower else "maximize", optimum=optimum, prediction="value"
        )
    changes: dict[str, object] = {}
    if options.maximize is not None:
        changes["direction"] = "maximize" if options.maximize else "minimize"
    if options.optimum is not None:
        changes["optimum"] = options.optimum
    return spec.model_copy(update=changes)


def _with_labels(
    task: Task, found: Found, options: TaskOptions, sources: Sources, words: str
) -> Understanding:
    problem = understand_problem(sources, options, found.folder, words)
    rows = problem.labelled
    values = sources.values.loc[rows].reset_index(drop=True)
    labels = giveaway.labels_of(values[problem.targets[0]], problem.classification)
    columns = _columns(sources, problem, options, values, labels)
    parts = np.zeros(len(sources.train), dtype=np.int64)
    parts[rows] = split(_split_spec(sources, problem, options, columns))
    references = tuple(media.references(sources.train, _test_frame(sources), found))
    remap = _remap_reason(sources, problem, labels, references)
    known = _known(sources, problem, values, labels, parts, bool(remap))
    named = {file.rel for ref in references for file in (*ref.train, *ref.test) if file is not None}
    mounts, withheld, verified = judge(found, sources.used | named, known, options)
    withheld += [_column_withheld(sources, name, reason) for name, reason in columns.dropped.items()]
    verified = verified and not _kept_by_include(options)
    notes = [*problem.notes, *columns.notes]
    if remap:
        notes.append(f"held-out rows have new ids: {remap}")
    task = task.model_copy(
        update={
            "kind": "media" if references else "table",
            **_task_fields(task, sources, problem, columns, parts, values),
            "withheld": tuple(sorted(withheld, key=lambda item: item.path)),
            "verified": verified,
            "notes": tuple(notes),
        }
    )
    return Understanding(
        task, options, found, tuple(mounts), sources, problem, columns, parts, references, remap
    )


def _test_frame(sources: Sources) -> pd.DataFrame | None:
    return sources.test.frame if sources.test is not None else None


def _column_withheld(sources: Sources, name: str, reason: str) -> Withheld:
    return Withheld(path=f"{sources.shards[0].rel}: column {name}", reason=reason)


def _kept_by_include(options: TaskOptions) -> bool:
    return any(entry.startswith("column:") for entry in options.include)


def _task_fields(
    task: Task, sources: Sources, problem: Problem, columns: Columns, parts: Ints, values: pd.DataFrame
) -> dict[str, object]:
    """The fields of the Task that come from tables."""
    labelled = int(problem.labelled.sum())
    feedback, sealed = int((parts == FEEDBACK).sum()), int((parts == SEALED).sum())
    visible = sources.values.loc[parts == TRAIN].drop(columns=list(columns.dropped)).reset_index(drop=True)
    special = dict.fromkeys(problem.targets, "target")
    special |= {name: role for name, role in ((columns.group, "group"), (columns.time, "time")) if name}
    if problem.id_column:
        special[problem.id_column] = "id"
    profiles = profile_columns(visible, special)
    if problem.classification:
        profiles = tuple(
            p.model_copy(update={"note": f"target; {_balance(values[p.name])}"})
            if p.name in problem.targets
            else p
            for p in profiles
        )
    return {
        "private": task.public.parent / "private",
        "metric": problem.metric,
        "targets": problem.targets,
        "id_column": problem.sample_id,
        "submission_columns": problem.columns,
        "problem": problem.kind,
        "classes": problem.classes,
        "columns": profiles,
        "group_column": columns.group or None,
        "time_column": columns.time or None,
        "rows_labelled": labelled,
        "rows_train": int((parts == TRAIN).sum()),
        "rows_feedback": feedback,
        "rows_sealed": sealed,
        "rows_test": sources.test.rows if sources.test is not None else 0,
    }


def _balance(column: pd.Series) -> str:
    """Shares of the most frequent classes, e.g. `yes 31%, no 69%`."""
    shares = class_text(column).value_counts(normalize=True)
    ordered = sorted(shares.items(), key=lambda item: (-item[1], str(item[0])))
    shown = ", ".join(f"{name} {share:.0%}" for name, share in ordered[:6])
    return shown if len(ordered) <= 6 else f"{shown}, {len(ordered) - 6} more"


def _columns(
    sources: Sources, problem: Problem, options: TaskOptions, values: pd.DataFrame, labels: giveaway.Labels
) -> Columns:
    """Decide which feature columns are withheld, and find group and time."""
    train = [str(name) for name in sources.train.columns]
    for key in ("group", "time", "fold_column"):
        wanted = getattr(options, key)
        if wanted and wanted != _OFF and wanted not in train:
            raise InputError(
                f"[holdout] {key}: the train table has no column {wanted!r}; it has {', '.join(train[:12])}"
            )
    features = [name for name in train if name not in (*problem.targets, problem.id_column)]
    group, time, notes = _structure(sources, problem, options, features)
    dropped = _missing_in_test(sources, features, {group, time, options.fold_column})
    kept = {entry.removeprefix("column:") for entry in options.include if entry.startswith("column:")}
    for name, reason in giveaway.telling_columns(values, features, labels):
        if name in (group, time, options.fold_column):
            notes.append(f"column {name!r} nearly tells the target: {reason}")
        else:
            dropped[name] = (
                f"{dropped[name]}; {reason}" if name in dropped else f"gives the target away: {reason}"
            )
    dropped = {name: reason for name, reason in dropped.items() if name not in kept}
    texts = giveaway.telling_texts(values, [n for n in features if n not in dropped], labels)
    notes += [
        f"text column {name!r} mostly contains the word of the class: scores may flatter" for name in texts
    ]
    unlabelled = len(sources.train) - len(values)
    if unlabelled:
        notes.append(f"{unlabelled} train rows have no target; they stay in train, unlabelled")
    if sources.test is not None and any(name in sources.test.columns for name in problem.targets):
        notes.append("the test table carries the target: the column is left out")
    return Columns(dropped, group, time, tuple(notes))


def _missing_in_test(sources: Sources, features: list[str], keep: set[str]) -> dict[str, str]:
    dropped = {}
    for name in features:
        if name.startswith("Unnamed: ") and sources.train[name].is_unique:
            dropped[name] = "a nameless row number"
        elif sources.test is not None and sources.test_values is not None and name not in keep:
            if name not in sources.test.columns:
                dropped[name] = "not in the test table"
            elif sources.test_values[name].isna().all() and sources.values[name].notna().any():
                dropped[name] = "empty in the test table"
    return dropped


def _structure(
    sources: Sources, problem: Problem, options: TaskOptions, features: list[str]
) -> tuple[str, str, list[str]]:
    """Group and time columns: as set, else inferred where the test table shows that they matter."""
    notes: list[str] = []
    group = "" if options.group == _OFF else options.group
    time = "" if options.time == _OFF else options.time
    if sources.test_values is None or options.fold_column:
        return group, time, notes
    shared = [name for name in features if name in sources.test_values]
    if not options.time:
        time = next((n for n in shared if _later(sources.values[n], sources.test_values[n])), "")
        if time:
            notes.append(
                f'split by time on {time!r}: every test row is later; [holdout] time = "none" turns it off'
            )
    if not options.group and not time:
        group = next((n for n in shared if _grouped(sources.values[n], sources.test_values[n])), "")
        if group:
            notes.append(
                f"grouped by {group!r}: no value of it is in both train and test; "
                f'[holdout] group = "none" turns it off'
            )
    return group, time, notes


def _later(train: pd.Series, test: pd.Series) -> bool:
    """Whether a date column puts every test row after every train row."""
    first, second = as_dates(train), as_dates(test)
    return first is not None and second is not None and bool(first.max() <= second.min())


def _grouped(train: pd.Series, test: pd.Series) -> bool:
    """Whether a repeating, key-like column has no value in common between train and test."""
    if is_number(train) and not bool((train.dropna() == train.dropna().round()).all()):
        return False
    groups, rows = train.nunique(), int(train.notna().sum())
    others = test.nunique()
    if groups < 10 or others < 3 or rows < 2 * groups or as_dates(train) is not None:
        return False
    return not set(train.dropna().unique()) & set(test.dropna().unique())


def _split_spec(sources: Sources, problem: Problem, options: TaskOptions, columns: Columns) -> SplitSpec:
    rows = problem.labelled
    values = sources.values.loc[rows].reset_index(drop=True)
    content = sources.train.loc[rows].drop(
        columns=[problem.id_column] if problem.id_column in sources.train else []
    )
    hashes = pd.util.hash_pandas_object(content, index=False).to_numpy()
    return SplitSpec(
        strata=strata_of(
            [values[name] for name in problem.targets], problem.classification or problem.kind == "ranking"
        ),
        classes=problem.classification,
        feedback=options.feedback,
        sealed=options.sealed,
        seed=options.seed,
        groups=_group_codes(values[columns.group]) if columns.group else None,
        duplicates=np.unique(hashes, return_inverse=True)[1].astype(np.int64),
        times=_time_codes(values[columns.time]) if columns.time else None,
        folds=_fold_codes(values[options.fold_column]) if options.fold_column else None,
    )


def _group_codes(column: pd.Series) -> Ints:
    """Codes of the values; each row without one is a group of its own."""
    codes = np.asarray(pd.factorize(column, sort=True)[0], dtype=np.int64)
    alone = codes < 0
    codes[alone] = codes.max() + 1 + np.arange(int(alone.sum()))
    return codes


def _time_codes(column: pd.Series) -> Ints:
    """Ranks of the values in time; missing ones come first, so that they stay in train."""
    dates = as_dates(column)
    if dates is None and not is_number(column):
        raise InputError(f"[holdout] time: column {str(column.name)!r} holds neither dates nor numbers")
    ordered = dates if dates is not None else column
    return np.asarray(ordered.rank(method="dense").fillna(0), dtype=np.int64)


def _fold_codes(column: pd.Series) -> Ints:
    codes = np.asarray(pd.factorize(column, sort=True)[0], dtype=np.int64)
    if codes.max() < 1:
        raise InputError(f"[holdout] fold_column: column {str(column.name)!r} holds fewer than two folds")
    return codes


def _remap_reason(
    sources: Sources, problem: Problem, labels: giveaway.Labels, references: tuple[media.Reference, ...]
) -> str:
    """Why public test rows can't keep the user's ids; empty if they can."""
    column = problem.id_column
    if column is None:
        return ""
    if sources.made or any(ref.column == column for ref in references):
        return "file names can tell the target"
    if column not in sources.train:
        return "the train table has no ids"
    ids = sources.train[column].astype(str)
    if not ids.is_unique:
        return "ids repeat in the train table"
    if sources.test is not None and set(ids) & set(sources.test.frame[column].astype(str)):
        return "train and test use the same ids"
    reason = giveaway.telling_names(ids[problem.labelled], labels)
    return "" if reason == "too few to judge" else reason


def _known(
    sources: Sources,
    problem: Problem,
    values: pd.DataFrame,
    labels: giveaway.Labels,
    parts: Ints,
    remapped: bool,
) -> Known:
    """What side files are searched for: the held-out rows' ids and labels."""
    column, rows = problem.id_column, problem.labelled
    ids = pd.Series(dtype=str)
    pairs: dict[str, str] = {}
    test_ids: frozenset[str] = frozenset()
    if column is not None and column in sources.train:
        ids = sources.train.loc[rows, column].astype(str).reset_index(drop=True)
        raw = sources.train.loc[rows, problem.targets[0]].astype(str).reset_index(drop=True)
        held = parts[rows] != TRAIN
        pairs = dict(zip(ids[held], raw[held], strict=True))
        if sources.test is not None:
            test_ids = frozenset(sources.test.frame[column].astype(str))
    train = sources.train.loc[rows].reset_index(drop=True)
    held_out = HeldOut(pairs, frozenset(ids), test_ids, remapped)
    return Known(train, values, problem.targets, labels, column, ids, held_out)
