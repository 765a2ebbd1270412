"""`mleagent learn` as a user meets it: refusals in one line, a dry run, a kill, Ctrl-C, going on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gguf_maker import make_gguf

from mleagent.cli.app import main
from mleagent.trajectory.store import Store


def error_of(capsys: pytest.CaptureFixture[str], *args: str, code: int = 2) -> str:
    assert main(["learn", *args]) == code
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


@pytest.fixture
def conversations(tmp_path: Path) -> Path:
    """A file as `python -m finetune.explore` writes one."""
    pytest.importorskip("torch")
    pytest.importorskip("llama_cpp")
    from finetune.conversation import Conversation, Turn, append

    file = tmp_path / "c.jsonl"
    for number in range(4):
        turns = (Turn(role="user", content="task"), Turn(role="assistant", content="reply", train=True))
        append(file, [Conversation(source=f"synth-{number}", turns=turns)])
    return file


def test_what_cannot_be_learnt_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "mleagent learn --sft" in error_of(capsys)
    pytest.importorskip("torch")
    model = str(make_gguf(tmp_path / "m.gguf"))
    assert "has no weights to train" in error_of(capsys, "--sft", "--model", "playbook")
    assert "no sessions yet" in error_of(capsys, "--sft", "--model", model)
    Store.open(home / "store.db").close()
    assert "nothing to learn in your sessions" in error_of(capsys, "--sft", "--model", model)
    missing = str(tmp_path / "none.jsonl")
    assert "there is no such file" in error_of(capsys, "--sft", "--model", model, "--from", missing)


def test_auto_is_the_configured_model(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    (home / "config.toml").write_text('model = "playbook"\n')
    assert "playbook has no weights to train" in error_of(capsys, "--sft", "--model", "auto")


def test_without_torch_it_says_what_to_install(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as Python itself marks what can't be imported
    assert "pip install 'mleagent[learn]'" in error_of(capsys, "--sft", code=3)


def test_no_other_command_needs_torch() -> None:
    code = (
        "import sys; from mleagent.cli.app import main; main(['learn', '--help']);"
        "import mleagent.cli.solve_cmd, mleagent.agent.start;"
        "bad = {'torch', 'transformers', 'peft'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--max-minutes" in done.stdout


def test_a_dry_run_says_what_would_be_learnt_and_writes_nothing(
    home: Path, conversations: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_gguf(tmp_path / "m.gguf")
    assert main(["learn", "--sft", "--model", str(model), "--from", str(conversations), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "4 marked to be learnt" in out and "4 sequences" in out and "2 updates" in out
    assert "GB free on" in out and "nothing was trained" in out
    assert not list(home.iterdir())


def test_a_kill_and_an_interrupt_lose_nothing(home: Path, conversations: Path, tmp_path: Path) -> None:
    model = make_gguf(tmp_path / "m.gguf")
    command = [
        sys.executable, "-m", "mleagent.cli.app", "learn", "--sft", "--model", str(model), "--from",
        str(conversations), "--epochs", "2000", "--batch", "1", "--threads", "1",
    ]  # fmt: skip

    def until_it_trains(end: signal.Signals) -> tuple[int, str]:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            said = ""
            for line in process.stderr:
                said += line
                if line.startswith("update "):
                    break
            process.send_signal(end)
            said += process.communicate(timeout=60)[1]
        finally:
            process.kill()
        return process.returncode, said

    code, said = until_it_trains(signal.SIGKILL)
    assert code == -signal.SIGKILL and "update 1 of 8000" in said
    code, said = until_it_trains(signal.SIGINT)
    assert (code, "the same command goes on from there" in said) == (130, True), said
    done = subprocess.run([*command, "--max-minutes", "0"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "going on with the run" in done.stdout and "going on at update" in done.stderr
    assert "Warning" not in done.stderr and "%|" not in done.stderr, "the libraries' own noise"
    assert not (home / "models.db").exists()
