"""The compact prompt: short, in words, without names, the same whatever the numbers' last digits."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mleagent.agent.actions import parse
from mleagent.agent.asking import chance
from mleagent.agent.compact import (
    CompactContext,
    can_serve,
    compact_root,
    context_of,
    failure,
    sampling_for,
    told,
)
from mleagent.agent.context import Context
from mleagent.agent.outcome import Outcome
from mleagent.agent.templates import Templates
from mleagent.agent.words import change_word, count_word, hint, level, share_word
from mleagent.policy.playbook import PlaybookPolicy
from mleagent.records import Execution, Grade, Score, Task
from mleagent.task.options import TaskOptions
from mleagent.task.prepare import prepare

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return prepare(EXAMPLES / "breast-cancer", TaskOptions(), tmp_path_factory.mktemp("home"))


class Small(PlaybookPolicy):
    prompt_style = "compact"


def grade(utility: float, delta: float | None = None, se: float = 0.0) -> Grade:
    score = Score(value=0.9, metric="roc_auc", direction="maximize", kind="feedback")
    return Grade(valid=True, score=score, utility=utility, delta_utility=delta, delta_se=se)


RUN = Execution(command="python solution.py", status="ok", exit_code=0)
WRITE = parse('Plan: x\n<write path="solution.py">\nprint(1)\n</write>')


def test_style_follows_what_the_policy_says_of_itself(task: Task) -> None:
    templates = Templates()
    assert type(context_of(PlaybookPolicy(0), templates, task, "")) is Context
    compact = context_of(Small(0), templates, task, "")
    assert isinstance(compact, CompactContext)
    own = sampling_for(compact, None, 2048)
    assert own.max_tokens < 2048 and own.temperature == 1 and own.top_p < 1
    assert sampling_for(compact, 0.3, 2048).temperature == 0.3


def test_chance_is_the_same_again_and_another_for_another_task(task: Task) -> None:
    """With one seed for all tasks a model would draw the same ideas everywhere."""
    other = task.model_copy(update={"content_hash": "another"})
    drawn = [chance(one, seed, step) for one in (task, other) for seed in range(3) for step in range(1, 9)]
    assert len(set(drawn)) == len(drawn) and all(0 <= number < 2**31 for number in drawn)
    assert chance(task, 0, 1) == drawn[0]


def test_the_brief_is_short_and_holds_no_name(task: Task) -> None:
    system, brief = compact_root(Templates(), task, "use extra trees")
    assert len(system.content) + len(brief.content) < 900
    assert "roc_auc" in brief.content
    assert brief.content.endswith("user: use extra trees")
    for column in task.columns:
        assert len(column.name) < 4 or column.name not in brief.content


@pytest.mark.parametrize(
    ("folder", "served"),
    [("breast-cancer", True), ("messy-shop", True), ("blood-panel", False), ("digits-images", False)],
)
def test_what_it_can_not_serve_is_said(folder: str, served: bool, tmp_path: Path) -> None:
    assert (can_serve(prepare(EXAMPLES / folder, TaskOptions(), tmp_path)) == "") is served


def test_an_outcome_in_words(task: Task) -> None:
    first = Outcome(execution=RUN, grade=grade(0.61), submission=b"x")
    assert told(task, WRITE, first, None) == "level 12, first"
    better = Outcome(execution=RUN, grade=grade(0.7, 0.09), submission=b"x")
    assert told(task, WRITE, better, 0.61) == "level 14, much better"
    worse = Outcome(execution=RUN, grade=grade(0.6, -0.01), submission=b"x")
    assert told(task, WRITE, worse, 0.61) == "level 12, worse, best level 12"
    noise = Outcome(execution=RUN, grade=grade(0.6, -0.01, se=0.05), submission=b"x")
    assert told(task, WRITE, noise, 0.61) == "level 12, same, best level 12"
    assert told(task, WRITE, Outcome(execution=RUN), None) == "no submission"
    bad = Outcome(execution=RUN, grade=Grade(valid=False, reason="column y is missing"))
    assert told(task, WRITE, bad, None) == "invalid submission: column y is missing"


def test_a_failure_quotes_the_error_and_the_line() -> None:
    output = (
        'Traceback (most recent call last):\n  File "/kaggle/working/solution.py", line 3, in <module>\n'
        "    model.fitt(A, y)\n    ^^^^^^^^^^\nAttributeError: 'Ridge' object has no attribute 'fitt'\n"
    )
    run = Execution(command="", status="error", exit_code=1, output=output)
    assert failure(run) == (
        "failed: AttributeError: 'Ridge' object has no attribute 'fitt'\nat: model.fitt(A, y)"
    )
    assert failure(Execution(command="", status="timeout")) == "failed: timeout"
    long = Execution(command="", status="error", output="ValueError: " + "x" * 1000)
    assert len(failure(long)) < 120


def test_a_library_path_never_reaches_the_prompt() -> None:
    output = "ImportError: cannot import name 'x' from 'sklearn.svm' (/usr/lib/python3/sklearn/svm.py)\n"
    assert "/usr" not in failure(Execution(command="", status="error", output=output))


def test_looking_at_data_tells_kinds_of_columns(task: Task) -> None:
    look = parse('Plan: look\n<data path="train.csv"/>')
    assert told(task, look, Outcome(body="long profile"), None).startswith("columns: ")


def test_compaction_keeps_form(task: Task) -> None:
    context = CompactContext(Templates(), task)
    context.open({})
    root = list(context.messages)
    context.reply("Plan: a\n<undo/>")
    context.observe("undone")
    assert context.messages[:2] == root
    context.begin_compacted(["ridge: level 3", "forest: failed"], "ridge: level 3", "level 3, first")
    assert len(context.messages) == 2
    assert "tried:\nridge: level 3\nforest: failed\nbest: ridge: level 3" in context.messages[1].content
    assert context.take_added()[1]


@given(st.floats(0, 1))
def test_levels_cover_utilities(utility: float) -> None:
    assert 0 <= int(level(utility).split()[1]) <= 20


@given(st.floats(-1, 1), st.floats(0, 0.3))
def test_change_has_the_sign_of_the_change(delta: float, error: float) -> None:
    word = change_word(delta, error)
    assert word == "same" or word.endswith("better" if delta > 0 else "worse")


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_words_are_few(count: int, share: float) -> None:
    assert count_word(count) in ["none", "one", "two", "few", "several", "many", "dozens", "hundreds"]
    assert share_word(share) in ["none", "little", "some", "much", "most"]


@given(st.text(max_size=2000))
def test_a_hint_is_short_whatever_the_description(text: str) -> None:
    found = hint(text)
    assert len(found) <= 160
    assert "\n" not in found
