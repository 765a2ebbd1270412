"""What a program in any sandbox can not do: stay, see, reach, break; and what a lost sandbox leaves."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from boxes import LIMITS, made, python

from mleagent.errors import InputError, SandboxLostError, UnavailableError
from mleagent.protocols import Sandbox, SandboxSpec
from mleagent.sandbox.choose import make
from mleagent.sandbox.env import interpreter

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
    assert result.status in ("timeout", "killed", "oom")  # many interpreters need much memory
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
