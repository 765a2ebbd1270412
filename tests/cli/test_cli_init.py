"""`mleagent init`: inferred without a terminal, asked at one, and what it writes means the same task."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent_kit import digest, make_task
from terminal_kit import Terminal

from mleagent.cli.app import main
from mleagent.task.options import load
from mleagent.task.prepare import understand

SPLIT = (
    "metric",
    "targets",
    "id_column",
    "group_column",
    "time_column",
    "rows_feedback",
    "rows_sealed",
    "problem",
)


@pytest.fixture
def folder(home, tmp_path):
    made = make_task(tmp_path / "toy")
    (made / "mleagent.toml").unlink()
    return made


def test_inferred_without_a_terminal(folder, capsys):
    before, inferred = digest(folder), understand(folder, load(folder)).task
    assert main(["init", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "target y · id id" in out and "was guessed" in out and f"wrote {folder / 'mleagent.toml'}" in out
    options = load(folder)
    assert (options.target, options.id, options.metric) == (("y",), "id", inferred.metric.name)
    again = understand(folder, options).task
    assert all(getattr(again, name) == getattr(inferred, name) for name in SPLIT)
    after = digest(folder)
    assert {name: after[name] for name in before} == before and set(after) - set(before) == {"mleagent.toml"}


def test_it_refuses_to_overwrite_and_keeps_what_was_there(folder, capsys):
    (folder / "mleagent.toml").write_text("# mine\n")
    assert main(["init", str(folder)]) == 2
    assert "is there already; --force replaces it" in capsys.readouterr().err
    assert (folder / "mleagent.toml").read_text() == "# mine\n"
    assert main(["init", str(folder), "--force", "--metric", "f1"]) == 0
    assert "kept in" in capsys.readouterr().out
    assert (folder / "mleagent.toml.bak").read_text() == "# mine\n" and load(folder).metric == "f1"


def test_flags_decide_and_wrong_ones_write_nothing(folder, capsys):
    assert main(["init", str(folder), "--target", "nope"]) == 2
    assert "no column 'nope'" in capsys.readouterr().err
    assert main(["init", str(folder), "--metric", "acc"]) == 0
    assert understand(folder, load(folder)).task.metric.name == "accuracy"


def test_a_project_without_tables(home, tmp_path, capsys):
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text("print(1)\n")
    (project / "eval.py").write_text("print('loss: 1')\n")
    line = ["init", str(project), "--eval", "python eval.py", "--start", "train.py", "--metric", "my_loss"]
    assert main(line) == 0
    assert "scored by `python eval.py`" in capsys.readouterr().out
    options = load(project)
    assert (options.eval_command, options.start) == ("python eval.py", "train.py")
    assert understand(project, options).task.metric.direction == "minimize"


def test_asked_at_a_terminal(folder):
    terminal = Terminal("init", str(folder))
    terminal.until("target column")
    terminal.until("[y]")
    terminal.say()
    terminal.until("id column")
    terminal.say()
    terminal.until("metric")
    terminal.say("acuracy")
    terminal.until("did you mean accuracy")
    terminal.say("accuracy")
    terminal.until("group column")
    terminal.say()
    terminal.until("time column")
    terminal.say()
    terminal.until("wrote ")
    assert terminal.code() == 0
    assert load(folder).metric == "accuracy" and load(folder).target == ("y",)


def test_a_target_that_can_not_be_inferred_is_asked_for(home, tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    lines = [f"{i % 7},{i * 37 % 101},{i % 3}" for i in range(90)]
    (folder / "train.csv").write_text("\n".join(["first,second,third", *lines]) + "\n")
    assert main(["init", str(folder)]) == 2
    assert not (folder / "mleagent.toml").exists()
    terminal = Terminal("init", str(folder))
    terminal.until("which column is the target")
    terminal.until("target column (several: a,b):")
    terminal.say("third")
    for words in ("target column", "id column", "metric", "group column", "time column"):
        terminal.until(words)
        terminal.say()
    terminal.until("wrote ")
    assert terminal.code() == 0 and load(folder).target == ("third",)


def test_ctrl_c_while_asking_writes_nothing(folder: Path):
    terminal = Terminal("init", str(folder))
    terminal.until("target column")
    terminal.interrupt()
    assert terminal.code() == 130 and not (folder / "mleagent.toml").exists()
