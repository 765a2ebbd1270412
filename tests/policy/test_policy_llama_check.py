"""Whether llama.cpp computes on this processor: tried for real, and said when it does not."""

import signal
import subprocess
import sys

import pytest

from mleagent.policy import llama_check

pytest.importorskip("llama_cpp")


def test_the_llama_cpp_installed_here_computes_with_quantised_weights():
    assert llama_check.fault() == ""


def test_an_illegal_instruction_is_told_with_its_mend():
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
    code = subprocess.run([sys.executable, "-c", kill], check=False).returncode
    said = llama_check.say(code)
    assert "compiled for another processor" in said and "GGML_NATIVE=OFF" in said and "\n" not in said


def test_other_ends_are_told_by_their_last_word():
    assert llama_check.say(0) == ""
    assert "crashes (SIGSEGV)" in llama_check.say(-signal.SIGSEGV)
    assert "fails on a small model: no room;" in llama_check.say(1, "Traceback\nno room\n\n")


def test_what_cannot_be_started_is_a_fault(monkeypatch):
    monkeypatch.setattr(llama_check, "_CHILD", "raise SystemExit('broken library')")
    assert "broken library" in llama_check.fault()


def test_as_a_command_it_ends_with_zero():
    done = subprocess.run(
        [sys.executable, "-P", "-m", "mleagent.policy.llama_check"], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
