"""The contract of every sandbox, run against each kind that this machine has.

`namespaces-user` is the same kind by a user namespace (data that only its owner
may read), `namespaces-watched` the one without a memory cgroup.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mleagent.errors import InputError, SandboxError, SandboxLostError, UnavailableError
from mleagent.protocols import Sandbox, SandboxSpec
from mleagent.records import Execution, Limits
from mleagent.sandbox import cgroup
from mleagent.sandbox.choose import make
from mleagent.sandbox.env import interpreter

ISOLATED = [
    "namespaces",
    "namespaces-user",
    "namespaces-watched",
    "bubblewrap",
    pytest.param("docker", marks=pytest.mark.docker),
]
ALL = [*ISOLATED, "none"]
LIMITS = Limits(wall_s=60, memory_mb=512, disk_mb=64, pids=64, cpus=2, output_bytes=64_000)


def made(kind: str, public: Path, limits: Limits = LIMITS, **spec: Any) -> Sandbox:
    return make(
        kind.split("-")[0],
        SandboxSpec(session_id="contract", task_name="toy", public=public, limits=limits, **spec),
    )


@pytest.fixture(scope="module", params=ALL)
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    name = request.param
    if name == "docker":
        request.getfixturevalue("docker_engine")
    if name == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    if name != "none" and name != "docker" and not sys.platform.startswith("linux"):
        pytest.skip("Linux only")
    with pytest.MonkeyPatch.context() as patch:
        if name == "namespaces-watched":
            patch.setattr(cgroup, "create", lambda _limits: None)
        yield name


@pytest.fixture(scope="module")
def public(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("public")
    folder.chmod(0o700 if kind == "namespaces-user" else 0o755)
    (folder / "train.csv").write_text("id,y\n1,0\n2,1\n")
    (folder / "images").mkdir()
    (folder / "images" / "a.txt").write_text("pixels")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


@pytest.fixture(scope="module")
def shared(kind: str, public: Path) -> Iterator[Sandbox]:
    sandbox = made(kind, public)
    sandbox.start()
    yield sandbox
    sandbox.close()


@pytest.fixture
def box(shared: Sandbox) -> Sandbox:
    """The module's sandbox with an empty work folder."""
    assert shared.run("find . -mindepth 1 -delete").status == "ok"
    shared.pull(10**9)
    return shared


@pytest.fixture
def isolated(kind: str, box: Sandbox) -> Sandbox:
    if kind == "none":
        pytest.skip("no isolation is promised")
    return box


def python(box: Sandbox, source: str, limits: Limits | None = None) -> Execution:
    box.put({"prog.py": textwrap.dedent(source).encode()})
    return box.run("python prog.py", limits)


# --- files --------------------------------------------------------------------


def test_it_is_a_sandbox_and_says_what_it_lacks(box: Sandbox, kind: str) -> None:
    assert isinstance(box, Sandbox)
    assert box.name == kind.split("-")[0]
    assert all(gap and "\n" not in gap for gap in box.gaps)
    assert ("no memory cgroup" in " ".join(box.gaps)) == (kind == "namespaces-watched")


def test_files_go_in_and_changed_files_come_out(box: Sandbox) -> None:
    box.put({"a.txt": b"one", "deep/er/b.bin": bytes(range(256)) * 5000, "gone.txt": b"x"})
    assert box.pull(10**9) == {}
    result = box.run("cat a.txt deep/er/b.bin > both; printf two > a.txt; rm gone.txt; touch empty")
    assert result.status == "ok"
    assert box.pull(10**9) == {"both": b"one" + bytes(range(256)) * 5000, "a.txt": b"two", "empty": b""}
    assert box.removed == ("gone.txt",)
    assert box.skipped == ()
    assert box.pull(10**9) == {} and box.removed == ()


def test_none_removes_and_files_and_folders_take_each_others_place(box: Sandbox) -> None:
    box.put({"x/y/z": b"1", "w": b"2"})
    box.put({"x/y/z": None, "w": None, "never": None})
    assert box.run("ls -A | grep -v -e train -e input -e images; true").output == ""
    box.put({"x": b"file"})
    box.put({"x": None, "x/inside": b"folder"})
    assert box.run("cat x/inside").output == "folder"
    box.put({"x": b"file again"})
    assert box.run("cat x").output == "file again"


def test_same_size_same_mtime_is_still_seen_as_changed(box: Sandbox) -> None:
    box.put({"f": b"aaaa"})
    assert box.run("touch -r f ref && printf bbbb > f && touch -r ref f && rm ref").status == "ok"
    assert box.pull(10**9) == {"f": b"bbbb"}


@pytest.mark.parametrize(
    "path", ["/etc/x", "../x", "a/../../x", "", ".", "a//b", "a/", "a\\b", "x\0y", "a/./b"]
)
def test_paths_outside_the_work_folder_are_refused(box: Sandbox, path: str) -> None:
    with pytest.raises(ValueError, match="work folder"):
        box.put({path: b""})


def test_links_pipes_and_sockets_stay_and_are_never_followed(box: Sandbox) -> None:
    program = """
        import os, socket
        os.symlink("/etc/passwd", "link"); os.symlink("/", "root"); os.mkfifo("fifo")
        socket.socket(socket.AF_UNIX).bind("sock"); open("real", "w").write("r"); os.link("real", "hard")
        os.mkdir("folder"); os.symlink("../real", "folder/inner")
    """
    assert python(box, program).status == "ok"
    pulled = box.pull(10**9)
    assert pulled == {"real": b"r", "hard": b"r"}
    left = {line.split(":")[0] for line in box.skipped}
    assert left == {"link", "root", "fifo", "sock", "folder/inner"}


def test_a_link_planted_in_the_way_of_a_write_leads_nowhere(box: Sandbox, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "kept").write_text("kept")
    assert box.run(f"ln -s {target} folder; ln -s {target}/kept file; ln -s /tmp tmp").status == "ok"
    box.put({"folder/kept": b"new", "file": b"new", "tmp/x": b"new"})
    assert box.run("cat folder/kept file tmp/x").output == "newnewnew"
    assert (target / "kept").read_text() == "kept"


def test_files_their_owner_made_unreadable_come_out(box: Sandbox) -> None:
    assert box.run("mkdir d && echo 1 > d/f && echo 2 > g && chmod 000 d/f g d").status == "ok"
    assert box.pull(10**9) == {"d/f": b"1\n", "g": b"2\n"}
    assert box.run("mkdir e && echo 1 > e/f && chmod 500 e").status == "ok"
    box.put({"e/f": b"over"})
    assert box.run("cat e/f").output == "over"


def test_pull_takes_the_smallest_first_and_names_the_rest(box: Sandbox) -> None:
    assert (
        box.run(
            "head -c 1000 /dev/zero > small; head -c 3000 /dev/zero > middle; head -c 9000 /dev/zero > big"
        ).status
        == "ok"
    )
    assert set(box.pull(5000)) == {"small", "middle"}
    assert [line.split(":")[0] for line in box.skipped] == ["big"]
    assert set(box.pull(9000)) == {"big"}


def test_a_2_gb_file_is_skipped_not_loaded(box: Sandbox) -> None:
    assert box.run("truncate -s 2G submission.csv && echo 1 > ok").status == "ok"
    began = time.monotonic()
    assert box.pull(50 * 2**20) == {"ok": b"1\n"}
    assert time.monotonic() - began < 2
    assert "submission.csv: 2048.0 MiB" in box.skipped[0]


def test_names_that_are_no_text_are_left(box: Sandbox) -> None:
    assert (
        python(
            box, "open(b'bad\\xff', 'w'); open('new\\nline', 'w'); open('good é', 'w'); open('a\\\\b', 'w')"
        ).status
        == "ok"
    )
    assert set(box.pull(10**9)) == {"good é", "new\nline"}
    assert len(box.skipped) == 2


def test_a_full_work_folder_is_an_error_of_put_and_no_loss(isolated: Sandbox) -> None:
    with pytest.raises(SandboxError, match="No space left"):
        isolated.put({"big": bytes(80 * 2**20)})
    isolated.put({"big": None, "small": b"1"})
    assert isolated.run("cat small").output == "1"


# --- data ---------------------------------------------------------------------


def test_data_is_there_under_every_name_and_read_only(box: Sandbox, kind: str, public: Path) -> None:
    names = ["train.csv", "input/train.csv", "../input/toy/train.csv"]
    names += ["/kaggle/input/toy/train.csv"] if kind != "none" else []
    result = box.run(" && ".join(f"tail -1 {name}" for name in names) + " && cat images/a.txt")
    assert (result.status, result.output) == ("ok", "2,1\n" * len(names) + "pixels")
    if kind != "none":
        for command in (
            "echo x > train.csv",
            "echo x >> input/train.csv",
            "rm /kaggle/input/toy/train.csv",
            "touch input/new",
        ):
            assert box.run(command).status == "error"
        assert (public / "train.csv").read_text() == "id,y\n1,0\n2,1\n"
    assert box.pull(10**9) == {} and box.skipped == ()


def test_a_removed_link_to_the_data_is_back_at_the_next_run_and_a_file_wins_over_it(box: Sandbox) -> None:
    assert box.run("rm train.csv").status == "ok"
    assert box.run("tail -1 train.csv").output == "2,1\n"
    box.put({"train.csv": b"mine"})
    assert box.run("cat train.csv").output == "mine"
    assert box.run("tail -1 input/train.csv").output == "2,1\n"


# --- verdicts -----------------------------------------------------------------


def test_ok_error_and_exit_codes(box: Sandbox) -> None:
    result = box.run("echo hi; exit 7")
    assert (result.status, result.exit_code, result.output) == ("error", 7, "hi\n")
    result = python(box, "import sys; print('out'); print('err', file=sys.stderr); raise KeyError('x')")
    assert result.status == "error" and result.exit_code == 1 and result.detail == "KeyError: 'x'"
    assert result.output.startswith("out\nerr\nTraceback")
    result = python(box, "import os; os.abort()")
    assert result.status == "error" and "SIGABRT" in result.detail
    assert box.run("kill -9 $$").status == "killed"
    assert box.run("nonsense_command").exit_code == 127


def test_timeout_ends_the_whole_tree_and_keeps_the_output(box: Sandbox) -> None:
    program = """
        import os, signal, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(3): os.fork()
        if os.fork() == 0: os.setsid()
        print("working"); open("submission.csv", "a").write("x")
        while True: time.sleep(0.05)
    """
    began = time.monotonic()
    result = python(box, program, LIMITS.model_copy(update={"wall_s": 1.0}))
    assert result.status == "timeout" and result.exit_code is None
    assert 1.0 <= result.duration_s < 2.5 and time.monotonic() - began < 4
    assert "working" in result.output
    assert set(box.pull(10**6)) >= {"submission.csv"}
    assert box.run("ls /proc | grep -c '^[0-9]*$'").status == "ok"


def test_out_of_memory(box: Sandbox) -> None:
    result = python(box, "x = []\nwhile True: x.append(bytearray(1 << 20))")
    assert (result.status, result.exit_code) == ("oom", None)
    result = python(box, "import numpy; numpy.ones(10**14)")
    assert result.status == "oom" and result.exit_code == 1


def test_memory_can_not_be_hidden(box: Sandbox) -> None:
    program = """
        import ctypes
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
        x = []
        while True: x.append(bytearray(1 << 20))
    """
    assert python(box, program).status == "oom"


def test_out_of_memory_in_a_worker_does_not_hang(box: Sandbox) -> None:
    program = """
        import multiprocessing
        def work(_): return len([bytearray(1 << 20) for _ in range(4000)])
        if __name__ == "__main__":
            multiprocessing.get_context("fork").Pool(2).map(work, range(2))
    """
    result = python(box, program, LIMITS.model_copy(update={"wall_s": 30.0}))
    assert result.status == "oom" and result.duration_s < 15


def test_disk_full_is_told_apart(isolated: Sandbox) -> None:
    result = python(isolated, "open('big', 'wb').write(bytes(80 << 20))")
    assert (result.status, result.exit_code) == ("disk", 1)
    assert isolated.run("rm big; head -c 80m /dev/zero > /tmp/big").status == "disk"
    assert isolated.run("head -c 80m /dev/zero > big; rm -f big; exit 3").status == "disk"
    assert isolated.run("head -c 8m /dev/zero > fits").status == "ok"


def test_files_in_the_work_folder_count_into_memory(kind: str, public: Path) -> None:
    if kind == "none":
        pytest.skip("its work folder is on disk")
    small = made(kind, public, LIMITS.model_copy(update={"memory_mb": 300, "disk_mb": 150}))
    small.start()
    try:
        result = python(
            small,
            "open('f', 'wb').write(bytes(120 << 20)); x = bytearray(250 << 20); import time; time.sleep(1)",
        )
        assert result.status == "oom"
    finally:
        small.close()


def test_missing_package(box: Sandbox) -> None:
    result = python(box, "import not_there.sub")
    assert (result.status, result.missing_package) == ("missing_package", "not_there")
    assert python(box, "import json.nothing").status == "error"
    assert python(box, "try:\n import not_there\nexcept ImportError: print('fine')").status == "ok"


def test_stop_ends_a_run(box: Sandbox) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    result = box.run("sleep 30 & sleep 30", stop=stop)
    assert (result.status, result.exit_code) == ("killed", None)
    assert time.monotonic() - began < 3
    assert box.run("echo on").output == "on\n"


def test_a_stop_that_is_set_already_ends_it_at_once(box: Sandbox) -> None:
    stop = threading.Event()
    stop.set()
    assert box.run("sleep 30", stop=stop).status == "killed"


# --- output -------------------------------------------------------------------


def test_output_streams_with_times(box: Sandbox) -> None:
    seen: list[tuple[float, str]] = []
    began = time.monotonic()
    result = box.run(
        "echo a; sleep 0.4; echo b; echo c >&2",
        on_output=lambda text: seen.append((time.monotonic() - began, text)),
    )
    assert "".join(text for _, text in seen) == result.output == "a\nb\nc\n"
    assert seen[0][0] < 0.35 < seen[1][0]
    assert len(result.line_times) == 3 and result.line_times[1] - result.line_times[0] > 0.3
    assert result.duration_s >= 0.4 and result.peak_memory_mb is not None


def test_a_flood_keeps_head_and_tail(box: Sandbox) -> None:
    shown: list[str] = []
    box.put({"flood.py": b"print('first')\nfor i in range(400_000): print('line', i)\nprint('last')"})
    result = box.run("PYTHONUNBUFFERED= python flood.py", on_output=shown.append)
    assert result.status == "ok"
    assert result.output.startswith("first\nline 0\n") and result.output.endswith("line 399999\nlast\n")
    assert len(result.output) < 66_000
    whole = len("first\nlast\n") + sum(len(f"line {i}\n") for i in range(400_000))
    kept = len(result.output) - len(f"... {result.dropped_bytes} bytes of output dropped ...\n")
    assert whole - result.dropped_bytes <= kept <= whole - result.dropped_bytes + 1
    assert len(result.line_times) == len(result.output.splitlines())


def test_output_can_not_steer_a_terminal(box: Sandbox) -> None:
    program = r"""
        import sys
        w = sys.stdout.buffer.write
        w(b"\x1b[31mred\x1b[0m \x1b]0;title\x07t \x1b]52;c;aGk=\x1b\\p \x9b1mz\n")
        w(b"1%\r50%\r100%\n\xff\xfe\x00nul\n" + b"\x1b]unclosed\n" + "\u202eflip\n".encode() + b"x" * 100_000)
    """
    result = python(box, program, LIMITS.model_copy(update={"output_bytes": 200_000}))
    assert not set(result.output) & {
        chr(c) for c in (*range(9), *range(11, 32), 127, *range(128, 160), 0x202E)
    }
    lines = result.output.split("\n")
    assert (
        lines[0].startswith("red t p ") and lines[1] == "100%" and lines[2].endswith("nul") and lines[3] == ""
    )
    assert lines[4] == "flip" and lines[5] == "x" * 100_000


# --- nothing stays ------------------------------------------------------------


def test_nothing_outlives_the_run(box: Sandbox, kind: str) -> None:
    token = f"{secrets.randbelow(9000) + 1000}{os.getpid()}"
    program = f"""
        import os, subprocess, sys, time
        subprocess.Popen(["sleep", "{token}"])
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.execlp("sleep", "sleep", "{token}")
            os._exit(0)
        open("/tmp/left", "w") if {kind != "none"} else None
        time.sleep(0.2); print("done")
    """
    began = time.monotonic()
    result = python(box, program)
    assert (result.status, result.output) == ("ok", "done\n") and time.monotonic() - began < 5
    assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if token.encode() in _read(p)]
    if kind != "none":
        assert (
            box.run("ls -A /tmp /dev/shm; cat /proc/[0-9]*/cmdline | tr '\\0' ' '").output.count(token) == 0
        )
        assert box.run("test -e /tmp/left").exit_code == 1


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_close_ends_everything_and_start_begins_empty(kind: str, public: Path) -> None:
    box = made(kind, public)
    box.start()
    box.put({"old": b"1"})
    box.start()
    assert box.run("ls old").status == "error"
    box.close()
    box.close()
    with pytest.raises(SandboxLostError):
        box.run("true")


def test_no_descriptor_thread_or_process_leaks(kind: str, public: Path) -> None:
    def census() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    if kind == "docker":
        pytest.skip("the engine's connection pool comes and goes")
    box = made(kind, public)
    box.start()
    box.close()
    time.sleep(0.1)
    before = census()
    for _ in range(3):
        box.start()
        box.run("true")
        box.close()
    time.sleep(0.1)
    assert census() <= before


# --- isolation ----------------------------------------------------------------


def test_no_network(isolated: Sandbox) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        program = f"""
            import socket
            local = ("127.0.0.1", {server.getsockname()[1]})
            for family, address in [(2, local), (2, ("1.1.1.1", 53)), (10, ("::1", 80))]:
                try:
                    socket.socket(family).connect(address); print("reached", address)
                except OSError: pass
            try: print(socket.gethostbyname("example.com"))
            except OSError: pass
            try: socket.socket(40, socket.SOCK_STREAM); print("vsock")
            except OSError: print("end")
        """
        assert python(isolated, program).output == "end\n"


def test_host_files_and_environment_are_unreadable(
    isolated: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = secrets.token_hex(16)
    monkeypatch.setenv("MY_API_KEY", secret)
    (tmp_path / "secret.txt").write_text(secret)
    tmp_path.chmod(0o777)
    hidden = [
        str(tmp_path / "secret.txt"),
        "/etc/shadow",
        str(Path(__file__)),
        "/var/run/docker.sock",
        "/run/docker.sock",
    ]
    program = f"""
        import os
        for path in {hidden!r}:
            try: print("saw", path, os.listdir(path) if os.path.isdir(path) else open(path).read())
            except OSError: pass
        for pid in [p for p in os.listdir("/proc") if p.isdigit()]:
            for name in ("environ", "cmdline"):
                try: data = open(f"/proc/{{pid}}/{{name}}", "rb").read()
                except OSError: continue
                if {secret!r}.encode() in data: print("leaked", pid, name)
        print(sorted(k for k in os.environ if "KEY" in k or "MLEAGENT" in k))
    """
    result = python(isolated, program)
    assert (result.status, result.output) == ("ok", "[]\n")
    # Of a home only what leads to the interpreter is there.
    listed = isolated.run(f"ls -A {Path.home()}; true").output.split()
    shown = {folder.relative_to(Path.home()).parts[0] for folder in interpreter().folders if _at_home(folder)}
    assert isolated.name == "docker" or "No such file" in " ".join(listed) or set(listed) <= shown
    assert secret not in isolated.run("env; cat /proc/1/environ /proc/self/environ").output


def _at_home(path: Path) -> bool:
    return path.is_relative_to(Path.home())


def test_the_runner_is_out_of_reach(isolated: Sandbox) -> None:
    program = """
        import ctypes, os, signal
        reached = []
        # A shell may stand between the runner and this program; that one is its own.
        shell = os.getppid() if open(f"/proc/{os.getppid()}/cmdline", "rb").read().startswith(b"sh") else 0
        for pid in {int(p) for p in os.listdir("/proc") if p.isdigit()} - {os.getpid(), shell}:
            for name in ("mem", "environ", "fd/0", "maps"):
                try: open(f"/proc/{pid}/{name}", "rb").read(1); reached.append((pid, name))
                except OSError: pass
            libc = ctypes.CDLL(None)
            if libc.ptrace(16, pid, 0, 0) == 0: reached.append((pid, "ptrace"))
            try: os.kill(pid, signal.SIGKILL); reached.append((pid, "kill"))
            except OSError: pass
        print(reached)
    """
    result = python(isolated, program)
    assert (result.status, result.output) == ("ok", "[]\n")
    # To be killed by all it may kill must end the run and not the sandbox.
    assert python(isolated, "import os; os.kill(-1, 9)").status in ("ok", "error", "killed")
    assert isolated.run("echo alive").output == "alive\n"


def test_no_privilege_is_left(isolated: Sandbox) -> None:
    status = isolated.run("cat /proc/self/status").output
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(facts[name], 16) == 0, name
    assert facts["NoNewPrivs"] == "1" and facts["Seccomp"] == "2"
    assert "0" not in facts["Uid"].split()
    program = """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        denied = {
            "mount": lambda: libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None),
            "unshare": lambda: libc.unshare(0x10000000),
            "chroot": lambda: libc.chroot(b"/tmp"),
            "setuid": lambda: libc.setuid(0),
            "hostname": lambda: libc.sethostname(b"x", 1),
            "bpf": lambda: libc.syscall(321, 0, 0, 0),
            "keyctl": lambda: libc.syscall(250, 0, 0, 0, 0, 0),
            "userfaultfd": lambda: libc.syscall(323, 0),
            "clone newuser": lambda: libc.clone and libc.syscall(56, 0x10000011, 0, 0, 0, 0),
            "mknod": lambda: libc.mknod(b"dev", 0o20666, os.makedev(1, 5)),
            "nice": lambda: libc.setpriority(0, 0, -5),
        }
        print([name for name, call in denied.items() if call() != -1])
        for path in ("/proc/sys/kernel/core_pattern", "/usr/x", "/etc/passwd", "/dev/x"):
            try: open(path, "w"); print("wrote", path)
            except OSError: pass
    """
    assert python(isolated, program).output == "[]\n"


def test_a_fork_bomb_is_held(isolated: Sandbox) -> None:
    result = python(
        isolated,
        "import os\nwhile True:\n try: os.fork()\n except OSError: pass",
        LIMITS.model_copy(update={"wall_s": 2.0}),
    )
    assert result.status in ("timeout", "killed")
    assert isolated.run("echo alive").output == "alive\n"


# --- being lost ---------------------------------------------------------------


def test_a_runner_killed_under_a_run_is_lost_and_can_be_started_again(kind: str, public: Path) -> None:
    if kind == "docker":
        pytest.skip("see test_sandbox_docker.py")
    box = made(kind, public)
    box.start()
    box.put({"a": b"1"})
    threading.Timer(0.5, box._process._process.kill).start()  # type: ignore[attr-defined]
    result = box.run("echo before; sleep 20")
    assert result.status == "lost" and result.output == "before\n" and "lost" in result.detail
    with pytest.raises(SandboxLostError, match="start it again"):
        box.put({"a": b"1"})
    box.start()
    assert box.run("echo on").output == "on\n"
    box.close()


def test_a_hung_runner_is_given_up_at_the_hosts_deadline(
    kind: str, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind in ("docker", "none"):
        pytest.skip("the host can't stop this runner for the test")
    monkeypatch.setattr("mleagent.sandbox.client.GRACE_S", 1.0)
    box = made(kind, public)
    box.start()
    for pid in _below(box._process.pid):  # type: ignore[attr-defined]
        os.kill(pid, 19)
    began = time.monotonic()
    result = box.run("echo never", LIMITS.model_copy(update={"wall_s": 0.5}))
    assert result.status == "lost" and "no answer" in result.detail
    assert time.monotonic() - began < 5
    box.start()
    assert box.run("echo on").output == "on\n"
    box.close()


def _below(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children] + [x for child in children for x in _below(int(child))]


# --- what is inside -----------------------------------------------------------


def test_packages_and_the_libraries_people_use(box: Sandbox) -> None:
    packages = dict(line.split("==") for line in box.packages())
    assert {"numpy", "pandas", "scikit-learn"} <= set(packages)
    program = """
        import json, os, sys, tempfile
        import numpy, pandas
        from joblib import Parallel, delayed
        from sklearn.linear_model import LogisticRegression
        from sklearn.datasets import make_classification
        x, y = make_classification(random_state=0)
        score = LogisticRegression().fit(x, y).score(x, y)
        parallel = Parallel(n_jobs=2)(delayed(pow)(i, 2) for i in range(3))
        facts = [score > 0.5, parallel, os.path.basename(os.getcwd()), os.environ["PYTHONHASHSEED"]]
        json.dump(facts, open("out.json", "w"))
        tempfile.TemporaryFile().write(b"x")
    """
    result = python(box, program)
    assert result.status == "ok", result.output
    assert json.loads(box.pull(10**6)["out.json"]) == [True, [0, 1, 4], "working", "0"]


def test_a_run_may_have_less_memory_than_its_sandbox(box: Sandbox) -> None:
    program = "x = bytearray(300 << 20); import time; time.sleep(0.5)"
    assert python(box, program).status == "ok"
    assert python(box, program, LIMITS.model_copy(update={"memory_mb": 200})).status == "oom"


def test_a_session_can_not_raise_its_own_limits(isolated: Sandbox) -> None:
    wide = LIMITS.model_copy(update={"memory_mb": 100_000, "pids": 10_000, "disk_mb": 100_000})
    result = python(isolated, "x = []\nwhile True: x.append(bytearray(1 << 20))", wide)
    assert result.status == "oom" and (result.peak_memory_mb or 0) < 1000


_HOST = """
import sys
import tempfile
from pathlib import Path
from mleagent.protocols import SandboxSpec
from mleagent.sandbox.choose import make
box = make(sys.argv[1], SandboxSpec(session_id="killed", task_name="toy", public=Path(sys.argv[2])))
box.start()
command = f"setsid sleep {sys.argv[3]} & echo started; sleep {sys.argv[3]}"
box.run(command, on_output=lambda text: print(text, flush=True))
"""


def test_when_mleagent_is_killed_nothing_is_left(kind: str, public: Path) -> None:
    if kind in ("docker", "namespaces-watched"):
        pytest.skip("see test_sandbox_docker.py; the patch that makes it watched stays in this process")
    token = f"7{secrets.randbelow(10**8)}"
    host = subprocess.Popen(
        [sys.executable, "-c", _HOST, kind.split("-")[0], str(public), token], stdout=subprocess.PIPE
    )
    assert host.stdout is not None and host.stdout.readline() == b"started\n"
    alive = [p for p in Path("/proc").glob("[0-9]*/cmdline") if token.encode() in _read(p)]
    assert len(alive) >= 3
    host.kill()
    host.communicate()
    deadline = time.monotonic() + 5
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = [p for p in Path("/proc").glob("[0-9]*/cmdline") if token.encode() in _read(p)]
    assert alive == []
    # What can only be removed from outside goes at the next start.
    left = _leftovers(host.pid)
    while left and time.monotonic() < deadline:
        box = made(kind, public)
        box.start()
        box.close()
        left = _leftovers(host.pid)
    assert left == []


def _leftovers(pid: int) -> list[Path]:
    groups = Path("/sys/fs/cgroup").glob(f"memory/**/mleagent-{pid}-*")
    return [*groups, *Path(tempfile.gettempdir()).glob(f"mleagent-*-{pid}-*")]


# --- what a program may do to its own folders -----------------------------------


def test_a_work_folder_closed_or_nested_by_the_thousand_is_mended(box: Sandbox) -> None:
    nested = """
        import os
        for start in (".", os.environ["TMPDIR"]):
            os.chdir(start)
            for _ in range(1200):
                os.mkdir("d"); os.chdir("d")
            os.chdir("/kaggle/working" if os.path.isdir("/kaggle/working") else start)
    """
    assert python(box, nested).status == "ok"
    assert [line for line in box.pull(10**6) if line != "prog.py"] == []
    assert "can't be kept" in box.skipped[0]
    box.put({"d": None})
    assert box.run("ls -d d; ls -A $TMPDIR").output.count("d\n") == 0
    assert box.run("touch f; chmod 000 . $TMPDIR").status == "ok"
    assert set(box.pull(10**6)) == {"f"}
    assert box.run("touch $TMPDIR/g; ls f").output == "f\n"


def test_filling_the_names_is_disk_full(isolated: Sandbox) -> None:
    result = python(isolated, "for i in range(120_000): open(str(i), 'w').close()")
    # bwrap can't limit the number of files, and says so; a container's are limited by its memory.
    unlimited = isolated.name == "docker" or "not in number" in " ".join(isolated.gaps)
    assert result.status in ("disk", "oom") or unlimited
    assert isolated.run("find . -type f -delete").status == "ok"


def test_programs_can_talk_to_themselves_over_tcp(box: Sandbox) -> None:
    program = """
        import socket
        server = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname())
        client.sendall(b"hello")
        print(server.accept()[0].recv(5))
    """
    assert python(box, program).output == "b'hello'\n"


def test_thousands_of_inputs_cost_no_thousands_of_links(kind: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for number in range(2000):
        (tmp_path / f"{number}.png").touch()
    (tmp_path / "train.csv").write_text("x\n")
    box = made(kind, tmp_path)
    box.start()
    try:
        assert box.run("ls; ls input/ | wc -l; cat train.csv").output == "input\ntrain.csv\n2001\nx\n"
    finally:
        box.close()


def test_a_data_folder_in_plain_sight_is_refused(
    kind: str, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind in ("docker", "none"):
        pytest.skip("shows nothing of this machine, or everything")
    monkeypatch.setenv("MLEAGENT_HOME", str(tmp_path / "shown" / "home"))
    before = _leftovers(os.getpid())
    with pytest.raises(UnavailableError, match="set MLEAGENT_HOME elsewhere"):
        made(kind, public, mounts=(tmp_path,)).start()
    assert _leftovers(os.getpid()) == before


def test_only_a_task_name_that_names_a_folder_is_taken(public: Path) -> None:
    for name in ("", "..", "a/b"):
        with pytest.raises(InputError, match="task name"):
            make("namespaces", SandboxSpec(session_id="x", task_name=name, public=public))
