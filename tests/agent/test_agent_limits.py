"""Budgets and stuck detection: what ends a session, by name."""

from __future__ import annotations

import pytest

from mleagent import clock
from mleagent.agent import stuck
from mleagent.agent.budget import MIN_RUN_S, Budget
from mleagent.agent.flow import BudgetSpent, Stalled
from mleagent.records import Action, Completion, Facts, Step, Usage


def step(index: int, kind: str = "write", body: str = "", **facts: object) -> Step:
    return Step(
        id=f"s{index}",
        session_id="x",
        index=index,
        created_at=0.0,
        action=Action(kind=kind, body=body or str(index)),  # type: ignore[arg-type]
        facts=Facts(format_valid=kind != "invalid", action=kind, **facts),  # type: ignore[arg-type]
        completion=Completion(text="", usage=Usage(prompt_tokens=10, completion_tokens=5)),
    )


def test_each_limit_is_named_when_it_is_spent() -> None:
    cases = [
        (Budget(steps=2), "step budget spent (2 steps)"),
        (Budget(tokens=30), "token budget spent (30 tokens)"),
        (Budget(execution_s=6.0), "execution budget spent (6 s)"),
    ]
    for budget, words in cases:
        budget.check()
        for index in (1, 2):
            budget.check()
            budget.count(step(index, executed=True, duration_s=3.0))
        with pytest.raises(BudgetSpent) as spent:
            budget.check()
        assert spent.value.reason == words and spent.value.status is None


def test_wall_time_counts_earlier_sittings(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("mleagent.agent.budget.monotonic", lambda: now[0])
    budget = Budget(wall_s=60.0, _since=now[0])
    budget.restore([step(0), step(1)], wall_s=40.0)
    assert budget.spent_steps == 1, "the user's baseline is no step of the agent's"
    now[0] += 15.0
    budget.check()
    assert budget.time_left_s == 5.0 and budget.elapsed_s == 55.0
    now[0] += 6.0
    with pytest.raises(BudgetSpent, match="time budget spent"):
        budget.check()


def test_a_run_gets_a_quarter_of_the_time_left_and_never_nothing() -> None:
    assert Budget().run_limit_s(1800) == 1800
    assert Budget(wall_s=400.0, _since=clock.monotonic()).run_limit_s(1800) == pytest.approx(100, abs=1)
    assert Budget(wall_s=4.0, _since=clock.monotonic()).run_limit_s(1800) == MIN_RUN_S
    assert Budget(execution_s=10.0, spent_execution_s=8.0).run_limit_s(1800) == 2.0


WORSE = {"executed": True, "submission": "valid", "utility": 0.5, "best_utility_before": 0.5,
         "delta_utility": 0.0}  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([step(i, "invalid") for i in range(4)], "malformed replies"),
        ([step(i, "read", "same") for i in range(3)], "the same action 3 times"),
        ([step(i, "read") for i in range(12)], "run nothing"),
        ([step(i, executed=True, status="error") for i in range(10)], "without a valid submission"),
        ([step(i, **WORSE) for i in range(12)], "no gain in the last 12"),
    ],
)
def test_circles_end_the_session(steps: list[Step], words: str) -> None:
    stuck.check(steps[:-1])
    with pytest.raises(Stalled, match=words):
        stuck.check(steps)


def test_gains_keep_it_going() -> None:
    better = {"executed": True, "submission": "valid", "utility": 0.5, "best_utility_before": 0.4}
    stuck.check([step(i, delta_utility=0.1, **better) for i in range(40)])
