"""`/install` and `/jobs` as a person types them: asked first, whatever `--yes` says."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent_kit import SANDBOX, make_task
from terminal_kit import Terminal
from wheel_maker import make_wheel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    task = make_task(tmp_path / "toy")
    make_wheel(tmp_path / "wheels", "tinypkg", "1.2")
    with (task / "mleagent.toml").open("a") as settings:
        settings.write('[env]\nwheelhouse = "../wheels"\n')
    return task


def test_install_asks_even_with_yes_and_says_where_from(home, folder):
    terminal = Terminal(
        "solve", str(folder), "--model", "playbook", "--sandbox", SANDBOX, "--steps", "40", "--yes"
    )
    terminal.until("Enter steers", 60)
    terminal.say("/jobs")
    terminal.until("no background job runs")
    terminal.say("/install tinypkg")
    terminal.until("without network? y for yes", 60)
    terminal.say("y")
    terminal.until("installed tinypkg==1.2", 60)
    terminal.say("/install tinypkg")
    terminal.until("y for yes", 60)
    terminal.say("n")
    terminal.until("was not installed")
    terminal.say("/quit")
    terminal.until("session", 60)
    assert terminal.code() in (0, 130)  # a fast machine may be done by then
