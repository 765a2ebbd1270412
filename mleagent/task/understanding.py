"""Everything decided about a folder before a byte is written.

`understand` discovers, infers, splits and withholds in memory; `--dry-run` and
`mleagent init` show its result, `prepare` writes it. The order matters: what
is held out must be known before files can be searched for it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..records import Input, Task, Withheld
from . import giveaway, media
from .columns import class_text, profile_columns
from .discover import Found, describe, discover
from .hashing import content_hash
from .held_out import clean_words, fit_companions, known_of, remap_reason, with_rows
from .names import task_name
from .options import TaskOptions
from .problem import Problem, understand_problem
from .projects import project_metric, project_mounts
from .sources import Sources, load_sources
from .split import FEEDBACK, SEALED, TRAIN, Ints, split
from .structure import Columns, decide_columns, split_spec
from .withhold import Mount, Role, judge


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
    words = describe(found)
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


def inferred_options(understood: Understanding) -> TaskOptions:
    """The options with what was inferred filled in: what `mleagent init` writes down."""
    task, options = understood.task, understood.options
    found: dict[str, object] = {
        "name": options.name or task.name,
        "target": options.target or task.targets,
        "metric": options.metric or (task.metric.name if task.metric else ""),
        "group": options.group or task.group_column or "",
        "time": options.time or task.time_column or "",
    }
    if understood.problem is not None:
        found["id"] = options.id or understood.problem.id_column or ""
    return options.model_copy(update=found)


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


def _without_labels(task: Task, found: Found, options: TaskOptions, kind: str) -> Understanding:
    """A project scored by a command or by its own claims: nothing is held out."""
    note = (
        "scores are read from the project's own command: self-reported"
        if kind == "eval"
        else "no labels to hold out: scores are the program's own claims (self-reported)"
    )
    task = task.model_copy(
        update={
            "kind": kind,
            "metric": project_metric(options),
            "withheld": found.skipped,
            "notes": (note,),
            "problem": "unknown",
        }
    )
    return Understanding(task, options, found, project_mounts(found))


def _with_labels(
    task: Task, found: Found, options: TaskOptions, sources: Sources, words: str
) -> Understanding:
    problem = understand_problem(sources, options, found.folder, words)
    rows = problem.labelled
    values = sources.values.loc[rows].reset_index(drop=True)
    labels = giveaway.labels_of(values[problem.targets[0]], problem.classification)
    columns = decide_columns(sources, problem, options, values, labels)
    parts = np.zeros(len(sources.train), dtype=np.int64)
    parts[rows] = split(split_spec(sources, problem, options, columns))
    # A label may look like a file's name (`3` and `3.png`), but it names no input.
    features = sources.train.drop(columns=list(problem.targets), errors="ignore")
    references = tuple(media.references(features, _test_frame(sources), found))
    remap = remap_reason(sources, problem, labels, references)
    known = known_of(sources, problem, values, labels, parts, bool(remap))
    if found.docs or found.code:
        known = with_rows(known, parts[rows] != TRAIN)
    named = {file.rel for ref in references for file in (*ref.train, *ref.test) if file is not None}
    sources, refused = fit_companions(sources, known)
    mounts, withheld, verified = judge(
        found, sources.used | named | {i.path for i in refused}, known, options
    )
    withheld += [*refused, *(_column_withheld(sources, *item) for item in columns.dropped.items())]
    verified = verified and not _kept_by_include(options)
    notes = [*problem.notes, *columns.notes]
    if remap:
        notes.append(f"held-out rows have new ids: {remap}")
    task = task.model_copy(
        update={
            # The prompt shows the description: rows of the train table quoted there go as they do in files.
            "description": clean_words(words, known.held),
            "kind": "media" if references else "table",
            **_task_fields(task, sources, problem, columns, parts, values),
            "inputs": _planned(found, sources, mounts, references),
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


def _planned(
    found: Found, sources: Sources, mounts: list[Mount], references: tuple[media.Reference, ...]
) -> tuple[Input, ...]:
    """The inputs as `--dry-run` lists them: the user's sizes, and no word on what will be made."""
    sizes = {file.rel: file.bytes for file in found.files}
    roles: list[tuple[str, Role]] = [(table.rel, "train") for table in sources.shards]
    roles += [(sources.labels.rel, "train")] if sources.labels is not None else []
    roles += [(sources.test.rel, "test")] if sources.test is not None else []
    roles += [(sources.sample.rel, "sample_submission")] if sources.sample is not None else []
    roles += [(table.rel, "table") for pair in sources.companions for table in pair]
    roles += [(mount.file.rel, mount.role) for mount in mounts]
    folders = {file.parent for ref in references for file in (*ref.train, *ref.test) if file is not None}
    roles += [(folder or ".", "media") for folder in sorted(folders)]
    return tuple(Input(path=rel, role=role, bytes=sizes.get(rel, 0)) for rel, role in roles)


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
        "split_hash": _split_hash(sources, parts),
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


def _split_hash(sources: Sources, parts: Ints) -> str:
    """Identity of the sealed rows: their content, in any order."""
    rows = pd.util.hash_pandas_object(sources.train[parts == SEALED], index=False).to_numpy()
    return hashlib.sha256(np.sort(rows).tobytes()).hexdigest()[:24]


def _balance(column: pd.Series) -> str:
    """Shares of the most frequent classes, e.g. `yes 31%, no 69%`."""
    shares = class_text(column).value_counts(normalize=True)
    ordered = sorted(shares.items(), key=lambda item: (-item[1], str(item[0])))
    shown = ", ".join(f"{name} {share:.0%}" for name, share in ordered[:6])
    return shown if len(ordered) <= 6 else f"{shown}, {len(ordered) - 6} more"
