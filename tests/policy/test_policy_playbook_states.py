"""The playbook as a policy: it never crashes on odd states, repairs, submits, and is a pure function."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playbook_kit import make_task

from mleagent.agent.actions import parse
from mleagent.errors import PolicyError
from mleagent.policy.playbook import PlaybookPolicy
from mleagent.policy.playbook.diagnose import diagnose
from mleagent.policy.playbook.history import attempts
from mleagent.policy.playbook.recipe import read
from mleagent.protocols import Policy, Prompt
from mleagent.records import (
    Action,
    ColumnProfile,
    Direction,
    Execution,
    ExecutionStatus,
    Facts,
    Sampling,
    Score,
    State,
    Step,
    Task,
)

COLUMNS = [
    ColumnProfile(name="size", type="numeric", missing=0.1, unique=90),
    ColumnProfile(name="kind", type="categorical", missing=0.0, unique=5),
    ColumnProfile(name="day", type="date", missing=0.0, unique=80),
    ColumnProfile(name="price", type="numeric", missing=0.0, unique=99, note="target"),
]


def task(**more: object) -> Task:
    fields: dict[str, object] = {
        "metric": "rmse", "prediction": "value", "problem": "regression", "targets": ("price",),
        "rows_train": 900, **more,
    }  # fmt: skip
    return make_task(Path("/nowhere"), "house", COLUMNS, **fields)


def ask(state: State, n: int = 1, seed: int = 0) -> list[str]:
    prompt = Prompt(messages=(), state=state)
    return [reply.text for reply in PlaybookPolicy(seed).complete(prompt, Sampling(), n=n)]


def step(
    text: str, *, score: float | None = None, status: ExecutionStatus = "ok", output: str = "",
    error: str = "", se: float = 0.5, number: int = 1, direction: Direction = "minimize",
) -> Step:  # fmt: skip
    action = parse(text)
    executed = action.kind in ("write", "edit", "run")
    return Step(
        id=f"s{number}", session_id="x", index=number, created_at=0.0, action=action, observation=output,
        execution=Execution(command="python solution.py", status=status, output=output) if executed else None,
        facts=Facts(format_valid=True, action=action.kind, executed=executed,
                    status=status if executed else None, submission_error=error,
                    submission="invalid" if error else "valid" if score is not None else "none", score=score),
        score=None if score is None else Score(value=score, metric="rmse", direction=direction,
                                               kind="feedback", se=se, n=100),
    )  # fmt: skip


def follow(state: State, **result: object) -> State:
    """The state after the policy's own next action with that result."""
    made = step(ask(state)[0], number=len(state.steps) + 1, **result)  # type: ignore[arg-type]
    return state.model_copy(update={"steps": (*state.steps, made)})


def test_it_is_a_policy() -> None:
    policy = PlaybookPolicy()
    assert isinstance(policy, Policy)
    assert policy.name == "playbook"
    assert policy.context_tokens is None
    assert policy.count_tokens("a" * 30) >= 10
    policy.close()
    policy.close()


def test_without_a_state_it_says_so() -> None:
    with pytest.raises(PolicyError, match="state"):
        PlaybookPolicy().complete(Prompt(messages=()), Sampling())


def test_first_action_is_a_planned_program() -> None:
    action = parse(ask(State(task=task()))[0])
    assert (action.kind, action.path) == ("write", "solution.py")
    assert action.plan == ", ".join(choice.name for choice in read(action.body))
    assert "date-parts" in action.plan


def test_the_same_state_gives_the_same_action_and_seeds_differ() -> None:
    state = follow(follow(State(task=task()), score=3.0), score=2.0)
    assert ask(state) == ask(state.model_copy(deep=True))
    later = {text for seed in range(8) for text in ask(_played(6), seed=seed)}
    assert len(later) > 2


def _played(steps: int) -> State:
    state = State(task=task())
    for number in range(steps):
        state = follow(state, score=5.0 - number / 10)
    return state


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_n_replies_are_n_different_actions(steps: int) -> None:
    texts = ask(_played(steps), n=8)
    assert len(set(texts)) == 8
    assert all(parse(text).kind == "write" for text in texts)


def test_text_streams_and_stops() -> None:
    heard: list[str] = []
    prompt = Prompt(messages=(), state=State(task=task()))
    reply = PlaybookPolicy().complete(prompt, Sampling(), on_text=heard.append)[0]
    assert "".join(heard) == reply.text
    stop = Event()
    stop.set()
    assert PlaybookPolicy().complete(prompt, Sampling(), on_text=heard.append, stop=stop)[0].text == ""


def test_no_program_is_tried_twice() -> None:
    bodies = [step.action.body for step in _played(13).steps]
    assert len(set(bodies)) == 13


def test_families_first_then_a_blend() -> None:
    plans = [step.action.plan for step in _played(6).steps]
    assert "blend-average" in plans[4]
    assert len({plan.split(", ")[-1] for plan in plans[:4]}) == 4


def test_the_base_is_the_best() -> None:
    state = State(task=task())
    for value in (5.0, 1.0, 5.0, 5.0, 5.0, 5.0):
        state = follow(state, score=value, se=0.01)
    best = read(state.steps[1].action.body)
    models = {c.name for c in best} & {"hist-gradient-boosting", "linear-model", "extra-trees"}
    tries = [read(parse(text).body) for text in ask(state, n=12)]
    assert sum(models <= {c.name for c in recipe} for recipe in tries) >= 5


@pytest.mark.parametrize("left", [1, 0])
def test_it_submits_with_the_last_step(left: int) -> None:
    state = follow(State(task=task()), score=2.0).model_copy(update={"steps_left": left})
    assert parse(ask(state)[0]).kind == "submit"


def test_the_last_step_is_a_constant_when_nothing_ran() -> None:
    state = follow(State(task=task()), status="error", output="Traceback").model_copy(
        update={"steps_left": 1}
    )
    assert "constant-prediction" in parse(ask(state)[0]).plan


def test_it_submits_when_nothing_is_gained_any_more() -> None:
    state = follow(State(task=task()), score=1.0)
    for _ in range(30):
        state = follow(state, score=2.0)
        if state.steps[-1].action.kind == "submit":
            break
    assert state.steps[-1].action.kind == "submit"
    assert 10 <= len(state.steps) <= 20


def test_it_submits_when_time_is_short() -> None:
    state = follow(State(task=task()), score=2.0).model_copy(update={"time_left_s": 1.0})
    assert parse(ask(state)[0]).kind == "submit"


@pytest.mark.parametrize(
    ("output", "status", "trouble", "name"),
    [
        ("ValueError: could not convert string to float: 'x'", "error", "text-in-numbers",
         "coerce-numbers"),
        ("ValueError: Input X contains infinity or a value too large for dtype('float64').", "error",
         "infinity", "replace-infinities"),
        ("ValueError: Input X contains NaN.", "error", "missing", "median-imputation"),
        ("ValueError: n_splits=3 cannot be greater than the number of members in each class.", "error",
         "classes", "unstratified-folds"),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 9 GiB", "error", "memory",
         "holdout-validation"),
        ("", "timeout", "time", "holdout-validation"),
        ("", "oom", "memory", "sample-rows"),
    ],
)  # fmt: skip
def test_it_reads_the_trouble_and_repairs(
    output: str, status: ExecutionStatus, trouble: str, name: str
) -> None:
    state = follow(State(task=task(rows_train=5000)), status=status, output=output)
    assert diagnose(attempts(state)[-1]) == trouble
    assert name in parse(ask(state)[0]).plan


def test_a_missing_package_is_not_asked_for_again() -> None:
    state = State(task=task(), instruction="use lightgbm", packages=("lightgbm==4.6",))
    assert "lightgbm" in parse(ask(state)[0]).plan
    state = follow(state, status="missing_package", output="ModuleNotFoundError: No module named 'lightgbm'")
    for _ in range(6):
        state = follow(state, score=2.0)
    assert all("lightgbm" not in made.action.plan for made in state.steps[1:])


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("column 'id': 3 missing ids (7, 8, 9); 97 rows instead of 100", "follow-sample"),
        ("wrong columns: missing 'price'; unexpected 'cost'; expected id,price", "follow-sample"),
        ("2 missing values in column 'price' (id 3, id 4)", "fill-predictions"),
        (
            "1 value below 0, e.g. -3.2, in column 'price' (id 3); rmsle needs values of at least 0",
            "bound-predictions",
        ),
    ],
)
def test_it_reacts_to_a_refused_submission(reason: str, name: str) -> None:
    state = follow(State(task=task()), error=reason)
    assert name in parse(ask(state)[0]).plan


def test_timeouts_make_programs_lighter() -> None:
    state = State(task=task(rows_train=200_000), exec_limit_s=120.0)
    for _ in range(3):
        state = follow(state, status="timeout")
    assert "train.sample" in ask(state)[0]
    assert len({made.action.body for made in state.steps}) == 3


def test_the_user_is_heard() -> None:
    state = State(task=task(), instruction="Please use extra trees and add date cycles")
    assert {"extra-trees", "date-cycles"} <= set(parse(ask(state)[0]).plan.split(", "))


def test_a_foreign_best_is_no_obstacle() -> None:
    foreign = step('Plan: mine\n<write path="solution.py">\nprint(1)\n</write>', score=1.0)
    state = State(task=task(), steps=(foreign,), best_step_id="s1", best=foreign.score)
    assert parse(ask(state)[0]).kind == "write"


# --- a script of the user's own -----------------------------------------------------

SCRIPT = '''"""My script."""
from sklearn.tree import DecisionTreeClassifier

model = DecisionTreeClassifier(max_depth=6)
print(model)
'''


def own(tmp: Path = Path("/nowhere")) -> State:
    made = task(
        kind="eval", metric="accuracy", prediction="label", start="train.py", eval_command="python e.py"
    )
    return State(task=made, solution="train.py")


def test_an_own_script_is_read_then_changed_within() -> None:
    state = own()
    action = parse(ask(state)[0])
    assert (action.kind, action.path) == ("read", "train.py")
    shown = "\n".join(f"{number}: {line}" for number, line in enumerate(SCRIPT.splitlines(), start=1))
    state = follow(state, output=shown)
    seen = set()
    for number in range(7):
        action = parse(ask(state)[0])
        assert (action.kind, action.path) == ("write", "train.py")
        compile(action.body, "train.py", "exec")
        assert '"""My script."""' in action.body
        assert "print(model)" in action.body
        seen.add(action.body)
        state = follow(state, score=0.7 + number / 100, direction="maximize")
    assert len(seen) == 7
    assert sum("DecisionTreeClassifier" not in body for body in seen) >= 4
    assert parse(ask(state.model_copy(update={"steps_left": 1}))[0]).kind == "submit"


def test_a_long_script_is_read_on() -> None:
    state = follow(own(), output="1: import x\n2: y = 1\n... (more lines follow; read from 3)")
    action = parse(ask(state)[0])
    assert (action.kind, action.start) == ("read", 3)
    state = follow(state, output="3: z = 2\nLIMIT = 8")
    assert parse(ask(state)[0]).kind in ("write", "run")


def test_a_script_that_is_no_python_is_run_as_it_is() -> None:
    state = follow(own(), output="1: this is { not python")
    assert parse(ask(state)[0]).kind == "run"


# --- anything at all ----------------------------------------------------------------

floats = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True))
statuses: st.SearchStrategy[ExecutionStatus] = st.sampled_from(
    ["ok", "error", "timeout", "oom", "disk", "killed", "missing_package", "lost"]
)
kinds = st.sampled_from(["list", "read", "data", "write", "edit", "run", "undo", "submit", "invalid"])
bodies = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["# ideas: linear-model(C=0.1)\n", "# ideas: linear-model(C=, x\n", "# ideas: nothing\n"]
    ),
)


@st.composite
def odd_steps(draw: st.DrawFn) -> Step:
    kind = draw(kinds)
    value, status = draw(floats), draw(statuses)
    return Step(
        id=draw(st.text(max_size=3)), session_id="x", index=1, created_at=0.0,
        action=Action(kind=kind, plan=draw(st.text(max_size=20)), path="solution.py", body=draw(bodies)),
        observation=draw(st.text(max_size=60)),
        execution=draw(st.one_of(st.none(), st.just(Execution(command="x", status=status, output="nan")))),
        facts=Facts(format_valid=True, action=kind, executed=draw(st.booleans()), score=draw(floats),
                    self_reported=draw(floats),
                    submission=draw(st.sampled_from(["none", "invalid", "valid"])),
                    submission_error=draw(st.text(max_size=30))),
        score=None if value is None else Score(value=value, metric="rmse", direction="minimize",
                                               kind="feedback"),
    )  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(
    steps=st.lists(odd_steps(), max_size=6),
    known=st.booleans(),
    kind=st.sampled_from(["table", "media", "eval", "self-reported"]),
    problem=st.sampled_from(["binary", "multiclass", "regression", "multi-target", "ranking", "unknown"]),
    metric=st.booleans(),
    targets=st.sampled_from([(), ("price",), ("price", "size")]),
    left=st.one_of(st.none(), st.integers(-1, 40)),
    seconds=st.one_of(st.none(), st.floats(0, 1e6)),
    words=st.text(max_size=30),
    n=st.integers(1, 3),
)
def test_it_never_crashes(
    steps: list[Step], known: bool, kind: str, problem: str, metric: bool, targets: tuple[str, ...],
    left: int | None, seconds: float | None, words: str, n: int,
) -> None:  # fmt: skip
    made = task(kind=kind, problem=problem, targets=targets, start="train.py" if known else None)
    made = made.model_copy(update={"columns": made.columns if known else ()})
    made = made if metric else made.model_copy(update={"metric": None})
    state = State(
        task=made, steps=tuple(steps), steps_left=left, time_left_s=seconds, exec_limit_s=seconds,
        instruction=words,
    )  # fmt: skip
    texts = ask(state, n=n)
    assert len(set(texts)) == n
    assert texts == ask(state, n=n)
    for text in texts:
        action = parse(text)
        assert action.kind != "invalid", action.error
        assert action.plan
