"""The playbook's ideas: each is laid into a program that really runs and leaves a valid submission."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playbook_kit import Case, Runner, cases, grade, make_task

from mleagent.agent.actions import parse
from mleagent.policy.playbook import IDEAS, Idea, compose, get, ideas_for
from mleagent.policy.playbook.brief import brief_of
from mleagent.policy.playbook.first import groundwork
from mleagent.policy.playbook.idea import KINDS, SINGLE, Choice
from mleagent.policy.playbook.policy import write
from mleagent.policy.playbook.recipe import read, tidy
from mleagent.records import ColumnProfile, State

ORDER = ("iris", "linnerud", "wine", "diabetes", "cancer", "grades", "digits", "prices", "dear", "median",
         "pictures")  # fmt: skip
"""Cheapest first: an idea is run on the first case it applies to."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return cases(tmp_path_factory.mktemp("small"), small=True)


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as started:
        yield started


def home_of(idea: Idea, small: dict[str, Case]) -> str | None:
    """Name of the first case an idea applies to."""
    return next((name for name in ORDER if idea.fits(brief_of(small[name].task))), None)


def packs(small: dict[str, Case], models: bool) -> list[tuple[str, list[Idea]]]:
    """Ideas by case: a model alone, other ideas up to three of different kinds together."""
    out: list[tuple[str, list[Idea]]] = []
    for idea in IDEAS:
        home = home_of(idea, small)
        if home is None or (idea.kind == "model") is not models:
            continue
        for case, pack in out:
            kinds = {other.kind for other in pack}
            if not models and case == home and len(pack) < 3 and idea.kind not in kinds:
                pack.append(idea)
                break
        else:
            out.append((home, [idea]))
    return out


def assert_runs(case: Case, chosen: list[Choice], runner: Runner) -> None:
    program = compose(case.task, chosen, Random(0), seconds=60)
    assert set(chosen) <= set(program.recipe)
    result = runner.run(case.folder, program.text)
    assert result.status == "ok", f"{program.plan}\n{result.output}\n{program.text}"
    assert result.submission is not None, program.text
    assert re.search(r"^validation \S+: -?\d", result.output, re.MULTILINE), result.output
    grade(case, result.submission)


def with_ground(case: Case, pack: list[Idea], rng: Random, model: str) -> list[Choice]:
    """The pack's ideas drawn, on the task's groundwork, with a model where none is in it."""
    kinds = {idea.kind for idea in pack}
    names = [n for n in groundwork(brief_of(case.task)) if (i := get(n)) and i.kind not in kinds & SINGLE]
    base = [i.default() for name in [*names, model] if (i := get(name)) and i not in pack]
    base = [c for c in base if not (c.name == model and "model" in kinds)]
    base = [c for c in base if not ("text-features" in kinds and c.name == "text-words")]
    return [*base, *(idea.draw(rng) for idea in pack)]


def test_every_model_runs(small: dict[str, Case], runner: Runner) -> None:
    done = packs(small, models=True)
    assert len(done) >= 30
    for number, (name, pack) in enumerate(done):
        assert_runs(small[name], with_ground(small[name], pack, Random(number), "linear-model"), runner)


def test_every_other_idea_runs(small: dict[str, Case], runner: Runner) -> None:
    done = packs(small, models=False)
    assert sum(len(pack) for _, pack in done) >= 75
    for number, (name, pack) in enumerate(done):
        model = ("linear-model", "decision-tree", "shallow-boosting")[number % 3]
        if any(idea.kind == "ensemble" for idea in pack):
            pack = [*pack, get("naive-bayes") or pack[0], get("decision-tree") or pack[0]]
        assert_runs(small[name], with_ground(small[name], pack, Random(number), model), runner)


def test_ideas_for_larger_tables_run_too(small: dict[str, Case], runner: Runner) -> None:
    """What the small cases are too small for is tried as if there were more rows; packages are not there."""
    left = [idea for idea in IDEAS if home_of(idea, small) is None]
    ran = set()
    for name in ("cancer", "prices"):
        case = replace(small[name], task=small[name].task.model_copy(update={"rows_train": 2500}))
        for idea in left:
            if idea.fits(brief_of(case.task)) and idea.name not in ran:
                pair = [idea, *((get("naive-bayes"),) if idea.kind == "ensemble" else ())]
                pack = [i for i in pair if i is not None]
                assert_runs(case, with_ground(case, pack, Random(0), "linear-model"), runner)
                ran.add(idea.name)
    assert {idea.name for idea in left} - ran == {"lightgbm", "xgboost", "catboost"}


def test_library_is_large_named_and_drawable() -> None:
    assert len(IDEAS) >= 100
    assert len({idea.name for idea in IDEAS}) == len(IDEAS)
    for idea in IDEAS:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", idea.name)
        assert idea.kind in KINDS
        assert idea.about
        drawn = dict(idea.draw(Random(1)).params)
        assert all(drawn[key] in values for key, values in idea.params.items())


def test_many_ideas_for_every_table(small: dict[str, Case]) -> None:
    for case in small.values():
        found = ideas_for(case.task)
        assert len(found) >= 36
        assert all(idea.weight > 0 for idea in found)


def test_packages_bring_their_ideas(small: dict[str, Case]) -> None:
    task = small["diabetes"].task
    names = {idea.name for idea in ideas_for(task, ("lightgbm==4.6", "catboost"))}
    assert {"lightgbm", "catboost"} <= names
    assert "xgboost" not in names
    text = compose(task, [Choice("lightgbm")], Random(0), packages=("lightgbm==4.6",)).text
    assert "LGBMRegressor" in text
    compile(text, "solution.py", "exec")


def test_a_program_carries_its_recipe(small: dict[str, Case]) -> None:
    rng = Random(3)
    for case in small.values():
        drawn = rng.sample(ideas_for(case.task), 5)
        program = compose(case.task, drawn, rng)
        assert read(program.text) == program.recipe == tidy(program.recipe)


def test_large_tables_are_sampled_and_validated_once(small: dict[str, Case]) -> None:
    task = small["diabetes"].task.model_copy(update={"rows_train": 2_000_000})
    text = compose(task, [Choice("extra-trees")], Random(0), seconds=120).text
    assert "train.sample(min(len(train)" in text
    assert "train_test_split" in text
    assert "cross_val_predict" not in text


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.text(min_size=1, max_size=12), min_size=4, max_size=4, unique=True),
    types=st.lists(st.sampled_from(["numeric", "categorical", "date", "text", "path", "boolean"]), min_size=4,
                   max_size=4),
    metric=st.sampled_from(["accuracy", "roc_auc", "logloss", "rmse", "rmsle", "qwk", "f1", "map@3", "own"]),
    problem=st.sampled_from(["binary", "multiclass", "regression", "multi-target", "ranking", "unknown"]),
    prediction=st.sampled_from(["label", "probability", "value", "ranking"]),
    targets=st.integers(0, 2),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_any_ideas_on_any_task_give_valid_python(
    names: list[str], types: list[str], metric: str, problem: str, prediction: str, targets: int, seed: int
) -> None:
    columns = [
        ColumnProfile(name=name, type=kind, missing=0.1, unique=9)  # type: ignore[arg-type]
        for name, kind in zip(names, types, strict=True)
    ]
    task = make_task(
        Path("/nowhere"), "odd name", columns, metric=metric, prediction=prediction, problem=problem,
        targets=tuple(names[:targets]), id_column=names[2] if seed % 2 else None, rows_train=seed,
        submission_columns=tuple(names[:targets]), classes=("1", "2", "3")[: seed % 4],
        group_column=names[3] if seed % 3 == 0 else None, time_column=names[3] if seed % 5 == 0 else None,
    )  # fmt: skip
    rng = Random(seed)
    program = compose(task, rng.sample(IDEAS, 4), rng)
    compile(program.text, "solution.py", "exec")
    action = parse(write(State(task=task), program))
    assert action.kind == "write"
    assert action.body.strip() == program.text.strip()


def test_folds_follow_groups_and_time(small: dict[str, Case]) -> None:
    prices = compose(small["prices"].task, [Choice("linear-model")], Random(0)).text
    assert 'groups=train["owner"]' in prices
    median = compose(small["median"].task, [Choice("linear-model")], Random(0)).text
    assert 'np.argsort(moments(train["to"])' in median


def test_draft_adapts_to_a_brief_without_columns(small: dict[str, Case], runner: Runner) -> None:
    """Without a profile a program finds the column types itself."""
    case = small["diabetes"]
    bare = replace(case, task=case.task.model_copy(update={"columns": ()}))
    assert_runs(bare, [Choice("hist-gradient-boosting")], runner)
