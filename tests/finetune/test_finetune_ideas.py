"""Ideas and the short program form: every idea applies somewhere, and its program runs and submits."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path
from random import Random

import pytest
from finetune_kit import arena_of
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.arena import Arena
from finetune.compact import pieces, program
from finetune.ideas import IDEAS, draw_plan, fitting, get, ideas_for, plan_line, plan_of, tidy
from finetune.plan_text import read_plan, within
from finetune.plans import PANEL, grounded
from mleagent.agent.compact import can_serve
from mleagent.policy.playbook.brief import brief_of
from mleagent.policy.playbook.idea import KINDS, Idea
from mleagent.records import MILESTONES
from mleagent.reward.annotate import AstAnnotator

SOME = (
    *(
        "mixture",
        "growth",
        "codes",
        "crossed",
        "spans",
        "text-and-table",
        "digits",
        "telling-gaps",
        "spectra",
    ),
    *("groups", "flags", "keywords"),
)
MORE = (
    "topics",
    "blobs",
    "ordered-words",
    "relative",
    "profiles",
    "linear",
    "noisy-labels",
    "sparse",
    "rough",
)
"""With `SOME`, families whose tasks between them call for every idea."""
INERT = {"standard-scaling", "one-hot-encoding", "hist-gradient-boosting"}
"""What the program would hold anyway."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ideas")


def test_there_are_a_hundred_ideas_with_names_of_their_own() -> None:
    assert len(IDEAS) >= 100
    assert len({idea.name for idea in IDEAS}) == len(IDEAS)
    assert {idea.kind for idea in IDEAS} <= set(KINDS)
    assert all(idea.about and idea.name == idea.name.lower() for idea in IDEAS)


def test_profile_decides_which_ideas_apply(folder: Path) -> None:
    names = {family: {i.name for i in ideas_for(arena_of(family, folder).task)} for family in SOME}
    assert "date-differences" in names["spans"] and "date-differences" not in names["mixture"]
    assert "text-words" in names["keywords"] and "text-words" not in names["growth"]
    assert "pixel-centred" in names["digits"] and "pixel-centred" not in names["growth"]
    assert "log-target" in names["growth"] and "balanced-class-weights" not in names["growth"]
    assert "missing-flags" in names["telling-gaps"] and "target-encoding" in names["crossed"]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9), family=st.sampled_from(SOME))
def test_drawn_plans_are_tidy_and_come_back_from_their_line(seed: int, family: str, folder: Path) -> None:
    brief = brief_of(arena_of(family, folder).task)
    plan = draw_plan(brief, Random(seed))
    assert plan == draw_plan(brief, Random(seed)) == tidy(list(reversed(plan)), brief)
    assert sum(idea.kind == "model" for choice in plan if (idea := get(choice.name))) == 1
    assert read_plan(plan_line(plan)) == plan
    for choice in plan:
        idea = get(choice.name)
        assert idea is not None and idea.fits(brief)
        assert all(value in idea.params[key] for key, value in choice.params)


def test_plan_line_of_a_stranger_is_read_as_far_as_it_goes() -> None:
    assert read_plan("Extra-Trees(leaf=2, depth=9), magic, log-target(x)") == read_plan(
        "extra-trees(leaf=2), log-target"
    )
    assert read_plan("extra-trees(leaf=[1)") == plan_of("extra-trees")
    assert read_plan("") == ()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9), family=st.sampled_from(SOME))
def test_programs_are_short_copy_no_names_and_reach_every_milestone(
    seed: int, family: str, folder: Path
) -> None:
    task = arena_of(family, folder).task
    text = program(task, draw_plan(brief_of(task), Random(seed)))
    ast.parse(text)
    assert pieces(text) <= 400 and text.count("\n") <= 38
    assert tuple(mark.name for mark in AstAnnotator().annotate(text)) == MILESTONES
    own = {column.name for column in task.columns if len(column.name) > 3 and column.type != "id"}
    words = {"text", "group", "date", "start", "target", "class"}  # also words of the language
    assert not {name for name in own - words if f'"{name}"' in text}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9), family=st.sampled_from(SOME))
def test_names_of_scikit_learn_are_spelt_out_where_they_are_used(
    seed: int, family: str, folder: Path
) -> None:
    task = arena_of(family, folder).task
    tree = ast.parse(program(task, draw_plan(brief_of(task), Random(seed))))
    taken = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert taken <= {"itertools", "sklearn.experimental"}
    known = {"np", "pd", "sklearn", "combinations", "enable_iterative_imputer", *dir(builtins)}
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    stored |= {argument.arg for argument in ast.walk(tree) if isinstance(argument, ast.arg)}
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    assert used <= known | stored


def test_groundwork_is_what_the_profile_calls_for(folder: Path) -> None:
    spans, plain = (brief_of(arena_of(family, folder).task) for family in ("spans", "mixture"))
    drawn = plan_of("extra-trees", "text-words")
    laid = [{choice.name for choice in grounded(drawn, spans, Random(seed))} for seed in range(40)]
    assert {"date-elapsed", "date-parts"} < set.union(*laid)
    assert 10 < sum("date-parts" in names for names in laid) < 40  # drawn, not always
    assert all("extra-trees" in names for names in laid)
    bare = [{choice.name for choice in grounded(plan_of("extra-trees"), plain, Random(s))} for s in range(40)]
    assert not any(names & {"date-parts", "text-words"} for names in bare)


def test_median_program_is_under_250_pieces(folder: Path) -> None:
    sizes = []
    for family in (*SOME, *MORE):
        task = arena_of(family, folder).task
        rng = Random(family)
        sizes += [pieces(program(task, draw_plan(brief_of(task), rng))) for _ in range(10)]
    assert sorted(sizes)[len(sizes) // 2] <= 250


def test_a_plan_is_cut_until_its_program_is_short(folder: Path) -> None:
    task = arena_of("codes", folder).task
    plan = plan_of("linear-model", "grade-words", "code-letters", "code-numbers", "target-and-one-hot")
    assert pieces(program(task, plan)) > 250
    cut = within(task, plan)
    assert pieces(program(task, cut)) <= 250 and len(cut) >= 2 and set(cut) < set(plan)
    assert within(task, cut) == cut
    assert [choice.name for choice in within(task, plan, most=10)] == ["linear-model"]


def test_only_plain_tables_are_supported(folder: Path) -> None:
    task = arena_of("mixture", folder).task
    assert not can_serve(task)
    assert can_serve(task.model_copy(update={"targets": ("a", "b")}))
    assert can_serve(task.model_copy(update={"inputs": task.inputs[:1]}))
    assert can_serve(task.model_copy(update={"id_column": None}))


def home_of(idea: Idea, folder: Path) -> Arena:
    """A small task that the idea applies to."""
    for family, seed in [*((f, 11) for f in (*SOME, *MORE)), *(("ordered-words", s) for s in range(40))]:
        arena = arena_of(family, folder, seed)
        if idea in fitting(brief_of(arena.task)):
            return arena
    raise AssertionError(f"{idea.name} applies to none of the sample tasks")


@pytest.mark.slow
@pytest.mark.parametrize("idea", IDEAS, ids=lambda idea: idea.name)
def test_every_idea_runs_where_it_applies(idea: Idea, folder: Path) -> None:
    arena = home_of(idea, folder)
    model = () if idea.kind == "model" else plan_of("linear-model")
    plan = tidy([*model, idea.draw(Random(1))], brief_of(arena.task))
    without = program(arena.task, model or plan_of("hist-gradient-boosting"))
    text = program(arena.task, plan)
    assert text != without or idea.name in INERT
    outcome = arena.run(text)
    assert outcome.valid, outcome.reason


def test_panel_plans_hold_a_model_and_known_ideas_only() -> None:
    assert len(PANEL) >= 40
    for plan in PANEL:
        kinds = [idea.kind for choice in plan if (idea := get(choice.name))]
        assert len(kinds) == len(plan) and kinds.count("model") == 1
