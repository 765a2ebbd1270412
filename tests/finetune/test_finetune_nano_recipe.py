"""The whole recipe of the bundled models in its smallest size: explore, draft, tokenise, train, release."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("llama_cpp")

from finetune.nano.__main__ import FULL, commands, main
from mleagent.policy.gguf_check import check_gguf
from mleagent.policy.llama_cpp import LlamaCppPolicy
from mleagent.protocols import Prompt
from mleagent.records import Message, Sampling


def test_the_smoke_recipe_ends_in_a_model_that_speaks(tmp_path):
    assert main(["--out", str(tmp_path), "--smoke", "--sandbox", "namespaces"]) == 0
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert recipe["corpus"]["pretrain"]["documents"] > 20
    assert recipe["corpus"]["sft"]["documents"] > 5
    curve = recipe["curves"]["tiny"]
    assert set(curve) == {"pretrain", "sft"}
    assert curve["sft"]["validation"] < 7.6  # chance is the logarithm of 2,048
    head = check_gguf(tmp_path / "smoke.gguf")
    assert head.architecture == "qwen2"
    assert head.prompt_style == "compact"
    policy = LlamaCppPolicy(tmp_path / "smoke.gguf")
    try:
        prompt = Prompt(messages=(Message(role="user", content="hello"),))
        reply = policy.complete(prompt, Sampling(max_tokens=8, seed=1))[0]
    finally:
        policy.close()
    assert len(reply.token_ids) >= 1
    before = (tmp_path / "explore.jsonl").read_bytes()
    assert main(["--out", str(tmp_path), "--smoke", "--sandbox", "namespaces"]) == 0
    assert (tmp_path / "explore.jsonl").read_bytes() == before


def test_the_full_recipe_is_the_same_stages(tmp_path):
    names = [command[0] for command in commands(FULL, tmp_path, "auto", 0, [])]
    assert names[:3] == ["finetune.explore", "finetune.nano.corpus", "finetune.nano.corpus"]
    assert names[3:] == ["finetune.nano.train", "finetune.nano.release"] * 2
