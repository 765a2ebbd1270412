"""What is found in a folder, by name and content, and what is inferred from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_iris, load_linnerud

from mleagent.records import Task
from mleagent.task import options
from mleagent.task.discover import discover
from mleagent.task.options import TaskOptions
from mleagent.task.profile import table_profile, task_profile
from mleagent.task.tables import Format, Table, read_table, write_table
from mleagent.task.understanding import inferred_options, understand

RNG = np.random.default_rng(0)


def rows(count: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"id": rng.permutation(count) + 500, "x": rng.normal(size=count).round(3)})
    return frame.assign(kind=rng.choice(["a", "b", "c"], count), y=rng.integers(0, 2, count))


def task_of(folder: Path, **chosen: object) -> Task:
    return understand(folder, TaskOptions.model_validate(chosen)).task


def save(folder: Path, **tables: pd.DataFrame) -> Path:
    folder.mkdir(exist_ok=True)
    for name, frame in tables.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return folder


def with_test(folder: Path, sample: pd.DataFrame | None = None) -> Path:
    frame = rows()
    save(folder, train=frame[:90], test=frame[90:].drop(columns="y"))
    if sample is not None:
        sample.to_csv(folder / "sample_submission.csv", index=False)
    return folder


def test_roles_by_name(tmp_path: Path) -> None:
    for name in (
        *("train.csv", "test.csv", "sampleSubmission.csv", "stores.csv", "my_oof.csv", "train_labels.csv"),
        *("description.md", "solution.py", "img/1.png", "weights.pt", "venv/lib/x.py", ".git/config"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a,b\n1,2\n")
    found = discover(tmp_path)
    roles = {
        role: [file.rel for file in getattr(found, role)] for role in ("train", "test", "sample", "labels")
    }
    assert roles == {
        "train": ["train.csv"],
        "test": ["test.csv"],
        "sample": ["sampleSubmission.csv"],
        "labels": ["train_labels.csv"],
    }
    assert [file.rel for file in found.tables] == ["my_oof.csv", "stores.csv"]
    assert {item.path for item in found.skipped} == {"venv", ".git"}


def test_iris_alone_in_one_file(tmp_path: Path) -> None:
    data = load_iris(as_frame=True)
    frame = data.data.assign(species=data.target_names[data.target])
    save(tmp_path / "iris", iris=frame)
    task = task_of(tmp_path / "iris")
    assert (task.problem, task.targets, task.classes) == (
        "multiclass",
        ("species",),
        ("setosa", "versicolor", "virginica"),
    )
    assert (task.rows_train, task.rows_feedback, task.rows_sealed, task.rows_test) == (90, 45, 15, 0)


def test_regression_and_several_targets(tmp_path: Path) -> None:
    save(tmp_path / "diabetes", train=load_diabetes(as_frame=True).frame)
    task = task_of(tmp_path / "diabetes")
    assert task.problem == "regression" and task.metric is not None and task.metric.direction == "minimize"
    data = load_linnerud(as_frame=True)
    save(tmp_path / "linnerud", train=data.frame)
    task = task_of(tmp_path / "linnerud", target=["Weight", "Waist", "Pulse"])
    assert task.problem == "multi-target" and task.submission_columns == ("id", "Weight", "Waist", "Pulse")


@pytest.mark.parametrize(
    ("values", "prediction"),
    [([0] * 30, "label"), ([0.5] * 30, "probability")],
)
def test_prediction_kind_follows_the_sample(tmp_path: Path, values: list[float], prediction: str) -> None:
    sample = pd.DataFrame({"id": rows()[90:]["id"], "y": values})
    task = task_of(with_test(tmp_path / "task", sample))
    assert task.metric is not None and task.metric.prediction == prediction
    assert task.submission_columns == ("id", "y") and task.id_column == "id"


def test_a_column_a_class(tmp_path: Path) -> None:
    frame = rows()
    sample = pd.DataFrame({"id": frame[90:]["id"], **{f"kind_{name}": 1 / 3 for name in "abc"}})
    folder = save(tmp_path / "task", train=frame[:90], test=frame[90:].drop(columns="kind"))
    sample.to_csv(folder / "sample_submission.csv", index=False)
    seen = understand(folder, TaskOptions())
    assert seen.task.targets == ("kind",) and seen.problem is not None
    assert dict(seen.problem.class_columns) == {"kind_a": "a", "kind_b": "b", "kind_c": "c"}
    assert seen.task.metric is not None and seen.task.metric.prediction == "probability"


def test_metric_from_the_description(tmp_path: Path) -> None:
    folder = with_test(tmp_path / "task")
    (folder / "description.md").write_text("Submissions are evaluated on the area under the ROC curve.\n")
    task = task_of(folder)
    assert task.metric is not None and task.metric.name == "roc_auc" and "ROC curve" in task.description


def test_test_table_tells_group_and_time(tmp_path: Path) -> None:
    frame = rows(200).assign(patient=np.repeat(np.arange(50), 4))
    folder = save(tmp_path / "group", train=frame[:160], test=frame[160:].drop(columns="y"))
    task = task_of(folder)
    assert task.group_column == "patient" and any("grouped by 'patient'" in note for note in task.notes)
    assert task_of(folder, group="none").group_column is None
    days = pd.date_range("2020-01-01", periods=200).strftime("%Y-%m-%d")
    timed = rows(200).assign(day=days)
    folder = save(tmp_path / "time", train=timed[:160], test=timed[160:].drop(columns="y"))
    seen = understand(folder, TaskOptions())
    assert seen.task.time_column == "day" and seen.parts is not None
    assert list(seen.parts) == sorted(seen.parts)
    assert task_of(folder, time="none").time_column is None


def test_ids_that_begin_alike_stay_together_if_the_test_table_does_so(tmp_path: Path) -> None:
    frame = rows(240).assign(id=[f"{number // 3:04d}_{number % 3:02d}" for number in range(240)])
    folder = save(tmp_path / "spaceship", train=frame[:180], test=frame[180:].drop(columns="y"))
    seen = understand(folder, TaskOptions())
    assert seen.parts is not None and any("begin alike" in note for note in seen.task.notes)
    assert all(len(set(seen.parts[start : start + 3])) == 1 for start in range(0, 180, 3))
    mixed = save(tmp_path / "mixed", train=frame[:181], test=frame[181:].drop(columns="y"))
    assert not any("begin alike" in note for note in task_of(mixed).notes)


def test_init_writes_down_what_was_inferred(tmp_path: Path) -> None:
    folder = with_test(tmp_path / "task")
    seen = understand(folder, TaskOptions())
    (folder / "mleagent.toml").write_text(options.dump(inferred_options(seen)))
    chosen = options.load(folder)
    assert (chosen.target, chosen.id, chosen.metric) == (("y",), "id", "accuracy")
    again = understand(folder, chosen)
    assert again.parts is not None and seen.parts is not None and (again.parts == seen.parts).all()


def test_mle_bench_layout(tmp_path: Path) -> None:
    folder = tmp_path / "spaceship"
    (folder / "prepared").mkdir(parents=True)
    with_test(folder / "prepared" / "public")
    save(folder / "prepared" / "private", test=rows())
    (folder / "description.md").write_text("# Spaceship\n")
    seen = understand(folder, TaskOptions())
    assert seen.task.name == "spaceship" and "# Spaceship" in seen.task.description
    assert [table.rel for table in (seen.sources.shards if seen.sources else ())] == ["train.csv"]
    assert "prepared/private" in {item.path for item in seen.task.withheld}


def test_column_types(tmp_path: Path) -> None:
    count = 80
    frame = pd.DataFrame(
        {
            "id": np.arange(count),
            "age": RNG.normal(40, 9, count).round(1),
            "smoker": RNG.choice(["yes", "no"], count),
            "city": RNG.choice(["Rome", "rome ", "Oslo"], count),
            "seen": pd.date_range("2021-03-01", periods=count).strftime("%d/%m/%Y"),
            "remark": [f"the patient number {n} came in on foot" for n in range(count)],
            "scan": [f"scans/{n}.png" for n in range(count)],
            "one": 1,
            "income": np.where(RNG.random(count) < 0.2, "", RNG.integers(1, 99, count).astype(str)),
            "y": RNG.normal(size=count),
        }
    )
    task = task_of(save(tmp_path / "task", train=frame))
    types = {column.name: column.type for column in task.columns}
    assert types == {
        **{"id": "id", "age": "numeric", "smoker": "boolean", "city": "categorical", "seen": "date"},
        **{"remark": "text", "scan": "path", "one": "constant", "income": "numeric", "y": "numeric"},
    }
    notes = {column.name: column.note for column in task.columns}
    assert notes["city"] == "same words spelled differently" and notes["seen"].startswith(
        "date range 2021-03"
    )
    missing = {column.name: column.missing for column in task.columns}
    assert 0.05 < missing["income"] < 0.4


def test_profiles_are_short_and_stable(tmp_path: Path) -> None:
    folder = with_test(tmp_path / "task")
    task = task_of(folder)
    text = task_profile(task)
    assert text == task_profile(task_of(folder)) and len(text.split()) < 120
    assert "predict y (binary), metric accuracy, maximize" in text and "- kind: cat, 3 values" in text
    table = table_profile(folder / "train.csv")
    assert table.startswith("train.csv: 90 rows, 4 columns") and "head:" in table
    wide = pd.DataFrame(RNG.normal(size=(50, 300)).round(2), columns=[f"p{n}" for n in range(300)])
    save(tmp_path, wide=wide)
    assert len(table_profile(tmp_path / "wide.csv").split()) < 60
    assert table_profile(folder / "train.csv", max_rows=10).startswith("train.csv: over 10 rows")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "a.csv.zip", "a.parquet"])
def test_tables_survive_reading_and_writing(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"code": ["007", "1.50", ""], "text": ['say "hi"', "two\nlines", "a,b"]}, dtype=str)
    kind = Format("parquet") if name.endswith("parquet") else Format("csv", "\t" if "tsv" in name else ",")
    compression = {"gz": "gzip", "zip": "zip"}.get(name.rsplit(".", 1)[-1], "")
    table = Table(name, Format(kind.kind, kind.delimiter, compression), frame)  # type: ignore[arg-type]
    write_table(table, tmp_path / name)
    first = (tmp_path / name).read_bytes()
    again = read_table(tmp_path / name)
    assert again.frame.equals(frame) and again.format == table.format
    write_table(again, tmp_path / name)
    assert (tmp_path / name).read_bytes() == first


def test_settings_round_trip(tmp_path: Path) -> None:
    chosen = TaskOptions(
        name="n",
        target=("y",),
        metric="auc",
        feedback=0.25,
        group="g",
        seed=3,
        include=("a", "b"),
        learn=False,
    )
    (tmp_path / "mleagent.toml").write_text(options.dump(chosen))
    assert options.load(tmp_path) == chosen
    (tmp_path / "mleagent.toml").write_text(options.dump(TaskOptions()))
    assert options.load(tmp_path) == TaskOptions()
