"""LoRA adapters at run time: set, swapped, cleared and probed on a tiny model; bad ones change nothing."""

import os
import signal

import numpy as np
import pytest

pytest.importorskip("gguf")
pytest.importorskip("llama_cpp")

from gguf_maker import make_gguf, make_lora

from mleagent.errors import InputError
from mleagent.policy.llama_cpp import LlamaCppPolicy
from mleagent.protocols import Prompt
from mleagent.records import Message, Sampling

ASK = Prompt(messages=(Message(role="user", content="the user asks the assistant"),))
SAMPLING = Sampling(temperature=1, max_tokens=20, seed=3)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
def policy(path):
    policy = LlamaCppPolicy(path, k_max=4)
    yield policy
    policy.close()


@pytest.fixture
def lora(tmp_path):
    return make_lora(tmp_path / "lora.gguf", seed=1)


def replies(policy):
    return [reply.token_ids for reply in policy.complete(ASK, SAMPLING, 3)]


def test_an_adapter_changes_the_output_and_clearing_restores_it_exactly(policy, lora, tmp_path):
    ids = policy.prompt_ids(ASK.messages)
    base, said = policy.logits(ids), replies(policy)
    policy.set_adapter(lora)
    changed = policy.logits(ids)
    assert np.abs(changed - base).max() > 0.1 and replies(policy) != said
    other = make_lora(tmp_path / "other.gguf", seed=2, rank=8)
    policy.set_adapter(other)
    assert np.abs(policy.logits(ids) - changed).max() > 0.1
    policy.set_adapter(lora)
    np.testing.assert_array_equal(policy.logits(ids), changed)
    policy.set_adapter(None)
    np.testing.assert_array_equal(policy.logits(ids), base)
    assert replies(policy) == said
    policy.set_adapter(None)


def test_the_adapter_is_what_its_weights_say(policy, path, lora):
    """Against a model whose own weights are W + scale * B A, made here."""
    import gguf

    tensors = {t.name: t.data for t in gguf.GGUFReader(str(lora)).tensors}
    reader = gguf.GGUFReader(str(path))
    raw = bytearray(path.read_bytes())
    for tensor in reader.tensors:
        if f"{tensor.name}.lora_a" in tensors:
            delta = 0.5 * tensors[f"{tensor.name}.lora_b"] @ tensors[f"{tensor.name}.lora_a"]
            merged = np.ascontiguousarray(tensor.data + delta, dtype=np.float32).tobytes()
            raw[tensor.data_offset : tensor.data_offset + len(merged)] = merged
    whole = lora.with_name("merged.gguf")
    whole.write_bytes(raw)
    merged_policy = LlamaCppPolicy(whole)
    ids = policy.prompt_ids(ASK.messages)
    policy.set_adapter(lora, 0.5)
    np.testing.assert_allclose(policy.logits(ids), merged_policy.logits(ids), atol=0.02)
    merged_policy.close()


def test_a_completion_names_its_adapter_and_nothing_is_reused_across_a_swap(policy, lora):
    policy.complete(ASK, SAMPLING)
    assert policy.complete(ASK, SAMPLING)[0].usage.cached_tokens > 10
    policy.set_adapter(lora)
    (reply,) = policy.complete(ASK, SAMPLING)
    assert (reply.adapter, policy.adapter, reply.usage.cached_tokens) == ("lora", "lora", 0)
    policy.set_adapter(None)
    (reply,) = policy.complete(ASK, SAMPLING)
    assert (reply.adapter, policy.adapter, reply.usage.cached_tokens) == ("", "", 0)


def test_the_adapter_survives_the_death_of_the_process(policy, lora):
    policy.set_adapter(lora)
    ids = policy.prompt_ids(ASK.messages)
    before = policy.logits(ids)
    os.kill(policy.model.pid, signal.SIGKILL)
    np.testing.assert_array_equal(policy.logits(ids), before)


def bad_adapters(folder, lora, path):
    good = lora.read_bytes()
    (folder / "truncated.gguf").write_bytes(good[:-500])
    (folder / "header.gguf").write_bytes(good[:150])
    (folder / "text.gguf").write_text("no adapter")
    make_lora(folder / "llama.gguf", architecture="llama")
    make_lora(folder / "zero.gguf", size=0.0)
    make_lora(folder / "wide.gguf", width=128)
    make_lora(folder / "deep.gguf", layers=3)
    return {
        "none": (folder / "none.gguf", "does not exist"),
        "folder": (folder, "is not a file"),
        "text": (folder / "text.gguf", "is not GGUF"),
        "truncated": (folder / "truncated.gguf", "is truncated"),
        "header": (folder / "header.gguf", "is truncated"),
        "model": (path, "not an adapter"),
        "architecture": (folder / "llama.gguf", "for llama models"),
        "shape": (folder / "wide.gguf", "can't be used"),
        "layers": (folder / "deep.gguf", "can't be used"),
        "zero": (folder / "zero.gguf", "changes nothing"),
    }


@pytest.mark.parametrize(
    "case",
    ["none", "folder", "text", "truncated", "header", "model", "architecture", "shape", "layers", "zero"],
)
@pytest.mark.parametrize("loaded", [False, True])
def test_a_bad_adapter_is_one_line_and_leaves_all_as_it_was(case, loaded, policy, lora, path, tmp_path):
    bad, words = bad_adapters(tmp_path, lora, path)[case]
    if loaded:
        policy.set_adapter(lora)
    ids, name = policy.prompt_ids(ASK.messages), policy.adapter
    before = policy.logits(ids)
    with pytest.raises(InputError) as caught:
        policy.set_adapter(bad)
    message = str(caught.value)
    assert words in message and str(bad) in message and "\n" not in message
    assert policy.adapter == name
    np.testing.assert_array_equal(policy.logits(ids), before)
