"""`mleagent solve` without a terminal: events, exit codes, the user's folder untouched."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from agent_kit import SANDBOX, SUBMIT, digest, make_task, program, write
from policy.endpoint_server import Server, serving, status, stream

from mleagent.cli.app import main
from mleagent.trajectory.store import Store

LAST = {"event", "session", "status", "metric", "direction", "best_feedback", "sealed", "utility", "steps",
        "wall_s", "submission"}  # fmt: skip
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def folder(home, tmp_path):
    return make_task(tmp_path / "toy")


def solve(folder: Path, *replies: str, more: tuple[str, ...] = ()) -> int:
    """One headless session with a model (an endpoint) that says `replies`, the last one for ever."""
    with serving(Server(*(stream(reply) for reply in replies))) as server:
        return main(arguments(folder, server.url, *more))


def arguments(folder: Path, model: str, *more: str) -> list[str]:
    return ["solve", str(folder), "--model", model, "--headless", "--sandbox", SANDBOX, *more]


def test_json_is_one_event_a_line_and_the_last_says_all(folder, capsys):
    before = digest(folder)
    code = solve(folder, write(program(0.3)), write(program(0.0)), SUBMIT, more=("--json", "--steps", "5"))
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    names = [line["event"] for line in lines]
    assert code == 0 and names[-1] == "session_end" and names.count("step_end") == 3 and err == ""
    assert {"session_start", "step_start", "text", "action", "diff", "run_start", "output", "run_end"} <= set(
        names
    )
    last = lines[-1]
    assert set(last) >= LAST and all(last[name] is not None for name in LAST)
    assert (last["status"], last["metric"], last["direction"]) == ("done", "accuracy", "maximize")
    upload = Path(last["submission"]).read_text().splitlines()
    assert upload[0] == "id,y" and len(upload) == 61
    assert digest(folder) == before


def test_quiet_tells_steps_on_stderr_and_the_end_on_stdout(folder, capsys):
    assert solve(folder, write(program(0.3)), SUBMIT) == 0
    out, err = capsys.readouterr()
    assert "step 1 ✓ 0." in err and " ±" in err and "· reward 0." in err
    assert "done: submitted" in out and "sealed accuracy" in out and "look 1 at this split" in out
    assert "nothing in your folder was changed" in out and "mleagent apply" in out


def test_without_a_submission_it_is_1(folder, capsys):
    assert solve(folder, write("print('nothing')\n"), SUBMIT) == 1
    assert "finished without a valid submission" in capsys.readouterr().out


def test_a_model_that_breaks_is_3_and_the_session_goes_on_later(folder, capsys):
    with serving(Server(stream(write(program(0.2))), status(401, "key revoked"))) as server:
        assert main(arguments(folder, server.url)) == 3
    out = capsys.readouterr().out
    assert "stopped:" in out and "key revoked" in out and "go on with: mleagent solve -r" in out
    assert solve(folder, SUBMIT, more=("-c",)) == 0
    out = capsys.readouterr().out
    assert "done: submitted · 2 steps" in out


def test_continue_without_a_session_and_of_a_done_one(folder, capsys):
    assert solve(folder, SUBMIT, more=("-c",)) == 2
    assert "no session to continue" in capsys.readouterr().err
    solve(folder, write(program()), SUBMIT)
    assert solve(folder, SUBMIT, more=("-r", "last")) == 2
    assert "is done; start a new one" in capsys.readouterr().err


def test_apply_copies_the_result(folder, capsys):
    before = digest(folder)
    assert solve(folder, write(program(0.0)), SUBMIT, more=("--apply",)) == 0
    after = digest(folder)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"solution.py", "submission.csv"}
    assert (folder / "solution.py").read_text() == program(0.0)


def test_dry_run_writes_nothing(home, folder, capsys):
    before = digest(folder)
    assert main(arguments(folder, "playbook", "--dry-run", "--json")) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["task"]["rows_feedback"] > 0 and data["event"] == "dry_run"
    assert digest(folder) == before and not list(home.iterdir())


def test_the_playbook_solves_a_task_whose_classes_are_columns_in_another_order(home, capsys):
    """Wine's sample submission has its classes in no alphabetical order."""
    more = ("--json", "--steps", "1", "--seed", "0")
    assert main(arguments(EXAMPLES / "wine", "playbook", *more)) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["utility"] > 0.6


def begin(folder: Path, url: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mleagent.cli.app", *arguments(folder, url, "--json", *more)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], event: str) -> dict:
    for line in process.stdout:
        if json.loads(line)["event"] == event:
            return json.loads(line)
    raise AssertionError(f"no {event}: {process.stderr.read()}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_session_is_130_and_goes_on(home, folder, number, capsys):
    slow = write("import time\nprint('go', flush=True)\ntime.sleep(60)\n")
    with serving(Server(stream(write(program(0.2))), stream(slow))) as server:
        process = begin(folder, server.url)
        wait_for(process, "step_end")
        wait_for(process, "output")
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    last = json.loads(out.splitlines()[-1])
    assert (process.returncode, last["event"], last["status"]) == (130, "session_end", "interrupted"), err
    assert last["steps"] == 1 and last["submission"], "what there is can be uploaded"
    assert solve(folder, SUBMIT, more=("-c",)) == 0
    with Store.open(home / "store.db") as store:
        assert store.session(last["session"]).status == "done"


def test_a_second_interrupt_ends_at_once(folder):
    deaf = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('go', flush=True)\n"
    deaf += "time.sleep(60)\n"
    with serving(Server(stream(write(deaf)))) as server:
        process = begin(folder, server.url)
        wait_for(process, "output")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in err


def test_auto_is_the_configured_model(folder, home, capsys):
    (home / "config.toml").write_text('model = "playbook"\n')
    assert main(["solve", str(folder), "--model", "auto", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "playbook"
    code = main(arguments(folder, "auto", "--json", "--steps", "1"))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    begun = next(one for one in events if one["event"] == "session_start")
    assert code in (0, 1) and begun["session"]["policy"] == "playbook"
