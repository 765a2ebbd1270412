"""Models in parts, the first without a tensor: taken, counted whole, and kept where they can't be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf_maker import make_gguf
from pull_kit import pull, rest

from mleagent.errors import InputError
from mleagent.models.add import add_base
from mleagent.policy.gguf_check import check_gguf


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return make_gguf(tmp_path / "whole.gguf", says="<submit/>")


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """The first of some parts, in a folder of their own."""
    (tmp_path / "parts").mkdir()
    return make_gguf(tmp_path / "parts" / "s.gguf", says="<submit/>", split=10)


def test_a_split_model_counts_with_all_its_parts(ledger, whole, first):
    head, parts = check_gguf(first), sorted(first.parent.iterdir())
    assert len(parts) > 2 and head.parameters == check_gguf(whole).parameters
    assert head.bytes == sum(part.stat().st_size for part in parts)
    base = add_base(ledger, first)
    assert base.parameters == head.parameters and base.files.bytes == head.bytes
    parts[-1].unlink()
    assert 0 < check_gguf(first).parameters < head.parameters, "those parts that are there"


def test_llama_cpp_loads_it_and_is_told_its_size(first):
    pytest.importorskip("llama_cpp")
    from mleagent.policy.llama_cpp import LlamaCppPolicy
    from mleagent.protocols import Prompt
    from mleagent.records import Message, Sampling

    policy = LlamaCppPolicy(first, 200, n_threads=1)
    prompt = Prompt(messages=(Message(role="user", content="go"),))
    assert policy.complete(prompt, Sampling(temperature=0))[0].text == "<submit/>"
    assert policy.model._wish.bytes == sum(part.stat().st_size for part in first.parent.iterdir())
    policy.close()


def test_a_later_part_that_is_cut_is_named(ledger, first):
    last = sorted(first.parent.iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(InputError, match=rf"model file {last} is truncated"):
        add_base(ledger, first)


def test_a_first_part_without_tensors_and_without_the_others_is_no_model(first):
    for part in sorted(first.parent.iterdir())[1:]:
        part.unlink()
    with pytest.raises(InputError, match=r"holds no weights .its other parts are not beside it"):
        check_gguf(first)


def test_a_name_that_counts_wrongly_is_one_file(whole):
    for name in ("x-00000-of-00000.gguf", "x-00003-of-00002.gguf"):
        copy = whole.with_name(name)
        copy.write_bytes(whole.read_bytes())
        assert check_gguf(copy).parameters == check_gguf(whole).parameters


def test_it_is_pulled(hub, ledger, first):
    hub.repos["acme/split"] = {part.name: part.read_bytes() for part in first.parent.iterdir()}
    base = pull(ledger, "acme/split")
    assert base.name == "s" and base.parameters > 1e5 and len(rest(ledger.home)) > 2
