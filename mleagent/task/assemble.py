"""Writes the public folder that `understand` decided on.

Rows move between files as they were written; held-out rows lose their target
and join the user's own test rows. The same code writes the folder for the
refit, where all labelled rows are in train and only the user's rows in test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..records import Input
from . import media
from .columns import class_text, is_number
from .discover import File
from .rows import Decided, TestRows, written_as
from .sources import Sources
from .split import TRAIN, Ints
from .tables import Format, Table, write_table
from .withhold import Mount, Role


def write_public(decided: Decided, rows: TestRows, public: Path, full: bool) -> list[Input]:
    """Write the public folder; `full`: all labelled rows in train, only the user's rows in test."""
    inputs = _write_train(decided, public, full)
    chosen = np.flatnonzero(rows.own >= 0) if full else np.arange(len(rows.own))
    inputs.append(_write_test(decided, rows, chosen, public))
    inputs.append(_write_sample(decided, rows, chosen, public))
    for pair in decided.sources.companions:
        inputs.extend(_write_companions(decided, rows, pair, public, full))
    inputs.extend(write_mounts(decided.u.mounts, public))
    inputs.extend(_link_media(decided, rows, chosen, public, full))
    return inputs


def _input(public: Path, rel: str, role: Role) -> Input:
    return Input(path=rel, role=role, bytes=(public / rel).stat().st_size)


def _write_train(decided: Decided, public: Path, full: bool) -> list[Input]:
    sources, start, inputs = decided.sources, 0, []
    stay = np.ones(len(decided.parts), dtype=bool) if full else decided.parts == TRAIN
    for shard in sources.shards:
        mine = stay[start : start + shard.rows]
        columns = [name for name in shard.columns if name not in decided.dropped]
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


def _write_test(decided: Decided, rows: TestRows, chosen: Ints, public: Path) -> Input:
    rel = test_name(decided.sources)
    form = (
        decided.sources.test.format if decided.sources.test is not None else decided.sources.shards[0].format
    )
    frame = _test_frame(decided, rows, form).iloc[chosen]
    write_table(Table(rel, form, frame), public / rel)
    return _input(public, rel, "test")


def _test_frame(decided: Decided, rows: TestRows, form: Format) -> pd.DataFrame:
    """The public test table: features of held-out and own rows, public ids, neutral paths."""
    sources, problem = decided.sources, decided.problem
    source = sources.train if sources.test is None else sources.test.frame
    drop = {*problem.targets, *decided.dropped, *(sources.joined if sources.test is None else ())}
    columns = [str(name) for name in source.columns if name not in drop]
    held = _like(sources.train, sources.values, sources.shards[0].format, form)
    held = held.reindex(columns=columns).iloc[rows.held[rows.held >= 0]]
    both = (
        [held] if sources.test is None else [held, sources.test.frame[columns].iloc[rows.own[rows.own >= 0]]]
    )
    frame = pd.concat(both, ignore_index=True)
    order = np.argsort(np.concatenate([np.flatnonzero(rows.held >= 0), np.flatnonzero(rows.own >= 0)]))
    frame = frame.iloc[order].reset_index(drop=True)
    for reference, paths in zip(decided.u.references, rows.media, strict=True):
        if reference.column in frame:
            frame[reference.column] = [written_as(path, reference.by) for path in paths]
    if problem.id_column in frame and decided.u.remap:
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
    decided: Decided, rows: TestRows, pair: tuple[Table, Table], public: Path, full: bool
) -> list[Input]:
    """A further (train, test) pair keyed by the id: held-out rows move over with their new ids."""
    train, test = pair
    column = decided.problem.id_column
    assert column is not None
    held = [] if full else [int(row) for row in rows.held if row >= 0]
    public_of = {int(row): name for row, name in zip(rows.held, rows.ids, strict=True) if row >= 0}
    ids = decided.sources.train[column].astype(str)
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


def _write_sample(decided: Decided, rows: TestRows, chosen: Ints, public: Path) -> Input:
    sources, problem = decided.sources, decided.problem
    folder = sources.shards[0].rel.rpartition("/")[0]
    rel = sources.sample.rel if sources.sample is not None else f"{folder}/sample_submission.csv".lstrip("/")
    frame = pd.DataFrame(index=range(len(chosen)))
    if problem.sample_id is not None:
        frame[problem.sample_id] = [rows.ids[row] for row in chosen]
    for name, value in zip(problem.predicted, _defaults(decided), strict=True):
        frame[name] = value
    form = sources.sample.format if sources.sample is not None else Format("csv")
    write_table(Table(rel, form, frame), public / rel)
    return _input(public, rel, "sample_submission")


def _defaults(decided: Decided) -> list[str]:
    """What the sample submission holds: the user's constant, else one made from the visible labels."""
    sources, problem = decided.sources, decided.problem
    visible = sources.values.loc[(decided.parts == TRAIN) & problem.labelled]
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
        values.append(constant or _default(decided, visible[target]))
    return values


def _default(decided: Decided, column: pd.Series) -> str:
    problem = decided.problem
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


def _link_media(decided: Decided, rows: TestRows, chosen: Ints, public: Path, full: bool) -> list[Input]:
    """Train media under their own names, test media under neutral ones."""
    inputs: dict[str, Input] = {}

    def put(file: File | None, rel: str) -> None:
        if file is not None and rel not in inputs:
            media.link(file.path, public / rel)
            inputs[rel] = Input(path=rel, role="media", bytes=file.bytes)

    for reference, paths in zip(decided.u.references, rows.media, strict=True):
        for row in np.flatnonzero(full | (decided.parts == TRAIN)):
            file = reference.train[row]
            put(file, file.rel if file is not None else "")
        for row in chosen:
            held, own = rows.held[row], rows.own[row]
            put(reference.train[held] if held >= 0 else reference.test[own], paths[row])
    return _folders(list(inputs.values()))
