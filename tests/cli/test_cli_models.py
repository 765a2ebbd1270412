"""`mleagent models`, the first offer and what doctor says of models, as a user meets them."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import pytest
from gguf_maker import make_gguf, make_lora
from terminal_kit import Terminal

from mleagent.cli import servers
from mleagent.cli.app import main
from mleagent.cli.first_offer import choices
from mleagent.cli.fit import fit
from mleagent.cli.models_view import Bar
from mleagent.config import load_settings
from mleagent.models.known import KNOWN, context_of, need_gb
from mleagent.policy import llama_check


def out_of(capsys, *args, code=0):
    assert main(list(args)) == code
    return capsys.readouterr().out


def error_of(capsys, *args, code=2):
    assert main(list(args)) == code
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


@pytest.fixture
def alone(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any model: own home folder, no caches of others."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "LLAMA_CACHE", "XDG_CACHE_HOME", "MLEAGENT_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    (tmp_path / "user").mkdir()
    return home


@contextmanager
def server_at_a_usual_port(answer: bytes, wait_s: float = 0.0) -> Iterator[int]:
    """A real HTTP server at one of the ports that are looked at."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(wait_s)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    for port in servers.PORTS:
        try:
            server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
            break
        except OSError:
            continue
    else:
        pytest.skip("all usual ports are taken on this machine")
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- models -------------------------------------------------------------------------


def test_a_file_is_added_used_rolled_back_and_removed(alone, tmp_path, capsys):
    path = make_gguf(tmp_path / "Own Model.gguf")
    assert "own-model is in the ledger" in out_of(capsys, "models", "add", str(path), "--licence", "mit")
    assert "solve uses own-model now (it was auto)" in out_of(capsys, "models", "use", "own-model")
    assert load_settings().model == "own-model"
    (row,) = [one for one in json.loads(out_of(capsys, "models", "list", "--json")) if one["active"]]
    assert row["name"] == "own-model" and row["kind"] == "gguf" and row["state"] == "ready"
    assert row["bytes"] == path.stat().st_size and row["path"] == str(path) and row["licence"] == "mit"
    table = out_of(capsys, "models", "list")
    assert "own-model" in table and "*" in table
    assert "is what solve uses" in error_of(capsys, "models", "remove", "own-model")
    assert "solve uses auto again" in out_of(capsys, "models", "rollback")
    assert "no file was deleted" in out_of(capsys, "models", "remove", "own-model")
    assert path.exists()


def test_show_says_all(alone, tmp_path, capsys):
    out_of(capsys, "models", "add", str(make_gguf(tmp_path / "a.gguf")))
    page = out_of(capsys, "models", "show", "a")
    assert "about 1.0 GB with a context of 512 tokens" in page and "sha256" in page
    said = out_of(capsys, "models", "add", str(make_lora(tmp_path / "night.gguf")), "--base", "a")
    assert "night: adapter of a, a candidate" in said
    data = json.loads(out_of(capsys, "models", "show", "night", "--json"))
    assert data["parent"] == "a" and data["state"] == "candidate" and data["record"]["gate"] is None
    assert "no model 'b'" in error_of(capsys, "models", "show", "b")


def test_what_pull_brought_is_deleted_after_a_yes(alone, tmp_path, capsys):
    from mleagent.config import data_home
    from mleagent.models import Ledger

    own = data_home() / "models" / "acme--tiny"
    own.mkdir(parents=True)
    out_of(capsys, "models", "add", str(make_gguf(own / "tiny.gguf")))
    ledger = Ledger(data_home())
    ledger.update(ledger.get("tiny").model_copy(update={"owned": True}))
    assert "nothing was removed; --yes" in error_of(capsys, "models", "remove", "tiny")
    assert "1 files deleted" in out_of(capsys, "models", "remove", "tiny", "--yes")
    assert not own.exists() and ledger.names() == []


def test_an_entry_that_points_out_of_our_folder_is_never_deleted(alone, tmp_path, capsys):
    from mleagent.config import data_home
    from mleagent.models import Ledger

    path = make_gguf(tmp_path / "users.gguf")
    out_of(capsys, "models", "add", str(path))
    ledger = Ledger(data_home())
    ledger.update(ledger.get("users").model_copy(update={"owned": True}))
    out_of(capsys, "models", "remove", "users", "--yes")
    assert path.exists() and ledger.names() == []


def test_the_environment_wins_and_it_is_said(alone, capsys, monkeypatch):
    monkeypatch.setenv("MLEAGENT_MODEL", "playbook")
    assert main(["models", "use", "auto"]) == 0
    assert "wins over it" in capsys.readouterr().err


def test_wrong_words_are_one_line(alone, tmp_path, capsys):
    assert "does not exist" in error_of(capsys, "models", "add", "none.gguf")
    assert "needs a name" in error_of(capsys, "models", "add", "http://localhost:1/v1")
    assert "means something else" in error_of(
        capsys, "models", "add", str(make_gguf(tmp_path / "a.gguf")), "--name", "nano"
    )
    assert "nothing to roll back" in error_of(capsys, "models", "rollback")
    (tmp_path / "empty").mkdir()
    assert "no .safetensors file; name a .gguf" in error_of(capsys, "models", "add", str(tmp_path / "empty"))


def test_solve_takes_a_name_of_the_ledger(alone, tmp_path, capsys):
    pytest.importorskip("llama_cpp")
    out_of(capsys, "models", "add", str(make_gguf(tmp_path / "says.gguf", says="<submit/>", n_ctx=8192)))
    code = main(["solve", "examples/wine", "--model", "says", "--steps", "1", "--headless", "--json"])
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 1 and events[-1]["event"] == "session_end" and events[-1]["steps"] == 1
    begun = next(one for one in events if one["event"] == "session_start")
    assert begun["session"]["policy"] == "says"


# --- the first offer ----------------------------------------------------------------


def test_servers_are_found_at_their_ports_within_the_bound():
    with server_at_a_usual_port(b'{"data": [{"id": "m1"}, {"id": "m2"}]}') as port:
        begun = time.perf_counter()
        found = servers.running()
        assert time.perf_counter() - begun < 0.6
        assert servers.Server(f"http://localhost:{port}/v1", ("m1", "m2"), servers.PORTS[port]) in found


@pytest.mark.parametrize(("answer", "wait_s"), [(b"<html>", 0), (b'{"data": [{"id": "m"}]}', 1.5)])
def test_what_is_no_model_server_or_does_not_answer_is_not_there(answer, wait_s):
    with server_at_a_usual_port(answer, wait_s) as port:
        begun = time.perf_counter()
        assert not [one for one in servers.running() if f":{port}/" in one.address]
        assert time.perf_counter() - begun < 0.6


def test_a_server_without_a_model_is_not_offered(alone):
    with server_at_a_usual_port(b'{"data": []}') as port:
        assert f"http://localhost:{port}/v1" in [one.address for one in servers.running()]
        offered = [choice.setting for choice in choices(load_settings())]
    assert not [setting for setting in offered if f":{port}/" in setting] and offered[-1] == "playbook"


def test_the_first_solve_at_a_terminal_offers_what_is_there(alone, tmp_path, monkeypatch):
    cache = tmp_path / "hub" / "models--acme--coder" / "snapshots" / "abc"
    cache.mkdir(parents=True)
    make_gguf(cache / "tiny-coder.gguf")
    (cache / "broken.gguf").write_bytes(b"GGUF" + b"\1" * 200_000)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    make_gguf((alone / "models").mkdir() or alone / "models" / "other.gguf")
    with server_at_a_usual_port(b'{"data": [{"id": "served-model"}]}') as port:
        terminal = Terminal("solve", str(tmp_path / "nowhere"))
        terminal.until("which one should work?")
        terminal.until(f"http://localhost:{port}/v1: served-model  (recommended)")
        terminal.until("tiny-coder.gguf")
        terminal.until("other.gguf")
        terminal.until("playbook")
        terminal.until("number [1]")
        terminal.say("99")
        terminal.until("write a number from 1 to")
        terminal.until("number [1]")
        terminal.say()
        terminal.until("remembered")
        assert terminal.code() == 2  # there is no such folder
    assert "broken.gguf" not in terminal.text
    assert load_settings().model == f"http://localhost:{port}/v1"


def test_it_asks_once_and_not_where_nobody_can_answer(alone, tmp_path):
    terminal = Terminal("solve", str(tmp_path / "nowhere"))
    terminal.until("number [1]")
    last = len(
        [line for line in terminal.text.splitlines() if line.startswith("  ") and "  playbook" in line]
    )
    assert last == 1
    number = next(line.split()[0] for line in terminal.text.splitlines() if "  playbook:" in line)
    terminal.say(number)
    assert terminal.code() == 2 and load_settings().model == "playbook"
    again = Terminal("solve", str(tmp_path / "nowhere"))
    assert again.code() == 2 and "which one should work" not in again.text
    (alone / "config.toml").unlink()
    for flags in (("--headless",), ("--yes",), ("--model", "auto")):
        quiet = Terminal("solve", str(tmp_path / "nowhere"), *flags)
        assert quiet.code() == 2 and "which one should work" not in quiet.text, flags
    assert not (alone / "config.toml").exists()


# --- doctor -------------------------------------------------------------------------


def test_needs_and_verdicts():
    seven = next(one for one in KNOWN if one.name == "qwen2.5-coder-7b")
    assert seven.kv_bytes == 57344  # 28 layers x 4 heads x 128 x (key + value) x 2 bytes
    assert need_gb(seven.gb * 1e9, seven.kv_bytes, 8192) == pytest.approx(4.68 + 0.47 + 1.0, abs=0.01)
    assert context_of(32768, 0) == 8192 and context_of(512, 0) == 512 and context_of(512, 100) == 100
    assert fit(0.01).where in ("gpu", "memory") and fit(10**6).where == "no"
    assert "does not fit this machine" in fit(10**6).words


def test_what_fits_the_machine_but_not_its_gpu_is_told_with_the_mend(monkeypatch):
    assert "gpu_layers" not in fit(0.01).words
    monkeypatch.setattr("mleagent.cli.fit.gpu_gb", lambda: (0.005, 0.004))
    assert "not its GPU (0.0 GB free): mleagent config gpu_layers N" in fit(0.01).words


def test_a_home_folder_of_nobody_is_one_line(alone, capsys):
    path = "~nosuchuser/x.gguf"
    for words in (["models", "add", path], ["config", "model", path], ["models", "use", path]):
        assert "~nosuchuser is nobody's home folder" in error_of(capsys, *words)
    (alone / "config.toml").write_text(f'model = "{path}"\n')
    (check,) = [one for one in json.loads(_doctor(capsys))["checks"] if one["name"] == "configured"]
    assert check["state"] == "fail" and "nobody's home folder" in check["detail"]
    assert main(["solve", "examples/wine", "--headless"]) == 2
    assert "nobody's home folder" in capsys.readouterr().err.splitlines()[-1]


def test_the_speed_of_a_second_file_is_its_own(monkeypatch):
    """A pull that was gone on with: most of the first part was here, the second begins at nothing."""
    screen = StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", screen)
    with Bar() as bar:
        for name, have, total in (("a", 900_000_000, 10**9), ("a", 10**9, 10**9), ("b", 1000, 10**6)):
            bar(name, have, total)
        bar("b", 10**6, 10**6)
    speeds = [float(number) for number in re.findall(r"(\S+) MB/s", screen.getvalue())]
    assert len(speeds) > 1 and min(speeds) >= 0


def test_doctor_lists_what_fits_and_what_is_here(alone, capsys):
    (alone / "models").mkdir()
    make_gguf(alone / "models" / "here.gguf")
    main(["doctor", "--json"])
    checks = json.loads(capsys.readouterr().out)["checks"]
    (table,) = [one for one in checks if one["name"] == "would fit"]
    assert len(table["more"]) == len(KNOWN) and all("qwen2.5-coder" in line for line in table["more"])
    (found,) = [one for one in checks if one["name"] == "found here"]
    assert "here.gguf" in found["detail"] and "fits" in found["detail"]


def test_a_broken_ledger_stops_names_only(alone, capsys, tmp_path):
    (alone / "models.db").write_bytes(b"broken " * 1000)
    checks = json.loads(_doctor(capsys))["checks"]
    (check,) = [one for one in checks if one["name"] == "found here"]
    assert check["state"] == "fail" and "models.db" in check["detail"]
    assert "models.db" in error_of(capsys, "models", "list")
    code = main(["solve", str(tmp_path / "nowhere"), "--model", "playbook", "--headless"])
    assert code == 2 and "no such folder" in capsys.readouterr().err


def _doctor(capsys) -> str:
    main(["doctor", "--json"])
    return capsys.readouterr().out


def test_doctor_fails_on_a_gpu_that_llama_cpp_cannot_use(alone, tmp_path, capsys):
    llama_cpp = pytest.importorskip("llama_cpp")
    if llama_cpp.llama_supports_gpu_offload():
        pytest.skip("this llama.cpp uses GPUs")
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'Test GPU, 24000, 23000'\n")
    tool.chmod(0o755)
    env = {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "mleagent.cli.app", "doctor", "--json"],
        capture_output=True,
        text=True,
        env=env,
    )
    (check,) = [one for one in json.loads(done.stdout)["checks"] if one["name"] == "llama.cpp"]
    assert done.returncode == 3 and check["state"] == "fail"
    assert "CMAKE_ARGS='-DGGML_NATIVE=OFF -DGGML_CUDA=on'" in check["detail"]


def test_doctor_tries_llama_cpp(alone, capsys, monkeypatch):
    pytest.importorskip("llama_cpp")

    def line():
        return next(one for one in json.loads(_doctor(capsys))["checks"] if one["name"] == "gguf models")

    assert line()["state"] == "ok"
    monkeypatch.setattr(llama_check, "_CHILD", "import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    assert line()["state"] == "fail" and "compiled for another processor" in line()["detail"]


def test_a_port_nobody_listens_at_costs_nothing():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    answers: dict[int, tuple[str, ...]] = {}
    begun = time.perf_counter()
    servers._ask(port, 0.3, answers)
    assert not answers and time.perf_counter() - begun < 0.1
