"""The endpoint policy against a real local server that streams, cuts, refuses, waits and babbles."""

import threading
import time

import pytest
from endpoint_server import Server, chunk, cut, free_port, hang, serving, status, stream, text
from hypothesis import given
from hypothesis import strategies as st

from mleagent.errors import ContextOverflowError, InputError, PolicyError, UnavailableError
from mleagent.policy.endpoint_errors import context_limit, is_overflow
from mleagent.policy.openai_api import OpenAIPolicy
from mleagent.policy.retry import Backoff, retry_after_s
from mleagent.policy.stopping import StopFilter
from mleagent.protocols import Policy, Prompt
from mleagent.records import Message, Sampling

PROMPT = Prompt(
    messages=(Message(role="system", content="be brief"), Message(role="user", content="hi " * 100))
)


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("MLEAGENT_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def policy_for(server: Server, **more) -> OpenAIPolicy:
    more.setdefault("backoff", Backoff(retries=3, base_s=0.01, cap_s=0.02))
    return OpenAIPolicy(server.url, more.pop("model", "tiny"), **more)


def ask(server: Server, sampling: Sampling = Sampling(), n: int = 1, on_text=None, stop=None, **more):  # noqa: B008
    return policy_for(server, **more).complete(PROMPT, sampling, n, on_text, stop)


def failure(server: Server, kind=PolicyError, **more) -> str:
    with pytest.raises(kind) as caught:
        ask(server, **more)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    return message


# --- replies ------------------------------------------------------------------------


def test_streams_text_usage_and_log_probabilities():
    with serving(Server(stream("Plan: ", "a\n", "<submit/>", logprobs=True), context=8192)) as server:
        shown = []
        policy = policy_for(server)
        assert isinstance(policy, Policy)
        policy.probe()
        (reply,) = policy.complete(PROMPT, Sampling(seed=3, stop=("</x>",)), on_text=shown.append)
    assert reply.text == "Plan: a\n<submit/>" == "".join(shown)
    assert len(shown) == 3 and reply.finish_reason == "stop" and reply.model == "tiny"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.cached_tokens) == (
        120,
        7,
        100,
    )
    assert reply.logprobs == (-0.5,) * 3 and reply.token_ids == (7,) * 3
    assert policy.context_tokens == 8192 and policy.name == "tiny"
    (request,) = server.requests
    assert request["seed"] == 3 and request["stop"] == ["</x>"] and request["logprobs"] is True
    assert request["messages"][0] == {"role": "system", "content": "be brief"}


def test_length_is_a_finish_reason_of_its_own():
    with serving(Server(stream("x", finish="length"))) as server:
        assert ask(server)[0].finish_reason == "length"


def test_answer_without_streaming_is_taken_whole():
    def whole(handler, body):
        message = {"role": "assistant", "content": "all at once"}
        handler.json(200, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    with serving(Server(whole)) as server:
        assert ask(server)[0].text == "all at once"


def test_n_choices_in_one_request():
    with serving(Server(stream("r", choices=3))) as server:
        assert sorted(reply.text for reply in ask(server, n=3)) == ["r0", "r1", "r2"]
    assert len(server.requests) == 1


def test_n_that_is_ignored_is_asked_one_by_one_with_seeds_of_their_own():
    with serving(Server(stream("r"))) as server:
        policy = policy_for(server)
        assert len(policy.complete(PROMPT, Sampling(seed=5), n=3)) == 3
        assert sorted(request["seed"] for request in server.requests) == [5, 6, 7]
        assert len(policy.complete(PROMPT, Sampling(), n=2)) == 2
    assert ["n" in request for request in server.requests] == [True, False, False, False, False]


def test_refused_parameters_are_left_out_from_then_on():
    def picky(handler, body):
        for name in ("n", "logprobs", "max_tokens"):
            if name in body:
                return status(400, f"Unsupported parameter: '{name}'")(handler, body)
        return stream("ok")(handler, body)

    with serving(Server(picky)) as server:
        policy = policy_for(server)
        assert [reply.text for reply in policy.complete(PROMPT, Sampling(max_tokens=77), n=2)] == ["ok", "ok"]
        asked = len(server.requests)
        policy.complete(PROMPT, Sampling(), n=1)
    assert len(server.requests) == asked + 1
    assert server.requests[-1]["max_completion_tokens"] == 2048


def test_stop_strings_cut_even_where_the_server_ignores_them():
    with serving(Server(stream("abc<", "/wri", "te>tail", "more"))) as server:
        shown = []
        (reply,) = ask(server, Sampling(stop=("</write>",)), on_text=shown.append)
    assert reply.text == "abc" == "".join(shown) and reply.finish_reason == "stop"


def test_stop_event_ends_a_hanging_request_with_what_there_is():
    with serving(Server(hang(first="so far"))) as server:
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()
        started = time.monotonic()
        (reply,) = ask(server, stop=stop)
        assert time.monotonic() - started < 3
    assert reply.text == "so far"


def test_stop_event_ends_the_waiting_between_attempts():
    with serving(Server(status(429, "slow down", {"Retry-After": "60"}))) as server:
        stop = threading.Event()
        threading.Timer(0.2, stop.set).start()
        started = time.monotonic()
        assert ask(server, stop=stop)[0].text == ""
        assert time.monotonic() - started < 3


# --- attempts -----------------------------------------------------------------------


@pytest.mark.parametrize("code", [408, 409, 425, 429, 500, 502, 503])
def test_what_may_pass_is_tried_again(code):
    with serving(Server(status(code), stream("ok"))) as server:
        assert ask(server)[0].text == "ok"
    assert len(server.requests) == 2


def test_retry_after_is_honoured():
    with serving(Server(status(429, "wait", {"Retry-After": "0.4"}), stream("ok"))) as server:
        started = time.monotonic()
        ask(server)
        assert time.monotonic() - started >= 0.4


def test_attempts_are_bounded():
    with serving(Server(status(503, "Loading model"))) as server:
        message = failure(server)
    assert len(server.requests) == 4 and "503" in message and "Loading model" in message


@pytest.mark.parametrize("chunked", [True, False])
def test_a_reply_cut_in_the_middle_is_asked_again(chunked):
    with serving(Server(cut("half a re", chunked=chunked), stream("whole"))) as server:
        shown = []
        assert ask(server, on_text=shown.append)[0].text == "whole"
    assert "asking again" in "".join(shown)
    with serving(Server(cut("half a re", chunked=chunked))) as server:
        assert "cut the connection" in failure(server)


def test_back_off_grows_is_capped_and_never_undercuts_the_server():
    backoff = Backoff(base_s=1, cap_s=8)
    assert [1 <= 2 * backoff.delay_s(i) / 2 ** (i - 1) <= 2 for i in (1, 2, 3)] == [True] * 3
    assert backoff.delay_s(12) <= 8 and backoff.delay_s(1, 20) == 20 and backoff.delay_s(1, 1e9) == 120
    assert retry_after_s({"retry-after": "7"}) == 7 and retry_after_s({"retry-after-ms": "250"}) == 0.25
    assert retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after_s({"retry-after": "soon"}) is None and retry_after_s({}) is None


# --- failures -----------------------------------------------------------------------


def test_refused_connection():
    policy = OpenAIPolicy(f"http://127.0.0.1:{free_port()}/v1", "m", backoff=Backoff(retries=1, base_s=0.01))
    for call in (policy.probe, lambda: policy.complete(PROMPT, Sampling())):
        with pytest.raises(PolicyError, match="refuses the connection; start the server") as caught:
            call()
        assert caught.value.exit_code == 2


def test_unknown_host():
    policy = OpenAIPolicy("http://no-such-host.invalid/v1", "m", backoff=Backoff(retries=1, base_s=0.01))
    with pytest.raises(PolicyError, match=r"no such host|can't be reached|answered"):
        policy.probe()


def test_time_out_is_tried_once_more_only():
    with serving(Server(hang())) as server:
        started = time.monotonic()
        assert "sent nothing for 0.3 s" in failure(server, timeout_s=0.3)
        assert 0.6 <= time.monotonic() - started < 5
    assert len(server.requests) == 2


def test_a_server_that_hangs_at_the_probe():
    server = Server()
    server.models_answer = hang()
    with serving(server), pytest.raises(PolicyError, match="sent nothing"):
        policy_for(server, probe_timeout_s=0.2).probe()


@pytest.mark.parametrize("code", [401, 403])
def test_a_wrong_key_names_the_variable_and_never_the_key(code, monkeypatch):
    monkeypatch.setenv("MLEAGENT_API_KEY", "sk-very-secret")
    with serving(Server(status(code, "key sk-very-secret is invalid"))) as server:
        message = failure(server)
        assert "MLEAGENT_API_KEY" in message and "secret" not in message
        assert "secret" not in repr(policy_for(server)) and len(server.requests) == 1
    assert server.headers[0]["Authorization"] == "Bearer sk-very-secret"


def test_a_missing_key_says_which_variable_to_set():
    with serving(Server(status(401, "no key"))) as server:
        assert "set MLEAGENT_API_KEY" in failure(server)
    assert "Authorization" not in server.headers[0]


def test_a_key_made_for_openai_goes_to_no_other_host(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    with serving(Server(stream("ok"))) as server:
        ask(server)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        ask(server)
    assert ["Authorization" in headers for headers in server.headers] == [False, True]
    assert OpenAIPolicy("https://api.openai.com/v1").endpoint.key_env == "OPENAI_API_KEY"


def test_password_in_the_address_is_never_shown():
    policy = OpenAIPolicy("http://me:hunter2@127.0.0.1:1/v1?token=t0p", "")
    assert "hunter2" not in policy.name + repr(policy) and "t0p" not in policy.name


def test_an_unknown_model_lists_those_there_are():
    with serving(Server(status(404, "The model `big` does not exist"), models=("a", "b"))) as server:
        assert "no model 'big'; it has: a, b" in failure(server, model="big")
        with pytest.raises(PolicyError, match="no model 'big'; it has: a, b"):
            policy_for(server, model="big").probe()


@pytest.mark.parametrize(
    ("code", "words", "limit"),
    [
        (400, "This model's maximum context length is 4096 tokens. However, you requested 5000", 4096),
        (400, "the request exceeds the available context size (2048 tokens), try increasing it", 2048),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", None),
        (400, "Please reduce the length of the messages", None),
        (413, "Input is too long for requested model", None),
        (500, "Too many input tokens", None),
    ],
)
def test_a_prompt_too_long_is_told_apart(code, words, limit):
    with serving(Server(status(code, words))) as server:
        policy = policy_for(server)
        with pytest.raises(ContextOverflowError):
            policy.complete(PROMPT, Sampling())
        assert policy.context_tokens == limit and len(server.requests) == 1


def test_overflow_reported_inside_the_stream():
    def late(handler, body):
        handler.start_stream()
        handler.event(
            {"error": {"message": "request (9000 tokens) exceeds the available context size (4096 tokens)"}}
        )
        handler.end_stream()

    with serving(Server(late)) as server:
        failure(server, ContextOverflowError)


def test_a_stream_that_stays_empty_is_asked_for_its_reason():
    """llama-cpp-python's server answers 200 and an empty stream when the prompt is too long."""

    def silent(handler, body):
        if body["stream"]:
            handler.start_stream()
            return handler.end_stream()
        return status(400, "This model's maximum context length is 512 tokens.")(handler, body)

    with serving(Server(silent)) as server:
        failure(server, ContextOverflowError)
    assert [request["stream"] for request in server.requests] == [True, False]


def test_an_ordinary_refusal_is_no_overflow():
    assert not is_overflow(400, "temperature must be positive")
    assert not is_overflow(401, "maximum context length")
    assert context_limit("nothing here 4096") is None


@pytest.mark.parametrize(
    "answer",
    [
        text("<!DOCTYPE html><html>hello</html>"),
        text("plain words", kind="text/plain"),
        text('{"unexpected": true}', kind="application/json"),
        text("[1, 2]", kind="application/json"),
        text('{"choices": [17]}', kind="application/json"),
        text("data: {broken\n\n", kind="text/event-stream"),
        text("data: 5\n\n", kind="text/event-stream"),
        text("", kind="text/event-stream"),
        text(""),
    ],
)
def test_nonsense_is_called_so(answer):
    with serving(Server(answer)) as server:
        assert "does not speak the OpenAI protocol" in failure(server)
    assert len(server.requests) == 2


@pytest.mark.parametrize("page", ["<html>hi</html>", "", "null", '{"data": 3}'])
def test_nonsense_at_the_probe(page):
    server = Server()
    server.models_answer = text(page)
    with serving(server), pytest.raises(PolicyError, match="does not speak the OpenAI protocol") as caught:
        policy_for(server).probe()
    assert caught.value.exit_code == 2


def test_an_error_inside_the_stream_is_tried_again():
    def broken(handler, body):
        handler.start_stream()
        handler.event(chunk("half"))
        handler.event({"error": {"message": "engine died"}})
        handler.end_stream()

    with serving(Server(broken, stream("ok"))) as server:
        assert ask(server)[0].text == "ok"


# --- address and probe ----------------------------------------------------------------


def test_v1_is_added_and_the_first_model_taken():
    with serving(Server(stream("ok"), models=("first", "second"), context=512)) as server:
        policy = OpenAIPolicy(server.url.removesuffix("/v1"))
        assert policy.complete(PROMPT, Sampling())[0].text == "ok"
        assert (policy.name, policy.context_tokens, policy.endpoint.url) == ("first", 512, server.url)


def test_llama_cpp_tells_its_real_context():
    def answer(handler, body):
        if handler.path == "/props":
            return handler.json(200, {"default_generation_settings": {"n_ctx": 1536}})
        return handler.json(
            200, {"data": [{"id": "g", "owned_by": "llamacpp", "meta": {"n_ctx_train": 32768}}]}
        )

    server = Server()
    server.models_answer = answer
    with serving(server):
        policy = policy_for(server, model="")
        policy.probe()
    assert policy.context_tokens == 1536


@pytest.mark.parametrize("address", ["localhost:8080", "ftp://x/v1", "http://", "model.gguf"])
def test_an_address_that_is_none(address):
    with pytest.raises(InputError, match="not an endpoint's address"):
        OpenAIPolicy(address)


def test_a_proxy_that_cannot_be_used_is_named(monkeypatch):
    monkeypatch.setenv("all_proxy", "socks://me:secret@127.0.0.1:9")
    with pytest.raises(UnavailableError, match=r"all_proxy names a socks:// proxy.*unset it") as caught:
        OpenAIPolicy("http://192.0.2.1/v1").probe()
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
    with serving(Server()) as server:
        policy_for(server).probe()  # this machine is asked without a proxy


def test_token_estimate_learns_from_what_the_server_counts():
    with serving(Server(stream("ok"))) as server:
        policy = policy_for(server)
        before = policy.count_tokens("x" * 300)
        policy.complete(PROMPT, Sampling())  # 308 bytes, 120 tokens by the server's count
        assert 101 == before < policy.count_tokens("x" * 300) < 150


# --- stop strings ----------------------------------------------------------------------


@given(
    st.lists(st.text("ab<>/", max_size=4), max_size=12),
    st.lists(st.text("ab<>/", min_size=1, max_size=4), max_size=3),
)
def test_stop_filter_equals_cutting_the_whole_text(pieces, stops):
    whole = "".join(pieces)
    ends = [whole.find(stop) for stop in stops if stop in whole]
    stopping = StopFilter(stops)
    shown = "".join([stopping.feed(piece) for piece in pieces] + [stopping.finish()])
    assert shown == stopping.text
    assert stopping.hit == bool(ends)
    if len(ends) <= 1 or not stops:
        assert shown == (whole[: min(ends)] if ends else whole)
    assert not any(stop in shown for stop in stops)
