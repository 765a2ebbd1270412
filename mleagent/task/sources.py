"""Which tables make the task: the labelled rows, the user's test rows, the sample submission.

Takes what `discover` found, opens the tables, and gives one frame of labelled
rows however they lie on disk: one file, several shards, features and labels
apart, or no table at all but labels in file paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import InputError
from . import media
from .columns import typed
from .discover import File, Found, looks_predicted
from .names import stem
from .options import TaskOptions
from .tables import Format, Table, read_table


@dataclass(frozen=True)
class Sources:
    """The task's tables, read whole."""

    train: pd.DataFrame
    """Labelled rows as written (text for CSV), all shards, labels joined in."""
    values: pd.DataFrame
    """The same rows, typed."""
    shards: tuple[Table, ...]
    """The files whose rows, one after the other, are `train`."""
    labels: Table | None = None
    joined: tuple[str, ...] = ()
    """Columns of `train` that come from the labels file."""
    label_key: str = ""
    """Column that the labels file is joined on; empty: by position."""
    test: Table | None = None
    test_values: pd.DataFrame | None = None
    sample: Table | None = None
    made: bool = False
    """The tables are made from file paths; the user has none."""
    companions: tuple[tuple[Table, Table], ...] = ()
    """Further (train, test) tables keyed by the same ids."""

    @property
    def used(self) -> frozenset[str]:
        """Relative paths of the files read as the task's own tables."""
        tables = [*self.shards, *(t for pair in self.companions for t in pair)]
        tables += [t for t in (self.labels, self.test, self.sample) if t is not None]
        return frozenset(table.rel for table in tables)


def load_sources(found: Found, options: TaskOptions) -> Sources | None:
    """Read the task's tables; None where the folder has neither tables nor labelled media."""
    if not found.train and not found.labels:
        paths = media.labelled_paths(found)
        if paths is not None:
            return _made(found, paths)
    if not found.all_tables:
        return None
    primary, shards, companions = _train_files(found, options)
    tables = tuple(read_table(file.path, file.rel) for file in shards)
    _no_empty(found, tables)
    test_file = _counterpart(primary, found.test) or (found.test[0] if found.test else None)
    test = read_table(test_file.path, test_file.rel) if test_file else None
    sample = read_table(found.sample[0].path, found.sample[0].rel) if found.sample else None
    if test is None and sample is not None:
        test = _test_of_sample(tables[0], sample, found)
    train = tables[0].frame if len(tables) == 1 else pd.concat([t.frame for t in tables], ignore_index=True)
    values = typed(Table(primary.rel, tables[0].format, train))
    pairs = tuple(
        (read_table(a.path, a.rel), read_table(b.path, b.rel)) for a, b in companions if b is not test_file
    )
    sources = Sources(
        train,
        values,
        tables,
        test=test,
        test_values=typed(test) if test is not None else None,
        sample=sample,
        companions=pairs,
    )
    return _with_labels(sources, found, options)


def _test_of_sample(train: Table, sample: Table, found: Found) -> Table | None:
    """The test rows where media are the only features: the ids that the sample submission lists."""
    name = sample.columns[0]
    if not media.candidates(found) or name not in train.columns:
        return None
    if set(sample.frame[name].astype(str)) & set(train.frame[name].astype(str)):
        return None
    return Table("test.csv", Format("csv"), sample.frame[[name]].astype(str))


def _no_empty(found: Found, tables: Sequence[Table]) -> None:
    if not sum(table.rows for table in tables):
        raise InputError(
            f"{found.base / tables[0].rel}: 0 rows below the header; rows with labels are needed"
        )


def _train_files(found: Found, options: TaskOptions) -> tuple[File, list[File], list[tuple[File, File]]]:
    """The primary train file, all shards (primary first), and companion (train, test) pairs."""
    candidates = list(found.train or found.labels) or [_only_table(found, options)]
    headers = {file.rel: _header(file) for file in candidates}
    primary = _primary(candidates, headers, found, options)
    shards = [f for f in candidates if headers[f.rel] == headers[primary.rel] and _is_shard(f, primary)]
    companions = []
    for file in candidates:
        twin = _counterpart(file, found.test)
        if file not in shards and twin is not None:
            companions.append((file, twin))
    return primary, sorted(shards, key=lambda f: f.rel), companions


def _is_shard(file: File, primary: File) -> bool:
    """`train.csv` is whole by its name; numbered ones or those in a `train` folder are shards."""
    return file == primary or (stem(primary.rel) != "train" and file.parent == primary.parent)


def _header(file: File) -> list[str]:
    return read_table(file.path, file.rel, limit=5).columns


def _primary(
    candidates: list[File], headers: dict[str, list[str]], found: Found, options: TaskOptions
) -> File:
    if len(candidates) == 1:
        return candidates[0]
    with_target = [f for f in candidates if options.target and set(options.target) <= set(headers[f.rel])]
    exact = [f for f in with_target or candidates if stem(f.rel) == "train"]
    if exact:
        return exact[0]
    if with_target:
        return with_target[0]
    for file in candidates:
        twin = _counterpart(file, found.test)
        if twin is not None and set(headers[file.rel]) - set(_header(twin)):
            return file
    return candidates[0]


def _counterpart(file: File, tests: Sequence[File]) -> File | None:
    """The test table that is named like this train table."""
    name = stem(file.rel)
    for old, new in (("training", "testing"), ("training", "test"), ("train", "test")):
        if old in name:
            wanted = name.replace(old, new, 1)
            same = [test for test in tests if stem(test.rel) == wanted]
            same.sort(key=lambda test: (test.parent != file.parent, test.rel))
            if same:
                return same[0]
    return None


def _only_table(found: Found, options: TaskOptions) -> File:
    """The train table where none is called so."""
    tables = [file for file in found.tables if not looks_predicted(stem(file.rel))]
    if options.target:
        tables = [file for file in tables if set(options.target) <= set(_header(file))] or tables
    if len(tables) > 1:
        usual = ("data", "dataset", "full", "all", found.folder.name.lower())
        tables = [file for file in tables if stem(file.rel) in usual] or tables
    if len(tables) == 1:
        return tables[0]
    seen = ", ".join(file.rel for file in found.all_tables[:6])
    raise InputError(f"{found.folder}: no train table among {seen}; call the one with the labels train.csv")


def _with_labels(sources: Sources, found: Found, options: TaskOptions) -> Sources:
    """Join a labels file (`y_train.csv`, `train_labels.csv`) where the train table has no target."""
    wanted = set(options.target)
    if not found.labels or not found.train or (wanted and wanted <= set(sources.train.columns)):
        return sources
    labels = read_table(found.labels[0].path, found.labels[0].rel)
    fresh = [name for name in labels.columns if name not in sources.train.columns]
    if sources.test is not None and set(sources.train.columns) - set(sources.test.columns):
        return sources  # The train table has columns of its own: its target is there.
    shared = [name for name in labels.columns if name in sources.train.columns]
    key = next((n for n in shared if labels.frame[n].is_unique and sources.train[n].is_unique), "")
    if not fresh or (not key and labels.rows != len(sources.train)):
        return sources
    right = labels.frame[[key, *fresh]].set_index(key) if key else labels.frame[fresh]
    rows = right.reindex(sources.train[key]) if key else right
    missing = "" if labels.format.kind == "csv" else np.nan
    joined = rows.reset_index(drop=True).fillna(missing)
    train = pd.concat([sources.train, joined], axis=1)
    values = pd.concat([sources.values, typed(labels.take(joined))], axis=1)
    return Sources(
        train,
        values,
        sources.shards,
        labels,
        tuple(fresh),
        key,
        sources.test,
        sources.test_values,
        sources.sample,
        companions=sources.companions,
    )


def _made(found: Found, paths: media.LabelledPaths) -> Sources:
    """Tables made from file paths: `id,path,label` and `id,path`."""
    sample = read_table(found.sample[0].path, found.sample[0].rel) if found.sample else None
    id_name, label_name = "id", "label"
    if sample is not None and len(sample.columns) == 2:
        id_name, label_name = sample.columns
    train = pd.DataFrame(
        {
            id_name: [f"train_{number:06d}" for number in range(1, len(paths.files) + 1)],
            "path": [file.rel for file in paths.files],
            label_name: list(paths.labels),
        },
        dtype=str,
    )
    shard = Table("train.csv", Format("csv"), train)
    test = None
    if paths.test:
        ids = media.ids_like(paths.test, sample.frame[id_name].tolist() if sample is not None else [])
        rows = pd.DataFrame({id_name: ids, "path": [file.rel for file in paths.test]}, dtype=str)
        test = Table("test.csv", Format("csv"), rows)
    return Sources(
        train,
        typed(shard),
        (shard,),
        test=test,
        test_values=typed(test) if test is not None else None,
        sample=sample,
        made=True,
    )
