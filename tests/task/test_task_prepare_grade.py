"""Preparation and grading together: what one writes the other scores, on folders of several kinds."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mleagent.task.grade import Grader
from mleagent.task.options import TaskOptions
from mleagent.task.prepare import prepare

RNG = np.random.default_rng(5)
N = 240
X = RNG.normal(size=(N + 60, 2))
SIGNAL = X[:, 0] + 0.5 * RNG.normal(size=N + 60)

TARGETS = {
    "numbers": (np.exp(SIGNAL).round(3), "0.5", "mean absolute error"),
    "yes-no": (np.where(SIGNAL > 0, "True", "False"), "False", "classification accuracy"),
    "chance": ((SIGNAL > 0).astype(int), "0.5", "area under the ROC curve"),
    "grades": (np.digitize(SIGNAL, [-1, 0, 1]), "1", "quadratic weighted kappa"),
}


def task_folder(folder: Path, kind: str) -> Path:
    truth, default, words = TARGETS[kind]
    folder.mkdir()
    frame = pd.DataFrame({"id": np.arange(N + 60), "a": X[:, 0], "b": X[:, 1]})
    frame[:N].assign(y=truth[:N]).to_csv(folder / "train.csv", index=False)
    frame[N:].to_csv(folder / "test.csv", index=False)
    pd.DataFrame({"id": np.arange(N, N + 60), "y": default}).to_csv(
        folder / "sample_submission.csv", index=False
    )
    (folder / "description.md").write_text(f"Submissions are evaluated on {words}.\n")
    return folder


@pytest.mark.parametrize("kind", list(TARGETS))
def test_prepared_folders_are_graded(tmp_path: Path, home: Path, kind: str) -> None:
    task = prepare(task_folder(tmp_path / "task", kind), TaskOptions(), home)
    assert task.private is not None
    grader = Grader(task.private)
    sample = (task.public / "sample_submission.csv").read_bytes()
    blind = grader.grade(sample)
    assert blind.valid, blind.reason
    assert blind.score is not None and blind.score.n == task.rows_feedback
    truth = TARGETS[kind][0]
    test = pd.read_csv(task.public / "test.csv")
    row_of = {round(value, 12): row for row, value in enumerate(X[:, 0])}
    rows = [row_of[round(value, 12)] for value in test["a"]]
    right = pd.DataFrame({"id": test["id"], "y": truth[rows]}).to_csv(index=False).encode()
    grade = grader.grade(right, sample)
    assert grade.utility == pytest.approx(1.0) and grader.seal(right).utility == pytest.approx(1.0)
    assert grade.delta_utility is not None and grade.delta_utility > 0
    upload = pd.read_csv(io.BytesIO(grader.cut(right)), dtype=str)
    assert upload["id"].tolist() == [str(row) for row in range(N, N + 60)]
    assert upload["y"].tolist() == [str(value) for value in truth[N:]]
