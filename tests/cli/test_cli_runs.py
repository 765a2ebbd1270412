"""`mleagent runs`: list, show, label and delete on a real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mleagent import records as r
from mleagent.cli.runs_cmd import app
from mleagent.errors import InputError
from mleagent.trajectory.store import STORE_NAME, Store

TASK = r.Task(
    name="titanic",
    kind="table",
    folder=Path("/data/titanic"),
    public=Path("/p"),
    content_hash="h",
    metric=r.MetricSpec(name="accuracy", direction="maximize", optimum=1, prediction="label"),
)


def session(session_id: str, at: float, **fields: object) -> r.Session:
    base = {"id": session_id, "created_at": at, "task": TASK, "policy": "playbook", "sandbox": "none"}
    return r.Session.model_validate(base | fields)


def score(value: float, kind: str = "feedback") -> r.Score:
    return r.Score.model_validate(
        {"value": value, "se": 0.0096, "metric": "accuracy", "direction": "maximize", "kind": kind}
    )


def step(index: int, value: float | None, total: float) -> r.Step:
    reward = r.Reward(
        scheme="unified",
        version=1,
        total=total,
        parts=(r.RewardPart(name="valid", value=total, why="first one"),),
    )
    return r.Step(
        id=f"aaa1-{index}",
        session_id="aaa1",
        parent_id=f"aaa1-{index - 1}" if index else None,
        index=index,
        created_at=1.0,
        action=r.Action(
            kind="write", plan=f"[bold]boost {index}", path="solution.py", body="print('\x1b[31mhi')"
        ),
        execution=r.Execution(
            command="python solution.py", status="ok", exit_code=0, output="fold 1\nfold 2\n"
        ),
        facts=r.Facts(format_valid=True, action="write", executed=True, status="ok", utility=0.5),
        rewards=(reward,),
        score=None if value is None else score(value),
        diff="--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new\n",
        duration_s=38.0,
    )


@pytest.fixture
def filled(home: Path) -> Iterator[Store]:
    with Store.open(home / STORE_NAME) as store:
        best = score(0.8123)
        store.add_session(session("aaa1", 10.0, best=best, steps=3, status="done", instruction="use trees"))
        store.add_session(session("bbb2", 20.0))
        done = session("aaa1", 10.0, best=best, steps=3, status="done", instruction="use trees")
        for index, value in ((0, 0.8), (1, 0.7), (2, 0.8123)):
            store.commit_step(step(index, value, 0.5), done)
        grade = r.SealedGrade(score=score(0.79, "sealed"), utility=0.44)
        store.add_sealed("aaa1", "aaa1-2", "h", grade)
        store.add_sealed("aaa1", "aaa1-2", "h", grade)
        yield store


def run(*args: str) -> Result:
    result = CliRunner().invoke(app, list(args))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_list_shows_score_error_sealed_with_looks_and_reward(filled: Store) -> None:
    lines = run("list").output.splitlines()
    assert [line.split()[0] for line in lines] == ["id", "bbb2", "aaa1"]
    for part in ("titanic", "playbook", "0.8123 ±.0096", "0.7900 ±.0096 (look 2)", "1.50", "done"):
        assert part in lines[2]
    assert "\x1b" not in run("list").output


def test_list_as_json_paged_and_searched(filled: Store) -> None:
    rows = json.loads(run("list", "--json").output)
    assert [row["id"] for row in rows] == ["bbb2", "aaa1"]
    assert (rows[1]["best"], rows[1]["looks"], rows[1]["reward"]) == (0.8123, 2, 1.5)
    assert [row["id"] for row in json.loads(run("list", "--json", "--limit", "1", "--page", "2").output)] == [
        "aaa1"
    ]
    assert "1 to 1 of 2; more with --page 2" in run("list", "--limit", "1").output
    assert [row["id"] for row in json.loads(run("list", "--json", "trees").output)] == ["aaa1"]
    assert json.loads(run("list", "--json", "--status", "failed").output) == []
    assert len(json.loads(run("list", "--json", "--folder", "/data/titanic").output)) == 2


def test_list_without_a_store_makes_none(home: Path) -> None:
    assert json.loads(run("list", "--json").output) == []
    assert "mleagent solve" in run("list").output
    with pytest.raises(InputError, match="no session yet"):
        run("show", "last")
    assert list(home.iterdir()) == []


def test_show_prints_a_line_a_step(filled: Store) -> None:
    filled.add_label("aaa1-1", "-")
    output = run("show", "aaa").output
    assert "step 0 ✓ 0.8000 ±.0096 38s  reward +0.500" in output
    assert (
        "step 1 ✓ 0.7000 ±.0096 (best -.1000, baseline -.1000) 38s  reward +0.500  [-]  [bold]boost 1"
        in output
    )
    assert "step 2 ✓ 0.8123 ±.0096 (best +.0123, baseline +.0123) 38s" in output
    assert "use trees" in output and "0.7900 ±.0096, utility 0.4400, look 2" in output


def test_show_a_step_whole(filled: Store) -> None:
    filled.add_label("aaa1-2", "+", "nice folds")
    output = run("show", "aaa1", "--step", "2").output
    for part in (
        "accuracy 0.8123 ±.0096 (feedback)", "[bold]boost 2", '<write path="solution.py">', "print('hi')",
        "+new", "[ok, 0.0s, exit 0]", "fold 2", "+0.5000  unified v1", "+0.5000  valid  first one", "utility",
        "nice folds",
    ):  # fmt: skip
        assert part in output, part
    assert "\x1b" not in output
    data = json.loads(run("show", "last", "--json").output)
    assert data["session"]["id"] == "bbb2" and data["steps"] == []
    whole = json.loads(run("show", "aaa1", "--step", "2", "--json").output)
    assert whole["labels"][0]["note"] == "nice folds" and whole["execution"]["output"] == "fold 1\nfold 2\n"


def test_what_is_not_there_is_one_line(filled: Store) -> None:
    with pytest.raises(InputError, match="has no step '9'; it has 0 to 2"):
        run("show", "aaa1", "--step", "9")
    with pytest.raises(InputError, match="no session 'zz'"):
        run("show", "zz")
    with pytest.raises(InputError, match="neither"):
        run("label", "aaa1", "1", "good")


@pytest.mark.parametrize("sign", ["+", "-"])
def test_label(filled: Store, sign: str) -> None:
    assert "aaa1 step 1" in run("label", "aaa1", "1", sign, "--note", "why").output
    (label,) = filled.labels("aaa1")
    assert (label.index, label.label, label.note) == (1, sign, "why")


def test_delete_removes_rows_and_files_and_names_adapters(filled: Store, home: Path) -> None:
    mine, other = home / "sessions" / "aaa1", home / "sessions" / "bbb2"
    for folder in (mine, other):
        (folder / "work").mkdir(parents=True)
        (folder / "work" / "x.csv").write_text("1")
    filled._db.execute("INSERT INTO adapter_sessions VALUES ('night-1', 'aaa1')")
    with pytest.raises(InputError, match="--yes"):
        run("delete", "aaa1")
    assert mine.exists() and filled.count_sessions() == 2
    output = run("delete", "aaa1", "--yes").output
    assert "night-1" in output and "deleted" in output
    assert not mine.exists() and (other / "work" / "x.csv").exists()
    assert [s.id for s in filled.sessions()] == ["bbb2"]
