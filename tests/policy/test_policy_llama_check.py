"""Whether llama.cpp computes on this processor: tried for real, and said when it does not."""

import os
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mleagent.policy import llama_build, llama_check

pytest.importorskip("llama_cpp")


def test_the_llama_cpp_installed_here_computes_with_quantised_weights():
    assert llama_check.fault() == ""


def test_an_illegal_instruction_is_told_with_its_mend():
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
    code = subprocess.run([sys.executable, "-c", kill], check=False).returncode
    said = llama_check.say(code)
    assert "compiled for another processor" in said and "GGML_NATIVE=OFF" in said and "\n" not in said


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    """A machine whose `nvidia-smi` tells of a GPU."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'GPU 0: Test GPU (UUID: GPU-0)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    return tool


def test_one_command_neither_loses_the_gpu_nor_brings_amx_back(gpu):
    words = shlex.split(llama_build.command())
    assert words[0] == "CMAKE_ARGS=-DGGML_NATIVE=OFF -DGGML_CUDA=on"
    assert words[1:-1] == ["pip", "install", "--force-reinstall", "--no-deps", "--no-cache-dir"]
    assert llama_build.command() in llama_check.say(-signal.SIGILL)
    assert llama_build.command() in llama_check.say(1, "no room")
    assert "--no-deps" not in llama_build.command(anew=False), (
        "what is not there yet comes with what it needs"
    )
    gpu.write_text("#!/bin/sh\necho 'No devices were found' >&2\nexit 6\n")
    assert shlex.split(llama_build.command())[0] == "CMAKE_ARGS=-DGGML_NATIVE=OFF"


def test_the_versions_of_the_mend_are_those_of_the_project():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["local"] == [llama_build.PACKAGE]


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
