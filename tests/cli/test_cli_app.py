"""The command line itself: help without imports, exit codes, one-line errors, a quiet end."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mleagent import __version__
from mleagent.cli.app import COMMANDS, Mleagent, main

RUN = [sys.executable, "-m", "mleagent.cli.app"]

OWN_COMMANDS = """
import sys, time
from mleagent.errors import InputError, UnavailableError, PolicyError, MleagentError

def fail(kind: str):
    errors = {"input": InputError, "unavailable": UnavailableError, "other": MleagentError}
    raise errors[kind]("what\\n is wrong")

def wait():
    print("waiting", flush=True)
    time.sleep(60)

def much():
    for i in range(200000):
        print("line", i)

def broken():
    return {}["missing"]
"""

DRIVER = """
import sys
from mleagent.cli import app
from mleagent.cli.lazy import Lazy
for name in ("fail", "wait", "much", "broken"):
    app.COMMANDS[name] = Lazy("own_commands", name, "for this test")
sys.exit(app.main(sys.argv[1:]))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A command line with commands that fail, wait, print a lot and break."""
    (tmp_path / "own_commands.py").write_text(OWN_COMMANDS)
    (tmp_path / "driver.py").write_text(DRIVER)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.getcwd()}")
    return [sys.executable, str(tmp_path / "driver.py")]


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **more)


def test_help_imports_no_command_and_nothing_heavy():
    code = (
        "import sys\nfrom mleagent.cli.app import main\nassert main(['--help']) == 0\n"
        "heavy = {'rich.console', 'pydantic', 'numpy', 'pandas', 'sklearn', 'httpx', 'docker', 'textual'}\n"
        "ours = {m for m in sys.modules if m.startswith('mleagent.')}\n"
        "print(sorted(heavy & set(sys.modules)), sorted(ours), file=sys.stderr)"
    )
    done = run(sys.executable, "-c", code)
    assert done.stderr == "[] ['mleagent.cli', 'mleagent.cli.app', 'mleagent.cli.lazy', 'mleagent.errors']\n"
    for name, lazy in COMMANDS.items():
        assert f"  {name} " in done.stdout and lazy.help in done.stdout
    assert "--version" in done.stdout and "\x1b" not in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_there(name, capsys):
    assert Mleagent().load(name) is not None
    assert main([name, "--help"]) == 0
    assert f"Usage: mleagent {name}" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mleagent {__version__}\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["sovle"], "did you mean `mleagent solve`"),
        (["/"], "did you mean `mleagent solve /`"),
        (["zzz"], "no such command 'zzz'; see mleagent --help"),
        (["--bogus"], "No such option: --bogus"),
        (["metrics", "--jsn"], "--json"),
        (["config", "a", "b", "c"], "see mleagent config --help"),
    ],
)
def test_a_wrong_line_is_one_line_and_exit_2(args, words, capsys):
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err and err.count("\n") == 1


@pytest.mark.parametrize(("kind", "code"), [("input", 2), ("unavailable", 3), ("other", 1)])
def test_errors_are_one_line_with_their_exit_code(own, kind, code):
    done = run(*own, "fail", kind)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "mleagent: what is wrong\n")


@pytest.mark.parametrize("way", ["before", "after", "environment"])
def test_debug_shows_the_traceback(own, way, monkeypatch):
    args = {"before": ["--debug", "fail", "input"], "after": ["fail", "input", "--debug"]}.get(
        way, ["fail", "input"]
    )
    if way == "environment":
        monkeypatch.setenv("MLEAGENT_DEBUG", "1")
    done = run(*own, *args)
    assert "Traceback" in done.stderr and "InputError" in done.stderr and done.returncode != 0


def test_a_defect_says_what_it_is_and_how_to_see_more(own):
    done = run(*own, "broken")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "KeyError: 'missing'" in done.stderr and "--debug" in done.stderr
    assert "Traceback" in run(*own, "broken", "--debug").stderr


def test_ctrl_c_ends_with_130(own):
    process = subprocess.Popen([*own, "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "Traceback" not in err


def test_a_reader_that_leaves_is_no_error(own):
    process = subprocess.Popen([*own, "much"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait(20)
    process.stderr.close()


def test_alone_it_greets_and_offers_the_next_step(home, tmp_path):
    empty, task = tmp_path / "empty", tmp_path / "task"
    empty.mkdir()
    task.mkdir()
    (task / "train.csv").write_text("a,b\n1,2\n")
    done = run(*RUN, cwd=empty, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and "mleagent solve DIR" in done.stdout and "cores" in done.stdout
    done = run(*RUN, cwd=task, stdin=subprocess.DEVNULL)
    assert "looks like a task (train.csv)" in done.stdout and "next: mleagent solve\n" in done.stdout
    assert not list(home.iterdir())


def test_help_is_not_slower_than_importing_typer_and_rich():
    """The aim is 1.6 times; on a busy machine the best of several runs of each is compared, with room."""

    def best(*command):
        times = []
        for _ in range(7):
            started = time.perf_counter()
            assert run(*command).returncode == 0
            times.append(time.perf_counter() - started)
        return min(times)

    bare = best(sys.executable, "-c", "import typer, rich.console")
    assert best(*RUN, "--help") < 1.6 * bare
