"""Everything a folder can have wrong, each one line that names the file or the setting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from mleagent.errors import InputError
from mleagent.task import options
from mleagent.task.options import TaskOptions
from mleagent.task.prepare import prepare

ROWS = pd.DataFrame({"id": range(60), "x": [n * 7 % 13 for n in range(60)], "y": [n % 2 for n in range(60)]})


def refused(folder: Path, home: Path, chosen: TaskOptions | None = None) -> str:
    """The one line that preparation ends with."""
    with pytest.raises(InputError) as caught:
        prepare(folder, chosen or options.load(folder), home)
    message = str(caught.value)
    assert "\n" not in message
    return message


def write(folder: Path, text: str | bytes, name: str = "train.csv") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def good(folder: Path) -> Path:
    return write(folder, ROWS.to_csv(index=False))


def test_folder_missing_or_no_folder_or_empty(tmp_path: Path, home: Path) -> None:
    assert "no such folder" in refused(tmp_path / "nothing", home)
    (tmp_path / "file").write_text("x")
    assert "not a folder" in refused(tmp_path / "file", home)
    (tmp_path / "empty").mkdir()
    assert "is empty" in refused(tmp_path / "empty", home)


@pytest.mark.parametrize(
    ("name", "words"),
    [(".", "no permission to read the folder"), ("train.csv", "can't be read (Permission denied)")],
)
def test_folder_or_file_unreadable(tmp_path: Path, home: Path, name: str, words: str) -> None:
    folder = good(tmp_path / "task")
    (folder / name).chmod(0)
    try:
        if os.geteuid() != 0:
            assert words in refused(folder, home)
            return
        # Root reads everything: look as another user, in a process of its own.
        code = (
            "import os, sys; from pathlib import Path; from mleagent.errors import InputError\n"
            "from mleagent.task.understanding import understand\n"
            "from mleagent.task.options import TaskOptions\n"
            "os.setgid(65534); os.setuid(65534)\n"
            "try: understand(Path(sys.argv[1]), TaskOptions())\nexcept InputError as e: print(e)"
        )
        for parent in (p for p in folder.parents if p.is_relative_to(tmp_path.parent.parent)):
            parent.chmod(parent.stat().st_mode | 0o011)
        done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
        assert words in done.stdout, done.stderr
    finally:
        (folder / name).chmod(0o755)


def test_no_train_table(tmp_path: Path, home: Path) -> None:
    assert "no train table" in refused(write(tmp_path / "a", "hello", "notes.txt"), home)
    two = write(write(tmp_path / "b", "a,b\n1,2\n", "one.csv"), "a,b\n1,2\n", "two.csv")
    assert "no train table among one.csv, two.csv" in refused(two, home)


def test_target_not_found_lists_candidates(tmp_path: Path, home: Path) -> None:
    folder = good(tmp_path / "task")
    message = refused(folder, home, TaskOptions(target=("price",)))
    assert "no column 'price'" in message and "candidates: x, y" in message
    renamed = write(tmp_path / "plain", ROWS.rename(columns={"y": "b", "x": "a"}).to_csv(index=False))
    assert "which column is the target? candidates: a, b" in refused(renamed, home)


def test_unknown_metric_names_the_nearest(tmp_path: Path, home: Path) -> None:
    message = refused(good(tmp_path / "task"), home, TaskOptions(metric="acuracy"))
    assert "unknown metric 'acuracy'" in message and "accuracy" in message


def test_metric_that_does_not_fit_the_target(tmp_path: Path, home: Path) -> None:
    words = ROWS.assign(y=["yes", "no"] * 30)
    folder = write(tmp_path / "task", words.to_csv(index=False))
    assert "must be numbers for rmse, but holds 'yes'" in refused(folder, home, TaskOptions(metric="rmse"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,x,y\n1,2,0\n2,3,1,9\n", "line 3: 4 fields where the header has 3"),
        ("id,x,y\n1,2,0,7\n2,3,1,9\n", "line 2 has more fields than the header"),
        ("id,x,y\n1,2,0\n2,3\n", "line 3: 2 fields where the header has 3"),
        ('id,x,y\n1,2,0\n2,"3,1\n4,5,6\n', "line 3: a quote is opened and never closed"),
        ("", "the file is empty"),
        ("id,x,y\n", "0 rows below the header"),
    ],
)
def test_broken_csv_names_the_line(tmp_path: Path, home: Path, text: str, words: str) -> None:
    message = refused(write(tmp_path / "task", text), home)
    assert words in message and "train.csv" in message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("id,name,y\n1,café,0\n".encode("latin-1"), "line 2 is not UTF-8 (byte 0xe9"),
        ("id,name,y\n1,cafe,0\n".encode("utf-16"), "UTF-16"),
        (b"id,x,y\n1,\x00,0\n", "NUL bytes"),
    ],
)
def test_wrong_encoding_is_named(tmp_path: Path, home: Path, data: bytes, words: str) -> None:
    assert words in refused(write(tmp_path / "task", data), home)


def test_broken_archives_and_parquet(tmp_path: Path, home: Path) -> None:
    assert "can't be read" in refused(write(tmp_path / "a", b"not gzip", "train.csv.gz"), home)
    assert "can't be read" in refused(write(tmp_path / "b", b"not zip", "train.csv.zip"), home)
    assert "not a parquet file" in refused(write(tmp_path / "c", b"not parquet", "train.parquet"), home)


def test_one_class_and_too_few_labels(tmp_path: Path, home: Path) -> None:
    same = write(tmp_path / "same", ROWS.assign(y="yes").to_csv(index=False))
    assert "one class only ('yes')" in refused(same, home)
    few = write(tmp_path / "few", ROWS.head(6).to_csv(index=False))
    assert "6 of 6 rows have a value in y" in refused(few, home)
    constant = write(tmp_path / "constant", ROWS.assign(y=1.5).to_csv(index=False))
    assert "one value only" in refused(constant, home, TaskOptions(metric="rmse"))


@pytest.mark.parametrize("key", ["group", "time", "fold_column"])
def test_holdout_column_missing(tmp_path: Path, home: Path, key: str) -> None:
    message = refused(good(tmp_path / "task"), home, TaskOptions.model_validate({key: "patient"}))
    assert f"[holdout] {key}: the train table has no column 'patient'" in message


def test_time_column_without_times(tmp_path: Path, home: Path) -> None:
    folder = write(tmp_path / "task", ROWS.assign(when=["soon", "late", "now"] * 20).to_csv(index=False))
    assert "neither dates nor numbers" in refused(folder, home, TaskOptions(time="when", target=("y",)))


def test_id_and_start_missing(tmp_path: Path, home: Path) -> None:
    folder = good(tmp_path / "task")
    assert "[task] id: there is no column 'key'" in refused(folder, home, TaskOptions(id="key"))
    assert "--start base.py: no such file" in refused(folder, home, TaskOptions(start="base.py"))


def test_sample_submission_that_fits_nothing(tmp_path: Path, home: Path) -> None:
    folder = good(tmp_path / "task")
    write(folder, ROWS.drop(columns="y").to_csv(index=False), "test.csv")
    write(folder, "id,a,b,c\n0,1,2,3\n", "sample_submission.csv")
    assert "3 prediction columns match neither" in refused(folder, home)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[task\n", "not readable as TOML"),
        ("[taks]\ntarget = 'y'\n", "unknown section or key 'taks'"),
        ("[task]\ntargte = 'y'\n", "unknown key [task] targte; known: name, target"),
        ("[holdout]\nfeedback = 1.5\n", "[holdout] feedback: "),
        ("[holdout]\nseed = 'x'\n", "[holdout] seed: "),
        ("[holdout]\nfeedback = 0.6\nsealed = 0.5\n", "feedback + sealed must stay under 0.9"),
        ("[learn]\nuse = 'maybe'\n", "[learn] use: "),
        ("[env]\nimage = 3\n", "[env] image: "),
    ],
)
def test_settings_file_names_file_and_key(tmp_path: Path, home: Path, text: str, words: str) -> None:
    folder = write(good(tmp_path / "task"), text, "mleagent.toml")
    with pytest.raises(InputError) as caught:
        options.load(folder)
    assert words in str(caught.value) and "mleagent.toml" in str(caught.value)


def test_failed_preparation_leaves_nothing(tmp_path: Path, home: Path) -> None:
    refused(write(tmp_path / "task", ROWS.assign(y=1).to_csv(index=False)), home)
    assert not list(home.rglob("*"))
