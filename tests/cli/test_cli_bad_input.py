"""Bad input, each one line on stderr and exit 2: folders, tables, settings, submissions, models."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from agent_kit import SANDBOX, make_task
from policy.endpoint_server import Server, free_port, hang, serving, text

from mleagent.agent.wish import Wish, task_of
from mleagent.cli.app import main
from mleagent.config import load_settings


@pytest.fixture
def folder(home, tmp_path):
    return make_task(tmp_path / "toy")


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """The one line on stderr of a command line that ends with 2."""
    code = main(list(args))
    out, err = capsys.readouterr()
    assert (code, err.count("\n")) == (2, 1), (code, out, err)
    assert err.startswith("mleagent: ") and "Traceback" not in err and "defect" not in err
    return err


def solve(folder: Path, *more: str) -> list[str]:
    return ["solve", str(folder), "--model", "playbook", "--headless", "--json", "--sandbox", SANDBOX, *more]


# --- folders and tables -------------------------------------------------------------------


def test_folder_missing_no_folder_or_empty(home, tmp_path, capsys):
    assert "no such folder" in refused(capsys, *solve(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("x")
    assert "not a folder" in refused(capsys, *solve(tmp_path / "file"))
    (tmp_path / "empty").mkdir()
    assert "the folder is empty; put train.csv" in refused(capsys, *solve(tmp_path / "empty"))


def test_folder_unreadable(home, folder, tmp_path):
    python = ordinary_python(tmp_path)
    folder.chmod(0o000)
    try:
        for command in (["solve", str(folder), "--dry-run"], ["init", str(folder)]):
            line = [*python, "-m", "mleagent.cli.app", *command]
            done = subprocess.run(line, capture_output=True, text=True, timeout=60)
            assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
            assert "no permission to read the folder; check its mode" in done.stderr
    finally:
        folder.chmod(0o755)


def ordinary_python(tmp_path: Path) -> list[str]:
    """A Python without root's right to read everything; skips where there is none."""
    if os.geteuid() != 0:
        return [sys.executable]
    for place in (tmp_path, *tmp_path.parents[:2]):
        place.chmod(place.stat().st_mode | 0o055)
    line = [
        "setpriv",
        "--bounding-set=-all",
        "--inh-caps=-all",
        "--reuid=65534",
        "--clear-groups",
        sys.executable,
    ]
    if not shutil.which("setpriv") or subprocess.run([*line, "-c", "import mleagent"]).returncode:
        pytest.skip("root reads everything, and no other user can run this Python")
    return line


def test_no_train_table(home, tmp_path, capsys):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "description.md").write_text("nothing here")
    assert "no train table; put train.csv there" in refused(capsys, *solve(tmp_path / "notes"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('[task]\ntarget = ["z"]\n', "the train table has no column 'z'"),
        ('[task]\ntarget = ["y"]\nmetric = "acuracy"\n', "unknown metric 'acuracy'; did you mean accuracy"),
        ("[task\n", "not readable as TOML"),
        ('[task]\ntaget = ["y"]\n', "unknown key [task] taget"),
        ("[holdout]\nfeedback = 2.0\n", "[holdout] feedback"),
    ],
)
def test_settings(folder, capsys, settings, words):
    (folder / "mleagent.toml").write_text(settings)
    assert words in refused(capsys, *solve(folder))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"id,x,y\n1,0.5,1\n2,0.7,1,9,9\n", "train.csv"),
        ("id,x,y\n1,0.5,\u00e9\n".encode("latin-1"), "is not UTF-8"),
        (b"id,x,y\n", "0 rows"),
        (b"", "the file is empty"),
        (b"id,x,y\n" + b"".join(b"%d,0.%d,1\n" % (i, i) for i in range(60)), "one class only"),
    ],
)
def test_broken_tables(folder, capsys, data, words):
    (folder / "train.csv").write_bytes(data)
    assert words in refused(capsys, *solve(folder))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--time", "soon"), "is not a duration"),
        (("--exec-limit", "0s"), "longer than nothing"),
        (("--steps", "0"), "--steps"),
        (("--sandbox", "jail"), "'jail' is unknown; one of auto, docker"),
        (("--reward", "nice"), "nice"),
        (("--ask", "always"), "choose runs, edits or never"),
        (("--mount", "/no/such/place"), "there is no such path"),
        (("--start", "base.py"), "--start base.py: no such file"),
        (("--model", "gpt-17"), "model 'gpt-17' is unknown"),
        (("-r", "zzzz"), "zzzz"),
    ],
)
def test_flags(folder, capsys, more, words):
    assert words in refused(capsys, *solve(folder, *more))


# --- submissions --------------------------------------------------------------------------


@pytest.fixture
def rows(folder):
    """The ids that a submission must answer."""
    task, _ = task_of(Wish(folder, load_settings()))
    return [line.split(",")[0] for line in (task.public / "test.csv").read_text().splitlines()[1:]]


def csv_of(rows: list[str], value: str = "1", header: str = "id,y") -> str:
    return "\n".join([header, *(f"{row},{value}" for row in rows)]) + "\n"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda r: csv_of(r[:-3]), "missing"),
        (lambda r: csv_of([*r, "77777"]), "77777"),
        (lambda r: csv_of([*r[:-1], r[0]]), "1 duplicate id ("),
        (lambda r: csv_of(r).replace(f"{r[4]},1", f"{r[4]},"), "y"),
        (lambda r: csv_of(r, "nan"), "y"),
        (lambda r: csv_of(r, header="id,target"), "wrong columns: missing 'y'; unexpected 'target'"),
        (lambda r: csv_of(r, "perhaps"), "'perhaps'"),
        (lambda r: csv_of(r, "7"), "'7'"),
        (lambda r: "", "empty"),
        (lambda r: "id,y\n", "no rows"),
    ],
)
def test_a_submission_bad_in_each_way(folder, rows, tmp_path, capsys, make, words):
    path = tmp_path / "mine.csv"
    path.write_text(make(rows))
    message = refused(capsys, "score", str(folder), str(path))
    assert words in message and "mine.csv" in message


def test_probabilities_out_of_range(folder, rows, tmp_path, capsys):
    (folder / "mleagent.toml").write_text('[task]\ntarget = ["y"]\nmetric = "roc_auc"\n')
    path = tmp_path / "mine.csv"
    path.write_text(csv_of(rows, "0.2").replace("0.2", "1.5", 1))
    assert "1.5" in refused(capsys, "score", str(folder), str(path))


def test_json_tells_the_reason_too(folder, rows, tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_text(csv_of(rows[:-1]))
    assert main(["score", str(folder), str(path), "--json"]) == 2
    out, err = capsys.readouterr()
    data = json.loads(out)
    assert data["valid"] is False and data["reason"] in err and data["score"] is None


def test_a_submission_for_the_users_own_rows_is_told_apart(folder, tmp_path, capsys):
    path = folder / "sample_submission.csv"
    assert "your own 60 test rows only" in refused(capsys, "score", str(folder), str(path))
    assert "no such file" in refused(capsys, "score", str(folder), str(tmp_path / "gone.csv"))
    assert "name what to score" in refused(capsys, "score", str(folder))


# --- endpoints and model files ------------------------------------------------------------


def test_an_endpoint_that_refuses(folder, capsys):
    address = f"http://127.0.0.1:{free_port()}/v1"
    assert "refuses the connection" in refused(capsys, *solve(folder, "--model", address))


def test_an_endpoint_that_times_out(folder, capsys, monkeypatch):
    monkeypatch.setenv("MLEAGENT_REQUEST_TIMEOUT_S", "0.3")
    server = Server()
    server.models_answer = hang(20)
    with serving(server):
        assert "sent nothing for" in refused(capsys, *solve(folder, "--model", server.url))


@pytest.mark.parametrize(
    "answer", [text("<html><body>Welcome</body></html>"), text("{]", kind="application/json")]
)
def test_an_endpoint_that_speaks_nonsense(folder, capsys, answer):
    server = Server()
    server.models_answer = answer
    with serving(server):
        message = refused(capsys, *solve(folder, "--model", server.url))
    assert "does not speak the OpenAI protocol" in message


def test_a_model_file_that_is_no_gguf(folder, tmp_path, capsys):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"not a model" * 100)
    assert "GGUF" in refused(capsys, *solve(folder, "--model", str(path)))
    path.write_bytes(b"GGUF" + b"\x03\0\0\0" + b"\0" * 8)
    assert "model.gguf" in refused(capsys, *solve(folder, "--model", str(path)))
    assert "does not exist" in refused(capsys, *solve(folder, "--model", str(tmp_path / "gone.gguf")))


def test_nothing_is_stored_of_what_was_refused(home, folder, capsys):
    refused(capsys, *solve(folder, "--model", "gpt-17"))
    refused(capsys, *solve(folder / "nowhere"))
    assert main(["runs", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
