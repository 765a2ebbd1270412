"""The order that rewards must keep, over generated facts; and each row of the table in DESIGN §8."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mleagent.errors import InputError
from mleagent.records import MILESTONES, Facts, Milestone
from mleagent.reward import schemes

unified = schemes.get("unified")
CRASHES = ("error", "oom", "disk", "killed", "missing_package", "lost")
unit = st.floats(0, 1)
milestones = st.integers(0, 7).map(lambda n: tuple(Milestone(name=name) for name in MILESTONES[:n]))
errors = st.one_of(st.none(), st.floats(0, 1))


@st.composite
def executions(draw: st.DrawFn, submission: str, **fixed: object) -> Facts:
    """Facts of a write that ran, with everything not fixed drawn at random."""
    values: dict[str, object] = {
        "format_valid": True,
        "action": draw(st.sampled_from(("write", "edit", "run"))),
        "executed": True,
        "status": draw(st.sampled_from(("ok", "timeout"))),
        "submission": submission,
        "repaired": draw(st.booleans()),
        "forged": draw(st.integers(0, 9)),
        "self_reported": draw(st.one_of(st.none(), st.floats())),
        "redundant": draw(st.booleans()),
        "duration_s": draw(st.floats(0, 1e4)),
        "direction": "maximize",
        "optimum": 1.0,
        "dummy": 0.5,
    }
    if submission == "valid":
        best = draw(st.one_of(st.none(), unit))
        values |= {"best_utility_before": best, "utility_se": draw(errors), "delta_se": draw(errors)}
        values["delta_utility"] = None if best is None else draw(st.floats(-1, 1))
        values["milestones"] = draw(milestones)
    return Facts.model_validate(values | fixed)


empty_scripts = executions("none", status="ok")
failures = st.one_of(
    milestones.flatmap(lambda m: executions("none", status="error", milestones=m)),
    milestones.flatmap(lambda m: executions("invalid", milestones=m)),
    st.tuples(st.sampled_from(CRASHES), milestones).flatmap(
        lambda c: executions("valid", status=c[0], milestones=c[1], utility=0.9)
    ),
)
copied_samples = st.floats(0, 0.01).flatmap(lambda u: executions("valid", utility=u))
successes = unit.flatmap(lambda u: executions("valid", utility=u))


def total(facts: Facts) -> float:
    [reward] = unified([facts])
    assert reward is not None
    return reward.total


@given(empty_scripts, failures, copied_samples, successes)
def test_empty_script_then_honest_failure_then_copied_sample_then_honest_success(a, b, c, d) -> None:
    assert total(a) <= total(b) <= total(c) + 1e-12
    assert total(c) <= total(d) + 1e-12


@given(empty_scripts, copied_samples, executions("valid", utility=0.5))
def test_the_order_is_strict_where_the_facts_differ_clearly(a, c, d) -> None:
    assert total(a) < total(c) < total(d)


@given(st.floats(0.011, 1), st.floats(0.011, 1))
def test_more_utility_is_never_worth_less(low: float, high: float) -> None:
    low, high = sorted((low, high))
    for extra in ({}, {"best_utility_before": 0.3, "delta_se": 0.05}):
        rewards = []
        for u in (low, high):
            delta = {"delta_utility": u - 0.3} if extra else {}
            rewards.append(total(_valid(u, **extra, **delta)))
        assert rewards[0] <= rewards[1]


@given(failures, successes)
def test_forging_all_claims_gains_at_most_015_and_less_than_any_valid_submission(failure, success) -> None:
    honest = failure.model_copy(update={"milestones": (), "submission": "none"})
    forged = honest.model_copy(update={"milestones": tuple(Milestone(name=n) for n in MILESTONES[:5])})
    assert 0 < total(forged) - total(honest) <= 0.15
    if success.status not in CRASHES:
        assert total(forged) < total(success)


@given(st.one_of(failures, successes), st.floats(allow_nan=True))
def test_a_printed_score_earns_nothing_in_any_scheme(facts: Facts, claim: float) -> None:
    for name in schemes.NAMES:
        plain = schemes.get(name)([facts.model_copy(update={"self_reported": None})])
        assert schemes.get(name)([facts.model_copy(update={"self_reported": claim})]) == plain


def test_the_table_row_by_row() -> None:
    assert total(Facts(format_valid=False, action="invalid")) == 0
    assert total(_ran("none")) == pytest.approx(0.05 - 0.02)
    assert total(_ran("none", milestones=_reached(4))) == pytest.approx(0.05 + 0.2 * 4 / 7 - 0.02)
    assert total(_ran("invalid", status="timeout", milestones=_reached(6))) == pytest.approx(0.03 + 1.2 / 7)
    assert total(_valid(0.01)) == pytest.approx(0.25 - 0.02)
    assert total(_valid(0.5)) == pytest.approx(0.4 + 0.15 + 0.15 - 0.02)
    assert total(_valid(0.5, status="timeout")) == pytest.approx(0.4 + 0.15 + 0.15 - 0.02)
    assert total(_valid(0.5, status="error", milestones=_reached(7))) == pytest.approx(0.25 - 0.02)
    worse = _valid(0.5, best_utility_before=0.6, delta_utility=-0.1, delta_se=0.05)
    assert total(worse) == pytest.approx(0.4 + 0.15 - 0.02)
    better = _valid(0.5, best_utility_before=0.4, delta_utility=0.1, delta_se=0.05)
    assert total(better) == pytest.approx(0.55 + 0.3 * (2 / (1 + math.exp(-2)) - 1) - 0.02)
    exact = better.model_copy(update={"delta_se": 0.0})
    assert total(exact) == pytest.approx(0.55 + 0.3 * (2 / (1 + math.exp(-5)) - 1) - 0.02)


def test_submitting_earns_by_the_best_so_far() -> None:
    submit = Facts(format_valid=True, action="submit")
    assert _totals([submit]) == [0]
    assert _totals([_valid(0.7), _valid(0.2, best_utility_before=0.7, delta_utility=-0.5), submit])[
        -1
    ] == pytest.approx(0.4 + 0.21)
    assert _totals([submit.model_copy(update={"best_utility_before": 0.5})]) == [pytest.approx(0.55)]


def test_looking_earns_what_it_leads_to_discounted_and_waits_until_then() -> None:
    look = Facts(format_valid=True, action="read")
    assert unified([look, look]) == [None, None]
    run = _valid(0.5)
    rewards = _totals([look, look, run, look])
    assert rewards == [pytest.approx(0.95**2 * 0.68), pytest.approx(0.95 * 0.68), pytest.approx(0.68), None]


def test_an_invalid_action_between_counts_as_a_step_but_is_not_looked_ahead_to() -> None:
    look, bad = Facts(format_valid=True, action="data"), Facts(format_valid=False, action="invalid")
    assert _totals([look, bad, _valid(0.5)])[:2] == [pytest.approx(0.95**2 * 0.68), 0]


@given(
    st.lists(st.sampled_from(("list", "read", "data", "undo", "submit", "write")), min_size=1, max_size=30)
)
def test_endless_looking_earns_nothing(actions: list[str]) -> None:
    facts = [Facts(format_valid=True, action=action) for action in actions]  # type: ignore[arg-type]
    assert all(reward.total == 0 for reward in unified.final(facts))
    assert all(
        reward is None for reward, action in zip(unified(facts), actions, strict=True) if action != "submit"
    )


@given(st.lists(st.one_of(failures, successes, st.just(Facts(format_valid=True, action="list"))), max_size=8))
def test_every_scheme_sums_its_parts_is_finite_and_pure(facts: list[Facts]) -> None:
    for name in schemes.NAMES:
        scheme = schemes.get(name)
        rewards = scheme.final(facts)
        assert rewards == scheme.final(facts)
        assert len(rewards) == len(facts)
        for reward, running in zip(rewards, scheme(facts), strict=True):
            assert reward.total == pytest.approx(math.fsum(p.value for p in reward.parts))
            assert math.isfinite(reward.total)
            assert reward.scheme == name
            assert all(p.why for p in reward.parts)
            assert running in (None, reward)


@given(st.lists(st.one_of(failures, successes, st.just(Facts(format_valid=True, action="list"))), max_size=8))
def test_a_reward_once_given_never_changes(facts: list[Facts]) -> None:
    for name in schemes.NAMES:
        known: list[object] = []
        for end in range(len(facts) + 1):
            rewards = schemes.get(name)(facts[:end])
            assert all(a is None or a == b for a, b in zip(known, rewards, strict=False))
            known = list(rewards)


def test_ml_agent_version_1_by_its_cases() -> None:
    """0 invalid or error; 0.5 corner case or no edit; sigmoid(100 · gain / range) for an edit that ran."""
    scheme = schemes.get("ml-agent")
    first, second = _scored(0.70), _scored(0.705)
    assert _totals([first, second], scheme)[1] == pytest.approx(1 / (1 + math.exp(-1)))
    assert _totals([first, first], scheme)[1] == 0.5
    assert _totals([_ran("none", status="error")], scheme) == [0]
    assert _totals([_ran("none")], scheme) == [0]
    assert _totals([_ran("none", status="oom")], scheme) == [0.5]
    assert _totals([_valid(0.9, status="timeout")], scheme) == [0.5]
    assert _totals([Facts(format_valid=True, action="read")], scheme) == [0.5]
    assert _totals([Facts(format_valid=False, action="invalid")], scheme) == [0]
    lower = [_scored(s, direction="minimize", optimum=0.0, dummy=2.0) for s in (1.0, 0.98)]
    assert _totals(lower, scheme)[1] == pytest.approx(1 / (1 + math.exp(-1)))


def test_ml_agent_version_2_by_its_cases() -> None:
    """-1 invalid or error; 0 corner case or no edit; the share of the range gained."""
    scheme = schemes.get("ml-agent-linear")
    assert _totals([_scored(0.70), _scored(0.75)], scheme) == [pytest.approx(0.4), pytest.approx(0.1)]
    assert _totals([_ran("none", status="error")], scheme) == [-1]
    assert _totals([_ran("none", status="timeout")], scheme) == [0]
    assert _totals([Facts(format_valid=True, action="submit")], scheme) == [0]
    assert _totals([_scored(-40.0)], scheme) == [-1]


def test_partial_credit_by_its_cases() -> None:
    """-10, +0.1 a milestone, the signed score when valid; looking shares in what it leads to."""
    scheme = schemes.get("partial-credit")
    look = Facts(format_valid=True, action="list")
    assert _totals([_ran("none")], scheme) == [-10]
    assert _totals([_ran("invalid", milestones=_reached(5))], scheme) == [pytest.approx(-9.5)]
    assert _totals([_scored(0.8)], scheme) == [0.8]
    assert _totals([_scored(0.8, direction="minimize")], scheme) == [-0.8]
    assert _totals([_scored(20_000.0, direction="minimize")], scheme) == [pytest.approx(-9.3)]
    assert _totals([look, _scored(0.8)], scheme)[0] == pytest.approx(-10 + 0.95 * 10.8)
    assert [r.total for r in scheme.final([look])] == [-10]
    assert _totals([_scored(0.8), _scored(0.7), Facts(format_valid=True, action="submit")], scheme)[2] == 0.8


def test_an_unknown_scheme_is_named_with_those_that_exist() -> None:
    with pytest.raises(InputError, match="unified, ml-agent, ml-agent-linear, partial-credit"):
        schemes.get("best")


def _totals(facts: list[Facts], scheme: schemes.Scheme = unified) -> list[float | None]:
    return [None if reward is None else reward.total for reward in scheme(facts)]


def _reached(count: int) -> tuple[Milestone, ...]:
    return tuple(Milestone(name=name) for name in MILESTONES[:count])


def _ran(submission: str, **values: object) -> Facts:
    base = {
        "format_valid": True,
        "action": "write",
        "executed": True,
        "status": "ok",
        "submission": submission,
    }
    return Facts.model_validate(base | values)


def _valid(utility: float, **values: object) -> Facts:
    return _ran("valid", utility=utility, **values)


def _scored(score: float, **values: object) -> Facts:
    return _ran("valid", **({"score": score, "direction": "maximize", "optimum": 1.0, "dummy": 0.5} | values))


@given(
    st.lists(st.one_of(failures, successes, st.just(Facts(format_valid=True, action="list"))), max_size=6),
    st.integers(0, 6),
)
def test_scoring_the_newest_steps_only_gives_what_scoring_all_gives(facts: list[Facts], start: int) -> None:
    for name in schemes.NAMES:
        assert schemes.get(name).since(facts, start) == schemes.get(name)(facts)[start:]
