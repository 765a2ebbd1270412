"""kill −9 at random moments: the store stays whole, no committed step is lost, `solve -c` comes to an end.

KILLS=50 in the environment kills as often; a dozen times is the default.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from agent_kit import SANDBOX, SUBMIT, digest, make_task, program, write
from policy.endpoint_server import Server, serving, stream

from mleagent.trajectory.store import Store

KILLS = int(os.environ.get("KILLS", "12"))
TOLD = 3
"""Committed steps that the killed processes must have told of, or the kills came too early to mean much."""


def start(folder: Path, url: str, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mleagent.cli.app", "solve", str(folder), "--model", url, "--headless",
               "--json", "--sandbox", SANDBOX, *more]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def children(pid: int) -> set[int]:
    """All processes below `pid`, on Linux."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir() if Path("/proc").is_dir() else ():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found, open_ = set(), [pid]
    while open_:
        below = parents.get(open_.pop(), [])
        found |= set(below)
        open_ += below
    return found


def gone(pids: set[int], within_s: float = 15.0) -> set[int]:
    """Those of `pids` that still run after a while; zombies of other parents do not count."""
    until = time.monotonic() + within_s
    left = set(pids)
    while left and time.monotonic() < until:
        for pid in list(left):
            try:
                if (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    left.discard(pid)
            except OSError:
                left.discard(pid)
        time.sleep(0.05)
    return left


def committed(output: bytes) -> list[str]:
    """Steps that the killed process told of; a last line may be cut."""
    found = []
    for line in output.decode().splitlines():
        with suppress(json.JSONDecodeError):
            event = json.loads(line)
            found += [event["step"]["id"]] if event["event"] == "step_end" else []
    return found


def test_nothing_committed_is_lost_and_the_session_ends_well(home, tmp_path, monkeypatch):
    folder = make_task(tmp_path / "toy")
    before = digest(folder)
    monkeypatch.setenv("MLEAGENT_PATIENCE", "10000")
    chance = random.Random(20261121)
    texts = [
        write(program(t / 1000, extra="import time; time.sleep(0.2)"), plan=f"try {t}")
        for t in range(10 * KILLS, 0, -1)  # each a little better: more steps than the kills leave time for
    ]
    server = Server(*(stream(text) for text in texts))
    told: list[str] = []
    with serving(server):
        for number in range(KILLS + 30):
            if number >= KILLS and len(told) >= TOLD:
                break
            process = start(folder, server.url, "--steps", "200", *(("-c",) if begun(home) else ()))
            time.sleep(chance.uniform(0.3, 4.0))
            below = children(process.pid)
            process.send_signal(signal.SIGKILL)
            out, err = process.communicate(timeout=30)
            assert process.returncode == -signal.SIGKILL, (out[-500:], err)
            told += committed(out)
            assert not gone(below), "the killed session's sandbox lives on"
            check(home, told)
        assert len(told) >= TOLD
        server.script[:] = [stream(SUBMIT)]
        process = start(folder, server.url, "--steps", "200", "-c")
        out, err = process.communicate(timeout=120)
    last = json.loads(out.splitlines()[-1])
    assert (process.returncode, last["status"]) == (0, "done"), err
    assert len(Path(last["submission"]).read_text().splitlines()) == 61
    check(home, told)
    assert digest(folder) == before
    with Store.open(home / "store.db") as store:
        steps = store.steps(last["session"])
        assert [s.index for s in steps] == list(range(1, len(steps) + 1)), "no step is there twice or missing"
        assert all(b.parent_id == a.id or b.compaction for a, b in pairwise(steps))
        assert not store.sessions(status="running")


def begun(home: Path) -> bool:
    """Whether there is a session to go on with; on a busy machine the first kills come before one is."""
    if not (home / "store.db").exists():
        return False
    with Store.open(home / "store.db") as store:
        return bool(store.sessions())


def check(home: Path, told: list[str]) -> None:
    """The store opens, is sound, and holds every step that was told of."""
    if not (home / "store.db").exists():
        assert not told
        return
    with Store.open(home / "store.db") as store:
        store.check()
        held = {step.id for session in store.sessions() for step in store.steps(session.id)}
    assert set(told) <= held


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
def test_the_check_on_processes_can_fail():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        assert process.pid in children(os.getpid())
        assert gone({process.pid}, within_s=0.2) == {process.pid}
    finally:
        process.kill()
        process.wait()
    assert not gone({process.pid}, within_s=5)
