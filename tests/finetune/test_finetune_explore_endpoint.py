"""A model at a real endpoint as the expert: asked to try ideas, stored, kept if valid."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent_kit import SANDBOX, SUBMIT, write
from policy.endpoint_server import Server, serving, stream

from finetune.conversation import read
from finetune.explore import main
from mleagent.trajectory.store import Store

COPY = "import pandas as pd\npd.read_csv('sample_submission.csv').to_csv('submission.csv', index=False)\n"


def test_sessions_of_an_endpoint_are_kept_if_valid(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replies = ["no action", write(COPY, plan="copy"), write("raise ValueError"), SUBMIT]  # one session, valid
    server = Server(*(stream(text) for text in [*replies, SUBMIT]))  # and one that has nothing
    out = tmp_path / "e.jsonl"
    flags = ["--from", "3", "--tasks", "1", "--count", "2", "--sandbox", SANDBOX, "--out", str(out)]
    with serving(server):
        assert main(["--expert", server.url, *flags]) == 0
        assert "1 conversations of 2 sessions kept" in capsys.readouterr().err
        asked = len(server.requests)
        assert main(["--expert", server.url, *flags]) == 0  # done already
        assert len(server.requests) == asked
    assert "Try these ideas: " in str(server.requests[0]["messages"])
    (one,) = read(out)
    said = [(turn.content, turn.train) for turn in one.turns if turn.role == "assistant"]
    assert said == list(zip(replies, [False, True, False, True], strict=True))
    with Store.open(home / "store.db") as store:
        (session,) = store.sessions()
        assert session.status == "done" and session.instruction.startswith("Try these ideas: ")
        assert store.steps(session.id)[0].rewards
    assert [path.name for path in (home / "sessions").iterdir()] == [session.id]


def test_an_endpoint_that_is_not_there_is_one_line(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--expert", "http://127.0.0.1:9/v1", "--out", str(tmp_path / "e.jsonl")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
