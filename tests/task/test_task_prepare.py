"""Preparation: public and private folders, ids, caching, kills, the refit's folder."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mleagent.errors import InputError
from mleagent.records import Task
from mleagent.task.full import full_public, padded
from mleagent.task.grade import Grader
from mleagent.task.options import TaskOptions
from mleagent.task.prepare import prepare


def table(count: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"id": np.arange(count), "x": rng.normal(size=count).round(4)})
    return frame.assign(z=rng.choice(["u", "v"], count), y=(frame.x + rng.normal(size=count) > 0).astype(int))


def kaggle(folder: Path, overlap: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A plain train/test/sample folder; returns labelled rows and the true answers of the test rows."""
    frame = table()
    train, test = frame[:200].copy(), frame[200:].copy()
    if overlap:
        test["id"] = test["id"] - 200
    folder.mkdir(parents=True, exist_ok=True)
    train.to_csv(folder / "train.csv", index=False)
    test.drop(columns="y").to_csv(folder / "test.csv", index=False)
    test[["id"]].assign(y=0).to_csv(folder / "sample_submission.csv", index=False)
    return train, test


def truth_of(task: Task, frame: pd.DataFrame) -> bytes:
    """A perfect submission: rows of public test are found again by their features."""
    test = pd.read_csv(task.public / "test.csv")
    merged = test.merge(frame[["x", "y"]].drop_duplicates("x"), on="x", how="left", suffixes=("", "_true"))
    sample = pd.read_csv(task.public / "sample_submission.csv")
    sample[task.submission_columns[-1]] = merged["y"].to_numpy()
    return sample.to_csv(index=False).encode()


def test_public_and_private_of_a_plain_folder(tmp_path: Path, home: Path) -> None:
    train, _ = kaggle(tmp_path / "task")
    task = prepare(tmp_path / "task", TaskOptions(), home)
    public = pd.read_csv(task.public / "train.csv"), pd.read_csv(task.public / "test.csv")
    assert (len(public[0]), len(public[1])) == (120, 180) and list(public[1].columns) == ["id", "x", "z"]
    answers = pd.read_parquet(task.private / "answers.parquet")
    assert answers["__part__"].value_counts().to_dict() == {"test": 100, "feedback": 60, "sealed": 20}
    assert answers.loc[answers["__part__"] == "test", "y"].isna().all()
    assert list(answers["__id__"]) == public[1]["id"].astype(str).tolist()
    parts = "".join(answers["__part__"].str[0])
    assert "t" * 40 not in parts, "held-out and own rows are shuffled together"
    held = answers[answers["__part__"] != "test"]
    expected = train.set_index("id")["y"].astype(str)
    assert (held["y"].to_numpy() == expected.loc[held["__id__"].astype(int)].to_numpy()).all()
    assert os.stat(task.private).st_mode & 0o077 == 0


@pytest.mark.parametrize("overlap", [False, True])
def test_a_perfect_submission_scores_one_and_maps_back(tmp_path: Path, home: Path, overlap: bool) -> None:
    train, test = kaggle(tmp_path / "task", overlap)
    task = prepare(tmp_path / "task", TaskOptions(), home)
    perfect = truth_of(task, pd.concat([train, test]))
    grader = Grader(task.private)
    grade = grader.grade(perfect)
    assert grade.valid and grade.utility == 1.0 and grader.seal(perfect).utility == 1.0
    uploaded = pd.read_csv(io.BytesIO(grader.cut(perfect)))
    assert uploaded["id"].tolist() == test["id"].tolist()
    assert uploaded["y"].tolist() == test["y"].tolist()
    if overlap:
        ids = pd.read_csv(task.public / "test.csv")["id"]
        assert ids.is_unique and not set(ids) & set(train["id"])


def test_second_call_is_a_look_up(tmp_path: Path, home: Path) -> None:
    kaggle(tmp_path / "task")
    first = prepare(tmp_path / "task", TaskOptions(), home)
    said: list[str] = []
    begin = time.perf_counter()
    again = prepare(tmp_path / "task", TaskOptions(instruction="use trees"), home, said.append)
    assert time.perf_counter() - begin < 0.1 and not said
    assert again == first.model_copy(update={"description": "use trees"})
    other = prepare(tmp_path / "task", TaskOptions(seed=1), home)
    assert other.content_hash != first.content_hash and other.seed == 1
    with (tmp_path / "task" / "train.csv").open("a") as handle:
        handle.write("999,0.5,u,1\n")
    assert prepare(tmp_path / "task", TaskOptions(), home).content_hash != first.content_hash


def test_split_hash_is_the_sealed_rows_alone(tmp_path: Path, home: Path) -> None:
    kaggle(tmp_path / "task")
    first = prepare(tmp_path / "task", TaskOptions(), home)
    (tmp_path / "task" / "solution.py").write_text("print(1)\n")
    second = prepare(tmp_path / "task", TaskOptions(), home)
    assert second.content_hash != first.content_hash and second.split_hash == first.split_hash != ""
    assert prepare(tmp_path / "task", TaskOptions(seed=1), home).split_hash != first.split_hash


def test_no_test_file_no_sample_no_id(tmp_path: Path, home: Path) -> None:
    (tmp_path / "task").mkdir()
    frame = table().drop(columns="id")
    frame.to_csv(tmp_path / "task" / "train.csv", index=False)
    task = prepare(tmp_path / "task", TaskOptions(), home)
    assert task.rows_test == 0 and task.submission_columns == ("id", "y")
    assert {item.path for item in task.inputs} == {"train.csv", "test.csv", "sample_submission.csv"}
    assert list(pd.read_csv(task.public / "test.csv").columns) == ["x", "z"]
    assert Grader(task.private).grade(truth_of(task, frame)).utility == 1.0
    assert full_public(task, home) is None


def test_ids_of_the_sample_are_row_numbers(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "digits"
    train, test = kaggle(folder)
    for name in ("train", "test"):
        pd.read_csv(folder / f"{name}.csv").drop(columns="id").to_csv(folder / f"{name}.csv", index=False)
    (folder / "sample_submission.csv").write_text(
        "ImageId,Label\n" + "".join(f"{n},0\n" for n in range(1, 101))
    )
    task = prepare(folder, TaskOptions(), home)
    assert task.submission_columns == ("ImageId", "Label") and task.targets == ("y",)
    perfect = truth_of(task, pd.concat([train, test]))
    grader = Grader(task.private)
    assert grader.grade(perfect).utility == 1.0
    lines = grader.cut(perfect).decode().splitlines()
    assert lines[0] == "ImageId,Label" and [line.split(",")[0] for line in lines[1:]] == [
        str(n) for n in range(1, 101)
    ]
    assert [int(line.split(",")[1]) for line in lines[1:]] == test["y"].tolist()


def test_time_split_keeps_test_order(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "task"
    kaggle(folder)
    task = prepare(folder, TaskOptions(time="id"), home)
    assert pd.read_csv(task.public / "test.csv")["id"].is_monotonic_increasing
    assert pd.read_csv(task.public / "train.csv")["id"].max() == 119


def test_labels_in_a_file_of_their_own(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "task"
    train, _ = kaggle(folder)
    train.drop(columns="y").to_csv(folder / "train.csv", index=False)
    train[["id", "y"]].sample(frac=1, random_state=0).to_csv(folder / "train_labels.csv", index=False)
    task = prepare(folder, TaskOptions(), home)
    features, labels = pd.read_csv(task.public / "train.csv"), pd.read_csv(task.public / "train_labels.csv")
    assert set(features["id"]) == set(labels["id"]) and len(labels) == 120
    assert list(features.columns) == ["id", "x", "z"]
    assert list(pd.read_csv(task.public / "test.csv").columns) == ["id", "x", "z"]


def test_shards_and_companions(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "task"
    train, _ = kaggle(folder)
    (folder / "train.csv").unlink()
    train[:80].to_csv(folder / "train_1.csv", index=False)
    train[80:].to_csv(folder / "train_2.csv", index=False)
    extra = table()[["id"]].assign(speed=np.arange(300) % 7)
    extra[:200].to_csv(folder / "train_speed.csv", index=False)
    extra[200:].to_csv(folder / "test_speed.csv", index=False)
    task = prepare(folder, TaskOptions(target=("y",)), home)
    shown = pd.concat([pd.read_csv(task.public / f"train_{n}.csv") for n in (1, 2)])
    held = pd.read_csv(task.public / "test.csv")
    assert len(shown) == task.rows_train == 120
    assert set(pd.read_csv(task.public / "train_speed.csv")["id"]) == set(shown["id"])
    assert set(pd.read_csv(task.public / "test_speed.csv")["id"]) == set(held["id"])


def test_further_pairs_that_tell_labels_or_have_no_id_are_withheld(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "task"
    kaggle(folder)
    extra = table()[["id"]].assign(hint=table()["y"] + 5)
    for name, frame in (("hint", extra), ("noid", extra.drop(columns="id").assign(hint=1))):
        frame[:200].to_csv(folder / f"train_{name}.csv", index=False)
        frame[200:].to_csv(folder / f"test_{name}.csv", index=False)
    task = prepare(folder, TaskOptions(target=("y",)), home)
    reasons = {item.path: item.reason for item in task.withheld}
    assert "each of its values stands for one class" in reasons["train_hint.csv"]
    assert "not keyed by the id" in reasons["train_noid.csv"]
    assert not list(task.public.glob("*_hint.csv")) and not list(task.public.glob("*_noid.csv"))


def test_parquet_keeps_types(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    frame = table().assign(
        when=pd.date_range("2020", periods=300, freq="h"), z=lambda f: f.z.astype("category")
    )
    frame = frame.sample(frac=1, random_state=0)
    frame[:200].to_parquet(folder / "train.parquet")
    frame[200:].drop(columns="y").to_parquet(folder / "test.parquet")
    task = prepare(folder, TaskOptions(), home)
    shown, held = (
        pd.read_parquet(task.public / "train.parquet"),
        pd.read_parquet(task.public / "test.parquet"),
    )
    assert shown.dtypes.to_dict() == frame.dtypes.to_dict()
    assert held.dtypes.to_dict() == frame.drop(columns="y").dtypes.to_dict()
    assert len(held) == 180


def test_rows_without_a_target_stay_in_train(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "task"
    train, _ = kaggle(folder)
    text = train.astype({"y": object})
    text.loc[:19, "y"] = ""
    text.to_csv(folder / "train.csv", index=False)
    task = prepare(folder, TaskOptions(), home)
    assert task.rows_labelled == 180 and task.rows_train + task.rows_feedback + task.rows_sealed == 200
    assert pd.read_csv(task.public / "train.csv")["y"].isna().sum() == 20
    assert any("20 train rows have no target" in note for note in task.notes)


def test_the_refits_folder(tmp_path: Path, home: Path) -> None:
    train, test = kaggle(tmp_path / "task", overlap=True)
    task = prepare(tmp_path / "task", TaskOptions(), home)
    full = full_public(task, home)
    assert full is not None and sorted(os.listdir(full)) == sorted(os.listdir(task.public))
    assert pd.read_csv(full / "train.csv").equals(train.reset_index(drop=True))
    own = pd.read_csv(full / "test.csv")
    assert sorted(own["x"]) == sorted(test["x"])
    best = (task.public / "sample_submission.csv").read_bytes()
    refit = (full / "sample_submission.csv").read_text().replace(",0", ",1").encode()
    uploaded = Grader(task.private).cut(padded(refit, best, task.private)).decode().splitlines()
    assert [line.split(",") for line in uploaded[1:]] == [[str(i), "1"] for i in test["id"]]
    with pytest.raises(InputError, match="lacks 99 rows"):
        padded(b"\n".join(refit.splitlines()[:2]), best, task.private)
    (tmp_path / "task" / "train.csv").write_text("id,x,z,y\n")
    assert full_public(task, home) == full, "made once"


def test_refit_refuses_a_changed_folder(tmp_path: Path, home: Path) -> None:
    kaggle(tmp_path / "task")
    task = prepare(tmp_path / "task", TaskOptions(), home)
    with (tmp_path / "task" / "train.csv").open("a") as handle:
        handle.write("999,0.5,u,1\n")
    with pytest.raises(InputError, match="changed since"):
        full_public(task, home)


def test_users_own_metric(tmp_path: Path, home: Path) -> None:
    train, test = kaggle(tmp_path / "task")
    (tmp_path / "task" / "my_metric.py").write_text(
        "def gap(truth, pred):\n    return float(abs(truth - pred).mean())\n"
    )
    task = prepare(
        tmp_path / "task", TaskOptions(metric="my_metric.py:gap", maximize=False, optimum=0.0), home
    )
    assert task.metric is not None and task.metric.direction == "minimize"
    (tmp_path / "task" / "my_metric.py").unlink()
    grade = Grader(task.private).grade(truth_of(task, pd.concat([train, test])))
    assert grade.valid and grade.score is not None and grade.score.value == 0.0


def test_baseline_script_is_mounted_unless_it_holds_labels(tmp_path: Path, home: Path) -> None:
    train, _ = kaggle(tmp_path / "task")
    script = tmp_path / "task" / "baseline.py"
    script.write_text("import pandas\n")
    task = prepare(tmp_path / "task", TaskOptions(start="baseline.py"), home)
    assert task.start == "baseline.py" and (task.public / "baseline.py").is_file()
    script.write_text(f"y = {train['y'].tolist()}\n")
    with pytest.raises(InputError, match=r"--start baseline\.py: holds a list of 200 values"):
        prepare(tmp_path / "task", TaskOptions(start="baseline.py"), home)


def test_projects_without_labels(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "model.py").write_text("print(1)\n")
    (folder / "eval.py").write_text("print(0.5)\n")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("secret")
    chosen = TaskOptions(eval_command="python eval.py", start="src/model.py", metric="val_loss", optimum=0.0)
    task = prepare(folder, chosen, home)
    assert (task.kind, task.private, task.start) == ("eval", None, "src/model.py")
    assert task.metric is not None and task.metric.direction == "minimize" and task.metric.name == "val_loss"
    assert sorted(i.path for i in task.inputs) == ["eval.py", "src/model.py"]
    assert not (task.public / ".git").exists()
    assert prepare(folder, TaskOptions(), home).kind == "self-reported"
    (folder / "eval.py").write_text("print(0.9)\n")
    assert (task.public / "eval.py").read_text() == "print(0.5)\n", "a copy, not a link"


def test_kill_leaves_nothing_half_prepared(tmp_path: Path, home: Path) -> None:
    kaggle(tmp_path / "task")
    code = (
        "import sys; from pathlib import Path\nfrom mleagent.task.prepare import prepare\n"
        "from mleagent.task.options import TaskOptions\n"
        "for seed in range(10000):\n"
        "    prepare(Path(sys.argv[1]), TaskOptions(seed=seed + int(sys.argv[3])), Path(sys.argv[2]))\n"
        "    print('go', flush=True)"
    )
    for number, delay in enumerate((0.03, 0.1, 0.17)):
        command = [sys.executable, "-c", code, str(tmp_path / "task"), str(home), str(1000 * number)]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert run.stdout is not None and run.stdout.readline() == "go\n"
        time.sleep(delay)
        run.send_signal(signal.SIGKILL)
        run.wait()
        run.stdout.close()
    for place in (home / "tasks").iterdir():
        if not place.name.startswith(".tmp-"):
            Task.model_validate_json((place / "task.json").read_text())
            assert len(pd.read_parquet(place / "private" / "answers.parquet")) == 180
    prepare(tmp_path / "task", TaskOptions(seed=99_999), home)
    assert not [place for place in (home / "tasks").iterdir() if place.name.startswith(".tmp-")]


def test_two_at_once_give_one_task(tmp_path: Path, home: Path) -> None:
    kaggle(tmp_path / "task")
    code = (
        "import sys; from pathlib import Path\nfrom mleagent.task.prepare import prepare\n"
        "from mleagent.task.options import TaskOptions\n"
        "print(prepare(Path(sys.argv[1]), TaskOptions(), Path(sys.argv[2])).content_hash)"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "task"), str(home)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    assert len({run.communicate()[0] for run in runs}) == 1 and not any(run.returncode for run in runs)
    assert len(list((home / "tasks").iterdir())) == 1
