"""The store among processes: kill −9, a reader beside a writer, two writers, broken and foreign files."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from trajectory_records import make_session, make_step

from mleagent.errors import StoreError
from mleagent.trajectory.schema import MIGRATIONS
from mleagent.trajectory.store import Store

HERE = Path(__file__).parent

WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from mleagent.trajectory.store import Store
from trajectory_records import make_session, make_step
name, count = sys.argv[3], int(sys.argv[4])
with Store.open(Path(sys.argv[1])) as store:
    store.add_session(make_session(name))
    parent = None
    for index in range(1, count + 1):
        step = make_step(index, name, parent)
        store.commit_step(step, make_session(name, steps=index))
        print(step.id, flush=True)
        parent = step.id
"""


def start_writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), str(HERE), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_kill_9_loses_no_committed_step(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    chance = random.Random(0)
    total = 0
    for round_ in range(8):
        writer = start_writer(path, f"r{round_}", 100_000)
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.25))
        writer.send_signal(signal.SIGKILL)
        printed = (first + writer.stdout.read()).split("\n")
        writer.wait()
        # A last line without its line break was cut by the kill; its step is committed or not.
        committed = printed[:-1]
        with Store.open(path) as store:
            store.check()
            kept = [step.id for step in store.steps(f"r{round_}")]
            assert kept[: len(committed)] == committed
            assert len(kept) <= len(committed) + 1
            assert store.session(f"r{round_}").steps == len(kept)
        total += len(committed)
    assert total > 50


def test_a_reader_sees_commits_while_a_writer_writes(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    writer = start_writer(path, "w", 100)
    assert writer.stdout is not None
    seen = []
    with Store.open(path) as reader:
        before = reader.changes()
        for line in writer.stdout:
            ids = [step.id for step in reader.step_lines("w")]
            assert line.strip() in ids
            seen.append(len(ids))
        assert reader.changes() != before
    assert writer.wait() == 0
    assert seen == sorted(seen) and seen[-1] == 100


def test_two_writers_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    writers = [start_writer(path, name, 60) for name in ("a", "b")]
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    with Store.open(path) as store:
        assert [len(store.steps(name)) for name in ("a", "b")] == [60, 60]
        store.check()


def test_a_file_that_is_no_store_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"these are notes, not a database" * 100)
    with pytest.raises(StoreError, match="move it away") as caught:
        Store.open(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes().startswith(b"these are notes")


def test_another_programs_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE recipes (name)")
    other.commit()
    other.close()
    content = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        Store.open(path)
    assert path.read_bytes() == content


def test_a_store_from_the_future_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store.open(path) as store:
        store.add_session(make_session())
        store._db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreError, match="newer mleagent"):
        Store.open(path)


def test_a_folder_that_can_not_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="MLEAGENT_HOME") as caught:
        Store.open(tmp_path / "file" / "store.db")
    assert "\n" not in str(caught.value)


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store.open(path) as store:
        store.add_session(make_session())
        for index in range(1, 40):
            store.commit_step(make_step(index), make_session())
    content = bytearray(path.read_bytes())
    content[4096 * 4 : 4096 * 12] = random.Random(1).randbytes(4096 * 8)
    path.write_bytes(content)
    with pytest.raises(StoreError), Store.open(path) as store:
        store.check()


def test_an_old_store_is_brought_to_the_newest_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    with Store.open(path) as store:
        store.add_session(make_session())
    newer = (*MIGRATIONS, ("CREATE TABLE rollouts (id TEXT)", "INSERT INTO rollouts VALUES ('x')"))
    monkeypatch.setattr("mleagent.trajectory.schema.MIGRATIONS", newer)
    with Store.open(path) as store, Store.open(path):
        assert store._db.execute("SELECT id FROM rollouts").fetchall() == [("x",)]
        assert store.session("s1") == make_session()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.db"
    with Store.open(path) as store:
        store.add_session(make_session())
    broken = (*MIGRATIONS, ("CREATE TABLE rollouts (id TEXT)", "CREATE TABLE sessions (id TEXT)"))
    monkeypatch.setattr("mleagent.trajectory.schema.MIGRATIONS", broken)
    with pytest.raises(StoreError):
        Store.open(path)
    monkeypatch.undo()
    with Store.open(path) as store:
        assert store.session("s1") == make_session()
        names = [row[0] for row in store._db.execute("SELECT name FROM sqlite_schema")]
        assert "rollouts" not in names
