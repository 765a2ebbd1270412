"""The bundled models do what they are for: well-formed replies, programs that run, many different plans."""

from __future__ import annotations

from pathlib import Path

import pytest
from finetune_kit import arena_of

pytest.importorskip("llama_cpp")

from mleagent.agent.actions import parse
from mleagent.agent.compact import CompactContext, sampling_for
from mleagent.agent.templates import Templates
from mleagent.policy import nano
from mleagent.policy.llama_cpp import LlamaCppPolicy
from mleagent.protocols import Prompt
from mleagent.records import Action

FAMILIES = ("mixture", "codes", "spans")


def first_actions(policy: LlamaCppPolicy, context: CompactContext, count: int) -> list[Action]:
    sampling = sampling_for(context, None, 400).model_copy(update={"seed": 1})
    prompt = Prompt(messages=tuple(context.messages))
    return [parse(reply.text) for reply in policy.complete(prompt, sampling, n=count)]


@pytest.mark.parametrize(
    ("path", "share"), [(nano.path(), 0.9), (nano.quarter_path(), 0.7)], ids=["nano", "quarter"]
)
def test_first_drafts_run_and_differ(
    path: Path, share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("shipped")
    policy = LlamaCppPolicy(path)
    written, valid, plans = 0, 0, set()
    try:
        for family in FAMILIES:
            arena = arena_of(family, folder)
            context = CompactContext(Templates(), arena.task)
            context.open({})
            for action in first_actions(policy, context, 12):
                assert action.kind in ("write", "data")  # every reply is one action that may open a session
                if action.kind == "write":
                    written += 1
                    plans.add(action.plan)
                    valid += arena.run(action.body).valid
    finally:
        policy.close()
    assert written >= 15
    assert valid >= share * written
    assert len(plans) >= 0.6 * written
