"""Projects scored by a command of their own: self-reported, the evaluation protected, the baseline first."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent_kit import SUBMIT, digest, run, write

from mleagent.agent.scorers import printed_number, self_reported


@pytest.fixture
def project(home, tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text("open('out.txt', 'w').write('3')\n")
    (folder / "eval.py").write_text(
        "truth = float(open('truth.dat').read())\n"
        "print('score:', 1 - abs(truth - float(open('out.txt').read())) / 10)\n"
    )
    (folder / "truth.dat").write_text("5\n")
    (folder / "mleagent.toml").write_text('[task]\nstart = "train.py"\neval = "python eval.py"\n')
    return folder


def test_the_users_baseline_is_step_0_and_gains_are_told(project):
    before = digest(project)
    solver, end = run(project, [write("open('out.txt', 'w').write('4.5')\n", path="train.py"), SUBMIT])
    baseline, better = solver.steps[:2]
    assert (baseline.index, baseline.score.value) == (0, 0.8)
    assert (better.score.value, better.score.kind) == (0.95, "self-reported")
    assert better.facts.utility == pytest.approx(0.75), "of the way from the baseline to the optimum"
    assert (end.status, end.score_kind, end.sealed, end.best_feedback) == (
        "done",
        "self-reported",
        None,
        0.95,
    )
    assert Path(end.submission).read_text() == "open('out.txt', 'w').write('4.5')\n"
    assert digest(project) == before


def test_the_evaluation_can_not_be_changed(project):
    replies = [
        write("print('score: 1.0')\n", path="eval.py"),
        write("open('eval.py', 'w').write('print(1.0)')\nopen('out.txt', 'w').write('0')\n", path="train.py"),
        write("open('truth.dat', 'w').write('9')\nopen('out.txt', 'w').write('9')\n", path="train.py"),
        write("open('out.txt', 'w').write('5')\n", path="train.py"),
        SUBMIT,
    ]
    solver, end = run(project, replies)
    _, refused, replaced, data, honest, _ = solver.steps
    assert "belongs to the evaluation and can't be changed" in refused.observation
    assert "the program replaced eval.py" in replaced.observation and replaced.score is None
    assert data.score is None or data.score.value < 1.0, (
        "the truth it wrote itself is not the one it is scored by"
    )
    assert honest.score.value == 1.0 and end.best_feedback == 1.0


def test_an_eval_that_fails_is_said(project):
    solver, _ = run(project, [write("open('out.txt', 'w').write('many')\n", path="train.py"), SUBMIT])
    assert "the eval command ended with error" in solver.steps[1].observation


@pytest.mark.parametrize(
    ("output", "value"),
    [
        ("accuracy: 0.91", 0.91),
        ("noise 3\nF1 = .5", 0.5),
        ('{"loss": 2, "score": 0.25}', 0.25),
        ("score: 1e-3\n", 0.001),
        ("done", None),
        ("score: nan", None),
        ("", None),
    ],
)
def test_the_number_an_eval_prints(output, value):
    assert printed_number(output) == value


def test_the_last_validation_line_counts_as_a_claim():
    assert self_reported("validation rmse: 3.5\nfold 2\nValidation score = 0.25\nscore: 9") == 0.25
    assert self_reported("score: 9") is None
