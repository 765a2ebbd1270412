"""The words after --model become a ready policy, or one line with the mend."""

import subprocess
import sys

import pytest
from endpoint_server import Server, free_port, serving, stream

from mleagent.config import Settings
from mleagent.errors import InputError, PolicyError, UnavailableError
from mleagent.policy import nano
from mleagent.policy.choose import choose
from mleagent.policy.openai_api import OpenAIPolicy
from mleagent.policy.scripted import ScriptedPolicy
from mleagent.protocols import Policy, Prompt
from mleagent.records import Message, Sampling


def test_auto_is_the_playbook_where_nano_can_not_work_and_says_so():
    said = []
    assert choose("auto", Settings(), 0, said.append, unfit="it needs an id column").name == "playbook"
    assert len(said) == 1 and "playbook" in said[0] and "mleagent-nano can't" in said[0]
    assert choose("playbook", Settings(model="http://localhost:1"), 0, said.append).name == "playbook"
    assert len(said) == 1


def test_auto_is_nano_where_it_can_work_and_says_what_that_is():
    if nano.missing():
        pytest.skip(nano.missing())
    for name in ("auto", "nano"):
        said = []
        policy = choose(name, Settings(threads=1), 0, said.append)
        assert policy.name == "mleagent-nano" and policy.prompt_style == "compact" and said == [nano.WHAT]
        policy.close()
    with pytest.raises(UnavailableError, match="mleagent-nano declines this task: it needs an id") as caught:
        choose("nano", Settings(), unfit="it needs an id column")
    assert caught.value.exit_code == 3


def test_any_model_made_for_compact_prompts_declines_before_it_is_loaded(tmp_path):
    pytest.importorskip("gguf")
    from gguf_maker import make_gguf

    path = make_gguf(tmp_path / "mine.gguf", style="compact")
    with pytest.raises(
        UnavailableError, match="mine declines this task: it needs an id column; take --model"
    ):
        choose(str(path), Settings(), unfit="it needs an id column")
    large = make_gguf(tmp_path / "large.gguf")
    choose(str(large), Settings(n_ctx=200, threads=1), unfit="it needs an id column").close()


def test_auto_and_nothing_take_the_configured_model():
    with serving(Server(stream("ok"), models=("m1", "m2"))) as server:
        for setting in ("auto", ""):
            policy = choose(setting, Settings(model=server.url, endpoint_model="m2"))
            assert isinstance(policy, OpenAIPolicy) and isinstance(policy, Policy) and policy.name == "m2"


def test_an_endpoint_on_this_machine_needs_no_warning():
    said = []
    with serving(Server(stream("ok"))) as server:
        choose(server.url, Settings(), 0, said.append)
    assert not said


def test_what_leaves_the_machine_is_said_before_it_does(monkeypatch):
    said = []
    with serving(Server(stream("ok"))) as server:
        monkeypatch.setattr("mleagent.policy.endpoint.Endpoint.local", False)
        policy = choose(server.url, Settings(), 0, said.append)
        assert len(said) == 1 and server.url in said[0] and not server.requests
        policy.complete(Prompt(messages=(Message(role="user", content="x"),)), Sampling())
        assert len(said) == 1


def test_a_gguf_is_loaded_with_the_settings(tmp_path):
    pytest.importorskip("llama_cpp")
    from gguf_maker import make_gguf

    path = make_gguf(tmp_path / "own.gguf", says="<submit/>")
    policy = choose(str(path), Settings(n_ctx=200, threads=1))
    assert policy.name == "own" and policy.context_tokens == 200
    prompt = Prompt(messages=(Message(role="user", content="go"),))
    assert policy.complete(prompt, Sampling(temperature=0))[0].text == "<submit/>"
    policy.close()


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("playbok", "did you mean playbook"),
        ("gpt-17", "write auto, nano, playbook, a name of `mleagent models list`, the path of a .gguf"),
        ("localhost:8080/v1", "http://localhost:8080/v1"),
        ("/tmp", "it is a folder"),
        ("none.gguf", "does not exist"),
        ("ftp://x", "not an endpoint's address"),
    ],
)
def test_unknown_names_say_the_mend(name, mend):
    with pytest.raises(InputError) as caught:
        choose(name, Settings())
    assert mend in str(caught.value) and "\n" not in str(caught.value)


def test_an_endpoint_that_is_not_there():
    with pytest.raises(PolicyError, match="refuses the connection") as caught:
        choose(f"http://127.0.0.1:{free_port()}", Settings())
    assert caught.value.exit_code == 2


def test_without_llama_cpp_the_extra_is_named(tmp_path):
    pytest.importorskip("gguf")
    from gguf_maker import make_gguf

    path = make_gguf(tmp_path / "m.gguf")
    code = (
        "import sys; sys.modules['llama_cpp'] = None\n"
        "from mleagent.policy.choose import choose\n"
        "from mleagent.config import Settings\n"
        "from mleagent.errors import UnavailableError\n"
        "try: choose(sys.argv[1], Settings())\n"
        "except UnavailableError as error: print(error, error.exit_code)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert "pip install 'mleagent[local]' 3" in done.stdout and done.stderr == ""


def test_choosing_imports_nothing_heavy():
    code = "import sys, mleagent.policy.choose; print({'httpx', 'numpy', 'llama_cpp'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_scripted_policy_says_its_list_and_then_fails():
    policy = ScriptedPolicy(["a", "b", "c"])
    assert isinstance(policy, Policy)
    prompt = Prompt(messages=(Message(role="user", content="x"),))
    shown = []
    assert [reply.text for reply in policy.complete(prompt, Sampling(), 2, shown.append)] == ["a", "b"]
    assert shown == ["a"] and policy.complete(prompt, Sampling())[0].text == "c" and len(policy.prompts) == 2
    with pytest.raises(PolicyError, match="used up"):
        policy.complete(prompt, Sampling())
    assert ScriptedPolicy(["z"], repeat=True).complete(prompt, Sampling(), 3)[2].text == "z"
