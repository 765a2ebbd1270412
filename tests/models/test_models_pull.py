"""Downloads arrive whole or not at all, go on where they ended, and say in one line what is wrong."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hub_server import COMMIT
from pull_kit import REPO, pull, rest
from terminal_kit import Terminal

from mleagent.cli.app import main
from mleagent.errors import InputError, MleagentError, UnavailableError
from mleagent.models import download
from mleagent.models.hub import Hub, RemoteFile, Repo
from mleagent.models.pull import _picked, plan


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(download, "_WAIT_S", 0.01)


def test_a_pull_is_whole_and_known(hub, ledger):
    base = pull(ledger)
    assert base.name == "tiny-q4_k_m" and base.licence == "apache-2.0" and base.owned
    assert base.source == f"hub:{REPO}@{COMMIT}" and base.architecture == "qwen2" and base.parameters > 1e5
    path = Path(base.files.path)
    assert path.read_bytes() == hub.repos[REPO]["tiny-q4_k_m.gguf"]
    assert rest(ledger.home) == ["tiny-q4_k_m.gguf"] and ledger.bases() == [base]
    hub.requests.clear()
    assert pull(ledger).files.sha256 == base.files.sha256
    assert not [path for path, _ in hub.requests if path.startswith("/cdn")], (
        "what is here is not fetched again"
    )


def test_the_quantisation_named_is_taken(hub, ledger):
    assert pull(ledger, f"{REPO}:q8_0").name == "tiny-q8_0"
    assert pull(ledger, f"https://huggingface.co/{REPO}@main:Q4_K_M", "mine").name == "mine"
    with pytest.raises(InputError, match=r"has Q4_K_M, Q8_0; name one"):
        pull(ledger, f"{REPO}:Q5_K_M")


@pytest.mark.parametrize("cuts", [[1000], [0, 0, 100_000], [200_000, 0, 1, 70_000]])
def test_a_broken_connection_is_gone_on_with(hub, ledger, cuts):
    hub.cut_after = list(cuts)
    base = pull(ledger)
    assert Path(base.files.path).read_bytes() == hub.repos[REPO]["tiny-q4_k_m.gguf"]
    ranges = [
        headers.get("range") or headers.get("Range") for path, headers in hub.requests if "/cdn" in path
    ]
    assert len(ranges) == len(cuts) + 1 and (ranges[-1] or "").startswith("bytes=")


def test_a_server_without_ranges_begins_anew(hub, ledger):
    hub.no_range, hub.cut_after = True, [300_000]
    assert Path(pull(ledger).files.path).read_bytes() == hub.repos[REPO]["tiny-q4_k_m.gguf"]


def test_a_hub_that_keeps_breaking_off_leaves_a_part_to_go_on_with(hub, ledger):
    hub.cut_after = [100_000] + [0] * 10
    with pytest.raises(
        UnavailableError, match=r"broke off at 0\.1 of 0\.5 MB .* goes on from there"
    ) as caught:
        pull(ledger)
    assert "\n" not in str(caught.value)
    (left,) = rest(ledger.home)
    assert left.endswith(".part") and not ledger.names()
    hub.cut_after = []
    hub.requests.clear()
    pull(ledger)
    assert [h.get("range") or h.get("Range") for p, h in hub.requests if "/cdn" in p] == ["bytes=100000-"]
    assert rest(ledger.home) == ["tiny-q4_k_m.gguf"]


def test_a_busy_hub_is_asked_again(hub, ledger):
    hub.failures = 2
    assert pull(ledger).name == "tiny-q4_k_m"
    hub.failures = 99
    with pytest.raises(UnavailableError, match="HTTP 503"):
        pull(ledger, f"{REPO}:Q8_0")


def test_bytes_that_do_not_match_their_hash_are_removed(hub, ledger):
    hub.lie_hash = True
    with pytest.raises(MleagentError, match="does not match its hash"):
        pull(ledger)
    assert rest(ledger.home) == [] and ledger.names() == []


def test_a_spoilt_part_is_found_out(hub, ledger):
    hub.cut_after = [100_000] + [0] * 10
    with pytest.raises(UnavailableError):
        pull(ledger)
    (part,) = (ledger.home / "models").rglob("*.part")
    part.write_bytes(b"\0" * 100_000)
    hub.cut_after = []
    with pytest.raises(MleagentError, match="does not match its hash"):
        pull(ledger)
    assert pull(ledger).name == "tiny-q4_k_m"


def test_a_file_that_is_whole_but_no_model_never_enters(hub, ledger):
    hub.repos[REPO]["tiny-q4_k_m.gguf"] = b"GGUF" + b"\0" * 1000
    with pytest.raises(
        InputError, match=r"acme/tiny-GGUF can't be used: model file .*version 0.*they stay in"
    ):
        pull(ledger)
    assert rest(ledger.home) == ["tiny-q4_k_m.gguf"], "bytes that matched their hash are not thrown away"
    assert ledger.names() == []


def test_gated_missing_and_unreachable_are_one_line(hub, ledger, monkeypatch):
    hub.gated.add(REPO)
    with pytest.raises(InputError, match=r"is gated: accept its terms at http.*HF_TOKEN"):
        pull(ledger)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert pull(ledger).name == "tiny-q4_k_m"
    with pytest.raises(InputError, match="has no model acme/none"):
        pull(ledger, "acme/none")
    with pytest.raises(InputError, match="names no repository"):
        pull(ledger, "tiny")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match="can't be reached") as caught:
        pull(ledger)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 3
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UnavailableError, match="HF_HUB_OFFLINE is set"):
        pull(ledger)


def test_the_token_stays_with_the_hub(hub, ledger, monkeypatch):
    """A redirect to another host gets no token (the content network signs its own addresses)."""
    monkeypatch.setenv("HF_TOKEN", hub.token)
    monkeypatch.setenv("HF_ENDPOINT", hub.url.replace("127.0.0.1", "localhost"))
    pull(ledger)
    sent = [bool(headers.get("authorization") or headers.get("Authorization")) for _, headers in hub.requests]
    away = [path.startswith("/cdn") for path, _ in hub.requests]
    assert sent == [not one for one in away] and any(away)


def test_safetensors_with_what_belongs_to_them(hub, ledger):
    import json
    import struct

    table = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    weights = struct.pack("<Q", len(table)) + table + bytes(24)
    config = json.dumps({"model_type": "qwen2", "max_position_embeddings": 4096}).encode()
    files = {"model.safetensors": weights, "config.json": config, "tokenizer.json": b"{}", "x.bin": b"1"}
    hub.repos["acme/whole"] = {**files, "onnx/model.onnx": b"2"}
    base = pull(ledger, "acme/whole")
    assert base.kind == "safetensors" and base.name == "whole" and base.parameters == 6
    assert rest(ledger.home) == ["config.json", "model.safetensors", "tokenizer.json"]
    from mleagent.models.files import checked, files_at

    assert files_at(Path(base.files.path)).sha256 == base.files.sha256
    assert checked(base.files, "whole") == base.files
    hub.repos["acme/whole"]["model.safetensors"] = weights[:-1]
    with pytest.raises(InputError, match="truncated or damaged"):
        pull(ledger, "acme/whole", "other")


def test_no_room_is_said_before_anything_is_fetched(hub, ledger):
    with pytest.raises(MleagentError, match=r"needs 0\.00 GB more, and 0\.00 GB are free"):
        pull(ledger, free=1000)
    assert not (ledger.home / "models").exists() and not ledger.names()


def test_a_full_disk_on_the_way_leaves_nothing_half(hub, ledger):
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))\n"
        "from mleagent.cli.app import main; sys.exit(main(['models', 'pull', sys.argv[1], '--yes']))"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", code, REPO], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "is full" in done.stderr and "make room" in done.stderr
    assert rest(ledger.home) == [] and ledger.names() == []
    assert pull(ledger).name == "tiny-q4_k_m"


def test_kill_in_the_middle_is_gone_on_with(hub, ledger):
    hub.gate = threading.Event()
    child = subprocess.Popen([sys.executable, "-m", "mleagent.cli.app", "models", "pull", REPO, "--yes"],
                             stdout=subprocess.DEVNULL)  # fmt: skip
    assert hub.reached.wait(30)
    deadline = 100
    while not (parts := list((ledger.home / "models").rglob("*.part"))) or not parts[0].stat().st_size:
        deadline -= 1
        assert deadline
        threading.Event().wait(0.1)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    had = parts[0].stat().st_size
    assert 0 < had < len(hub.repos[REPO]["tiny-q4_k_m.gguf"]) and ledger.names() == []
    hub.gate.set()
    hub.gate = None
    hub.requests.clear()
    base = pull(ledger)
    ranges = [
        headers.get("range") or headers.get("Range") for path, headers in hub.requests if "/cdn" in path
    ]
    assert ranges == [f"bytes={had}-"]
    assert Path(base.files.path).read_bytes() == hub.repos[REPO]["tiny-q4_k_m.gguf"]


def test_two_pulls_of_one_file_at_once(hub, ledger):
    hub.gate = threading.Event()
    child = subprocess.Popen([sys.executable, "-m", "mleagent.cli.app", "models", "pull", REPO, "--yes"],
                             stdout=subprocess.DEVNULL)  # fmt: skip
    assert hub.reached.wait(30)
    with pytest.raises(InputError, match="another mleagent is downloading"):
        pull(ledger)
    hub.gate.set()
    assert child.wait(30) == 0
    assert ledger.names() == ["tiny-q4_k_m"]


def test_without_a_terminal_a_pull_needs_yes(hub, ledger, capsys):
    assert main(["models", "pull", REPO]) == 2
    said = capsys.readouterr()
    assert "licence: apache-2.0" in said.out and "MB" in said.out and "--yes" in said.err
    assert not (ledger.home / "models").exists()
    assert main(["models", "pull", REPO, "--yes"]) == 0


def test_a_version_that_changed_upstream_is_asked_about_and_needs_room(hub, ledger, capsys):
    old = Path(pull(ledger).files.path)
    hub.repos[REPO]["tiny-q4_k_m.gguf"] += bytes(1000)
    connection = Hub()
    made = plan(connection, ledger, REPO)
    connection.close()
    assert made.missing() == made.bytes == old.stat().st_size + 1000
    assert main(["models", "pull", REPO]) == 2 and "--yes agrees" in capsys.readouterr().err
    with pytest.raises(MleagentError, match="make room"):
        pull(ledger, free=1000)
    pull(ledger)
    assert old.stat().st_size == made.bytes


@pytest.mark.parametrize("proxy", ["socks://127.0.0.1:9", "quic://me:secret@127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_named(hub, home, monkeypatch, capsys, proxy):
    monkeypatch.setenv("ALL_PROXY", proxy)
    assert main(["models", "pull", REPO]) == 3
    err = capsys.readouterr().err
    assert f"ALL_PROXY names a {proxy.partition(':')[0]}:// proxy" in err and err.count("\n") == 1
    assert "secret" not in err


def test_at_a_terminal_size_and_licence_are_shown_and_asked(hub, ledger):
    terminal = Terminal("models", "pull", REPO)
    terminal.until("tiny-q4_k_m.gguf  0.5 MB")
    terminal.until("licence: apache-2.0")
    terminal.until("fits")
    terminal.until("download 0.5 MB? [y/N]")
    terminal.say("n")
    assert terminal.code() == 2 and ledger.names() == []
    terminal = Terminal("models", "pull", REPO)
    terminal.until("[y/N]")
    terminal.say("y")
    terminal.until("is in the ledger")
    assert terminal.code() == 0 and ledger.names() == ["tiny-q4_k_m"]


def test_ctrl_c_keeps_what_has_come(hub, ledger):
    hub.gate = threading.Event()
    terminal = Terminal("models", "pull", REPO, "--yes")
    assert hub.reached.wait(30)
    terminal.interrupt()
    assert terminal.code() == 130 and rest(ledger.home)[0].endswith(".part") and ledger.names() == []


# --- which files --------------------------------------------------------------------


def repo_of(*paths: str) -> Repo:
    return Repo(
        name="a/b", commit="c", files=tuple(RemoteFile(path=path, bytes=1, sha256="0") for path in paths)
    )


@pytest.mark.parametrize(
    ("paths", "quant", "picked"),
    [
        (("x-q4_k_m.gguf", "x-q8_0.gguf"), "", ["x-q4_k_m.gguf"]),
        (("x-q8_0.gguf", "x-fp16.gguf", "mmproj-f16.gguf"), "", ["x-q8_0.gguf"]),
        (("only.gguf", "imatrix.gguf"), "", ["only.gguf"]),
        (("Q4_K_M/x-00002-of-00002.gguf", "Q4_K_M/x-00001-of-00002.gguf"), "q4_k_m",
         ["Q4_K_M/x-00001-of-00002.gguf", "Q4_K_M/x-00002-of-00002.gguf"]),
        (("x-q4_k_m-00001-of-00002.gguf", "x-q4_k_m-00002-of-00002.gguf", "x-q4_k_m.gguf"), "",
         ["x-q4_k_m.gguf"]),
        (("x-iq4_k_m.gguf", "x-q4_k_m.gguf"), "Q4_K_M", ["x-q4_k_m.gguf"]),
    ],
)  # fmt: skip
def test_which_files_are_taken(paths, quant, picked):
    assert [file.path for file in _picked(repo_of(*paths), quant)[1]] == picked


@pytest.mark.parametrize("paths", [("README.md",), ("model.safetensors",), ("x.bin", "config.json")])
def test_a_repository_without_weights(paths):
    with pytest.raises(InputError, match="neither GGUF nor safetensors"):
        _picked(repo_of(*paths), "")
