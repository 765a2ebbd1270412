"""Writes what `understand` decided: the public folder and the private answers.

Rows move between files as they were written; held-out rows lose their target
and join the user's own test rows. The same code writes the folder for the
refit, where all labelled rows are in train and only the user's rows in test.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..records import Input
from . import media
from .columns import class_text, is_number
from .discover import File
from .layout import ANSWERS_FILE, ID, LAYOUT_FILE, ORDER, PART, USER_ID, SubmissionLayout
from .problem import Problem
from .sources import Sources
from .split import FEEDBACK, TRAIN, Ints
from .tables import Format, Table, write_table
from .understanding import Understanding
from .withhold import Mount, Role


@dataclass(frozen=True)
class TestRows:
    """The rows of the public test table, in its order."""

    held: Ints
    """Train row of each; -1 for the user's own."""
    own: Ints
    """Row of the user's test table of each; -1 for held-out ones."""
    ids: tuple[str, ...]
    """Public ids as text."""
    user_ids: tuple[str | None, ...]
    media: tuple[tuple[str, ...], ...] = ()
    """For each reference: the public path of each row's file."""


@dataclass(frozen=True)
class Known:
    """An understanding whose tables are there."""

    u: Understanding
    sources: Sources
    problem: Problem
    parts: Ints
    dropped: frozenset[str]

    @classmethod
    def of(cls, u: Understanding) -> Known:
        """Narrow `u`; only for tasks with labels."""
        assert u.sources is not None and u.problem is not None
        assert u.parts is not None and u.columns is not None
        return cls(u, u.sources, u.problem, u.parts, frozenset(u.columns.dropped))


def test_rows(known: Known) -> TestRows:
    """Held-out and own rows shuffled together (in order where the split is by time), with their ids."""
    held = np.flatnonzero(known.parts != TRAIN)
    count = known.sources.test.rows if known.sources.test is not None else 0
    both = np.concatenate([held, np.full(count, -1)])
    own = np.concatenate([np.full(len(held), -1), np.arange(count)])
    if not known.u.task.time_column:
        order = np.random.default_rng([known.u.options.seed, 7]).permutation(len(both))
        both, own = both[order], own[order]
    names = tuple(_neutral(known, index, both, own) for index in range(len(known.u.references)))
    ids, user_ids = _ids(known, both, own, names)
    return TestRows(both, own, ids, user_ids, names)


def _neutral(known: Known, index: int, held: Ints, own: Ints) -> tuple[str, ...]:
    """Neutral public paths of one reference's files."""
    reference, first = known.u.references[index], known.u.references[0]
    folder = media.neutral_folder(reference, labelled=True)
    mark = "" if reference.train == first.train else f"_{index}"
    paths = []
    for number, (row, mine) in enumerate(zip(held, own, strict=True)):
        file = reference.train[row] if row >= 0 else reference.test[mine]
        suffix = os.path.splitext(file.name)[1].lower() if file is not None else ""
        paths.append(f"{folder}/{number:06d}{mark}{suffix}".lstrip("/"))
    return tuple(paths)


def _ids(
    known: Known, held: Ints, own: Ints, names: tuple[tuple[str, ...], ...]
) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    """Public ids and the user's ids of the test rows."""
    sources, column = known.sources, known.problem.id_column
    if column is None:
        start, users = _positions(known)
        user_ids = tuple(users[row] if row >= 0 else None for row in own)
        return tuple(str(start + number) for number in range(len(held))), user_ids
    theirs = sources.test.frame[column].astype(str).tolist() if sources.test is not None else []
    user_ids = tuple(theirs[row] if row >= 0 else None for row in own)
    if not known.u.remap:
        mine = sources.train[column].astype(str).tolist()
        kept = zip(held, own, strict=True)
        return tuple(mine[row] if row >= 0 else theirs[other] for row, other in kept), user_ids
    for reference, paths in zip(known.u.references, names, strict=True):
        if reference.column == column:
            return tuple(_written(path, reference.by) for path in paths), user_ids
    taken = sources.train[column].astype(str).tolist() if column in sources.train else []
    return _fresh_ids([*taken, *theirs], len(held)), user_ids


def _written(path: str, by: str) -> str:
    """A media path the way its column writes it."""
    name = path.rsplit("/", 1)[-1]
    return path if by == "rel" else name if by == "name" else name.rsplit(".", 1)[0]


def _positions(known: Known) -> tuple[int, list[str]]:
    """First position and the user's ids where ids are row numbers of the sample submission."""
    sources, name = known.sources, known.problem.sample_id
    count = sources.test.rows if sources.test is not None else 0
    if sources.sample is not None and name in sources.sample.columns and sources.sample.rows == count:
        users = sources.sample.frame[name].astype(str).tolist()
        first = users[0] if users else "0"
        return (int(first) if first.isdigit() and int(first) <= 1 else 0), users
    return 0, [str(number) for number in range(count)]


def _fresh_ids(taken: list[str], count: int) -> tuple[str, ...]:
    """Ids that no row has: whole numbers above all where the user's are whole, else `test_000001`, ..."""
    if all(_whole(text) for text in taken):
        start = max((int(text) for text in taken), default=-1) + 1
        return tuple(str(start + number) for number in range(count))
    used, prefix = set(taken), "test"
    while any(text.startswith(f"{prefix}_") for text in used):
        prefix += "x"
    return tuple(f"{prefix}_{number:06d}" for number in range(count))


def _whole(text: str) -> bool:
    return text.isdigit() and (text == "0" or not text.startswith("0")) and len(text) < 18


# --- public -------------------------------------------------------------------------


def write_public(known: Known, rows: TestRows, public: Path, full: bool) -> list[Input]:
    """Write the public folder; `full`: all labelled rows in train, only the user's rows in test."""
    inputs = _write_train(known, public, full)
    chosen = np.flatnonzero(rows.own >= 0) if full else np.arange(len(rows.own))
    inputs.append(_write_test(known, rows, chosen, public))
    inputs.append(_write_sample(known, rows, chosen, public))
    for pair in known.sources.companions:
        inputs.extend(_write_companions(known, rows, pair, public, full))
    inputs.extend(write_mounts(known.u.mounts, public))
    inputs.extend(_link_media(known, rows, chosen, public, full))
    return inputs


def _input(public: Path, rel: str, role: Role) -> Input:
    return Input(path=rel, role=role, bytes=(public / rel).stat().st_size)


def _write_train(known: Known, public: Path, full: bool) -> list[Input]:
    sources, start, inputs = known.sources, 0, []
    stay = np.ones(len(known.parts), dtype=bool) if full else known.parts == TRAIN
    for shard in sources.shards:
        mine = stay[start : start + shard.rows]
        columns = [name for name in shard.columns if name not in known.dropped]
        write_table(shard.take(shard.frame.loc[mine, columns]), public / shard.rel)
        inputs.append(_input(public, shard.rel, "train"))
        start += shard.rows
    if sources.labels is not None:
        labels, key = sources.labels, sources.label_key
        if key:
            ids = set(sources.train.loc[stay, key])
            kept = labels.frame[labels.frame[key].isin(ids)]
        else:
            kept = labels.frame[stay]
        write_table(labels.take(kept), public / labels.rel)
        inputs.append(_input(public, labels.rel, "train"))
    return inputs


def test_name(sources: Sources) -> str:
    """Public name of the test table: the user's, else the train table's with `train` become `test`."""
    if sources.test is not None:
        return sources.test.rel
    folder, _, name = sources.shards[0].rel.rpartition("/")
    if "train" in name:
        renamed = name.replace("train", "test", 1)
    else:
        renamed = "test.parquet" if sources.shards[0].format.kind == "parquet" else "test" + _suffix(name)
    return f"{folder}/{renamed}" if folder else renamed


def _suffix(name: str) -> str:
    return name[name.index(".") :] if "." in name else ".csv"


def _write_test(known: Known, rows: TestRows, chosen: Ints, public: Path) -> Input:
    rel = test_name(known.sources)
    form = known.sources.test.format if known.sources.test is not None else known.sources.shards[0].format
    frame = _test_frame(known, rows, form).iloc[chosen]
    write_table(Table(rel, form, frame), public / rel)
    return _input(public, rel, "test")


def _test_frame(known: Known, rows: TestRows, form: Format) -> pd.DataFrame:
    """The public test table: features of held-out and own rows, public ids, neutral paths."""
    sources, problem = known.sources, known.problem
    source = sources.train if sources.test is None else sources.test.frame
    drop = {*problem.targets, *known.dropped, *(sources.joined if sources.test is None else ())}
    columns = [str(name) for name in source.columns if name not in drop]
    held = _like(sources.train, sources.values, sources.shards[0].format, form)
    held = held.reindex(columns=columns).iloc[rows.held[rows.held >= 0]]
    both = (
        [held] if sources.test is None else [held, sources.test.frame[columns].iloc[rows.own[rows.own >= 0]]]
    )
    frame = pd.concat(both, ignore_index=True)
    order = np.argsort(np.concatenate([np.flatnonzero(rows.held >= 0), np.flatnonzero(rows.own >= 0)]))
    frame = frame.iloc[order].reset_index(drop=True)
    for reference, paths in zip(known.u.references, rows.media, strict=True):
        if reference.column in frame:
            frame[reference.column] = [_written(path, reference.by) for path in paths]
    if problem.id_column in frame and known.u.remap:
        frame[problem.id_column] = _as(rows.ids, source[problem.id_column], form)
    return frame.fillna("") if form.kind == "csv" else frame


def _like(raw: pd.DataFrame, values: pd.DataFrame, has: Format, wants: Format) -> pd.DataFrame:
    """Train rows in the test file's kind: text for CSV, values for parquet."""
    if has.kind == wants.kind:
        return raw
    return values.astype(object).where(values.notna(), "").astype(str) if wants.kind == "csv" else values


def _as(ids: tuple[str, ...], column: pd.Series, form: Format) -> Any:
    """New ids in the column's own type."""
    if form.kind == "parquet" and is_number(column):
        return np.asarray(ids, dtype=np.int64)
    return list(ids)


def _write_companions(
    known: Known, rows: TestRows, pair: tuple[Table, Table], public: Path, full: bool
) -> list[Input]:
    """A further (train, test) pair keyed by the id: held-out rows move over with their new ids."""
    train, test = pair
    column = known.problem.id_column
    assert column is not None
    held = [] if full else [int(row) for row in rows.held if row >= 0]
    public_of = {int(row): name for row, name in zip(rows.held, rows.ids, strict=True) if row >= 0}
    ids = known.sources.train[column].astype(str)
    moved = {ids.iloc[row]: public_of[row] for row in held}
    mine = train.frame[column].astype(str)
    goes = mine.isin(moved)
    stays = mine.isin(set(ids)) & ~goes
    columns = [name for name in test.columns if name in train.columns]
    own_ids = {user: name for user, name in zip(rows.user_ids, rows.ids, strict=True) if user is not None}
    frames = []
    for frame, names in ((train.frame.loc[goes, columns], moved), (test.frame[columns], own_ids)):
        renamed = frame[column].astype(str).map(names)
        frame = frame.assign(**{column: _as(tuple(renamed.fillna("-1")), frame[column], test.format)})
        frames.append(frame[renamed.notna()])
    combined = pd.concat(frames, ignore_index=True).sort_values(column, kind="stable")
    write_table(train.take(train.frame.loc[stays, columns]), public / train.rel)
    write_table(test.take(combined), public / test.rel)
    return [_input(public, train.rel, "table"), _input(public, test.rel, "table")]


def _write_sample(known: Known, rows: TestRows, chosen: Ints, public: Path) -> Input:
    sources, problem = known.sources, known.problem
    folder = sources.shards[0].rel.rpartition("/")[0]
    rel = sources.sample.rel if sources.sample is not None else f"{folder}/sample_submission.csv".lstrip("/")
    frame = pd.DataFrame(index=range(len(chosen)))
    if problem.sample_id is not None:
        frame[problem.sample_id] = [rows.ids[row] for row in chosen]
    for name, value in zip(problem.predicted, _defaults(known), strict=True):
        frame[name] = value
    form = sources.sample.format if sources.sample is not None else Format("csv")
    write_table(Table(rel, form, frame), public / rel)
    return _input(public, rel, "sample_submission")


def _defaults(known: Known) -> list[str]:
    """What the sample submission holds: the user's constant, else one made from the visible labels."""
    sources, problem = known.sources, known.problem
    visible = sources.values.loc[(known.parts == TRAIN) & problem.labelled]
    values = []
    for index, name in enumerate(problem.predicted):
        constant = ""
        if sources.sample is not None and sources.sample.rows:
            column = sources.sample.frame[name].astype(str)
            constant = column.iloc[0] if column.nunique() == 1 else ""
            if problem.metric.prediction == "label" and problem.classes and constant not in problem.classes:
                constant = ""
        target = (
            problem.targets[index] if len(problem.predicted) == len(problem.targets) else problem.targets[0]
        )
        values.append(constant or _default(known, visible[target]))
    return values


def _default(known: Known, column: pd.Series) -> str:
    problem = known.problem
    if problem.class_columns:
        return f"{1 / len(problem.class_columns):.6g}"
    if problem.kind == "ranking" or (problem.classification and problem.metric.prediction == "label"):
        return str(class_text(column).mode().iloc[0])
    if problem.classification:
        return "0.5"
    return f"{column.astype(float).mean():.6g}"


def write_mounts(mounts: tuple[Mount, ...], public: Path) -> list[Input]:
    """Copy or link files that go in beside the task's own tables."""
    inputs = []
    for mount in mounts:
        target = public / mount.file.rel
        target.parent.mkdir(parents=True, exist_ok=True)
        if mount.data is not None:
            target.write_bytes(mount.data)
        elif mount.role == "media":
            media.link(mount.file.path, target)
        else:
            # A copy: the user may go on editing theirs, and a link would change the prepared task.
            target.write_bytes(mount.file.path.read_bytes())
        inputs.append(_input(public, mount.file.rel, mount.role))
    return _folders(inputs)


def _folders(inputs: list[Input]) -> list[Input]:
    """Media are listed by folder: there may be a hundred thousand."""
    sizes: dict[str, int] = {}
    listed = []
    for item in inputs:
        if item.role == "media" and "/" in item.path:
            folder = item.path.rpartition("/")[0]
            sizes[folder] = sizes.get(folder, 0) + item.bytes
        else:
            listed.append(item)
    return listed + [Input(path=name, role="media", bytes=size) for name, size in sorted(sizes.items())]


def _link_media(known: Known, rows: TestRows, chosen: Ints, public: Path, full: bool) -> list[Input]:
    """Train media under their own names, test media under neutral ones."""
    inputs: dict[str, Input] = {}

    def put(file: File | None, rel: str) -> None:
        if file is not None and rel not in inputs:
            media.link(file.path, public / rel)
            inputs[rel] = Input(path=rel, role="media", bytes=file.bytes)

    for reference, paths in zip(known.u.references, rows.media, strict=True):
        for row in np.flatnonzero(full | (known.parts == TRAIN)):
            file = reference.train[row]
            put(file, file.rel if file is not None else "")
        for row in chosen:
            held, own = rows.held[row], rows.own[row]
            put(reference.train[held] if held >= 0 else reference.test[own], paths[row])
    return _folders(list(inputs.values()))


# --- private ------------------------------------------------------------------------


def write_private(known: Known, rows: TestRows, private: Path) -> None:
    """Write the answers and the submission layout (see `layout`)."""
    private.mkdir(parents=True, mode=0o700)
    held = rows.held >= 0
    names = np.where(known.parts[np.maximum(rows.held, 0)] == FEEDBACK, "feedback", "sealed")
    answers = pd.DataFrame(
        {
            ID: pd.Series(rows.ids, dtype=object),
            PART: np.where(held, names, "test"),
            USER_ID: pd.Series(rows.user_ids, dtype=object),
            ORDER: rows.own.astype(np.int64),
        }
    )
    for target in known.problem.targets:
        column = known.sources.values[target]
        if known.problem.classification or known.problem.kind == "ranking":
            text = class_text(column).to_numpy(dtype=object)
            answers[target] = [text[row] if row >= 0 else None for row in rows.held]
        else:
            numbers = column.to_numpy(dtype=float)
            answers[target] = np.where(held, numbers[np.maximum(rows.held, 0)], np.nan)
    answers.to_parquet(private / ANSWERS_FILE, index=False)
    (private / LAYOUT_FILE).write_text(_layout(known, rows, private).model_dump_json(), encoding="utf-8")


def _layout(known: Known, rows: TestRows, private: Path) -> SubmissionLayout:
    problem, source = known.problem, known.problem.metric_source
    if source:
        file, _, name = source.rpartition(":")
        kept = Path(file).name
        (private / kept).write_bytes((known.u.found.folder / file).read_bytes())
        source = f"{kept}:{name}"
    return SubmissionLayout(
        id_column=problem.sample_id,
        columns=problem.columns,
        targets=problem.targets,
        metric=problem.metric,
        metric_source=source,
        problem=problem.kind,
        classes=problem.classes if problem.classification else (),
        class_columns=problem.class_columns,
        integer_ids=all(_whole(text) for text in rows.ids),
    )
