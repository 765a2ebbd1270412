"""What `/model` says: where prompts go from now on, before any does."""

from __future__ import annotations

import sys

import pytest
from agent_kit import make_task, session
from policy.endpoint_server import Server, serving, stream

from mleagent import events
from mleagent.agent.control import Request
from mleagent.agent.requests import serve

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="0.0.0.0 is this machine on Linux")
def test_another_model_says_that_prompts_leave_the_machine(home, tmp_path, monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    with (
        serving(Server(stream("ok"))) as server,
        session(make_task(tmp_path / "toy"), []) as (solver, _, seen),
    ):
        away = server.url.replace("127.0.0.1", "0.0.0.0")  # an address that is not known to be local
        serve(solver, [Request(name="model", argument=away)])
        said = [event.text for event in seen if isinstance(event, events.Notice)]
        assert not server.requests
    assert said[-2].startswith(f"prompts go to {away}:") and said[-1] == "the policy is now tiny"
