"""Stores with sessions that look real, for the browser's tests and for looking at it.

`python tests/tui/tui_store.py PATH SESSIONS` makes one to look at.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from mleagent import records as r
from mleagent.trajectory import session_rows
from mleagent.trajectory.store import Store

IDEAS = (
    "gradient boosting",
    "target encoding",
    "logistic regression",
    "ridge on logs",
    "stacking",
    "group folds",
)
CODE = "import pandas as pd\ntrain = pd.read_csv('train.csv')\nmodel.fit(train, y)\nprint('auc', auc)\n"
METRIC = r.MetricSpec(name="accuracy", direction="maximize", optimum=1, prediction="label")


def make_task(name: str) -> r.Task:
    return r.Task(
        name=name, kind="table", folder=Path("/data") / name, public=Path("/p"), content_hash=name,
        problem="binary", metric=METRIC,
    )  # fmt: skip


def make_session(number: int, steps: int = 0, best: r.Score | None = None) -> r.Session:
    return r.Session(
        id=f"s{number:05d}",
        created_at=1_700_000_000.0 + 60 * number,
        task=make_task(f"task-{number % 7}"),
        policy="playbook",
        sandbox="none",
        status="done" if steps else "running",
        steps=steps,
        best=best,
        instruction="use catboost" if number % 10 == 0 else "",
    )


def make_score(value: float) -> r.Score:
    return r.Score(value=value, se=0.0096, metric="accuracy", direction="maximize", kind="feedback")


def make_step(session_id: str, index: int, value: float | None) -> r.Step:
    idea = IDEAS[index % len(IDEAS)]
    reply = f"Plan: {idea}\n<write path='solution.py'>{CODE}</write>"
    total = 0.25 if value is None else 0.4 + 0.3 * value
    part = r.RewardPart(name="utility", value=total, why=f"u of {value}")
    return r.Step(
        id=f"{session_id}-{index}",
        session_id=session_id,
        parent_id=f"{session_id}-{index - 1}" if index > 1 else None,
        index=index,
        created_at=1_700_000_000.0,
        added=(
            r.Message(role="user", content=f"observation {index - 1}"),
            r.Message(role="assistant", content=reply),
        ),
        action=r.Action(kind="write", plan=idea, path="solution.py", body=CODE),
        observation=f"feedback score {value}",
        execution=r.Execution(
            command="python solution.py",
            status="ok" if value is not None else "error",
            exit_code=0 if value is not None else 1,
            duration_s=3.2,
            output="".join(f"fold {k} auc 0.8{k}\n" for k in range(60)),
        ),
        facts=r.Facts(
            format_valid=True, action="write", executed=True, status="ok" if value is not None else "error",
            submission="none" if value is None else "valid", utility=value,
            milestones=(r.Milestone(name="loaded data", at_s=0.2),),
        ),
        rewards=(r.Reward(scheme="unified", version=1, total=total, parts=(part,)),),
        score=None if value is None else make_score(value),
        diff="--- a/solution.py\n+++ b/solution.py\n@@ -1 +1 @@\n-old\n+new\n",
        completion=r.Completion(text=reply, model="playbook"),
        duration_s=4.1,
    )  # fmt: skip


def add_session_with_steps(store: Store, number: int, steps: int = 8) -> None:
    """A session whose scores wander upwards; every fourth step fails."""
    chance = random.Random(number)
    session, best = make_session(number), None
    store.add_session(session)
    for index in range(1, steps + 1):
        value = None if index % 4 == 2 else round(0.7 + 0.02 * index + chance.uniform(-0.03, 0.03), 4)
        if value is not None and make_score(value).better_than(best):
            best = make_score(value)
        session = session.model_copy(update={"steps": index, "best": best, "status": "done"})
        store.commit_step(make_step(session.id, index, value), session)
    sealed = r.SealedGrade(score=make_score(0.8).model_copy(update={"kind": "sealed"}), utility=0.4)
    store.add_sealed(session.id, f"{session.id}-{steps}", session.task.content_hash, sealed)


def add_bare_sessions(store: Store, first: int, count: int) -> None:
    """Many sessions without steps, in one transaction."""
    with store._writing() as db:
        for number in range(first, first + count):
            session_rows.insert(db, make_session(number, steps=0, best=make_score(0.5 + number % 50 / 100)))


if __name__ == "__main__":
    with Store.open(Path(sys.argv[1])) as made:
        add_bare_sessions(made, 0, int(sys.argv[2]))
        for extra in range(5):
            add_session_with_steps(made, int(sys.argv[2]) + extra, steps=12)
