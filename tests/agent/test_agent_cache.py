"""The execution cache: a program that ran before on the same files and data is not run again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from agent_kit import SUBMIT, make_task, program, run, session, write
from hypothesis import given, settings
from hypothesis import strategies as st

from mleagent import events
from mleagent.agent.cache import Entry, ExecutionCache
from mleagent.agent.finish import finish
from mleagent.records import Execution

KEYS = [f"{n:064x}" for n in range(20)]
PLAIN = Execution(command="python solution.py", status="ok", exit_code=0, duration_s=1.5, output="hi\n")


@pytest.fixture
def folder(home: Path, tmp_path: Path) -> Path:
    return make_task(tmp_path / "toy")


# --- entries on disk ----------------------------------------------------------

names = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0/\\"), min_size=1, max_size=20
)


@settings(max_examples=30, deadline=None)
@given(files=st.dictionaries(names, st.binary(max_size=200), max_size=5), gone=st.lists(names, max_size=3))
def test_an_entry_comes_back_as_it_was(
    files: dict[str, bytes], gone: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = ExecutionCache(tmp_path_factory.mktemp("cache"), 10)
    entry = Entry(PLAIN, "abc123", files, tuple(gone))
    assert cache.get(KEYS[0]) is None
    assert cache.put(KEYS[0], entry) and cache.get(KEYS[0]) == entry
    assert (cache.hits, cache.misses) == (1, 1)


@pytest.mark.parametrize("status", ["timeout", "oom", "disk", "killed", "lost", "missing_package"])
def test_what_depends_on_the_machine_is_not_kept(status: str, tmp_path: Path) -> None:
    cache = ExecutionCache(tmp_path / "cache", 10)
    assert not cache.put(KEYS[0], Entry(PLAIN.model_copy(update={"status": status})))
    assert cache.get(KEYS[0]) is None and not (tmp_path / "cache").exists()


def test_a_corrupt_entry_is_dropped(tmp_path: Path) -> None:
    cache = ExecutionCache(tmp_path, 10)
    for damage in (lambda d: d[:-3], lambda d: d[:40], lambda _d: b"", lambda d: d[:-9] + b"x" + d[-8:]):
        cache.put(KEYS[0], Entry(PLAIN, changed={"a": b"1" * 1000}))
        (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
        file.write_bytes(damage(file.read_bytes()))
        assert cache.get(KEYS[0]) is None and not file.exists()


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = ExecutionCache(tmp_path, 1)
    chunk = os.urandom(100_000)
    for at, key in enumerate(KEYS[:9]):
        assert cache.put(key, Entry(PLAIN, changed={"a": chunk}))
        os.utime(tmp_path / key[:2] / key, (1000 + at, 1000 + at))
    assert cache.get(KEYS[0]) is not None, "the oldest, used again"
    for key in KEYS[9:12]:
        assert cache.put(key, Entry(PLAIN, changed={"a": chunk}))
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert size <= 2**20
    assert cache.get(KEYS[1]) is None and cache.get(KEYS[0]) is not None and cache.get(KEYS[11]) is not None
    assert not cache.put(KEYS[12], Entry(PLAIN, changed={"a": os.urandom(2**20)})), "too large a part of it"


def test_a_cache_that_cant_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ExecutionCache(tmp_path / "file" / "cache", 10)
    assert not cache.put(KEYS[0], Entry(PLAIN)) and cache.get(KEYS[0]) is None


# --- in a session -------------------------------------------------------------

STAMP = 'import time\nprint("at", time.time_ns())\nopen("left.txt", "w").write("by this run")'


def test_a_repeated_program_is_not_run_again(folder: Path) -> None:
    look = "Plan: look\n<run>cat left.txt</run>"
    replies = [write(program(0.4, STAMP)), look, "Plan: back\n<undo steps=\"2\"/>", look,
               write(program(0.4, STAMP)), look, SUBMIT]  # fmt: skip
    solver, end = run(folder, replies)
    first, seen, _, gone, repeated, seen_again, _ = solver.steps
    assert [s.execution.cached for s in (first, gone, repeated)] == [False, False, True]
    assert repeated.execution.output == first.execution.output and "at " in first.execution.output
    assert repeated.execution.duration_s == first.execution.duration_s
    assert repeated.score == first.score and repeated.facts.milestones == first.facts.milestones
    assert seen.execution.output == seen_again.execution.output == "by this run"
    assert gone.execution.status == "error" and end.status == "done"


def test_a_command_after_a_kept_run_finds_what_that_left(folder: Path) -> None:
    replies = [write(program(0.4, STAMP)), "Plan: back\n<undo/>", write(program(0.4, STAMP)),
               "Plan: look\n<run>ls; cat left.txt solution.py</run>", SUBMIT]  # fmt: skip
    solver, _ = run(folder, replies)
    assert solver.steps[2].execution.cached and not solver.steps[3].execution.cached
    assert "by this run" in solver.steps[3].execution.output
    assert "mle:" not in solver.steps[3].execution.output, "the script it has is the model's own"


def test_another_session_on_the_same_task_profits_and_another_split_does_not(folder: Path) -> None:
    run(folder, [write(program(0.4, STAMP)), SUBMIT])
    solver, _ = run(folder, [write(program(0.4, STAMP)), SUBMIT])
    assert solver.steps[0].execution.cached and solver.steps[0].facts.forged == 0
    assert solver.steps[0].facts.submission == "valid"
    (folder / "mleagent.toml").write_text(
        '[task]\ntarget = ["y"]\nmetric = "accuracy"\n[holdout]\nseed = 5\n'
    )
    solver, _ = run(folder, [write(program(0.4, STAMP)), SUBMIT])
    assert not solver.steps[0].execution.cached


def test_switched_off_everything_runs(folder: Path) -> None:
    solver, _ = run(
        folder, [write(program(0.4)), write(program(0.0)), write(program(0.4)), SUBMIT], cache=False
    )
    assert not any(step.execution.cached for step in solver.steps[:3])


def test_a_kept_run_longer_than_the_limit_now_is_run(folder: Path) -> None:
    slow = write(program(0.4, "import time; time.sleep(1.2)"))
    with session(folder, [slow, write(program(0.1)), slow]) as (solver, _, seen):
        solver.step()
        solver.step()
        solver.parts.exec_limit_s = 0.6
        solver.step()
        assert solver.steps[-1].execution.status == "timeout"
        assert solver.parts.executor.recall.cache.hits == 1, "found, and not taken"
    assert [e.execution.cached for e in seen if isinstance(e, events.RunEnd)] == [False] * 3


def test_what_the_workspace_does_not_know_is_not_guessed_at(folder: Path) -> None:
    pipe = "import os\nif not os.path.exists('pipe'): os.mkfifo('pipe')"
    replies = [write(program(0.4, pipe)), write(program(0.0)), write(program(0.4, pipe)), SUBMIT]
    with session(folder, replies) as (solver, _, _):
        solver.run(finish)
    assert not any(step.execution.cached for step in solver.steps[:3])
