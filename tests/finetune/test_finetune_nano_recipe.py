"""The whole recipe of the bundled models in its smallest size: explore, draft, tokenise, train, release."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("llama_cpp")

from finetune.nano import release, tokenizer  # noqa: E402
from finetune.nano.__main__ import FULL, commands, main  # noqa: E402
from finetune.nano.model import SIZES, Decoder, save_hf  # noqa: E402
from mleagent.errors import InputError  # noqa: E402
from mleagent.policy.gguf_check import check_gguf  # noqa: E402
from mleagent.policy.llama_cpp import LlamaCppPolicy  # noqa: E402
from mleagent.protocols import Prompt  # noqa: E402
from mleagent.records import Message, Sampling  # noqa: E402


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


def test_an_interrupt_ends_a_stage_and_the_recipe_in_one_line(tmp_path):
    command = [sys.executable, "-m", "finetune.nano", "--out", str(tmp_path), "--smoke"]
    command += ["--sandbox", "namespaces"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None and "finetune.explore" in process.stderr.readline()
    time.sleep(3)  # in the middle of exploring
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "stopped at this stage; the same command goes on" in said and "Traceback" not in said


def test_a_file_that_fails_its_check_is_no_release(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = Decoder(SIZES["tiny"], seed=1)
    save_hf(model, tmp_path / "hf", torch.float16)
    texts = [path.read_text() for path in sorted(Path(__file__).parent.glob("*.py"))]
    tokenizer.save(tokenizer.train(texts), tmp_path / "hf")
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"the one before")
    monkeypatch.setattr(release, "difference", lambda *_: float("nan"))
    with pytest.raises(InputError, match="not released"):
        release.release(tmp_path / "hf", path, "mine")
    assert path.read_bytes() == b"the one before"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["hf", "mine.gguf"]
    monkeypatch.undo()
    assert release.release(tmp_path / "hf", path, "mine") < 0.05 and path.read_bytes()[:4] == b"GGUF"


def test_the_full_recipe_is_the_same_stages(tmp_path):
    names = [command[0] for command in commands(FULL, tmp_path, "auto", 0, [])]
    assert names[:3] == ["finetune.explore", "finetune.nano.corpus", "finetune.nano.corpus"]
    assert names[3:] == ["finetune.nano.train", "finetune.nano.release"] * 2
