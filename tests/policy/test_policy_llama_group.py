"""K replies of one state: one prefill, decoded together, each what it would be alone."""

import threading

import numpy as np
import pytest

pytest.importorskip("gguf")
pytest.importorskip("llama_cpp")

from gguf_maker import make_gguf

from mleagent.policy.llama_cpp import LlamaCppPolicy
from mleagent.policy.llama_model import LlamaModel
from mleagent.policy.llama_wire import Generate
from mleagent.protocols import Prompt
from mleagent.records import Message, Sampling

CHAT = (Message(role="system", content="be brief"), Message(role="user", content="the user asks " * 20))
ASK = Prompt(messages=CHAT)
SAMPLING = Sampling(temperature=1, max_tokens=60, seed=11)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf", width=128, layers=3, n_ctx=1024)


@pytest.fixture(scope="module")
def policy(path):
    policy = LlamaCppPolicy(path, k_max=8)
    yield policy
    policy.close()


def wish(seeds, max_tokens=60):
    return Generate(
        temperature=1.0, top_p=1.0, max_tokens=max_tokens, seeds=seeds, stops=(), stream=False
    )  # fmt: skip


def test_each_reply_is_what_it_would_be_alone(path, policy):
    """Same tokens; log-probabilities to the rounding of a batched multiplication."""
    ids = policy.prompt_ids(CHAT)
    alone, together = LlamaModel(path), policy.model
    seeds = tuple((5, k) for k in range(8))
    _, group = together.generate(ids, wish(seeds))
    for seed, reply in zip(seeds, group, strict=True):
        _, (single,) = alone.generate(ids, wish((seed,)))
        assert reply.token_ids == single.token_ids and reply.text == single.text
        np.testing.assert_allclose(reply.logprobs, single.logprobs, atol=5e-3)
    alone.close()


def test_log_probabilities_are_those_of_a_fresh_evaluation(policy):
    replies = policy.complete(ASK, SAMPLING.model_copy(update={"max_tokens": 6}), 5)
    for reply in replies:
        for at, token in enumerate(reply.token_ids):
            logits = policy.logits(reply.prompt_ids + reply.token_ids[:at]).astype(float)
            shifted = logits - logits.max()
            assert shifted[token] - np.log(np.exp(shifted).sum()) == pytest.approx(
                reply.logprobs[at], abs=0.02
            )


def test_one_prefill_serves_all_and_the_next_prompt(policy):
    policy.logits([0])
    evaluated, reused = policy.evaluated, policy.reused
    replies = policy.complete(ASK, SAMPLING, 8)
    length = len(replies[0].prompt_ids)
    assert [reply.usage.cached_tokens for reply in replies] == [0] + [length] * 7
    assert (policy.evaluated - evaluated, policy.reused - reused) == (length, 7 * length)
    again = policy.complete(ASK, SAMPLING, 8)
    assert again[0].usage.cached_tokens == length - 1
    assert [reply.token_ids for reply in again] == [reply.token_ids for reply in replies]
    assert len({reply.token_ids for reply in replies}) == 8


def test_any_of_the_replies_can_be_gone_on_from(policy):
    replies = policy.complete(ASK, SAMPLING, 4)
    for reply in replies:
        chat = (*CHAT, Message(role="assistant", content=reply.text), Message(role="user", content="go on"))
        ids = policy.prompt_ids(chat)
        assert ids[: len(reply.prompt_ids) + len(reply.token_ids)] == reply.prompt_ids + reply.token_ids


@pytest.mark.parametrize("n", [1, 7, 8, 9, 20])
def test_more_than_fit_at_once_are_done_in_turns(path, policy, n):
    few = LlamaCppPolicy(path, k_max=3)
    replies, expected = few.complete(ASK, SAMPLING, n), policy.complete(ASK, SAMPLING, n)
    assert [reply.token_ids for reply in replies] == [reply.token_ids for reply in expected]
    assert len(replies) == n
    few.close()


def test_the_context_counts_for_each_reply(path):
    """Eight replies fill the whole context of each, though the cache has not room for all at once."""
    policy = LlamaCppPolicy(path, n_ctx=256, k_max=8)
    assert policy.context_tokens == 256
    replies = policy.complete(ASK, Sampling(temperature=2, max_tokens=2000, seed=2), 8)
    for reply in replies:
        total = len(reply.prompt_ids) + len(reply.token_ids)
        assert total == 256 if reply.finish_reason == "length" else total <= 256
    assert sum(reply.finish_reason == "length" for reply in replies) >= 4
    policy.close()


def test_replies_that_end_early_drop_out(tmp_path):
    policy = LlamaCppPolicy(make_gguf(tmp_path / "says.gguf", says="Plan: go\n<submit/>"), k_max=4)
    shown = []
    replies = policy.complete(ASK, Sampling(temperature=0), 4, on_text=shown.append)
    assert [reply.text for reply in replies] == ["Plan: go\n<submit/>"] * 4 == ["".join(shown)] * 4
    assert all(policy.model.ends(reply.token_ids[-1]) for reply in replies)
    stopped = policy.complete(ASK, Sampling(temperature=0, stop=("<sub",)), 4)
    assert [reply.text for reply in stopped] == ["Plan: go\n"] * 4
    policy.close()


def test_a_stop_ends_all_of_them(policy):
    stop = threading.Event()
    replies = policy.complete(
        ASK, Sampling(temperature=2, max_tokens=700, seed=1), 8, on_text=lambda _text: stop.set(), stop=stop
    )
    assert 1 <= len(replies) <= 8 and max(len(reply.token_ids) for reply in replies) < 200
    assert len(policy.complete(ASK, SAMPLING, 8)) == 8


def test_memory_is_given_back(policy):
    """Many groups on changing prompts: none runs out of cache."""
    for turn in range(15):
        ask = Prompt(messages=(*CHAT, Message(role="user", content=f"{turn} " * 150)))
        assert len(policy.complete(ask, Sampling(temperature=2, max_tokens=100, seed=turn), 8)) == 8
