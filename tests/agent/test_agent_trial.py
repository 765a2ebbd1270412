"""Sample-first: a crash on large data shows on a sample; what passes runs on all rows."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from agent_kit import make_task, program, session, write

from mleagent import events
from mleagent.task import sample

COUNT = "import os; print('rows', sum(1 for _ in open('train.csv')) - 1, os.environ.get('MLEAGENT_SAMPLE'))\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small task that counts as large, its sample being every fourth row or so."""
    monkeypatch.setattr(sample, "MANY_ROWS", 50)
    monkeypatch.setattr(sample, "ROWS", 50)
    monkeypatch.setattr(sample, "SMALL", 100)
    return make_task(tmp_path / "toy")


def steps_of(folder: Path, replies: list[str], **more: object):
    with session(folder, replies, **more) as (solver, _, seen):
        for _ in replies:
            solver.step()
        return solver, [x.text for x in seen if isinstance(x, events.Output)]


def test_a_crash_shows_on_the_sample_and_the_full_run_is_not_started(home, folder):
    crash = COUNT + "open('ran', 'a').write('x')\nraise ValueError('typo')\n"
    solver, live = steps_of(folder, [write(crash), write(crash)])
    first, second = solver.steps
    assert first.facts.status == "error" and "on a sample of the rows" in first.observation
    assert "ValueError: typo" in first.observation and "line 3" in first.observation
    assert any("on a sample" in text for text in live)
    small = int(first.execution.output.split("rows ")[1].split()[0])
    assert small <= 50 and first.execution.output.startswith(f"rows {small} 1")
    full = int(second.execution.output.split("rows ")[1].split()[0])
    assert full > 2 * small and f"rows {full} None" in second.execution.output, (
        "the same script again: all rows"
    )
    assert "on a sample" not in second.observation


def test_what_passes_runs_on_all_rows_and_is_scored(home, folder):
    solver, _ = steps_of(folder, [write(COUNT + program(0.1))])
    step = solver.steps[0]
    assert step.facts.submission == "valid" and "None" in step.execution.output
    assert "A trial on a sample of the rows ended in" in step.observation


def test_small_data_and_zero_turn_it_off(home, folder):
    solver, live = steps_of(folder, [write(program())], sample_first_mb=0)
    assert solver.parts.executor.trial is None and not any("on a sample" in x for x in live)


def test_a_trial_that_can_not_be_had_is_no_obstacle(home, folder, monkeypatch):
    def full_disk(*_args: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sample, "sample_public", full_disk)
    solver, _ = steps_of(folder, [write(program())])
    assert solver.steps[0].facts.submission == "valid"


def test_tables_of_one_length_keep_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sample, "ROWS", 30)
    with (tmp_path / "test.csv").open("w", newline="") as out:
        writer = csv.writer(out, quoting=csv.QUOTE_ALL)
        writer.writerows([["id", "text"], *([i, f"two\nlines, {i}"] for i in range(100))])
    (tmp_path / "sample_submission.csv").write_text("id,y\n" + "".join(f"{i},0\n" for i in range(100)))
    pd.DataFrame({"id": range(100), "x": range(100)}).to_parquet(tmp_path / "more.parquet", row_group_size=7)
    for name in ("test.csv", "sample_submission.csv"):
        sample._text(tmp_path / name, tmp_path / f"small-{name}")
    sample._parquet(tmp_path / "more.parquet", tmp_path / "small.parquet")
    kept = [list(pd.read_csv(tmp_path / f"small-{n}")["id"]) for n in ("test.csv", "sample_submission.csv")]
    kept.append(list(pd.read_parquet(tmp_path / "small.parquet")["id"]))
    assert kept[0] == kept[1] == kept[2] == list(range(0, 100, 4))
    assert pd.read_csv(tmp_path / "small-test.csv")["text"][1] == "two\nlines, 4"
