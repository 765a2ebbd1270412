"""Real records for the store's tests: sessions, and steps drawn by hypothesis."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from mleagent import records as r

METRIC = r.MetricSpec(name="accuracy", direction="maximize", optimum=1.0, prediction="label")


def make_task(name: str = "titanic", folder: str = "/data/titanic") -> r.Task:
    return r.Task(
        name=name,
        kind="table",
        folder=Path(folder),
        public=Path("/home/u/public"),
        content_hash="c0ffee",
        metric=METRIC,
        targets=("Survived",),
        columns=(r.ColumnProfile(name="Age", type="numeric", missing=0.2, unique=88),),
    )


def make_session(session_id: str = "s1", created_at: float = 1.0, **fields: object) -> r.Session:
    base = {
        "id": session_id,
        "created_at": created_at,
        "task": make_task(),
        "policy": "playbook",
        "sandbox": "none",
        "settings": {"python": "3.11"},
    }
    return r.Session.model_validate(base | fields)


def score(value: float, kind: str = "feedback") -> r.Score:
    return r.Score.model_validate(
        {"value": value, "metric": "accuracy", "direction": "maximize", "kind": kind, "se": 0.01, "n": 200}
    )


def make_step(
    index: int,
    session_id: str = "s1",
    parent_id: str | None = None,
    value: float | None = None,
    **fields: object,
) -> r.Step:
    """A step with a reply of tokens, an execution and, with `value`, a score."""
    text = f"Plan: try {index}\n<write path='solution.py'>print({index})</write>"
    base: dict[str, object] = {
        "id": f"{session_id}-{index}",
        "session_id": session_id,
        "parent_id": parent_id,
        "index": index,
        "created_at": 10.0 + index,
        "added": [
            {"role": "user", "content": f"observation {index - 1}"},
            {"role": "assistant", "content": text},
        ],
        "action": {"kind": "write", "plan": f"try {index}", "path": "solution.py", "body": f"print({index})"},
        "observation": f"scored {value}",
        "execution": {"command": "python solution.py", "status": "ok", "exit_code": 0, "output": "done\n"},
        "facts": {
            "format_valid": True,
            "action": "write",
            "executed": True,
            "status": "ok",
            "submission": "none" if value is None else "valid",
            "utility": value,
        },
        "score": None if value is None else score(value),
        "completion": {"text": text, "model": "playbook"},
        "duration_s": 1.5,
    }
    return r.Step.model_validate(base | fields)


def reward(total: float, scheme: str = "unified", version: int = 1) -> r.Reward:
    parts = (r.RewardPart(name="valid", value=total, why="a valid submission"),)
    return r.Reward(scheme=scheme, version=version, total=total, parts=parts)


TEXT = st.text(max_size=400) | st.text(alphabet="ab \n", min_size=200, max_size=2000)
FLOAT = st.floats(allow_nan=False)
OPTIONAL = st.none() | FLOAT
STATUS = st.sampled_from(["ok", "error", "timeout", "oom", "disk", "killed", "missing_package", "lost"])
KIND = st.sampled_from(["list", "read", "data", "write", "edit", "run", "undo", "submit", "invalid"])
SCORE_KIND = st.sampled_from(["feedback", "sealed", "self-reported", "leaderboard"])
COUNT = st.none() | st.integers(0, 2**40)

MESSAGES = st.lists(
    st.builds(r.Message, role=st.sampled_from(["system", "user", "assistant"]), content=TEXT), max_size=4
).map(tuple)
ACTIONS = st.builds(
    r.Action,
    kind=KIND,
    plan=TEXT,
    path=TEXT,
    body=TEXT,
    start=COUNT,
    end=COUNT,
    execute=st.booleans(),
    error=TEXT,
)
EXECUTIONS = st.builds(
    r.Execution,
    command=TEXT,
    status=STATUS,
    exit_code=st.none() | st.integers(-255, 255),
    duration_s=FLOAT,
    peak_memory_mb=OPTIONAL,
    output=TEXT,
    line_times=st.lists(FLOAT, max_size=20).map(tuple),
)
FACTS = st.builds(
    r.Facts,
    format_valid=st.booleans(),
    action=KIND,
    status=st.none() | STATUS,
    milestones=st.lists(
        st.builds(r.Milestone, name=st.sampled_from(r.MILESTONES), at_s=OPTIONAL), max_size=7
    ).map(tuple),
    submission=st.sampled_from(["none", "invalid", "valid"]),
    submission_error=TEXT,
    score=OPTIONAL,
    utility=OPTIONAL,
    delta_utility=OPTIONAL,
    redundant=st.booleans(),
    tokens_in=COUNT,
)
REWARDS = st.lists(
    st.builds(
        r.Reward,
        scheme=st.sampled_from(["unified", "ml-agent"]),
        version=st.integers(1, 3),
        total=FLOAT,
        parts=st.lists(st.builds(r.RewardPart, name=TEXT, value=FLOAT, why=TEXT), max_size=3).map(tuple),
    ),
    max_size=3,
).map(tuple)
SCORES = st.builds(
    r.Score,
    value=FLOAT,
    metric=TEXT,
    direction=st.sampled_from(["maximize", "minimize"]),
    kind=SCORE_KIND,
    se=OPTIONAL,
    n=COUNT,
)
IDS = st.lists(st.integers(0, 2**31), max_size=60).map(tuple)
COMPLETIONS = st.builds(
    r.Completion,
    text=TEXT,
    prompt_ids=IDS,
    token_ids=IDS,
    logprobs=st.lists(st.floats(-200, 0, width=64), max_size=30).map(tuple),
    model=TEXT,
    duration_s=FLOAT,
)
STEPS = st.builds(
    r.Step,
    id=st.uuids().map(str),
    session_id=st.just("s1"),
    index=st.integers(0, 1000),
    created_at=FLOAT,
    added=MESSAGES,
    compaction=st.booleans(),
    action=ACTIONS,
    observation=TEXT,
    execution=st.none() | EXECUTIONS,
    facts=FACTS,
    rewards=REWARDS,
    score=st.none() | SCORES,
    submission_path=TEXT,
    checkpoint=TEXT,
    diff=TEXT,
    completion=st.none() | COMPLETIONS,
    sampling=st.none() | st.builds(r.Sampling, seed=COUNT, stop=st.lists(TEXT, max_size=2).map(tuple)),
    template_hash=TEXT,
    duration_s=FLOAT,
    overhead_s=FLOAT,
    trainable=st.booleans(),
)
