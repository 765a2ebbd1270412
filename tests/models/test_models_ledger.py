"""The ledger keeps entries, looks and uses; errors are one line; a kill or a full disk harms nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mleagent.errors import InputError, StoreError
from mleagent.models import Adapter, Base, GateResult, Ledger, Look, Provenance
from mleagent.models.entries import Files, checked_name, name_for


def base(name="qwen", sha="a" * 64, **more) -> Base:
    files = Files(path=f"/models/{name}.gguf", sha256=sha, bytes=5, stamp="5@1")
    return Base(name=name, kind="gguf", files=files, architecture="qwen2", added_at=1.0, **more)


def adapter(name="night-1", parent="a" * 64, **more) -> Adapter:
    files = Files(path=f"/models/{name}.gguf", sha256="b" * 64, bytes=3, stamp="3@1")
    return Adapter(name=name, files=files, parent=parent, added_at=2.0, **more)


def test_what_goes_in_comes_out(ledger):
    made = Provenance(
        config={"lr": "3e-4"}, seed=7, data=("d1",), sessions=("s1", "s2"), versions={"peft": "0.21"}
    )
    gate = GateResult(
        verdict="promoted", gain=0.02, lower=0.004, alpha=0.025, tasks=120, worst_user_task=-0.01
    )
    ledger.add(base(licence="apache-2.0", context_length=32768))
    ledger.add(adapter(provenance=made))
    ledger.set_state("night-1", "promoted", gate)
    again = Ledger(ledger.home)
    assert again.bases() == [base(licence="apache-2.0", context_length=32768)]
    assert again.adapters() == [adapter(provenance=made, state="promoted", gate=gate)]
    assert again.find("NIGHT-1").name == "night-1" and again.find("other") is None
    assert again.base_of_hash("a" * 64).name == "qwen" and again.base_of_hash("") is None
    assert [one.name for one in again.children("a" * 64)] == ["night-1"]
    assert [one.name for one in again.trained_on("s2")] == ["night-1"] and not again.trained_on("s3")
    assert again.adapters("candidate") == [] and len(again.adapters("promoted")) == 1


def test_reading_creates_nothing(ledger):
    assert ledger.bases() == [] and ledger.names() == [] and ledger.last_use() is None
    assert not ledger.path.exists()


def test_a_name_is_taken_once_whatever_its_case(ledger):
    ledger.add(base("Qwen"))
    with pytest.raises(InputError, match="there is a model 'Qwen' already"):
        ledger.add(base("qwen"))
    with pytest.raises(InputError, match=r"no model 'qwne' in the ledger; known: Qwen"):
        ledger.get("qwne")
    ledger.remove("QWEN")
    with pytest.raises(InputError, match="known: none yet"):
        ledger.get("qwen")
    with pytest.raises(InputError, match="any more"):
        ledger.update(base("qwen"))


@pytest.mark.parametrize(
    "name", ["nano", "AUTO", "playbook", "a/b", "x.gguf", "", "a:b", "../x", "-a", "a b"]
)
def test_names_that_mean_something_else_are_refused(name):
    with pytest.raises(InputError):
        checked_name(name)


def test_names_made_from_files_can_be_used():
    for path in ("Qwen2.5 Coder (7B).gguf", "nano.gguf", "___.gguf", "a-00001-of-00003.gguf", "x" * 300):
        assert checked_name(name_for(Path(path)))
    assert name_for(Path("big-00001-of-00003.gguf")) == "big"


def test_looks_add_up_and_stay(ledger):
    for number in range(3):
        ledger.record_look(
            Look(gate_set="g1", adapter=f"n{number}", alpha=0.05 / 2**number, verdict="refused", at=number)
        )
    ledger.record_look(Look(gate_set="g2", adapter="n9", alpha=0.5, verdict="promoted", at=9.0))
    assert [look.adapter for look in ledger.looks("g1")] == ["n0", "n1", "n2"]
    assert sum(look.alpha for look in ledger.looks("g1")) == pytest.approx(0.0875)


def test_a_base_has_no_state(ledger):
    ledger.add(base())
    with pytest.raises(InputError, match="only adapters have a state"):
        ledger.set_state("qwen", "promoted")


def test_a_file_that_is_no_ledger_is_refused(ledger):
    ledger.path.write_bytes(b"hello " * 1000)
    for work in (ledger.bases, lambda: ledger.add(base())):
        with pytest.raises(StoreError, match=r"models\.db") as caught:
            work()
        assert "\n" not in str(caught.value)
    ledger.path.unlink()
    sqlite3.connect(ledger.path).execute("CREATE TABLE other (x)").connection.commit()
    with pytest.raises(StoreError, match="is not a ledger"):
        ledger.bases()


def test_a_newer_ledger_is_left_alone(ledger):
    ledger.add(base())
    with sqlite3.connect(ledger.path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer mleagent"):
        ledger.add(adapter())


def test_writers_at_once_lose_nothing(ledger):
    code = (
        "import sys; sys.path.insert(0, sys.argv[3]); from pathlib import Path\n"
        "from test_models_ledger import base; from mleagent.models import Ledger\n"
        "for n in range(20): Ledger(Path(sys.argv[1])).add(base(f'{sys.argv[2]}-{n}'))"
    )
    here = str(Path(__file__).parent)
    both = [subprocess.Popen([sys.executable, "-c", code, str(ledger.home), who, here]) for who in ("a", "b")]
    assert [one.wait(60) for one in both] == [0, 0]
    assert len(ledger.names()) == 40


def test_kill_in_the_middle_of_a_write_leaves_the_old_ledger(ledger):
    ledger.add(base())
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[2]); from pathlib import Path\n"
        "from test_models_ledger import base; from mleagent.models import Ledger\n"
        "with Ledger(Path(sys.argv[1])).writing() as db:\n"
        "    db.execute('DELETE FROM models')\n"
        "    for n in range(20000):\n"
        "        db.execute('INSERT INTO uses (before, after, at) VALUES (?, ?, 0)', ('x' * 300, 'y'))\n"
        "    print('deep', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(ledger.home), str(Path(__file__).parent)], stdout=subprocess.PIPE
    )
    assert child.stdout.readline() == b"deep\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert ledger.names() == ["qwen"] and ledger.last_use() is None
    ledger.add(base("second", "c" * 64))
    assert ledger.names() == ["qwen", "second"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_leaves_the_old_ledger(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(small)])
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        ledger = Ledger(small)
        ledger.add(base())
        (small / "fill").write_bytes(b"x" * (os.statvfs(small).f_bavail * os.statvfs(small).f_frsize))
        with pytest.raises(StoreError, match="can't be written") as caught:
            for number in range(100):
                ledger.add(base(f"more-{number}", f"{number:064d}", source="s" * 3000))
        assert "\n" not in str(caught.value)
        held = ledger.names()
        assert held[0] == "qwen" and len(held) < 100
        (small / "fill").unlink()
        ledger.add(adapter())
        assert ledger.names() == [*held, "night-1"]
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_reading_is_quick_with_a_thousand_adapters(ledger):
    with ledger.writing() as db:
        from mleagent.models.ledger import _insert

        for number in range(1000):
            _insert(db, adapter(f"night-{number}"))
    begun = time.perf_counter()
    assert ledger.find("night-500") is not None and len(ledger.adapters()) == 1000
    assert time.perf_counter() - begun < 1.0
