"""Exploration: diverse plans, real mistakes, trajectories that train on what is right only."""

from __future__ import annotations

import ast
from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from finetune_kit import arena_of

from finetune.conversation import Conversation, Turn, append, read
from finetune.evaluate import evaluate, synthetic
from finetune.expert import LENGTHS, Trajectory
from finetune.explore import Runner, changes_for, drafts_for, explore, main
from finetune.idea_policy import random_ideas
from finetune.mistakes import DAMAGE, damaged, malformed
from finetune.spread import mean_distance, spread
from mleagent.agent.actions import parse
from mleagent.agent.templates import Templates
from mleagent.config import Settings
from mleagent.errors import PolicyError
from mleagent.protocols import SandboxSpec
from mleagent.records import Limits
from mleagent.sandbox.choose import make
from mleagent.sandbox.pool import Pool


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    return arena_of("ordered-words", tmp_path_factory.mktemp("explore"))


@pytest.fixture(scope="module")
def trajectories(arena, tmp_path_factory):
    """Twelve trajectories of one task, run in a real sandbox."""
    rng = Random("test")
    drafts = drafts_for(arena.task, rng)
    changes = changes_for(arena.task, drafts, rng)
    limits = Limits(wall_s=20, cpus=1.0, memory_mb=2048)
    spec = SandboxSpec(session_id="t", task_name=arena.task.name, public=arena.task.public, limits=limits)
    sandbox = make("namespaces", spec)
    sandbox.start()
    try:
        runner = Runner(arena.task, sandbox, tmp_path_factory.mktemp("runner"), Settings())
        made = [
            Trajectory(arena.task, Templates(), drafts, changes, runner, Random(f"t{k}")).write()
            for k in range(12)
        ]
        runner.close()
    finally:
        sandbox.close()
    return [one for one in made if one]


def test_maximin_spreads_further_than_chance():
    rng = Random(0)
    words = [f"w{n}" for n in range(60)]
    texts = [" ".join(rng.choices(words, k=6)) for _ in range(120)]
    chosen = spread(texts, 10, Random(1))
    assert len(set(chosen)) == 10
    by_chance = sum(mean_distance(texts, rng.sample(range(120), 10)) for _ in range(20)) / 20
    assert mean_distance(texts, chosen) > by_chance


def test_maximin_never_picks_a_tight_cluster():
    texts = ["a b c", "d e f", "g h i"] + ["far away place"] * 50
    assert Counter(texts[place] for place in spread(texts, 4, Random(0))).most_common(1)[0][1] == 1


def test_drafts_differ_and_are_short(arena):
    drafts = drafts_for(arena.task, Random(3))
    assert len({draft.text for draft in drafts}) == 10
    again = drafts_for(arena.task, Random(3))
    assert [draft.line for draft in drafts] == [draft.line for draft in again]
    for draft in drafts:
        action = parse(draft.reply)
        assert (action.kind, action.plan, action.body) == ("write", draft.line, draft.text)


@pytest.mark.parametrize("kind", sorted(DAMAGE))
def test_every_kind_of_damage_is_found_somewhere(kind, arena):
    texts = [d.text for seed in range(8) for d in drafts_for(arena.task, Random(seed))]
    elsewhere = {  # this task asks for values, without gaps or categories
        "wrong-shape": "x = model.predict_proba(B)[:, 1]\n",
        "no-proba": "sub = model.predict_proba(B)\n",
        "no-imputer": "make_pipeline(sklearn.impute.SimpleImputer(), sklearn.linear_model.Ridge())\n",
        "no-dummies": "X = pd.concat([train, test])\nX = pd.get_dummies(X)\n",
    }
    texts += [elsewhere[kind]] if kind in elsewhere else []
    found = [(text, DAMAGE[kind](text, Random(0))) for text in texts]
    assert any(wrong is not None and wrong != text for text, wrong in found)


def test_damage_is_one_small_change(arena):
    for seed, draft in enumerate(drafts_for(arena.task, Random(5))):
        ast.parse(draft.text)
        found = damaged(draft.text, Random(seed))
        assert found is not None
        assert found[1] != draft.text
        assert abs(len(found[1]) - len(draft.text)) < 120


def test_malformed_replies_are_refused_by_the_parser(arena):
    reply = drafts_for(arena.task, Random(6))[0].reply
    for seed in range(20):
        assert parse(malformed(reply, Random(seed))).kind == "invalid"


def test_trajectories_end_valid_and_train_on_right_replies_only(trajectories):
    assert len(trajectories) >= 10
    for one in trajectories:
        assert one.turns[-1].content.endswith("<submit/>")
        for turn, answer in pairwise(one.turns):
            if turn.train:
                assert turn.role == "assistant"
                assert parse(turn.content).kind != "invalid"
                assert not answer.content.startswith(("failed", "malformed", "invalid", "no submission"))
    replies = [turn for one in trajectories for turn in one.turns if turn.role == "assistant"]
    assert any(not turn.train for turn in replies)
    assert sum(turn.train for turn in replies) > len(replies) / 2


def test_an_end_by_choice_is_learnt_from_after_the_longest_trajectories_only(trajectories):
    early = 0
    for one in trajectories:
        told = one.turns[-2].content.endswith("last step")
        answers = [answer.content for turn, answer in pairwise(one.turns) if "<write" in turn.content]
        executed = sum(not answer.startswith("malformed") for answer in answers)
        assert one.turns[-1].train == (told or executed == max(LENGTHS))
        early += not one.turns[-1].train
    assert 0 < early < len(trajectories) / 2


def test_a_repair_follows_a_mistake(trajectories):
    for one in trajectories:
        replies = [turn for turn in one.turns if turn.role == "assistant"]
        for wrong, right in pairwise(replies):
            if not wrong.train and right.train:
                assert right.content.split("\n")[0] == wrong.content.split("\n")[0]


def test_conversations_survive_a_torn_line(tmp_path):
    path = tmp_path / "c.jsonl"
    one = Conversation(source="synth-1", turns=(Turn(role="user", content="a"),))
    append(path, [one])
    with path.open("a") as stream:
        stream.write('{"source": "synth-2", "tur')
    assert list(read(path)) == [one]
    two = Conversation(source="synth-2", turns=(Turn(role="user", content="ä"),))
    append(path, [two, one])
    assert list(read(path)) == [one, two, one], "what follows a torn line is not lost with it"
    with path.open("ab") as stream:
        stream.write(b'{"source": "\xff"}\n')
    assert list(read(path)) == [one, two, one]
    assert list(read(tmp_path / "none.jsonl")) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--sandbox", "nosuch"], "nosuch"),
        (["--sandbox", "namespaces", "--expert", "localhost:8080"], "localhost:8080"),
    ],
)
def test_bad_flags_are_one_line(flags, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLEAGENT_HOME", str(tmp_path / "home"))
    assert main(["--tasks", "1", "--out", str(tmp_path / "o.jsonl"), *flags]) in (2, 3)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("explore: ") and words in said


def test_a_failure_ends_exploration_without_the_tasks_that_wait(tmp_path, monkeypatch):
    monkeypatch.setenv("MLEAGENT_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    begun = []

    def fails(seed, *_):
        begun.append(seed)
        raise PolicyError("the machine is gone")

    monkeypatch.setattr("finetune.explore.explore_task", fails)
    settings = Settings().model_copy(update={"sandbox": "namespaces"})
    with pytest.raises(PolicyError):
        explore(range(40), 1, tmp_path / "o.jsonl", settings, 1, print)
    assert len(begun) < 40


def test_exploration_resumes_without_doubling(tmp_path, monkeypatch):
    monkeypatch.setenv("MLEAGENT_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    out, said = tmp_path / "e.jsonl", []
    settings = Settings().model_copy(update={"sandbox": "namespaces"})
    explore([7], 2, out, settings, 1, said.append)
    first = out.read_text()
    explore([7], 2, out, settings, 1, said.append)
    assert out.read_text() == first
    assert {c.source for c in read(out)} == {"synth-7"}
    assert any("median" in line for line in said)


def test_an_evaluation_counts_executions_and_hides_the_unseen(tmp_path):
    case = synthetic(11, tmp_path)
    with Pool(lambda spec: make("namespaces", spec), 1) as pool:
        episode = evaluate(random_ideas(), case, 3, pool, Settings(), tmp_path / "work")
    assert len(episode.attempts) == 3
    assert episode.valid_at(1)
    assert episode.replies == episode.well_formed == 3
    assert 0 <= episode.unseen_at(1) <= 1
    assert episode.unseen_at(8) == episode.unseen_at(3)
