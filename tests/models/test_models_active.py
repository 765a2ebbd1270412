"""What solve uses: only whole files become active, the way back is kept, names become policies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gguf_maker import make_lora

from mleagent.config import Settings, load_settings
from mleagent.errors import InputError, UnavailableError
from mleagent.models.active import configured, resolve, rollback, use
from mleagent.models.add import add_adapter, add_base, add_endpoint, remove
from mleagent.models.named import policy_named
from mleagent.protocols import Prompt
from mleagent.records import Message, Sampling


@pytest.fixture
def two(ledger, model):
    """Two bases, `one` and `two`, the second configured."""
    add_base(ledger, model("one.gguf", says="<submit/>"))
    add_base(ledger, model("two.gguf", seed=3), licence="mit")
    use(ledger, "one")
    use(ledger, "two")
    return ledger


def test_use_and_rollback_walk_back_and_forth(two, home):
    assert configured() == load_settings().model == "two"
    assert rollback(two) == ("two", "one") and rollback(two) == ("one", "auto")
    with pytest.raises(InputError, match="nothing to roll back"):
        rollback(two)
    use(two, "playbook")
    assert rollback(two) == ("playbook", "auto")


def test_a_change_that_is_not_kept_changes_nothing(two, home):
    """The ledger's disk is full at the very end: the setting must not be ahead of the history."""
    from mleagent.errors import StoreError
    from mleagent.models import active

    with pytest.raises(StoreError), active._changing(two, "two") as db:
        active.write_setting("model", "one")
        assert configured() == "one"
        db.execute("INSERT INTO uses VALUES (1, 'this number', 'is taken', 0, 0)")
    assert configured() == "two" and two.last_use().after == "two"


def test_use_keeps_the_rest_of_the_settings(two, home):
    path = home / "config.toml"
    path.write_text("# mine\nsteps = 7  # few\nmodel = 'two'\n")
    use(two, "one")
    assert path.read_text() == '# mine\nsteps = 7  # few\nmodel = "one"\n'


def test_a_model_set_by_hand_rolls_back_to_the_last_one_used(two, home):
    (home / "config.toml").write_text('model = "http://localhost:1/v1"\n')
    assert rollback(two) == ("http://localhost:1/v1", "two") and rollback(two) == ("two", "one")


def test_what_is_not_there_says_what_is(two):
    with pytest.raises(InputError, match=r"no model 'tow' in the ledger; known: one, two"):
        use(two, "tow")
    with pytest.raises(InputError, match=r"has no name yet: mleagent models add .*two\.gguf first"):
        use(two, two.get("two").files.path)
    assert configured() == "two"


def test_a_file_that_changed_or_went_is_not_used(two, model):
    path = Path(two.get("one").files.path)
    whole = path.read_bytes()
    os.utime(path)  # touched only: it is read once more, and is the same
    use(two, "one")
    path.write_bytes(whole[:-100])
    use(two, "two")
    with pytest.raises(InputError, match=r"one: .*one\.gguf has changed since it was added"):
        use(two, "one")
    path.unlink()
    with pytest.raises(InputError, match="is no longer there; put it back, or mleagent models remove one"):
        use(two, "one")
    with pytest.raises(InputError, match="no longer there"):
        rollback(two)
    assert configured() == "two"


@pytest.mark.parametrize("cut", [3, 40, 2000, -1])
def test_a_truncated_file_never_enters(ledger, model, cut):
    path = model()
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError) as caught:
        add_base(ledger, path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value) and ledger.names() == []


# --- adapters -----------------------------------------------------------------------


def test_an_adapter_needs_its_base_and_the_gate(two, tmp_path):
    made = add_adapter(two, make_lora(tmp_path / "night.gguf"), "two")
    assert made.state == "candidate" and made.parent == two.get("two").files.sha256
    with pytest.raises(InputError, match=r"night is not promoted: no gate has looked .*--force"):
        use(two, "night")
    two.set_state("night", "refused")
    with pytest.raises(InputError, match="the gate refused it"):
        use(two, "night")
    assert configured() == "two"
    two.set_state("night", "promoted")
    ready = use(two, "night")
    assert ready.model == two.get("two").files.path and ready.adapter == tmp_path / "night.gguf"
    assert rollback(two) == ("night", "two") and two.get("night").state == "retired"
    use(two, "night")
    assert two.get("night").state == "promoted"


def test_an_adapter_for_another_architecture_or_a_model_is_refused(two, tmp_path, model):
    with pytest.raises(InputError, match="is an adapter for llama, and two is qwen2"):
        add_adapter(two, make_lora(tmp_path / "l.gguf", architecture="llama"), "two")
    with pytest.raises(InputError, match="is a model, not an adapter"):
        add_adapter(two, model("two.gguf"), "two")
    with pytest.raises(InputError, match="is of type adapter, not a model"):
        add_base(two, make_lora(tmp_path / "a.gguf"))
    with pytest.raises(InputError, match="no model 'three'"):
        add_adapter(two, tmp_path / "a.gguf", "three")
    assert two.names() == ["one", "two"]


def test_the_base_is_found_by_its_weights_under_another_name(two, tmp_path):
    add_adapter(two, make_lora(tmp_path / "night.gguf"), "two")
    weights = Path(two.get("two").files.path)
    two.remove("two")
    with pytest.raises(InputError, match=r"belongs to a base that is not here \(it was called two\)"):
        use(two, "night", force=True)
    moved = weights.rename(tmp_path / "renamed.gguf")
    add_base(two, moved)
    assert resolve(two, "night").model == str(moved)


def test_remove_keeps_what_is_needed_and_what_is_the_users(two, tmp_path):
    night = make_lora(tmp_path / "night.gguf")
    add_adapter(two, night, "two")
    with pytest.raises(InputError, match="two is the base of night; remove those first"):
        remove(two, "two", "auto")
    with pytest.raises(InputError, match="one is what solve uses"):
        remove(two, "one", "One")
    assert remove(two, "night", "one") == [] and night.exists()
    assert two.names() == ["one", "two"]


# --- policies -----------------------------------------------------------------------


def test_a_name_becomes_a_policy(two, home):
    pytest.importorskip("llama_cpp")
    prompt = Prompt(messages=(Message(role="user", content="go"),))
    policy = policy_named("one", Settings(n_ctx=200, threads=1))
    assert policy.name == "one"
    assert policy.complete(prompt, Sampling(temperature=0))[0].text == "<submit/>"
    policy.close()


def test_the_configured_adapter_is_on_its_base(two, tmp_path):
    pytest.importorskip("llama_cpp")
    two.set_state(add_adapter(two, make_lora(tmp_path / "night.gguf"), "two").name, "promoted")
    use(two, "night")
    ids = {}
    for name in ("auto", "two"):
        policy = policy_named(name, load_settings(n_ctx=200, threads=1))
        prompt = Prompt(messages=(Message(role="user", content="go"),))
        reply = policy.complete(prompt, Sampling(temperature=0, max_tokens=16))[0]
        ids[name], adapter = reply.token_ids, reply.adapter
        policy.close()
        assert adapter == ("night" if name == "auto" else "")
    assert ids["auto"] != ids["two"]


def test_an_endpoint_has_a_name_too(ledger):
    import sys

    sys.path.insert(0, str(Path(__file__).parent.parent / "policy"))
    from endpoint_server import Server, serving, stream

    with serving(Server(stream("ok"), models=("m1", "m2"))) as server:
        add_endpoint(ledger, server.url, "box", "m2")
        assert policy_named("box", Settings()).name == "m2"
        use(ledger, "box")
        assert policy_named("auto", load_settings()).name == "m2"
    with pytest.raises(InputError, match="not an endpoint's address"):
        add_endpoint(ledger, "ftp://x", "y")


def test_an_unknown_name_near_one_of_the_ledger(two):
    with pytest.raises(InputError, match="did you mean one"):
        policy_named("onee", Settings())


def test_a_compact_model_declines_what_it_cannot_do(ledger, model):
    with pytest.raises(UnavailableError) as caught:
        policy_named("nano", Settings(), unfit="it needs an id column")
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)


def test_safetensors_are_for_learning(ledger, tmp_path):
    import json
    import struct

    folder = tmp_path / "whole"
    folder.mkdir()
    table = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(table)) + table + bytes(8))
    (folder / "config.json").write_text('{"model_type": "qwen2"}')
    add_base(ledger, folder)
    with pytest.raises(InputError, match="solve needs GGUF"):
        use(ledger, "whole")
    (folder / "model.safetensors").write_bytes(b"12")
    with pytest.raises(InputError, match="truncated or damaged"):
        add_base(ledger, folder)
