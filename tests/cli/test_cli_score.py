"""`mleagent score`: the same verdict a session gives, for a file, a script, several splits, a project."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev

import pytest
from agent_kit import SANDBOX, digest, make_task, program, run, write

from mleagent.agent.wish import Wish, task_of
from mleagent.cli.app import main
from mleagent.config import load_settings
from mleagent.trajectory.store import Store

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def folder(home, tmp_path):
    return make_task(tmp_path / "toy")


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(program(0.1))
    return path


def score(*args: object, code: int = 0) -> int:
    found = main(["score", *map(str, args), *(("--sandbox", SANDBOX) if "--no-sandbox" not in args else ())])
    assert found == code
    return found


def answers(folder: Path, threshold: float) -> str:
    """A submission over the prepared test table."""
    task, _ = task_of(Wish(folder, load_settings()))
    rows = [line.split(",") for line in (task.public / "test.csv").read_text().splitlines()]
    at = rows[0].index("x")
    return "id,y\n" + "".join(f"{row[0]},{int(float(row[at]) > threshold)}\n" for row in rows[1:])


def test_file_script_and_session_agree(folder, script, tmp_path, capsys):
    before = digest(folder)
    solver, _ = run(folder, [write(program(0.1)), "<submit/>"])
    (tmp_path / "mine.csv").write_text(answers(folder, 0.1))
    found = []
    for file in (tmp_path / "mine.csv", script):
        score(folder, file, "--json")
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1] and found[0]["valid"]
    session = solver.steps[0]
    assert found[0]["score"] == session.score.model_dump(mode="json")
    assert (found[0]["utility"], found[0]["utility_se"]) == (session.facts.utility, session.facts.utility_se)
    assert digest(folder) == before


def test_lines_for_people(folder, script, capsys):
    score(folder, script)
    out, err = capsys.readouterr()
    assert out.startswith("feedback accuracy 0.") and " ±." in out and "(higher is better), utility 0." in out
    assert out.count("\n") == 1 and "validation accuracy: 0.5" in err, "the script's own output is on stderr"


def test_looks_at_sealed_rows_are_counted_with_the_sessions(home, folder, script, capsys):
    run(folder, [write(program(0.1)), "<submit/>"])
    for look in (2, 3):
        score(folder, script, "--sealed")
        assert f"look {look} at this split" in capsys.readouterr().out
    _, end = run(folder, [write(program(0.1)), "<submit/>"])
    assert end.sealed_looks == 4
    score(folder, script)
    assert "sealed" not in capsys.readouterr().out
    with Store.open(home / "store.db") as store:
        assert len(store.sessions()) == 2, "scoring is no session"


def test_folds_give_mean_and_error_over_splits(folder, script, capsys):
    score(folder, script, "--folds", "3", "--json")
    data = json.loads(capsys.readouterr().out)
    values = [row["score"]["value"] for row in data["folds"]]
    assert [row["split_seed"] for row in data["folds"]] == [0, 1, 2] and len(set(values)) > 1
    assert data["mean"] == pytest.approx(mean(values))
    assert data["se"] == pytest.approx(stdev(values) / 3**0.5) and data["kind"] == "feedback"
    score(folder, script, "--split-seed", "2", "--json")
    assert json.loads(capsys.readouterr().out)["score"]["value"] == values[2]
    score(folder, script, "--folds", "2")
    out = capsys.readouterr().out
    assert out.splitlines()[0].startswith("split seed 0  feedback accuracy 0.") and "mean of 2 splits" in out


def test_folds_are_for_scripts_and_feedback(folder, script, tmp_path, capsys):
    score(folder, folder / "sample_submission.csv", "--folds", "2", code=2)
    assert "--folds is for a script" in capsys.readouterr().err
    score(folder, script, "--folds", "2", "--sealed", code=2)
    assert "feedback scores only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("raise ValueError('broken')\n", 1, "ended with error; its last line: ValueError: broken"),
        ("print('nothing')\n", 1, "left no submission.csv"),
        ("open('submission.csv', 'w').write('id,y\\n1,1\\n')\n", 2, "invalid: "),
    ],
)
def test_a_script_that_leaves_no_score(folder, tmp_path, capsys, body, code, words):
    (tmp_path / "bad.py").write_text(body)
    score(folder, tmp_path / "bad.py", code=code)
    err = capsys.readouterr().err.splitlines()
    assert words in err[-1]


def test_a_notebook_is_run_by_its_code(folder, tmp_path, capsys):
    cells = [
        {"cell_type": "markdown", "source": ["# hi"]},
        {"cell_type": "code", "source": ["!ls\n", program(0.1)]},
    ]
    (tmp_path / "mine.ipynb").write_text(json.dumps({"cells": cells}))
    score(folder, tmp_path / "mine.ipynb")
    assert capsys.readouterr().out.startswith("feedback accuracy")


def test_a_project_is_scored_by_its_own_command(home, capsys):
    score(EXAMPLES / "own-script", "--json")
    own = json.loads(capsys.readouterr().out)
    assert (
        own["score"]["kind"] == "self-reported" and own["score"]["value"] == 0.67 and own["utility"] is None
    )
    score(EXAMPLES / "own-script", "--sealed", code=2)
    assert "nothing is held out" in capsys.readouterr().err
