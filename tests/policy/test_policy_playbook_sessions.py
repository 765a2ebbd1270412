"""Whole sessions of the playbook on real data: it beats a dummy and a plain model, and repairs itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from playbook_kit import Case, Runner, cases, grade, play, split

from mleagent.policy.playbook import PlaybookPolicy, compose, get
from mleagent.policy.playbook.first import groundwork
from mleagent.policy.playbook.idea import Choice
from mleagent.records import Step

TASKS = ("cancer", "wine", "diabetes", "grades", "prices", "dear", "pictures")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return cases(tmp_path_factory.mktemp("small"), small=True)


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as started:
        yield started


def better(case: Case, score: float, other: float) -> bool:
    assert case.task.metric
    return score >= other if case.task.metric.direction == "maximize" else score <= other


def best(case: Case, steps: list[Step]) -> float:
    assert case.task.metric
    values = [step.score.value for step in steps if step.score]
    return max(values) if case.task.metric.direction == "maximize" else min(values)


def plain(case: Case, model: str, runner: Runner) -> float:
    """The score of one model on columns as they are."""
    names = [name for name in groundwork_of(case) if name.startswith("image")]
    chosen = [Choice(model), *(i.default() for name in names if (i := get(name)))]
    result = runner.run(case.folder, compose(case.task, chosen, Random(0)).text)
    assert result.submission is not None, result.output
    return grade(case, result.submission)


def groundwork_of(case: Case) -> list[str]:
    from mleagent.policy.playbook.brief import brief_of

    return groundwork(brief_of(case.task))


@pytest.mark.parametrize("name", TASKS)
def test_seven_steps_beat_a_dummy_and_a_plain_linear_model(
    name: str, small: dict[str, Case], runner: Runner
) -> None:
    case = small[name]
    steps = play(case, PlaybookPolicy(0), runner, 7)
    assert steps[-1].action.kind == "submit"
    valid = [step for step in steps[:-1] if step.facts.submission == "valid"]
    assert len(valid) >= 5, [step.observation for step in steps]
    assert steps[0].facts.submission == "valid", steps[0].observation
    reached, dummy = best(case, steps), plain(case, "constant-prediction", runner)
    assert reached != dummy and better(case, reached, dummy)
    assert better(case, reached, plain(case, "linear-model", runner))


def dirty(root: Path) -> Case:
    """Text in a numeric column of the test table only, and infinities in another."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=150), "b": rng.normal(size=150).astype(object)})
    frame["b"] = frame["b"].astype(float)
    frame["y"] = 3 * frame["a"] + rng.normal(size=150) * 0.1
    frame.loc[::20, "b"] = np.inf
    case = split(root, "dirty", frame, ["y"], metric="rmse", prediction="value", problem="regression")
    test = pd.read_csv(case.folder / "test.csv").astype({"a": object})
    test.loc[0, "a"] = "unknown"
    test.to_csv(case.folder / "test.csv", index=False)
    return case


def test_it_repairs_what_the_data_breaks(tmp_path: Path, runner: Runner) -> None:
    case = dirty(tmp_path)
    steps = play(case, PlaybookPolicy(0), runner, 5)
    assert steps[0].execution is not None and steps[0].execution.status == "error"
    scored = [step for step in steps if step.score]
    assert scored, [step.observation for step in steps]
    assert "coerce-numbers" in scored[0].action.plan
    assert best(case, steps) < 2.0


def test_a_column_the_test_table_lacks_is_left_out(small: dict[str, Case], runner: Runner) -> None:
    case = small["diabetes"]
    path = case.folder / "test.csv.gz"
    whole = pd.read_csv(path)
    whole.drop(columns="bmi").to_csv(path, index=False)
    try:
        assert play(case, PlaybookPolicy(0), runner, 1)[0].score is not None
    finally:
        whole.to_csv(path, index=False)
