"""No label reaches the public folder: a dirty project, searched byte by byte."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_wine

from mleagent.errors import InputError
from mleagent.records import Task
from mleagent.task import options
from mleagent.task.options import TaskOptions
from mleagent.task.prepare import prepare


def cancer(folder: Path, test: bool = True) -> pd.DataFrame:
    """Breast cancer as train.csv with ids that look like nothing else; returns the labelled rows."""
    data = load_breast_cancer(as_frame=True)
    frame = data.data.iloc[:, :8].round(4)
    rng = np.random.default_rng(3)
    frame.insert(0, "case_id", [f"C{number}" for number in rng.permutation(90_000)[: len(frame)] + 10_000])
    frame["diagnosis"] = np.where(data.target == 1, "benign", "malignant")
    frame = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    cut = 450 if test else len(frame)
    folder.mkdir(parents=True, exist_ok=True)
    frame[:cut].to_csv(folder / "train.csv", index=False)
    if test:
        frame[cut:].drop(columns="diagnosis").to_csv(folder / "test.csv", index=False)
        sample = frame[cut:][["case_id"]].assign(diagnosis="benign")
        sample.to_csv(folder / "sample_submission.csv", index=False)
    return frame[:cut]


def dirty(folder: Path) -> pd.DataFrame:
    """The mess of the issue's list, around a clean task."""
    rows = cancer(folder)
    labels = (rows["diagnosis"] == "benign").astype(int)
    rows[["case_id", "diagnosis"]].to_csv(folder / "submission_best.csv", index=False)
    (folder / "submissions").mkdir()
    rows[["case_id", "diagnosis"]].to_csv(folder / "submissions" / "v1.csv", index=False)
    rows[["case_id", "diagnosis"]].rename(columns={"diagnosis": "z"}).to_csv(
        folder / "notes.csv", index=False
    )
    pd.DataFrame({"p": labels * 0.8 + 0.1}).to_csv(folder / "blend.csv", index=False)
    np.save(folder / "oof.npy", labels.to_numpy())
    (folder / "checkpoint.pt").write_bytes(("weights" + rows.to_csv()).encode())
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        archive.write(folder / "train.csv", "train.csv")
    (folder / "train.csv.gz").write_bytes(gzip.compress((folder / "train.csv").read_bytes()))
    rows.to_parquet(folder / "backup.parquet")
    rows.rename(columns={"diagnosis": "verdict", "case_id": "key"}).to_csv(
        folder / "old_export.csv", index=False
    )
    side = rows[["case_id"]].assign(biopsy=labels + 3, lab=np.arange(len(rows)))
    side.to_csv(folder / "biopsies.csv", index=False)
    lines = [f'"{i}": "{label}",' for i, label in zip(rows.case_id, rows.diagnosis, strict=True)]
    (folder / "lookup.py").write_text("ANSWERS = {" + "\n".join(lines) + "}\n")
    (folder / "eda.ipynb").write_text(_notebook(rows))
    (folder / "README.md").write_text("# Cancer\n\n" + rows.head(30).to_csv(index=False) + "\nGood luck.\n")
    (folder / "run.log").write_text(rows.to_string())
    (folder / "labels.json").write_text(json.dumps(dict(zip(rows.case_id, rows.diagnosis, strict=True))))
    (folder / ".cache").mkdir()
    rows.to_csv(folder / ".cache" / "train.csv", index=False)
    (folder / "cache_link").symlink_to(folder / ".cache")
    for command in (
        ["init", "-q"],
        ["add", "train.csv"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return rows


def _notebook(rows: pd.DataFrame) -> str:
    output = {"output_type": "stream", "name": "stdout", "text": rows.to_csv()}
    code = {
        "cell_type": "code",
        "source": "print(train)",
        "outputs": [output],
        "execution_count": 1,
        "metadata": {},
    }
    return json.dumps(
        {"cells": [code], "metadata": {"kept": rows.to_csv()}, "nbformat": 4, "nbformat_minor": 5}
    )


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        + str(path.stat().st_mode)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def texts_of(path: Path) -> list[str]:
    """Everything readable in a file: its text, what is packed in it, the table it holds."""
    data = path.read_bytes()
    texts = [data.decode("utf-8", errors="replace")]
    if data[:2] == b"\x1f\x8b":
        texts.append(gzip.decompress(data).decode())
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            texts += [archive.read(name).decode(errors="replace") for name in archive.namelist()]
    if data[:4] == b"PAR1":
        texts.append(pd.read_parquet(path).to_csv())
    return texts


def leaks(public: Path, labels: dict[str, str]) -> list[str]:
    """Places where a held-out id stands on one line (or in one path) with its label."""
    found = []
    for path in sorted(public.rglob("*")):
        name = str(path.relative_to(public))
        lines = [name]
        if path.is_file():
            lines += [line for text in texts_of(path) for line in text.splitlines()]
        if name == "sample_submission.csv":
            lines = [name]
        for line in lines:
            words = set(re.split(r"[^A-Za-z0-9]+", line))
            for word in words & labels.keys():
                if labels[word] in words:
                    found.append(f"{name}: {line[:80]}")
    return found


def held_labels(task: Task, rows: pd.DataFrame, id_column: str, target: str) -> dict[str, str]:
    train = set(pd.read_csv(task.public / "train.csv", dtype=str)[id_column])
    held = rows[~rows[id_column].astype(str).isin(train)]
    assert len(held) == task.rows_feedback + task.rows_sealed
    return dict(zip(held[id_column].astype(str), held[target].astype(str), strict=True))


def test_dirty_folder_shows_no_held_out_label(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "cancer"
    rows = dirty(folder)
    before = fingerprint(folder)
    task = prepare(folder, options.load(folder), home)
    labels = held_labels(task, rows, "case_id", "diagnosis")
    assert leaks(folder, labels), "the search must be able to find what is there"
    assert leaks(task.public, labels) == []
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "prompt.txt").write_text(task.description)
    assert "Good luck." in task.description and leaks(tmp_path / "words", labels) == []
    assert fingerprint(folder) == before
    sample = pd.read_csv(task.public / "sample_submission.csv")
    assert sample["diagnosis"].nunique() == 1


def test_everything_withheld_is_listed_with_a_reason(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "cancer"
    dirty(folder)
    task = prepare(folder, options.load(folder), home)
    listed = {item.path: item.reason for item in task.withheld}
    for name in (
        *("submission_best.csv", "submissions/v1.csv", "notes.csv", "blend.csv", "oof.npy", "checkpoint.pt"),
        *(
            "data.zip",
            "train.csv.gz",
            "backup.parquet",
            "old_export.csv",
            "biopsies.csv",
            "lookup.py",
            "run.log",
        ),
        *("labels.json", ".git", ".cache", "cache_link"),
    ):
        assert listed.get(name), name
        assert not (task.public / name).exists()
    assert {item.path for item in task.inputs} == {
        *("train.csv", "test.csv", "sample_submission.csv", "README.md", "eda.ipynb"),
    }
    book = json.loads((task.public / "eda.ipynb").read_text())
    assert book["cells"][0]["outputs"] == [] and book["cells"][0]["source"] == "print(train)"


def test_include_overrides_and_marks_unverified(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "cancer"
    dirty(folder)
    task = prepare(folder, TaskOptions(include=("oof.npy", "submissions")), home)
    assert not task.verified
    assert (task.public / "oof.npy").is_file() and (task.public / "submissions" / "v1.csv").is_file()
    assert "oof.npy" not in {item.path for item in task.withheld}
    with pytest.raises(InputError, match="include: there is no 'nothing'"):
        prepare(folder, TaskOptions(include=("nothing",)), home)


def test_lookup_and_feature_tables_are_mounted(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"id": np.arange(600), "store": rng.integers(0, 20, 600), "x": rng.normal(size=600).round(3)}
    )
    frame["sales"] = (frame.x * 3 + frame.store + rng.normal(size=600)).round(3)
    frame[:400].to_csv(folder / "train.csv", index=False)
    frame[400:].drop(columns="sales").to_csv(folder / "test.csv", index=False)
    pd.DataFrame({"store": range(20), "city": [f"c{i % 5}" for i in range(20)]}).to_csv(
        folder / "stores.csv", index=False
    )
    visits = frame[["id"]].loc[frame.index.repeat(2)].assign(seconds=rng.integers(1, 99, 1200))
    visits.to_csv(folder / "visits.csv", index=False)
    visits[visits.id < 400].to_csv(folder / "clicks.csv", index=False)
    task = prepare(folder, TaskOptions(), home)
    roles = {item.path: item.role for item in task.inputs}
    assert roles["stores.csv"] == "table" and roles["visits.csv"] == "table"
    assert "says little of the test rows" in {i.path: i.reason for i in task.withheld}["clicks.csv"]


def test_columns_that_give_the_target_away_are_withheld(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "cancer"
    cancer(folder)
    for name in ("train.csv", "test.csv"):
        frame = pd.read_csv(folder / name)
        if "diagnosis" in frame:
            hint = np.where(frame["diagnosis"] == "benign", 7, 9)
            frame["pathologist"] = frame["diagnosis"].str.upper()
        else:
            hint = np.random.default_rng(0).choice([7, 9], len(frame))
        frame["ward"] = hint
        frame.to_csv(folder / name, index=False)
    task = prepare(folder, TaskOptions(), home)
    reasons = {item.path: item.reason for item in task.withheld}
    assert "gives the target away" in reasons["train.csv: column ward"]
    assert "not in the test table" in reasons["train.csv: column pathologist"]
    for name in ("train.csv", "test.csv"):
        assert not {"ward", "pathologist"} & set(pd.read_csv(task.public / name).columns)
    kept = prepare(folder, TaskOptions(include=("column:ward",)), home)
    assert "ward" in pd.read_csv(kept.public / "train.csv") and not kept.verified


def test_ids_numbered_in_the_order_of_the_target_are_renamed(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "wine"
    folder.mkdir()
    data = load_wine(as_frame=True)
    frame = data.frame.reset_index(names="id")
    frame.to_csv(folder / "train.csv", index=False)
    task = prepare(folder, TaskOptions(target=("target",)), home)
    test = pd.read_csv(task.public / "test.csv")
    assert test["id"].min() > frame["id"].max()
    assert any("order follows the target" in note for note in task.notes)


def images(folder: Path, layout: str) -> dict[str, str]:
    """60 tiny files in one of the usual layouts; returns label by file content."""
    labels = {}
    rows = []
    for number in range(60):
        label = ("cat", "dog")[number % 2]
        content = f"image {number}".encode()
        labels[content.decode()] = label
        rel = {
            "folders": f"train/{label}/{number:03d}.png",
            "names": f"train/{label}.{number}.png",
            "table-path": f"img/{label}_{number:03d}.png",
            "table-id": f"train_images/{number:03d}.png",
        }[layout]
        path = folder / rel
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        rows.append({"image": rel if layout == "table-path" else f"{number:03d}", "label": label})
    if layout.startswith("table"):
        pd.DataFrame(rows).to_csv(folder / "train.csv", index=False)
    return labels


@pytest.mark.parametrize("layout", ["folders", "names", "table-path", "table-id"])
def test_held_out_media_have_neutral_names(tmp_path: Path, home: Path, layout: str) -> None:
    folder = tmp_path / "pets"
    labels = images(folder, layout)
    before = fingerprint(folder)
    task = prepare(folder, TaskOptions(target=("label",)), home)
    assert task.kind == "media" and fingerprint(folder) == before
    test = pd.read_csv(task.public / "test.csv", dtype=str)
    answers = pd.read_parquet(task.private / "answers.parquet").set_index("__id__")["label"]
    assert len(test) == task.rows_feedback + task.rows_sealed == 24
    key = task.id_column or ""
    for position, row in enumerate(test.to_dict("records")):
        name = row.get("path") or row["image"]
        path = task.public / name if "/" in name else next(task.public.rglob(f"{name}.png"))
        assert not re.search("cat|dog", str(path.relative_to(task.public)))
        assert answers[row.get(key, str(position))] == labels[path.read_text()], (
            "the file and its answer stay together"
        )
        assert path.stat().st_ino != 0 and path.stat().st_nlink > 1, "linked, not copied"
    train = pd.read_csv(task.public / "train.csv", dtype=str)
    shown = {path.read_text() for path in task.public.rglob("*.png")}
    assert shown == set(labels) and len(train) == 36


def test_user_test_media_map_back_to_the_users_names(tmp_path: Path, home: Path) -> None:
    from mleagent.task.grade import Grader

    folder = tmp_path / "pets"
    images(folder, "folders")
    for number in range(5):
        path = folder / "test" / f"{100 + number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(f"unknown {number}".encode())
    task = prepare(folder, TaskOptions(), home)
    assert task.rows_test == 5
    uploaded = (
        Grader(task.private).cut((task.public / "sample_submission.csv").read_bytes()).decode().splitlines()
    )
    assert [line.split(",")[0] for line in uploaded[1:]] == ["100", "101", "102", "103", "104"]


def test_labels_table_beside_media_and_test_ids_in_the_sample(tmp_path: Path, home: Path) -> None:
    from mleagent.task.grade import Grader

    folder = tmp_path / "dogs"
    images(folder, "table-id")
    (folder / "train_images").rename(folder / "train")
    (folder / "train.csv").rename(folder / "labels.csv")
    (folder / "test").mkdir()
    for number in range(6):
        (folder / "test" / f"q{number}.png").write_bytes(f"unknown {number}".encode())
    sample = pd.DataFrame({"image": [f"q{number}" for number in range(6)], "cat": 0.5, "dog": 0.5})
    sample.to_csv(folder / "sample_submission.csv", index=False)
    task = prepare(folder, TaskOptions(), home)
    assert task.targets == ("label",) and task.rows_test == 6 and task.kind == "media"
    test = pd.read_csv(task.public / "test.csv", dtype=str)
    assert list(test.columns) == ["image"] and len(test) == 30
    assert all((task.public / "test" / f"{name}.png").is_file() for name in test["image"])
    uploaded = Grader(task.private).cut((task.public / "sample_submission.csv").read_bytes()).decode()
    assert [line.split(",")[0] for line in uploaded.splitlines()[1:]] == sample["image"].tolist()


@pytest.mark.parametrize("shape", ["one list", "rows without ids", "ids and labels apart", "plain prose"])
def test_labels_quoted_in_texts_and_programs(tmp_path: Path, home: Path, shape: str) -> None:
    folder = tmp_path / "cancer"
    rows = cancer(folder)
    text = {
        "one list": f"y = {(rows['diagnosis'] == 'benign').astype(int).tolist()}",
        "rows without ids": rows.drop(columns="case_id").head(40).to_csv(index=False),
        "ids and labels apart": "\n".join([*rows["case_id"], *rows["diagnosis"]]),
        "plain prose": "Tumours are benign or malignant. The 30 features are numbers such as 7, 8 and 9.",
    }[shape]
    (folder / "notes.md").write_text(text)
    (folder / "helper.py").write_text(text)
    frame = rows.drop(columns="case_id") if shape == "rows without ids" else rows
    if shape == "rows without ids":
        frame.to_csv(folder / "train.csv", index=False)
        for name in ("test.csv", "sample_submission.csv"):
            (folder / name).unlink()
    task = prepare(folder, TaskOptions(), home)
    listed = {item.path for item in task.withheld}
    if shape == "plain prose":
        assert (task.public / "notes.md").read_text() == text and (task.public / "helper.py").is_file()
    elif shape == "rows without ids":
        shown = set((task.public / "train.csv").read_text().splitlines())
        kept = [line for line in (task.public / "notes.md").read_text().splitlines() if line.count(",") > 3]
        assert kept and set(kept) <= shown and len(kept) < 41
        assert "helper.py" in listed
    else:
        assert {"notes.md", "helper.py"} <= listed


def test_prepared_folder_is_the_same_from_a_copy(tmp_path: Path, home: Path) -> None:
    first, second = tmp_path / "a" / "cancer", tmp_path / "b" / "cancer"
    cancer(first)
    shutil.copytree(first, second)
    one, two = prepare(first, TaskOptions(), home), prepare(second, TaskOptions(), home / "other")
    assert one.content_hash == two.content_hash
    for path in sorted(one.public.rglob("*")):
        assert path.read_bytes() == (two.public / path.relative_to(one.public)).read_bytes()
