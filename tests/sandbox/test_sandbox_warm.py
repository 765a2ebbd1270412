"""The warm interpreter: what it may run, that nothing of a run lasts, and that no run can harm it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boxes import made, python

from mleagent.protocols import Sandbox, SandboxSpec
from mleagent.records import Limits
from mleagent.sandbox.preload import USUAL, preloads
from mleagent.sandbox.runner import faithful

LIMITS = Limits(wall_s=30, memory_mb=1024, disk_mb=64, pids=64, cpus=2, output_bytes=64_000)
WARM = "import sys\nthere = 'sklearn.ensemble' in sys.modules\nimport sklearn\nprint(there)\n"
"""Prints whether it is a fork; imports something preloaded, so it waits for the interpreter to be ready."""


# --- what is for it -----------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("python a.py", ["python", "a.py"]),
        ("python3 dir/a.py -x --y=1 'two words'", ["python3", "dir/a.py", "-x", "--y=1", "two words"]),
        ("  python   a.py  ", ["python", "a.py"]),
        ("python 'a b.py'", ["python", "a b.py"]),
        ("python -u a.py", None),
        ("python -m a", None),
        ("python -c 1", None),
        ("python", None),
        ("python a", None),
        ("python3.11 a.py", None),
        ("/usr/bin/python a.py", None),
        ("X=1 python a.py", None),
        ("python a.py; ls", None),
        ("python a.py > out", None),
        ("python a.py &", None),
        ("python a.py $HOME", None),
        ("python a.py *.csv", None),
        ("python a.py ~", None),
        ("python a.py \"x\"", None),
        ("python a.py 'x'y", None),
        ("python a.py # why", None),
        ("python a.py\nls", None),
        ("cd d && python a.py", None),
        ("time python a.py", None),
    ],
)  # fmt: skip
def test_only_plain_script_commands_are_forked(command: str, words: list[str] | None) -> None:
    assert faithful.script_command(command) == words


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("import numpy", True),
        ("import os\nos.environ['PYTHONHASHSEED'] = '0'", True),
        ("import os\nos.environ['OMP_NUM_THREADS'] = '1'", False),
        ("import os\nos.environ.setdefault('KMP_BLOCKTIME', '0')", False),
        ("import os\nos.environ.update(x)", False),
        ("import os\nos.environ[name] = '1'", False),
        ("import os\nprint(os.environ.get('HOME'))", True),
        ("import inspect\nprint(len(inspect.stack()))", False),
        ("import faulthandler", False),
        ("# coding: latin-1", False),
        ("x = 'coding: none'\n\n# coding: latin-1", True),
    ],
)
def test_programs_that_would_notice_are_for_a_fresh_interpreter(source: str, plain: bool) -> None:
    assert faithful.plain(source.encode()) is plain


def test_a_module_beside_the_script_hides_what_is_loaded(tmp_path: Path) -> None:
    loaded = {"numpy", "json", "random"}
    (tmp_path / "helper.py").write_text("x = 1")
    (tmp_path / "numpy").mkdir()
    (tmp_path / "train.csv").write_text("")
    assert faithful.nothing_hidden(str(tmp_path), loaded)
    (tmp_path / "numpy" / "__init__.py").write_text("")
    assert not faithful.nothing_hidden(str(tmp_path), loaded)
    (tmp_path / "numpy" / "__init__.py").unlink()
    (tmp_path / "random.py").write_text("")
    assert not faithful.nothing_hidden(str(tmp_path), loaded)


def test_preloads_follow_the_task_and_the_memory(tmp_path: Path) -> None:
    def of(**more: Any) -> tuple[str, ...]:
        return preloads(SandboxSpec(session_id="s", task_name="t", public=tmp_path, **more))

    assert of() == USUAL
    assert of(preload=("torch", "numpy")) == (*USUAL, "torch")
    assert of(warm=False, preload=("torch",)) == ()
    assert of(limits=Limits(memory_mb=512)) == ()


# --- in a sandbox -------------------------------------------------------------


@pytest.fixture(
    scope="module", params=["namespaces", "bubblewrap", pytest.param("docker", marks=pytest.mark.docker)]
)
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    return str(request.param)


@pytest.fixture(scope="module")
def shared(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("public")
    folder.chmod(0o755)
    box = made(kind, folder, LIMITS, preload=("wave",))
    box.start()
    try:
        wait_until_warm(box)
        yield box
    finally:
        box.close()


@pytest.fixture
def box(shared: Sandbox) -> Sandbox:
    shared.run("find . -mindepth 1 -delete")
    assert is_warm(shared)
    return shared


def wait_until_warm(box: Sandbox) -> None:
    """On a busy machine the imports may take longer than a program waits for them."""
    deadline = time.monotonic() + 45
    while not is_warm(box):
        assert time.monotonic() < deadline


def is_warm(box: Sandbox) -> bool:
    return python(box, WARM).output == "True\n"


def test_a_task_can_have_more_imported(box: Sandbox) -> None:
    assert python(box, "import sys\nprint('wave' in sys.modules)").output == "True\n"


def test_what_a_run_changes_in_the_libraries_does_not_last(box: Sandbox) -> None:
    patch = """
        import builtins, sys, json, numpy, pandas, sklearn.metrics, os, random
        builtins.print = lambda *a: sys.stdout.write('patched\\n')
        numpy.mean = pandas.read_csv = sklearn.metrics.accuracy_score = json.dumps = None
        sys.modules['math'] = sys.modules['scipy'] = None
        os.environ['LEFT'] = 'behind'
        sys.path.insert(0, '/kaggle/working/evil')
        os.chdir('/tmp'); os.umask(0)
        print('x')
    """
    assert python(box, patch).output == "patched\n"
    look = """
        import builtins, json, math, scipy, numpy, pandas, sklearn.metrics, os, sys
        print(print.__module__, numpy.mean([1, 3]), json.dumps(1), math.pi > 3, scipy.__name__)
        print(callable(pandas.read_csv), sklearn.metrics.accuracy_score([1], [1]), 'LEFT' in os.environ)
        print('/kaggle/working/evil' in sys.path, os.getcwd(), os.umask(0o22))
    """
    expected = f"builtins 2.0 1 True scipy\nTrue 1.0 False\nFalse /kaggle/working {0o22}\n"
    assert python(box, look).output == expected


def test_two_runs_draw_different_random_numbers(box: Sandbox) -> None:
    draw = """
        import random, numpy as np, multiprocessing, uuid, tempfile
        print(random.random(), np.random.rand(), np.random.default_rng().random(), uuid.uuid4())
        print(bytes(multiprocessing.current_process().authkey), next(tempfile._get_candidate_names()))
    """
    first, second = (python(box, draw).output.split() for _ in range(2))
    assert not set(first) & set(second)


def test_the_interpreter_cannot_be_read_signalled_traced_or_limited(box: Sandbox) -> None:
    attack = """
        import os, resource, signal, sys
        # Asked for by name, a program that asks for its parent runs fresh.
        me, parent = os.getpid(), getattr(os, 'getp' + 'pid')()
        others = [int(p) for p in os.listdir('/proc') if p.isdigit() and int(p) not in (me, 1)]
        for pid in others:
            for name in ('mem', 'environ', 'maps', 'fd/3', 'root'):
                try:
                    open(f'/proc/{pid}/{name}', 'rb').read(1)
                    print('read', name)
                except OSError:
                    pass
            for sign in (signal.SIGSTOP, signal.SIGKILL):
                try:
                    os.kill(pid, sign)
                    print('signalled')
                except OSError:
                    pass
            for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS):
                try:
                    resource.prlimit(pid, limit, (3, 3))
                except OSError:
                    pass
        print(parent in others, 'numpy' in sys.modules)
    """
    assert python(box, attack).output == "True True\n"
    for _ in range(2):
        assert is_warm(box)
        probe = (
            "import resource as r\nprint(r.getrlimit(r.RLIMIT_NOFILE)[0] > 100, r.getrlimit(r.RLIMIT_AS)[0])"
        )
        assert python(box, probe).output == "True -1\n"


def test_no_descriptor_of_ours_is_left_open(box: Sandbox) -> None:
    look = """
        import os, sys
        def is_open(fd):
            try:
                return bool(os.fstat(fd))
            except OSError:
                return False
        print([fd for fd in range(200) if is_open(fd)], 'numpy' in sys.modules)
    """
    assert python(box, look).output == "[0, 1, 2] True\n"


@pytest.mark.parametrize(
    ("source", "limits", "status"),
    [
        ("import time\ntime.sleep(60)", {"wall_s": 1}, "timeout"),
        ("import signal\nsignal.signal(15, signal.SIG_IGN)\nwhile True: pass", {"wall_s": 1}, "timeout"),
        ("x = []\nwhile True: x.append(bytearray(10**7))", {"memory_mb": 400}, "oom"),
        ("import os\nwhile True: os.fork()", {"wall_s": 2, "pids": 20}, ""),
        ("import os, time\nif os.fork() == 0:\n    os.fork(); time.sleep(60)", {}, "ok"),
        ("import os\nos.kill(os.getpid(), 9)", {}, "killed"),
        ("import os\nos.kill(os.getpid(), 11)", {}, "error"),
        ("while True: print('x' * 1000)", {"wall_s": 1}, "timeout"),
    ],
)
def test_limits_hold_in_a_fork_and_the_next_run_works(
    box: Sandbox, source: str, limits: dict[str, Any], status: str
) -> None:
    result = python(box, source, LIMITS.model_copy(update=limits))
    assert result.status == status or not status
    assert box.run("ls /proc | grep -c '^[0-9]'").status == "ok"
    assert is_warm(box)


def test_stop_ends_a_fork(box: Sandbox) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    box.put({"prog.py": b"import time\ntime.sleep(60)"})
    assert box.run("python prog.py", stop=stop).status == "killed"
    assert is_warm(box)


def test_a_reset_keeps_it(box: Sandbox) -> None:
    box.reset()  # type: ignore[attr-defined]
    assert is_warm(box)


# --- its life -----------------------------------------------------------------


@pytest.fixture
def namespaces(tmp_path: Path) -> Iterator[Sandbox]:
    tmp_path.chmod(0o755)
    box = made("namespaces", tmp_path, LIMITS)
    box.start()
    yield box
    box.close()


def interpreters() -> set[int]:
    """Process ids, as seen from outside, of the warm interpreters below this process."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parents[int(name)] = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
    found = set()
    for pid in parents:
        above = pid
        while above in parents and above != os.getpid():
            above = parents[above]
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            if above == os.getpid() and b"\0--zygote\0" in words:
                found.add(pid)
    return found


def test_a_program_that_needs_no_imports_does_not_wait_and_one_that_does_waits(namespaces: Sandbox) -> None:
    assert python(namespaces, "import sys\nprint('numpy' in sys.modules)").output == "False\n"
    assert is_warm(namespaces)
    assert python(namespaces, "import sys\nprint('numpy' in sys.modules)").output == "True\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to kill another user's process")
def test_killed_between_and_under_runs_it_is_made_anew(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = interpreters()
    box = made("namespaces", tmp_path, LIMITS)
    box.start()
    try:
        assert is_warm(box)
        (mine,) = interpreters() - before
        os.kill(mine, signal.SIGKILL)
        assert python(box, "print(1)").output == "1\n"
        assert is_warm(box)
        (mine,) = interpreters() - before
        box.put({"prog.py": b"import time\ntime.sleep(60)"})
        threading.Timer(0.7, os.kill, (mine, signal.SIGKILL)).start()
        began = time.monotonic()
        assert box.run("python prog.py").status == "killed"
        assert time.monotonic() - began < 5
        assert is_warm(box)
    finally:
        box.close()
    assert not interpreters() - before


def test_without_isolation_it_works_too(tmp_path: Path) -> None:
    box = made("none", tmp_path, LIMITS)
    box.start()
    try:
        assert is_warm(box)
        assert (
            python(
                box,
                "import os\nos.fork()\nimport time\ntime.sleep(60)",
                LIMITS.model_copy(update={"wall_s": 1}),
            ).status
            == "timeout"
        )
        assert is_warm(box)
    finally:
        box.close()
