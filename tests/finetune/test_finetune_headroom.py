"""The headroom table: columns mean what they say, chance is never counted as headroom, runs resume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from finetune import headroom, headroom_rules, headroom_run
from finetune.headroom_map import as_csv, as_text, effects
from finetune.headroom_run import VERSION, Run, TaskRuns
from finetune.ideas import plan_of
from finetune.plans import PANEL
from finetune.synth_sets import Entry, load


def runs_of(seed: int, values: np.ndarray, noise: float, hint: float = 0.0, drawn: int = 10) -> TaskRuns:
    """A made-up task: plan p of the panel is worth `values[p]`; random plans are worth their mean."""
    rng = np.random.default_rng(seed)

    def run(value: float, panel: int | None) -> Run:
        feedback, first, second = np.clip(value + noise * rng.normal(size=3), 0, 1)
        return Run(plan="p", ideas=(), panel=panel, valid=True, feedback=feedback, first=first, second=second,
                   cpu_s=0.1, pieces=200)  # fmt: skip

    found = [run(value, place) for place, value in enumerate(values)]
    found += [run(float(values.mean()), None) for _ in range(drawn)]
    return TaskRuns(version=VERSION, hash=str(seed), seed=seed, family=f"f{int(hint)}", metric="rmse",
                    problem="regression", rows=200, features={"rows": 200.0, "hint": hint}, words="",
                    runs=tuple(found))  # fmt: skip


def test_where_plans_are_alike_the_oracle_has_nothing_over_chance() -> None:
    flat = np.full(len(PANEL), 0.5)
    tasks = [runs_of(seed, flat, noise=0.1) for seed in range(80)]
    for count in (1, 3):
        oracle = np.mean([headroom_rules.oracle_value(task, count) for task in tasks])
        chance = np.mean([headroom_rules.random_value(task, count) for task in tasks])
        assert abs(oracle - chance) < 0.02
    naive = np.mean([max(run.first for run in task.runs) for task in tasks])
    assert naive > 0.65  # what choosing and reporting on the same rows would have claimed


def test_more_executions_help_as_feedback_allows() -> None:
    values = np.linspace(0.1, 0.9, len(PANEL))
    tasks = []
    for seed in range(40):
        task = runs_of(seed, values, noise=0.05)
        drawn = [run.model_copy(update={"panel": None}) for run in task.runs if run.panel is not None]
        tasks.append(task.model_copy(update={"runs": tuple(drawn)}))
    means = [np.mean([headroom_rules.random_value(task, k) for task in tasks]) for k in (1, 3, 8)]
    assert means[0] < means[1] - 0.1 < means[2] - 0.15
    assert means[0] == pytest.approx(0.5, abs=0.03)


def two_worlds(count: int, start: int) -> list[TaskRuns]:
    """Half the tasks (told apart by one profile number) are served by plan 0, half by plan 1."""
    tasks = []
    for seed in range(start, start + count):
        side = seed % 2
        values = np.full(len(PANEL), 0.3)
        values[side], values[1 - side], values[2] = 0.8, 0.1, 0.5
        tasks.append(runs_of(seed, values, noise=0.01, hint=float(side)))
    return tasks


def test_constant_recipe_and_profile_rule_are_told_apart() -> None:
    found = headroom_rules.table(two_worlds(40, 0), two_worlds(20, 1000))
    assert found["constant"][1].mean() == pytest.approx(0.5, abs=0.03)
    assert found["profile-aware"][1].mean() == pytest.approx(0.8, abs=0.03)
    assert found["constant"][3].mean() == pytest.approx(0.8, abs=0.03)  # tries both, feedback tells
    assert found["oracle"][1].mean() == pytest.approx(0.8, abs=0.03)
    assert found["random"][1].mean() < 0.45


def test_verdicts_say_which_threshold_fails() -> None:
    rows = {name: (gap, holds) for name, gap, _, _, holds in headroom.verdicts(
        headroom_rules.table(two_worlds(40, 0), two_worlds(20, 1000))
    )}  # fmt: skip
    assert rows["random to oracle"][1] is True
    assert rows["constant to profile-aware"][1] is False


def test_invalid_runs_are_never_picked() -> None:
    bad = Run(plan="p", ideas=(), valid=False, feedback=0.0, first=0, second=0, cpu_s=0, pieces=1)
    good = bad.model_copy(update={"valid": True, "second": 0.4})
    assert headroom_rules.best_by_feedback([bad, good]) is good


def test_map_counts_tasks_and_marks_what_is_near_zero() -> None:
    cells = effects(two_worlds(6, 0))
    best = next(cell for cell in cells if cell.family == "f0" and cell.gain > 0.3)
    assert best.tasks == 3
    assert as_csv(cells).count("\n") == len(cells) + 1
    grid = as_text(cells)
    assert " ." in grid and grid.count("\n") == len(PANEL) + 1


def test_finished_tasks_are_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        headroom_run, "PANEL", (plan_of("linear-model"), plan_of("lasso"), plan_of("linear-model"))
    )
    entries: list[Entry] = [e for e in load().entries if e.set == "train"][:2]
    said: list[str] = []
    path = tmp_path / "runs" / "a.jsonl"
    first = headroom_run.execute(entries[:1], path, 2, said.append)
    assert [len(task.runs) for task in first] == [5] and len(said) == 1
    assert first[0].runs[0].model_dump(exclude={"panel"}) == first[0].runs[2].model_dump(exclude={"panel"})
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"version": "torn')
    again = headroom_run.execute(entries, path, 2, said.append)
    assert again[0] == first[0] and len(said) == 2
    assert len(headroom_run.load(path)) == 2, "what follows a torn line is not lost with it"
    more = headroom_run.execute(entries[:1], path, 3, said.append)
    assert len(more[0].runs) == 6 and len(said) == 3, "another number of random plans is another result"
    stale = path.read_text(encoding="utf-8").replace(VERSION, "older")
    path.write_text(stale, encoding="utf-8")
    assert headroom_run.load(path) == {}
