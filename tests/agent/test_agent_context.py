"""The prompt only grows: step t+1 is asked with step t's messages and its own, until a counted compaction."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from agent_kit import SUBMIT, make_task, program, session, write

from mleagent import events
from mleagent.agent.finish import finish
from mleagent.policy.scripted import ScriptedPolicy
from mleagent.trajectory.store import Store


@pytest.fixture
def folder(home, tmp_path):
    return make_task(tmp_path / "toy")


def random_replies(seed: int, count: int) -> list[str]:
    """Actions of all kinds, a few malformed, in any order."""
    chance = random.Random(seed)
    makers = [
        lambda: write(program(chance.uniform(-0.5, 0.5))),
        lambda: '<read path="solution.py"/>',
        lambda: f"<run>echo {chance.random()}</run>",
        lambda: "<undo/>",
        lambda: '<data path="train.csv"/>',
        lambda: "no action at all",
        lambda: write("x = 1\n", path=f"helper{chance.randrange(3)}.py"),
    ]
    return [chance.choice(makers)() for _ in range(count)] + [SUBMIT, SUBMIT]


@pytest.mark.parametrize("seed", [1, 2])
def test_each_prompt_starts_with_the_one_before(home, folder, seed):
    with session(folder, random_replies(seed, 9)) as (solver, policy, _):
        solver.run(finish)
        whole = solver.parts.context.messages
    asked = [prompt.messages for prompt in policy.prompts]
    assert len(asked) >= 8
    for earlier, later in pairwise(asked):
        assert later[: len(earlier)] == earlier and len(later) >= len(earlier) + 2
        assert later[len(earlier)].role == "assistant"
    roles = [message.role for message in asked[-1]]
    assert roles[:2] == ["system", "user"] and all(a != b for a, b in pairwise(roles))
    with Store.open(home / "store.db") as store:
        stored = store.messages(solver.steps[-1].id)
    assert stored == list(whole[: len(stored)]) and len(stored) >= len(asked[-1]) + 1


def test_nothing_that_changes_stands_in_the_prefix(home, folder):
    first = []
    for steps in (5, 9):
        with session(folder, [write(program()), SUBMIT], steps=steps) as (solver, policy, _):
            solver.run(finish)
        first.append(policy.prompts[0].messages)
    assert first[0] == first[1]


def test_no_sealed_number_is_ever_prompted(home, folder):
    with session(folder, [write(program(0.3)), write(program(0.0)), SUBMIT]) as (solver, policy, _):
        end = solver.run(finish)
        texts = [m.content for p in policy.prompts for m in p.messages]
        texts += [m.content for m in solver.parts.context.messages]
    assert end.sealed is not None and end.sealed != end.best_feedback
    assert not [t for t in texts if f"{end.sealed:.4f}" in t or "sealed" in t.lower()]


@pytest.mark.parametrize("limit", [1500, 1700])
def test_a_prompt_that_does_not_fit_is_compacted_and_counted(home, folder, limit):
    replies = [write(program(t / 10), plan=f"threshold {t}") for t in (4, 3, 2, 1, 0)] + [SUBMIT]
    small = ScriptedPolicy(replies, context_tokens=limit)
    with session(folder, replies, policy=small, max_tokens=256) as (solver, _, seen):
        solver.run(finish)
        compactions = solver.parts.context.compactions
    assert compactions >= 1
    assert sum(s.compaction for s in solver.steps) == compactions
    assert sum("compacted" in e.text for e in seen if isinstance(e, events.Notice)) == compactions
    for number, step in enumerate(solver.steps):
        if step.compaction:
            assert step.parent_id is None and step.added[0].role == "system"
            assert "threshold 4" in step.added[1].content, "what was tried is summed up"
        elif number:
            assert step.parent_id == solver.steps[number - 1].id
    fits = [sum(small.count_tokens(m.content) for m in p.messages) for p in small.prompts]
    assert max(fits) + 256 <= limit, "there is room for the reply"
    asked = [p.messages for p in small.prompts]
    breaks = sum(b[: len(a)] != a for a, b in pairwise(asked))
    assert breaks == compactions, "the prefix breaks only where a compaction is counted"


def test_a_policy_that_overflows_is_asked_again_after_a_compaction(home, folder):
    from mleagent.errors import ContextOverflowError

    class Overflowing(ScriptedPolicy):
        def complete(self, prompt, *args, **more):
            if len(prompt.messages) > 4:
                raise ContextOverflowError("the prompt no longer fits")
            return super().complete(prompt, *args, **more)

    replies = [write(program(t / 10)) for t in (3, 2, 1)] + [SUBMIT]
    with session(folder, replies, policy=Overflowing(replies)) as (solver, _, _):
        end = solver.run(finish)
    assert end.status == "done" and end.steps == 4 and any(s.compaction for s in solver.steps)


def test_users_own_template_is_used_and_a_broken_one_is_named(home, folder, monkeypatch):
    from mleagent.agent import start
    from mleagent.errors import InputError, SandboxLostError

    begun = []
    make = start.sandbox_of
    monkeypatch.setattr(start, "sandbox_of", lambda *a: begun.append(make(*a)) or begun[-1])
    (home / "prompts").mkdir()
    (home / "prompts" / "observation.md.j2").write_text("RESULT {{ body }} {{ verdict }}")
    with session(folder, [write(program()), SUBMIT]) as (solver, policy, _):
        solver.run(finish)
    assert policy.prompts[1].messages[-1].content.startswith("RESULT The run ended")
    (home / "prompts" / "brief.md.j2").write_text("{{ no_such_name }}")
    with pytest.raises(InputError, match=r"brief\.md\.j2.*no_such_name"), session(folder, []):
        pass
    with Store.open(home / "store.db") as store:
        assert [s.status for s in store.sessions()] == ["done"], "of what could not begin nothing is stored"
    with pytest.raises(SandboxLostError, match="not running"):
        begun[-1][0].put({"x": b""})
