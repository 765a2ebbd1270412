"""The model's own process: kills, crashes, interrupts, stops and ends, all real."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("gguf")
pytest.importorskip("llama_cpp")

from gguf_maker import make_gguf

from mleagent.errors import InputError, PolicyError
from mleagent.policy.llama_cpp import LlamaCppPolicy
from mleagent.protocols import Prompt
from mleagent.records import Message, Sampling
from mleagent.sandbox.gpu import Parkable

ASK = Prompt(messages=(Message(role="user", content="the user asks the assistant"),))
GREEDY = Sampling(temperature=0, max_tokens=8)
LONG = Sampling(temperature=1, max_tokens=200, seed=5)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
def said():
    return []


@pytest.fixture
def policy(path, said):
    policy = LlamaCppPolicy(path, notice=said.append)
    yield policy
    policy.close()


@pytest.fixture
def slow(tmp_path, said):
    """A reply of 200 tokens takes it half a second: time to be killed in."""
    path = make_gguf(tmp_path / "slow.gguf", width=512, layers=4, heads=8, n_ctx=1024)
    policy = LlamaCppPolicy(path, notice=said.append)
    yield policy
    policy.close()


def gone(pid, within_s=5.0):
    """Whether the process ends (or is a zombie that nobody waits for) within that time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def kill(policy, number=signal.SIGKILL):
    os.kill(policy.model.pid, number)


# --- it dies --------------------------------------------------------------------------


def test_killed_while_idle_it_is_started_anew(policy):
    (before,) = policy.complete(ASK, GREEDY)
    old = policy.model.pid
    kill(policy)
    assert gone(old)
    (after,) = policy.complete(ASK, GREEDY)
    assert after.token_ids == before.token_ids and policy.model.pid != old
    kill(policy)
    assert policy.count_tokens("the user") > 0


def test_killed_in_the_middle_of_a_reply_it_says_so_and_the_reply_is_whole(slow, said):
    (whole,) = slow.complete(ASK, LONG)
    shown = []

    def listen(text):
        shown.append(text)
        if len(shown) == 10:
            kill(slow)

    (reply,) = slow.complete(ASK, LONG, on_text=listen)
    assert reply.token_ids == whole.token_ids and "".join(shown) == whole.text
    assert len(said) == 1 and "was killed (SIGKILL)" in said[0] and "started anew" in said[0]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "was killed (SIGKILL)"),
        (signal.SIGABRT, "crashed (SIGABRT)"),
        (signal.SIGILL, "crashed (SIGILL); llama.cpp was compiled for another processor"),
    ],
)
def test_dying_twice_on_a_prompt_is_one_line_and_the_next_call_works(slow, number, words):
    with pytest.raises(PolicyError) as caught:
        slow.complete(ASK, LONG, on_text=lambda _text: kill(slow, number))
    message = str(caught.value)
    assert "twice on the same request" in message and words in message and "\n" not in message
    assert slow.complete(ASK, GREEDY)[0].token_ids


def test_a_crash_of_llama_cpp_while_loading_is_an_error_about_the_file(path, tmp_path):
    raw = bytearray(path.read_bytes())
    at = raw.index(b"qwen2.block_count") + len("qwen2.block_count") + 4
    raw[at : at + 4] = (100_000).to_bytes(4, "little")  # llama.cpp aborts on it
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(raw)
    with pytest.raises(InputError) as caught:
        LlamaCppPolicy(bad)
    message = str(caught.value)
    assert str(bad) in message and "crashed (SIGABRT)" in message and "GGML_ASSERT" in message
    assert "\n" not in message and "/vendor/" not in message


def test_a_file_that_vanishes_meanwhile(path, tmp_path):
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(path.read_bytes())
    policy = LlamaCppPolicy(mine)
    mine.unlink()
    kill(policy)
    with pytest.raises(PolicyError, match="mine can't be started anew"):
        policy.complete(ASK, GREEDY)
    mine.write_bytes(path.read_bytes())
    assert policy.complete(ASK, GREEDY)[0].token_ids
    policy.close()


def test_tokens_that_are_none_of_the_models_and_no_tokens(policy):
    with pytest.raises(PolicyError, match=r"llama\.cpp failed on tiny\.gguf"):
        policy.complete(ASK.model_copy(update={"token_ids": (5, 10**6)}), GREEDY)
    with pytest.raises(PolicyError, match="prompt is empty"):
        policy.logits(())
    assert policy.complete(ASK, GREEDY)[0].token_ids


def test_weights_that_are_not_numbers(path, tmp_path):
    raw = path.read_bytes()
    bad = tmp_path / "nan.gguf"
    bad.write_bytes(raw[:-60_000] + b"\xff" * 60_000)
    policy = LlamaCppPolicy(bad)
    with pytest.raises(PolicyError, match="not a number"):
        policy.complete(ASK, Sampling(temperature=1))
    policy.close()


# --- interrupts and stops -------------------------------------------------------------


def test_the_terminals_interrupt_does_not_reach_it(policy):
    assert os.getsid(policy.model.pid) != os.getsid(0)
    kill(policy, signal.SIGINT)
    assert policy.complete(ASK, GREEDY)[0].token_ids


def test_after_an_interrupt_of_ours_its_late_answer_is_dropped(policy):
    (whole,) = policy.complete(ASK, GREEDY)
    pid = policy.model.pid

    def interrupt(_text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        policy.complete(ASK, LONG, on_text=interrupt)
    assert policy.complete(ASK, GREEDY)[0].token_ids == whole.token_ids
    assert policy.model.pid == pid


def test_a_stop_from_another_thread_ends_the_reply(tmp_path):
    policy = LlamaCppPolicy(make_gguf(tmp_path / "wide.gguf", width=256, layers=4, n_ctx=4096))
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    started = time.monotonic()
    (reply,) = policy.complete(ASK, Sampling(temperature=1.5, max_tokens=4000, seed=1), stop=stop)
    assert 0 < len(reply.token_ids) < 4000 and reply.finish_reason == "stop"
    assert time.monotonic() - started < 2
    assert policy.complete(ASK, GREEDY)[0].token_ids, "the stop was for that call only"
    policy.close()


def test_calls_from_several_threads_wait_for_each_other(policy):
    alone = {seed: policy.complete(ASK, LONG.model_copy(update={"seed": seed}))[0] for seed in range(4)}
    found = {}

    def ask(seed):
        found[seed] = policy.complete(ASK, LONG.model_copy(update={"seed": seed}))[0]
        policy.count_tokens("the user")

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {s: r.token_ids for s, r in found.items()} == {s: r.token_ids for s, r in alone.items()}


# --- it ends --------------------------------------------------------------------------


def test_closing_ends_it(path):
    policy = LlamaCppPolicy(path)
    pid = policy.model.pid
    policy.close()
    policy.close()
    assert gone(pid) and policy.model.pid is None
    for call in (lambda: policy.complete(ASK, GREEDY), lambda: policy.count_tokens("x")):
        with pytest.raises(PolicyError, match="closed"):
            call()


def test_closing_from_another_thread_ends_the_call(tmp_path):
    policy = LlamaCppPolicy(make_gguf(tmp_path / "wide.gguf", width=256, layers=4, n_ctx=4096))
    threading.Timer(0.3, policy.close).start()
    started = time.monotonic()
    with pytest.raises(PolicyError, match="closed"):
        policy.complete(ASK, Sampling(temperature=1.5, max_tokens=4000, seed=1), 20)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("busy", [False, True])
def test_it_ends_with_the_process_that_started_it(path, busy):
    code = (
        "import sys, threading, os, time\n"
        "from mleagent.policy.llama_cpp import LlamaCppPolicy\n"
        "from mleagent.protocols import Prompt\n"
        "from mleagent.records import Message, Sampling\n"
        "p = LlamaCppPolicy(sys.argv[1])\n"
        "ask = Prompt(messages=(Message(role='user', content='x'),))\n"
        "loop = lambda: [p.complete(ask, Sampling(temperature=2, max_tokens=400), 50) for _ in range(99)]\n"
        f"if {busy}: threading.Thread(target=loop, daemon=True).start(); time.sleep(0.3)\n"
        "print(p.model.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    assert gone(int(done.stdout))


def test_files_in_the_users_folder_are_not_imported(path, tmp_path):
    for name in ("random", "socket", "numpy", "queue", "mleagent"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    code = (
        "import sys; sys.path.remove('')\n"
        "from mleagent.policy.llama_cpp import LlamaCppPolicy\n"
        "print(LlamaCppPolicy(sys.argv[1]).count_tokens('the user'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0 and int(done.stdout) > 0, done.stderr


# --- the GPU --------------------------------------------------------------------------


def test_without_a_gpu_parking_leaves_it_alone(policy):
    assert isinstance(policy, Parkable)
    pid = policy.model.pid
    if not policy.model.offloads:
        policy.park()
        assert policy.model.pid == pid


def test_parked_it_is_gone_and_answers_the_same_afterwards(policy):
    (before,) = policy.complete(ASK, LONG)
    pid, policy.model.offloads = policy.model.pid, True
    for _ in range(2):
        policy.park()
        assert policy.model.pid is None and gone(pid)
    for _ in range(2):
        policy.restore()
    assert policy.complete(ASK, LONG)[0].token_ids == before.token_ids
    policy.park()
    assert policy.complete(ASK, LONG)[0].token_ids == before.token_ids, "a call brings it back too"
