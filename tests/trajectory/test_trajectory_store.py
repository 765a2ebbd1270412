"""The store: what goes in comes out, a change is whole or not at all, lists and search find it."""

from __future__ import annotations

import itertools
import stat
import statistics
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trajectory_records import STEPS, make_session, make_step, make_task, reward, score

from mleagent.errors import InputError, StoreError
from mleagent.records import Completion, Message, SealedGrade, Step
from mleagent.trajectory.store import Store

serial = itertools.count()


def assert_same(got: Step, want: Step) -> None:
    """Equal, log-probabilities within half precision."""
    if want.completion is not None:
        assert got.completion is not None
        assert got.completion.logprobs == pytest.approx(want.completion.logprobs, rel=2**-11, abs=2**-24)
        completion = got.completion.model_copy(update={"logprobs": want.completion.logprobs})
        got = got.model_copy(update={"completion": completion})
    assert got == want


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=1, max_size=4), fork=st.integers(0, 3), growing=st.booleans())
def test_any_step_comes_back_as_it_went_in(store: Store, steps: list[Step], fork: int, growing: bool) -> None:
    session = make_session(f"p{next(serial)}")
    store.add_session(session)
    stored: list[Step] = []
    for i, step in enumerate(steps):
        parent = stored[min(fork, i - 1)] if i else None
        changes: dict[str, object] = {
            "id": f"{session.id}-{i}",
            "session_id": session.id,
            "parent_id": parent.id if parent else None,
        }
        if growing and step.completion and parent and parent.completion:
            before = parent.completion.prompt_ids + parent.completion.token_ids
            ids = before + step.completion.prompt_ids
            changes["completion"] = step.completion.model_copy(update={"prompt_ids": ids})
        stored.append(step.model_copy(update=changes))
        store.commit_step(stored[-1], session)
    with Store.open(store.path) as fresh:
        for got, want in zip(fresh.steps(session.id), stored, strict=True):
            assert_same(got, want)
        for want in stored:
            assert_same(fresh.step(want.id), want)
            assert_same(fresh.branch(want.id)[-1], want)


def test_sessions_come_back_newest_first(store: Store) -> None:
    for i in range(5):
        store.add_session(make_session(f"s{i}", created_at=float(i), best=score(0.5 + i / 10)))
    assert [s.id for s in store.sessions()] == ["s4", "s3", "s2", "s1", "s0"]
    assert [s.id for s in store.sessions(limit=2, offset=1)] == ["s3", "s2"]
    assert store.session("s2") == make_session("s2", created_at=2.0, best=score(0.7))
    assert store.count_sessions() == 5


def test_sessions_by_folder_and_status(store: Store) -> None:
    store.add_session(make_session("a", task=make_task(folder="/data/a"), status="done"))
    store.add_session(make_session("b", task=make_task(folder="/data/b")))
    assert [s.id for s in store.sessions(folder=Path("/data/a"))] == ["a"]
    assert [s.id for s in store.sessions(status="running")] == ["b"]
    assert store.count_sessions(status="failed") == 0


def test_resolve_takes_id_prefix_and_last(store: Store) -> None:
    with pytest.raises(InputError, match="no session yet"):
        store.resolve("last")
    for session_id, at in (("abc1", 3.0), ("abd2", 1.0), ("abc", 2.0)):
        store.add_session(make_session(session_id, created_at=at))
    assert store.resolve("last").id == "abc1"
    assert store.resolve("abd").id == "abd2"
    assert store.resolve("abc").id == "abc"
    with pytest.raises(InputError, match=r"could be abc, abc1, abd2"):
        store.resolve("ab")
    for nothing in ("zzz", "", "%", "ab_"):
        with pytest.raises(InputError, match="no session"):
            store.resolve(nothing)


def test_a_commit_writes_step_session_and_late_rewards_together(store: Store) -> None:
    store.add_session(make_session())
    looked = make_step(1)
    store.commit_step(looked, make_session(steps=1))
    assert store.rewards(looked.id) == []
    ran = make_step(2, parent_id=looked.id, value=0.8, rewards=(reward(0.7),))
    after = make_session(steps=2, best=score(0.8), best_step_id=ran.id)
    store.commit_step(ran, after, {looked.id: [reward(0.66)]})
    assert store.rewards(looked.id) == [reward(0.66)]
    assert store.session("s1") == after
    assert [line.reward for line in store.step_lines("s1")] == [0.66, 0.7]
    assert store.session_lines()[0].reward == pytest.approx(1.36)


def test_a_commit_that_fails_leaves_nothing(store: Store) -> None:
    store.add_session(make_session())
    store.commit_step(make_step(1), make_session(steps=1))
    with pytest.raises(StoreError, match="stored already"):
        store.commit_step(make_step(1), make_session(steps=2))
    with pytest.raises(StoreError):
        store.commit_step(make_step(2, parent_id="nobody"), make_session(steps=2))
    with pytest.raises(InputError, match="no step 'nobody'"):
        store.commit_step(make_step(2), make_session(steps=2), {"nobody": [reward(1.0)]})
    assert [step.index for step in store.steps("s1")] == [1]
    assert store.session("s1").steps == 1
    assert store.search("try 2") == []
    store.check()


def test_rewards_of_other_schemes_stand_beside_each_other(store: Store) -> None:
    store.add_session(make_session())
    store.commit_step(make_step(1, rewards=(reward(0.5),)), make_session())
    store.add_reward("s1-1", reward(-1.0, "ml-agent"))
    store.add_reward("s1-1", reward(0.6))
    assert store.rewards("s1-1") == [reward(-1.0, "ml-agent"), reward(0.6)]
    assert store.step_lines("s1")[0].reward == 0.6


def test_messages_run_from_the_last_prefix_root(store: Store) -> None:
    store.add_session(make_session())

    def said(text: str) -> tuple[Message, ...]:
        return (Message(role="user", content=f"ask {text}"), Message(role="assistant", content=text))

    store.commit_step(make_step(1, added=said("a")), make_session())
    store.commit_step(make_step(2, parent_id="s1-1", added=said("b")), make_session())
    fork = make_step(3, parent_id="s1-1", added=said("c"))
    store.commit_step(fork, make_session())
    store.commit_step(make_step(4, parent_id="s1-2", added=said("d"), compaction=True), make_session())
    store.commit_step(make_step(5, parent_id="s1-4", added=said("e")), make_session())
    assert store.messages("s1-2") == [*said("a"), *said("b")]
    assert store.messages("s1-3") == [*said("a"), *said("c")]
    assert store.messages("s1-5") == [*said("d"), *said("e")]
    assert [step.index for step in store.branch("s1-5")] == [1, 2, 4, 5]
    assert [step.index for step in store.branch("s1-3")] == [1, 3]
    with pytest.raises(InputError, match="no step"):
        store.messages("s1-9")


def test_a_growing_prompt_is_stored_once(store: Store) -> None:
    """Token ids of the prompt take space for what was added, not for the whole prompt each step."""
    store.add_session(make_session())
    ids: tuple[int, ...] = tuple(range(50_000, 52_000))
    parent = None
    for index in range(1, 31):
        reply = Completion(text="x", prompt_ids=ids, token_ids=(7,) * 50)
        step = make_step(index, parent_id=parent, completion=reply)
        store.commit_step(step, make_session())
        ids, parent = ids + reply.token_ids + (index,) * 20, step.id
    sizes = store._db.execute("SELECT length(prompt_ids) FROM step_data ORDER BY step").fetchall()
    assert sizes[0][0] == 6000
    assert {size for (size,) in sizes[1:]} == {20}
    last = store.step(step.id).completion
    assert last is not None
    assert last.prompt_ids == ids[: len(last.prompt_ids)]


def test_labels(store: Store) -> None:
    store.add_session(make_session())
    store.commit_step(make_step(1), make_session())
    assert store.step_lines("s1")[0].label is None
    store.add_label("s1-1", "+", "neat")
    store.add_label("s1-1", "-")
    assert [(x.index, x.label, x.note) for x in store.labels("s1")] == [(1, "+", "neat"), (1, "-", "")]
    assert store.step_lines("s1")[0].label == "-"
    with pytest.raises(InputError, match="no step"):
        store.add_label("s1-9", "+")


def test_every_look_at_a_split_counts_also_after_deletion(store: Store) -> None:
    grade = SealedGrade(score=score(0.7, "sealed"), utility=0.4)
    store.add_session(make_session("a"))
    store.add_session(make_session("b"))
    assert store.add_sealed("a", "a-1", "hash", grade).score.looks == 1
    assert store.add_sealed("b", "b-1", "hash", grade).score.looks == 2
    assert store.add_sealed("b", "b-1", "other", grade).score.looks == 1
    store.delete_session("a")
    assert store.add_sealed("b", "b-2", "hash", grade).score.looks == 3
    assert [g.score.looks for g in store.sealed("b")] == [2, 1, 3]
    line = store.session_lines()[0]
    assert (line.sealed, line.looks) == (0.7, 3)


def test_search_finds_every_indexed_text(store: Store) -> None:
    session = make_session(instruction="group by passenger please")
    store.add_session(session)
    step = make_step(
        1,
        action={"kind": "write", "plan": "gradient boosting", "body": "cat_cols = ['Cabin']"},
        execution={
            "command": "x",
            "status": "error",
            "output": "KeyError: 'Deck'" + "." * 50_000 + "tailword",
        },
        observation="no submission was left",
    )
    store.commit_step(step, session)
    for words in ("gradient boost", "cat_cols", "KeyError Deck", "tailword", "submission left"):
        (hit,) = store.search(words)
        assert (hit.session_id, hit.step_id, hit.index) == ("s1", "s1-1", 1)
        assert "«" in hit.snippet and "\n" not in hit.snippet
    (hit,) = store.search("passenger")
    assert (hit.step_id, hit.snippet) == (None, "group by «passenger» please")
    assert [line.id for line in store.session_lines(text="gradient boo")] == ["s1"]
    assert store.count_sessions(text="gradient boo") == 1
    assert store.count_sessions(text="neural") == 0


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=40) | st.text(alphabet='"*():^-+ ANDORNOT{}a', max_size=40))
def test_nothing_typed_is_a_search_error(store: Store, text: str) -> None:
    store.search(text)
    store.session_lines(text=text)


def test_delete_takes_everything_of_the_session(store: Store) -> None:
    for session_id in ("s1", "s2"):
        store.add_session(make_session(session_id))
        first = make_step(1, session_id)
        store.commit_step(first, make_session(session_id))
        store.commit_step(make_step(2, session_id, parent_id=first.id), make_session(session_id))
        store.add_label(first.id, "+")
    store.delete_session("s1")
    with pytest.raises(InputError, match="no session"):
        store.session("s1")
    assert {hit.session_id for hit in store.search("try")} == {"s2"}
    counts = {
        table: store._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("sessions", "steps", "step_data", "labels", "step_text", "session_text")
    }
    assert counts == {
        "sessions": 1, "steps": 2, "step_data": 2, "labels": 1, "step_text": 2, "session_text": 1,
    }  # fmt: skip
    store.check()
    with pytest.raises(InputError, match="no session"):
        store.delete_session("s1")


def test_a_session_that_another_continues_is_kept(store: Store) -> None:
    store.add_session(make_session("a"))
    store.add_session(make_session("b"))
    store.commit_step(make_step(1, "a"), make_session("a"))
    store.commit_step(make_step(2, "b", parent_id="a-1"), make_session("b"))
    with pytest.raises(InputError, match="continued by b"):
        store.delete_session("a")
    store.delete_session("b")
    store.delete_session("a")


def test_a_changed_task_is_written_with_the_session(store: Store) -> None:
    store.add_session(make_session())
    changed = make_session(task=make_task(name="renamed"))
    store.commit_step(make_step(1), changed)
    assert store.session("s1").task.name == "renamed"
    again = make_session(task=make_task(name="third"), instruction="words")
    store.update_session(again)
    assert store.session("s1") == again
    assert store.search("third")[0].session_id == "s1"
    with pytest.raises(InputError, match="no session 'zz'"):
        store.update_session(make_session("zz"))


def test_no_adapter_was_trained_yet(store: Store) -> None:
    store.add_session(make_session())
    assert store.adapters_trained_on("s1") == []
    store._db.execute("INSERT INTO adapter_sessions VALUES ('night-1', 's1')")
    assert store.adapters_trained_on("s1") == ["night-1"]


def test_the_file_is_the_users_alone(store: Store) -> None:
    for path in store.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_committing_stays_quick_and_flat(store: Store) -> None:
    """Median of a commit with 6 kB of code, 8 kB of output and a prompt that grows by 500 tokens."""
    session = make_session()
    store.add_session(session)
    ids: tuple[int, ...] = tuple(range(1000))
    times = []
    parent = None
    for index in range(1, 201):
        tokens = tuple(range(index, index + 350))
        reply = Completion(
            text="code line\n" * 600, prompt_ids=ids, token_ids=tokens, logprobs=(-0.5,) * len(tokens)
        )
        step = make_step(
            index,
            parent_id=parent,
            completion=reply,
            action={"kind": "write", "plan": "try", "body": reply.text},
            execution={"command": "x", "status": "ok", "output": f"[{index}] valid auc 0.81\n" * 350},
        )
        session = session.model_copy(update={"steps": index})
        begin = time.perf_counter()
        store.commit_step(step, session)
        times.append(time.perf_counter() - begin)
        ids, parent = ids + tokens + (9,) * 150, step.id
    assert statistics.median(times) < 0.005
    assert statistics.median(times[-25:]) < 2.5 * statistics.median(times[:25]) + 0.001
