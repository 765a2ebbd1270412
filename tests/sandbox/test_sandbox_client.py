"""The client against runners that lie, flood, stall or break: it never hangs and never believes them."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mleagent.sandbox.client as client_module
from mleagent.errors import SandboxError, SandboxLostError
from mleagent.records import Limits
from mleagent.sandbox.client import RunnerClient, Setup
from mleagent.sandbox.process import RunnerProcess

LIMITS = Limits(wall_s=1.0, output_bytes=1000)
PACKAGE_PARENT = str(Path(client_module.__file__).parent)
HEAD = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from runner import frames
from runner.frames import *
def send(data):
    while data: data = data[os.write(1, data):]
decoder, waiting = Decoder(), []
def receive():
    while not waiting:
        data = os.read(0, 1 << 16)
        if not data: sys.exit(0)
        waiting.extend(decoder.feed(data))
    return waiting.pop(0)
def result(**fields): send(pack_json(RESULT, fields))
send(pack_json(HELLO, {"version": VERSION, "python": "3.11.1"}))
receive(); result(gaps=["a gap"])
receive()
"""
Lie = Callable[[str], RunnerClient]


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lie]:
    """A client connected to a real process that does as its program says after a proper start."""
    monkeypatch.setattr(client_module, "GRACE_S", 0.5)
    started: list[tuple[RunnerClient, RunnerProcess]] = []

    def start(program: str) -> RunnerClient:
        process = RunnerProcess([sys.executable, "-c", HEAD + textwrap.dedent(program), PACKAGE_PARENT])
        client = RunnerClient(process.reader, process.writer, process.end, "test")
        started.append((client, process))
        assert client.hello(Setup(), timeout_s=20).gaps == ("a gap",)
        return client

    yield start
    for client, process in started:
        client.close()
        process.end()


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("time.sleep(60)", "no answer"),
        ("sys.exit(3)", "ended"),
        ("send(b'garbage that is no frame')", "nonsense"),
        ("send(HEADER.pack(DATA, 1 << 30))", "nonsense"),
        ("send(pack(RESULT, b'[1]'))", "nonsense"),
        ("send(pack(HELLO))", "out of turn"),
        ("send(pack(OUTPUT, STAMP.pack(float('nan'), True) + b'x'))", "more output"),
        ("while True: send(pack(OUTPUT, STAMP.pack(0.0, True) + b'x' * 100_000))", "more output"),
        ("send(pack(OUTPUT, b'short'))", "out of turn"),
    ],
)
def test_a_run_ends_lost_and_says_why(lying: Lie, program: str, why: str) -> None:
    client = lying(program)
    began = time.monotonic()
    result = client.run("anything", LIMITS)
    assert result.status == "lost" and why in result.detail and "\n" not in result.detail
    assert time.monotonic() - began < 5
    with pytest.raises(SandboxLostError, match="start it again"):
        client.pull(100)


@pytest.mark.parametrize(
    "files",
    [
        "entry(b'/etc/passwd', 1) + b'x'",
        "entry(b'../x', 1) + b'x'",
        "entry(b'a/../../x', 1) + b'x'",
        "entry(b'big', 101) + b'x' * 101",
        "entry(b'huge', 1 << 60)",
        "entry(b'a', 60) + b'x' * 60 + entry(b'b', 60) + b'x' * 60",
        "entry(b'a', 1) + b'x' + entry(b'a', 1) + b'y'",
        "entry(b'\\xff', 1) + b'x'",
        "entry(b'short', 5) + b'x'",
        "ENTRY.pack(0, 5)",
        "ENTRY.pack(5, -7) + b'abcde'",
        "b''.join(entry(b'%d' % i, -1) for i in range(50_000))",
    ],
)
def test_a_bad_archive_is_refused(lying: Lie, files: str) -> None:
    client = lying(f"for f in pack_body([{files}]): send(f)\nresult(skipped=[])\ntime.sleep(60)")
    with pytest.raises(SandboxLostError, match="bad archive"):
        client.pull(100)


def test_a_failure_in_the_middle_of_an_archive_is_an_error(lying: Lie) -> None:
    client = lying("send(pack_json(FAILURE, {'error': 'no luck'}))")
    with pytest.raises(SandboxError, match="no luck"):
        client.pull(100)


def test_a_runner_that_does_not_read_can_not_block_the_host(lying: Lie) -> None:
    client = lying("time.sleep(60)")
    began = time.monotonic()
    with pytest.raises(SandboxLostError):
        client.put({"big": bytes(50 << 20)}, timeout_s=1.0)
    assert time.monotonic() - began < 5


def test_facts_of_the_wrong_type_count_as_unknown(lying: Lie) -> None:
    client = lying(
        "result(exit_code='0', duration_s=1e9, peak_mb='x', oom='yes', dropped=-5)\ntime.sleep(60)"
    )
    result = client.run("anything", LIMITS)
    assert (result.status, result.exit_code, result.peak_memory_mb, result.dropped_bytes) == (
        "error",
        None,
        None,
        0,
    )
    assert result.duration_s < 5


def test_a_runner_of_another_version_is_refused() -> None:
    program = HEAD.replace('"version": VERSION', '"version": 99')
    process = RunnerProcess([sys.executable, "-c", program, PACKAGE_PARENT])
    client = RunnerClient(process.reader, process.writer, process.end, "test")
    with pytest.raises(SandboxLostError, match="version 99"):
        client.hello(Setup())
    assert not client.ready


def test_a_lost_runner_takes_nothing_from_the_next(lying: Lie) -> None:
    # A descriptor closed under the reading thread would have it read its successor's first frames.
    for _ in range(25):
        client = lying("send(b'garbage that is no frame')")
        assert client.run("anything", LIMITS).status == "lost"
