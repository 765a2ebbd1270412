"""Real tasks from scikit-learn's data, and a forking runner, for the playbook's tests.

A `Case` is a folder in Kaggle's form with its `Task` and the hidden answers. The
runner is one Python process with the libraries imported that forks for every
program, so that a hundred programs take seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

from mleagent.agent.actions import parse
from mleagent.protocols import Policy, Prompt
from mleagent.records import (
    ColumnProfile,
    Execution,
    ExecutionStatus,
    Facts,
    Input,
    MetricSpec,
    Sampling,
    Score,
    State,
    Step,
    Task,
)

HIGHER = {"accuracy", "roc_auc", "f1", "qwk", "r2", "balanced_accuracy", "average_precision", "mcc", "map@3"}


@dataclass
class Case:
    task: Task
    folder: Path
    truth: pd.DataFrame


def make_task(folder: Path, name: str, columns: list[ColumnProfile], **fields: object) -> Task:
    metric = str(fields.pop("metric"))
    spec = MetricSpec(
        name=metric,
        direction="maximize" if metric in HIGHER else "minimize",
        optimum=1.0 if metric in HIGHER else 0.0,
        prediction=fields.pop("prediction"),  # type: ignore[arg-type]
    )
    inputs = tuple(
        Input(path=path.name, role=role)  # type: ignore[arg-type]
        for role in ("train", "test", "sample_submission")
        for path in sorted(folder.glob(f"{role}.*"))
    )
    return Task(
        name=name, kind=fields.pop("kind", "table"), folder=folder, public=folder, content_hash=name,
        metric=spec, columns=tuple(columns), inputs=inputs, **fields,
    )  # type: ignore[arg-type]  # fmt: skip


def split(
    root: Path, name: str, frame: pd.DataFrame, targets: list[str], *, ids: bool = True, rows: int = 0,
    types: dict[str, str] | None = None, answer: list[str] | None = None, ext: str = "csv", **fields: object,
) -> Case:  # fmt: skip
    """Write train/test/sample of a frame; the last third is the hidden part."""
    folder = root / name
    folder.mkdir(parents=True)
    frame = frame.sample(frac=1.0, random_state=1).reset_index(drop=True)
    if rows:
        frame = frame.iloc[:rows]
    if ids:
        frame.insert(0, "id", np.arange(len(frame)) + 100)
    cut = len(frame) * 2 // 3
    train, test = frame.iloc[:cut], frame.iloc[cut:].reset_index(drop=True)
    answer = answer or targets
    sample = pd.DataFrame(
        {**({"id": test["id"]} if ids else {}), **dict.fromkeys(answer, 0.5)}, index=test.index
    )
    for part, table in (
        ("train", train),
        ("test", test.drop(columns=targets)),
        ("sample_submission", sample),
    ):
        if ext == "parquet":
            table.to_parquet(folder / f"{part}.parquet")
        else:
            table.to_csv(folder / f"{part}.{ext}", index=False)
    columns = [profile(train[c], c, targets, (types or {}).get(c)) for c in train]
    task = make_task(
        folder, name, columns, targets=tuple(targets), id_column="id" if ids else None,
        submission_columns=tuple(sample.columns), rows_labelled=len(train), rows_train=len(train),
        rows_test=len(test), **fields,
    )  # fmt: skip
    return Case(task, folder, test)


def profile(values: pd.Series, name: str, targets: list[str], given: str | None) -> ColumnProfile:
    kind = given or ("id" if name == "id" else "numeric" if values.dtype.kind in "iuf" else "categorical")
    note = "target" if name in targets else ""
    return ColumnProfile(
        name=name, type=kind, missing=float(values.isna().mean()), unique=int(values.nunique()), note=note
    )  # type: ignore[arg-type]  # fmt: skip


def bundle(name: str) -> pd.DataFrame:
    data = getattr(datasets, f"load_{name}")(as_frame=True)
    frame = data.frame.copy()
    frame.columns = [str(c).replace(" ", "_") for c in frame.columns]
    return frame


def messy(rows: int = 400) -> pd.DataFrame:
    """Missing values, dates, mixed types, codes, text, many categories, groups, skewed target."""
    rng = np.random.default_rng(5)
    city = rng.choice([f"city {i}" for i in range(60)], rows)
    size = rng.lognormal(3, 1, rows)
    start = pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 2000, rows), unit="D")
    end = start + pd.to_timedelta(rng.integers(1, 300, rows), unit="D")
    words = np.array(["sunny", "dark", "garden", "old", "new", "quiet", "noisy", "view", "lift", "central"])
    text = [" ".join(rng.choice(words, 6)) for _ in range(rows)]
    good = np.array(["garden" in t for t in text]) + 0.5 * np.array(["view" in t for t in text])
    code = [f"{rng.choice(list('ABC'))}/{rng.integers(1, 99)}/{rng.choice(list('PS'))}" for _ in range(rows)]
    effect = np.array([int(c.split()[1]) % 7 for c in city])
    price = np.exp(0.5 * np.log(size) + 0.3 * good + 0.15 * effect + 0.0003 * (start - start.min()).days)
    price *= rng.lognormal(0, 0.15, rows)
    frame = pd.DataFrame(
        {
            "city": city, "size": size, "rooms": rng.integers(1, 7, rows).astype(float),
            "from": start.strftime("%Y-%m-%d"), "to": end.strftime("%Y-%m-%d"), "text": text, "code": code,
            "lift": rng.choice([True, False], rows).astype(object), "nothing": 1.0,
            "mixed": rng.choice(["1", "2", "n/a", "3 m"], rows), "owner": rng.integers(0, 50, rows),
            "age": rng.exponential(30, rows), "price": price,
            "dear": np.where(price > np.median(price) * 1.3, "yes", "no"),
        }
    )  # fmt: skip
    for column in ("size", "city", "age", "from", "text", "lift"):
        frame.loc[rng.random(rows) < 0.08, column] = None
    return frame


MESSY_TYPES = {
    "from": "date", "to": "date", "text": "text", "lift": "boolean", "nothing": "constant",
    "owner": "numeric",
}  # fmt: skip


def images(root: Path, rows: int = 240) -> Case:
    """Digits as PNG files with labels in a table."""
    from PIL import Image

    digits = datasets.load_digits()
    keep = np.flatnonzero(digits.target < 4)[:rows]
    frame = pd.DataFrame({"file": [f"pictures/d{i}.png" for i in keep], "digit": digits.target[keep]})
    case = split(
        root, "pictures", frame, ["digit"], types={"file": "path"}, metric="accuracy", prediction="label",
        problem="multiclass", classes=("0", "1", "2", "3"), kind="media",
    )  # fmt: skip
    (case.folder / "pictures").mkdir()
    for i in keep:
        pixels = (digits.images[i] * 15).astype(np.uint8)
        Image.fromarray(pixels).save(case.folder / "pictures" / f"d{i}.png")
    return case


def cases(root: Path, small: bool = False) -> dict[str, Case]:
    """Every kind of task the playbook knows."""
    few = 150 if small else 0
    house = messy(180 if small else 600)
    prices = house.drop(columns="dear")
    grades = bundle("diabetes")
    grades["grade"] = pd.qcut(grades.pop("target"), 4, labels=False)
    wine, iris = bundle("wine"), bundle("iris")
    wine["target"] = wine["target"].map({0: "a", 1: "b", 2: "c"})
    iris["target"] = iris["target"].map({0: "setosa", 1: "versicolor", 2: "virginica"})
    linnerud = datasets.load_linnerud(as_frame=True).frame
    digits = bundle("digits")
    return {
        "cancer": split(root, "cancer", bundle("breast_cancer"), ["target"], rows=few, metric="roc_auc",
                        prediction="probability", problem="binary", classes=("0", "1")),
        "wine": split(root, "wine", wine, ["target"], answer=["Kind_a", "Kind_b", "Kind_c"],
                      metric="logloss", prediction="probability", problem="multiclass",
                      classes=("a", "b", "c")),
        "iris": split(root, "iris", iris, ["target"], ids=False, metric="accuracy", prediction="label",
                      problem="multiclass", classes=("setosa", "versicolor", "virginica")),
        "digits": split(root, "digits", digits, ["target"], rows=few or 900, metric="accuracy",
                        prediction="label", problem="multiclass", classes=tuple("0123456789")),
        "diabetes": split(root, "diabetes", bundle("diabetes"), ["target"], rows=few, metric="rmse",
                          prediction="value", problem="regression", ext="csv.gz"),
        "linnerud": split(root, "linnerud", linnerud, ["Weight", "Waist", "Pulse"], metric="mcrmse",
                          prediction="value", problem="multi-target"),
        "grades": split(root, "grades", grades, ["grade"], rows=few, metric="qwk", prediction="label",
                        problem="multiclass", classes=tuple("0123")),
        "prices": split(root, "prices", prices, ["price"], types=MESSY_TYPES, metric="rmsle",
                        prediction="value", problem="regression", group_column="owner"),
        "median": split(root, "median", prices, ["price"], types=MESSY_TYPES, metric="mae",
                        prediction="value", problem="regression", time_column="to", ext="parquet"),
        "dear": split(root, "dear", house.drop(columns="price"), ["dear"], types=MESSY_TYPES, metric="f1",
                      prediction="label", problem="binary", classes=("no", "yes")),
        "pictures": images(root, 90 if small else 240),
    }  # fmt: skip


# --- running programs -------------------------------------------------------------

RUNNER = """
import io, json, os, sys, time, traceback, warnings, signal
import numpy, pandas, scipy, sklearn.pipeline, sklearn.ensemble, sklearn.linear_model, sklearn.compose
import sklearn.model_selection, sklearn.preprocessing, sklearn.svm, sklearn.neural_network, PIL.Image
import threadpoolctl
for line in sys.stdin:
    job = json.loads(line)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.setpgid(0, 0)
        os.chdir(job["folder"])
        signal.alarm(job["limit"])
        sys.stdout = sys.stderr = out = io.StringIO()
        warnings.simplefilter("ignore")
        status = "ok"
        try:
            with threadpoolctl.threadpool_limits(1):
                exec(compile(job["text"], "solution.py", "exec"), {"__name__": "__main__"})
        except BaseException:
            status = "error"
            traceback.print_exc()
        os.write(write, json.dumps([status, out.getvalue()[-6000:]]).encode())
        os._exit(0)
    os.close(write)
    start = time.time()
    got = b""
    while piece := os.read(read, 65536):
        got += piece
    os.close(read)
    os.waitpid(child, 0)
    status, output = json.loads(got) if got else ["timeout", ""]
    print(json.dumps([status, output, time.time() - start]), flush=True)
"""


@dataclass
class Result:
    status: str
    output: str
    seconds: float
    submission: pd.DataFrame | None


class Runner:
    """A warm Python that forks for each program; use as a context manager."""

    def __enter__(self) -> Runner:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        return self

    def __exit__(self, *exc: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=30)

    def run(self, folder: Path, text: str, limit: int = 60) -> Result:
        assert self.process.stdin and self.process.stdout
        target = folder / "submission.csv"
        target.unlink(missing_ok=True)
        job = json.dumps({"folder": str(folder), "text": text, "limit": limit})
        self.process.stdin.write(job.encode() + b"\n")
        self.process.stdin.flush()
        status, output, seconds = json.loads(self.process.stdout.readline())
        submission = pd.read_csv(target) if target.exists() else None
        return Result(status, output, seconds, submission)


def grade(case: Case, submission: pd.DataFrame) -> float:
    """The submission's score on the hidden answers, in the metric's unit. Raises ValueError if invalid."""
    from sklearn import metrics

    task = case.task
    assert task.metric
    if tuple(submission.columns) != task.submission_columns:
        raise ValueError(f"columns {list(submission.columns)}")
    if len(submission) != len(case.truth) or submission.isna().to_numpy().any():
        raise ValueError("rows or missing values")
    if task.id_column and list(submission[task.id_column]) != list(case.truth[task.id_column]):
        raise ValueError("ids")
    truth = case.truth[list(task.targets)].to_numpy()
    answer = submission[[c for c in task.submission_columns if c != task.id_column]].to_numpy()
    one, guess = truth[:, 0], answer[:, 0]
    name = task.metric.name
    if name == "roc_auc":
        return float(metrics.roc_auc_score(one, guess))
    if name == "logloss":
        return float(metrics.log_loss(one, answer, labels=list(task.classes)))
    if name == "accuracy":
        return float(np.mean(one == guess))
    if name == "f1":
        return float(metrics.f1_score(one == "yes", guess == "yes"))
    if name == "qwk":
        return float(metrics.cohen_kappa_score(one, guess, weights="quadratic"))
    if name == "rmsle":
        return float(np.sqrt(np.mean((np.log1p(one) - np.log1p(guess)) ** 2)))
    if name == "mae":
        return float(np.mean(np.abs(one - guess)))
    return float(np.sqrt(np.mean((truth - answer) ** 2, axis=0)).mean())


# --- a tiny session ---------------------------------------------------------------


def step_of(case: Case, index: int, text: str, runner: Runner) -> Step:
    """Parse an action's text, run what it writes, and make the step a session would log."""
    action = parse(text)
    if action.kind != "write":
        facts = Facts(format_valid=action.kind != "invalid", action=action.kind)
        return Step(id=str(index), session_id="s", index=index, created_at=0.0, action=action, facts=facts)
    result = runner.run(case.folder, action.body)
    error, score, metric = "", None, case.task.metric
    assert metric
    if result.submission is not None:
        try:
            value = grade(case, result.submission)
            score = Score(value=value, metric=metric.name, direction=metric.direction, kind="feedback")
        except ValueError as problem:
            error = str(problem)
    status: ExecutionStatus = "ok" if result.status == "ok" else "error"
    execution = Execution(
        command="python solution.py", status=status, output=result.output, duration_s=result.seconds
    )
    facts = Facts(
        format_valid=True, action="write", executed=True, status=status, submission_error=error,
        submission="valid" if score else "invalid" if error else "none", score=score.value if score else None,
    )  # fmt: skip
    return Step(
        id=str(index), session_id="s", index=index, created_at=0.0, execution=execution, facts=facts,
        score=score, action=action, observation=result.output[-500:],
    )  # fmt: skip


def play(case: Case, policy: Policy, runner: Runner, steps: int) -> list[Step]:
    """Run a policy for some steps, the true score of each program shown as feedback."""
    done: list[Step] = []
    for index in range(1, steps + 1):
        state = State(task=case.task, steps=tuple(done), steps_left=steps - index + 1, exec_limit_s=60.0)
        reply = policy.complete(Prompt(messages=(), state=state), Sampling())[0].text
        done.append(step_of(case, index, reply, runner))
        if done[-1].action.kind == "submit":
            break
    return done
