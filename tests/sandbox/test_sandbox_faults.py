"""Faults under a session: the step ends with a named error, the session goes on, nothing is lost.

Whole sessions with a real sandbox, a real grader and a real store; only the policy is a list of replies. The
engine that is stopped is one of the test's own; the disk that is full is a small memory file system.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent_kit import SUBMIT, digest, make_task, program, run, session, write

from mleagent.agent import execute
from mleagent.agent.finish import finish
from mleagent.agent.start import mark_dead, resume_session
from mleagent.agent.wish import Wish
from mleagent.config import load_settings
from mleagent.errors import StoreError
from mleagent.policy.scripted import ScriptedPolicy
from mleagent.sandbox import engine, image
from mleagent.trajectory.store import Store

SLEEP = "Plan: wait\n<run>echo before; sleep 20</run>"
KINDS = ["namespaces", pytest.param("docker", marks=pytest.mark.docker)]
GOOD = [write(program(0.4)), write(program(0.0), plan="better")]
Sandboxes = Callable[[str], None]


@pytest.fixture
def folder(home: Path, tmp_path: Path) -> Path:
    return make_task(tmp_path / "toy")


def _after_a_loss(folder: Path, kind: str, harm: Callable[[Any], None]) -> Any:
    """A session whose sandbox is harmed while a command sleeps; (solver, end)."""
    with session(folder, [GOOD[0], SLEEP, GOOD[1], SUBMIT], sandbox=kind, time="10m") as (solver, _, seen):
        original = solver.parts.sandbox.run

        def run_and_harm(command: str, *more: Any) -> Any:
            timer = threading.Timer(1.0, harm, [solver.parts.sandbox]) if "sleep 20" in command else None
            if timer:
                timer.start()
            try:
                return original(command, *more)
            finally:
                if timer:
                    timer.join()

        solver.parts.sandbox.run = run_and_harm
        return solver, solver.run(finish), seen


def _assert_went_on(solver: Any, end: Any, home: Path, word: str) -> None:
    first, lost, second, _ = solver.steps
    assert lost.execution.status == "lost" and word in lost.execution.detail, lost.execution
    assert "lost" in lost.observation
    assert (first.facts.submission, second.facts.submission) == ("valid", "valid")
    assert second.score.better_than(first.score)
    assert (end.status, end.refit) == ("done", "refitted")
    with Store.open(home / "store.db") as store:
        store.check()
        assert store.steps(solver.session.id) == solver.steps


# --- the sandbox ----------------------------------------------------------------


def _kill_runner(box: Any) -> None:
    if box.name == "docker":
        box._container.kill()
        return
    box._process._process.kill()


@pytest.mark.parametrize("kind", KINDS)
def test_the_runner_is_killed_under_a_run(
    kind: str, folder: Path, home: Path, any_sandbox: Sandboxes
) -> None:
    any_sandbox(kind)
    before = digest(folder)
    solver, end, _ = _after_a_loss(folder, kind, _kill_runner)
    _assert_went_on(solver, end, home, "lost")
    assert digest(folder) == before


@pytest.mark.docker
def test_the_container_is_removed_under_a_run(folder: Path, home: Path, any_sandbox: Sandboxes) -> None:
    any_sandbox("docker")
    solver, end, _ = _after_a_loss(folder, "docker", lambda box: box._container.remove(force=True))
    _assert_went_on(solver, end, home, "its container ")


@pytest.mark.parametrize("kind", KINDS)
def test_the_runner_is_killed_between_two_runs(
    kind: str, folder: Path, home: Path, any_sandbox: Sandboxes
) -> None:
    any_sandbox(kind)
    with session(folder, [*GOOD, SUBMIT], sandbox=kind) as (solver, _, _):
        solver.step()
        _kill_runner(solver.parts.sandbox)
        solver.step()
        assert solver.steps[1].execution.status == "lost"
        assert "lost" in solver.steps[1].observation
        solver.parts.policy = ScriptedPolicy([GOOD[1], SUBMIT])
        end = solver.run(finish)
    assert end.status == "done" and solver.steps[2].facts.submission == "valid"


def test_a_work_folder_filled_by_a_program_is_told_and_can_be_emptied(folder: Path, home: Path) -> None:
    fill = "Plan: fill\n<run>head -c 40m /dev/zero > big; head -c 2m /dev/zero > small</run>"
    long = write(program(0.0) + "# a long comment\n" * 20_000)
    replies = [GOOD[0], fill, long, "Plan: room\n<run>rm big; ls</run>", write(program(0.1)), SUBMIT]
    solver, end = run(folder, replies, disk_mb=24, checkpoint_mb=16)
    filled, refused, freed, after = (step.execution for step in solver.steps[1:5])
    assert filled.status == "disk"
    assert refused.status == "disk" and "can't take" in refused.detail and "No space" in refused.detail
    assert freed.status == "ok" and after.status == "ok" and end.status == "done"


# --- the engine -----------------------------------------------------------------


class OwnEngine:
    """A docker daemon of the test's own, beside the machine's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, f"unix://{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        paths = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
        options = [f"--{name}={self.folder / path}" for name, path in paths.items()]
        options += [f"--host={self.address}", "--bridge=none", "--iptables=false", "--ip-masq=false"]
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            ["dockerd", *options], stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline and self._process.poll() is None:
            done = subprocess.run(["docker", "-H", self.address, "version"], capture_output=True)
            if done.returncode == 0:
                return
            time.sleep(0.3)
        text = (self.folder / "log").read_text()[-400:]
        self.stop()
        pytest.skip(f"no second docker daemon can be run here: {text}")

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._process = None


@pytest.fixture(scope="module")
def second_engine(docker_engine: Any) -> Iterator[OwnEngine]:
    if os.geteuid() != 0 or shutil.which("dockerd") is None or not sys.platform.startswith("linux"):
        pytest.skip("a docker daemon of the test's own needs root and dockerd")
    folder = Path(f"/tmp/mleagent-engine-{os.getpid()}")  # short, for the socket's path
    folder.mkdir()
    own = OwnEngine(folder)
    try:
        own.start()
        tag = image.stock_tag()
        pipe = f"docker save {tag} | docker -H {own.address} load"
        subprocess.run(["sh", "-c", pipe], check=True, capture_output=True)
        yield own
    finally:
        own.stop()
        for _ in range(3):  # what the daemon left mounted
            mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
            for mount in sorted((m for m in mounts if m.startswith(str(folder))), reverse=True):
                subprocess.run(["umount", "-l", mount], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_engine(second_engine: OwnEngine, monkeypatch: pytest.MonkeyPatch) -> OwnEngine:
    monkeypatch.setenv("DOCKER_HOST", second_engine.address)
    return second_engine


@pytest.mark.docker
@pytest.mark.slow
def test_the_engine_stops_under_a_run_and_comes_back(own_engine: OwnEngine, folder: Path, home: Path) -> None:
    def restart(_box: Any) -> None:
        own_engine.stop()
        threading.Timer(2.0, own_engine.start).start()

    solver, end, _ = _after_a_loss(folder, "docker", restart)
    _assert_went_on(solver, end, home, "the docker sandbox was lost")
    client = engine.connect("docker")
    deadline = time.monotonic() + 10
    while client.containers.list(all=True) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert client.containers.list(all=True) == []
    client.close()


@pytest.mark.docker
@pytest.mark.slow
def test_an_engine_that_stays_away_ends_the_session_resumable(
    own_engine: OwnEngine, folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "RETURN_S", 1.0)
    with session(folder, [*GOOD, *GOOD, *GOOD], sandbox="docker") as (solver, _, _):
        solver.step()
        own_engine.stop()
        end = solver.run(finish)
    assert end.status == "failed" and "lost 3 times in a row" in end.reason
    assert end.submission and Path(end.submission).is_file(), "the best so far is kept"
    own_engine.start()
    again = _resumed(folder, home, solver.session.id, [GOOD[1], SUBMIT])
    assert again.status == "done"


# --- the host's disk --------------------------------------------------------------


@contextlib.contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode:
        pytest.skip("a small file system can't be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _resumed(folder: Path, home: Path, session_id: str, replies: list[str]) -> Any:
    with Store.open(home / "store.db") as store:
        store.check()
        mark_dead(store, home)
        record = store.session(session_id)
    settings = load_settings(model="playbook", sandbox=record.sandbox, exec_limit="60s")
    solver = resume_session(Wish(folder, settings), record)
    solver.parts.policy = ScriptedPolicy(replies)
    try:
        return solver.run(finish)
    finally:
        solver.parts.close()


def _fill(disk: Path, leave: int) -> Path:
    """A file that leaves only so many bytes."""
    ballast = disk / "ballast"
    there = os.statvfs(disk)
    with ballast.open("wb") as file:
        file.write(bytes(max(0, there.f_bavail * there.f_frsize - leave)))
    return ballast


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")
@pytest.mark.parametrize("leave", [0, 64 << 10, 600 << 10])
def test_the_disk_is_full(leave: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_task(tmp_path / "toy")
    big = write(program(0.0, extra="import os; open('model.bin', 'wb').write(os.urandom(2 << 20))"))
    with _small_disk(tmp_path / "disk", "32m") as disk:
        home = disk / "home"
        monkeypatch.setenv("MLEAGENT_HOME", str(home))
        with session(folder, [GOOD[0], big, SUBMIT]) as (solver, _, _):
            solver.step()
            ballast = _fill(disk, leave)
            try:
                end = solver.run(finish)
                assert end.status == "failed"
                said = end.reason
            except StoreError as error:
                said = str(error)
        assert str(home) in said and "solve -r" in said and "\n" not in said
        assert [path for path in home.rglob("*") if "partial" in path.name] == []
        ballast.unlink()
        with Store.open(home / "store.db") as store:
            store.check()
            assert [step.index for step in store.steps(solver.session.id)] == [1]
        end = _resumed(folder, home, solver.session.id, [big, SUBMIT])
        assert (end.status, end.steps) == ("done", 3)
        assert Path(end.submission).read_text().startswith("id,y\n")
        with Store.open(home / "store.db") as store:
            store.check()
