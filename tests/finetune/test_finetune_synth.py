"""Synthetic tasks: the same seed gives the same bytes, and every one is a task folder `prepare` takes."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune import synth_sets
from finetune.synth import FAMILIES, SynthTask, make_task
from finetune.synth_answer import PROBABILITY
from mleagent.task.options import TaskOptions
from mleagent.task.prepare import prepare

FILES = {"description.md", "train.csv", "test.csv", "sample_submission.csv"}


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_there_are_many_processes_of_every_kind() -> None:
    assert len(FAMILIES) >= 50
    assert {"linear", "growth", "categories", "seasons", "groups", "keywords", "shapes"} <= set(FAMILIES)


def test_same_bytes_in_another_process() -> None:
    code = (
        "from finetune.synth import make_task; print(*[make_task(s).content_hash for s in (5, 6, 2000003)])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == [make_task(seed).content_hash for seed in (5, 6, 2_000_003)]


def test_frozen_sets_are_what_their_hashes_say() -> None:
    manifest = synth_sets.load()
    sample = manifest.entries[::12]
    assert {entry.set for entry in sample} == {"train", "gate", "report"}
    assert synth_sets.verify(sample) == []
    wrong = sample[0].model_copy(update={"hash": "0" * 16})
    assert synth_sets.verify([wrong, *sample[1:3]]) == [wrong]


def test_sets_are_disjoint_and_of_the_promised_sizes() -> None:
    manifest = synth_sets.load()
    by_set = {
        name: [e.seed for e in manifest.entries if e.set == name] for name in ("train", "gate", "report")
    }
    assert len(by_set["gate"]) == 120 and len(by_set["report"]) >= 60
    assert len({e.hash for e in manifest.entries}) == len(manifest.entries)
    ranges = [set(synth_sets.GATE), set(synth_sets.REPORT)]
    assert not ranges[0] & ranges[1]
    assert all(seed not in synth_sets.TRAIN for seeds in ranges for seed in seeds)
    assert all(list(synth_sets.seeds(name))[: len(seeds)] == seeds for name, seeds in by_set.items())


def test_per_family_takes_each_family_as_often_as_asked() -> None:
    entries = [e for e in synth_sets.load().entries if e.set == "train"]
    taken = synth_sets.per_family(entries, 1)
    assert len(taken) == len({e.family for e in entries}) == len({e.family for e in taken})


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_every_task_is_whole(seed: int) -> None:
    task = make_task(seed)
    assert set(task.files) == FILES
    train, test = rows_of(task.files["train.csv"]), rows_of(task.files["test.csv"])
    sample, answers = rows_of(task.files["sample_submission.csv"]), rows_of(task.answers)
    target = (set(train[0]) - set(test[0])).pop()
    key = next(iter(sample[0]))
    assert set(train[0]) - {target} == set(test[0])
    assert 120 <= len(train) <= 650 and len(test) >= 200
    assert [r[key] for r in test] == [r[key] for r in sample] == [r[key] for r in answers]
    assert not {r[key] for r in train} & {r[key] for r in test}
    assert all(row[target] for row in train) and len({row[target] for row in train}) >= 2
    if task.problem != "regression":
        assert {row[target] for row in answers} <= {row[target] for row in train}


def same_task(task: SynthTask, folder: Path) -> None:
    """`prepare` infers problem and metric, from nothing but the folder."""
    prepared = prepare(task.write(folder / task.name), TaskOptions(), folder / "home")
    assert prepared.metric is not None and prepared.metric.name == task.metric
    expected = "multiclass" if task.problem == "ordinal" else task.problem
    classes = {row[prepared.targets[0]] for row in rows_of(task.files["train.csv"])}
    if len(classes) == 2 and expected == "multiclass":
        expected = "binary"
    assert prepared.problem == expected
    assert prepared.rows_feedback >= 30 and prepared.rows_sealed >= 10
    assert len(prepared.submission_columns) == (
        1 + (len(prepared.classes) if task.metric in PROBABILITY and len(prepared.classes) > 2 else 1)
    )


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_prepare_takes_every_family_as_it_is(family: str, tmp_path: Path) -> None:
    same_task(make_task(77, family), tmp_path)


def test_group_tasks_hold_out_whole_groups(tmp_path: Path) -> None:
    task = prepare(make_task(3, "groups").write(tmp_path / "t"), TaskOptions(), tmp_path / "home")
    assert task.group_column is not None


def test_unknown_family_is_named() -> None:
    with pytest.raises(KeyError, match="no-such"):
        make_task(1, "no-such")
