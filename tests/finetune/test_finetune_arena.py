"""The evaluator without a sandbox: honest verdicts, and the same result as the program run by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from finetune_kit import arena_of

from finetune import arena as arena_module
from finetune.arena import Arena
from finetune.compact import program
from finetune.ideas import plan_of


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    return arena_of("growth", tmp_path_factory.mktemp("arena"))


def test_what_the_evaluator_runs_is_what_the_program_does_alone(arena: Arena, tmp_path: Path) -> None:
    text = program(arena.task, plan_of("extra-trees", "log-target"))
    outcome = arena.run(text)
    assert outcome.valid and outcome.feedback > 0.05
    mine = (arena.place / "submission.csv").read_bytes()
    for name in ("train.csv", "test.csv", "sample_submission.csv"):
        (tmp_path / name).write_bytes((arena.task.public / name).read_bytes())
    (tmp_path / "solution.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "solution.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("score ")
    assert (tmp_path / "submission.csv").read_bytes() == mine
    assert arena.run(text).second == outcome.second


def test_truth_halves_are_the_rows_nobody_is_shown(arena: Arena) -> None:
    answers = arena.synth.answers.decode()
    text = f"""
import io, pandas as pd
sub = pd.read_csv("sample_submission.csv")
own = pd.read_csv(io.StringIO({answers!r}))
known = dict(zip(own.iloc[:, 0], own.iloc[:, 1]))
sub.iloc[:, 1] = sub.iloc[:, 1].astype(float)
sub.iloc[:, 1] = [float(known.get(k, v)) for k, v in zip(sub.iloc[:, 0], sub.iloc[:, 1])]
sub.to_csv("submission.csv", index=False)
"""
    outcome = arena.run(text)
    assert outcome.valid
    # the test rows' answers are right, the feedback rows' are constants, the few sealed rows' too
    assert outcome.feedback < 0.05 < 0.4 < min(outcome.first, outcome.second) < 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1", "no submission"),
        ("raise ValueError('as\\nintended')", "ValueError: as intended"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("while True: pass", "ended by signal 14"),
        ("open('submission.csv', 'w').write('a,b\\n1,2\\n')", ""),
        ("this is no program", "SyntaxError"),
    ],
)
def test_failures_are_told_apart(
    arena: Arena, text: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arena_module, "RUN_LIMIT_S", 1)
    outcome = arena.run(text)
    assert not outcome.valid and outcome.feedback == outcome.first == outcome.second == 0
    assert outcome.reason and reason in outcome.reason


def test_a_run_leaves_nothing_for_the_next(arena: Arena) -> None:
    assert arena.run(program(arena.task, plan_of("linear-model"))).valid
    assert arena.run("pass").reason == "no submission"
