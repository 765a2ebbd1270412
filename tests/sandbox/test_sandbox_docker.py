"""Containers on a real engine: what they are made of, how they end, what is reaped, what images need."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mleagent.errors import InputError, SandboxError, SandboxLostError, UnavailableError
from mleagent.protocols import SandboxSpec
from mleagent.records import Limits
from mleagent.sandbox import container, engine, image, reap
from mleagent.sandbox.attach import Attachment
from mleagent.sandbox.docker import DockerSandbox

LIMITS = Limits(wall_s=60, memory_mb=512, disk_mb=64, cpus=1, pids=64)


def spec_for(folder: Path, **changes: Any) -> SandboxSpec:
    public = folder / "public"
    public.mkdir(exist_ok=True)
    (public / "train.csv").write_text("a,b\n1,2\n")
    fields = {"session_id": "test", "task_name": "t", "public": public, "limits": LIMITS, **changes}
    return SandboxSpec(**fields)


@pytest.fixture
def box(docker_engine: Any, home: Path, tmp_path: Path) -> Iterator[DockerSandbox]:
    sandbox = DockerSandbox(spec_for(tmp_path))
    sandbox.start()
    yield sandbox
    sandbox.close()


def ours(client: Any, session: str = "test") -> list[Any]:
    return client.containers.list(all=True, filters={"label": f"{reap.SESSION}={session}"})


def output(sandbox: DockerSandbox, command: str) -> str:
    done = sandbox.run(command)
    assert done.status == "ok", done
    return done.output


# --- the attach stream ---


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=300)), max_size=20), st.integers(1, 50))
def test_stdout_is_told_from_stderr_whatever_the_pieces(pieces: list[tuple[int, bytes]], size: int) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        stream = Attachment(ours)
        theirs.sendall(b"".join(struct.pack(">BxxxI", kind, len(data)) + data for kind, data in pieces))
        theirs.shutdown(socket.SHUT_WR)
        got = b""
        while data := stream.read(size):
            assert len(data) <= size
            got += data
        assert got == b"".join(data for kind, data in pieces if kind == 1)
        said = b"".join(data for kind, data in pieces if kind == 2)[-4096:]
        assert stream.stderr == said.decode("utf-8", "replace").strip()
        stream.close()
        stream.close()


# --- what the container is made of ---


@pytest.mark.docker
def test_the_container_is_hardened_as_seen_from_inside(box: DockerSandbox) -> None:
    status = dict(
        line.split(":\t", 1) for line in output(box, "cat /proc/self/status").splitlines() if ":\t" in line
    )
    assert "0" not in status["Uid"].split()
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert output(box, "ls /sys/class/net").split() == ["lo"]
    assert output(box, "hostname") == "kaggle\n"
    for place in ("/", "/etc", "/usr", "/opt", "/kaggle", "/kaggle/input/t", "/opt/mleagent/runner"):
        assert (
            "read-only" in box.run(f"touch {place}/x").output.lower() or box.run(f"touch {place}/x").exit_code
        )
    assert output(box, "cat /kaggle/input/t/train.csv") == "a,b\n1,2\n"
    assert output(box, "pwd") == "/kaggle/working\n"


@pytest.mark.docker
def test_limits_of_the_engine_hold(box: DockerSandbox, docker_engine: Any) -> None:
    host = ours(docker_engine)[0].attrs["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 512 << 20
    assert (host["PidsLimit"], host["NanoCpus"], host["NetworkMode"]) == (64, 10**9, "none")
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["Binds"]
    eaten = box.run("python -c \"x = b'x' * (1 << 30)\"")
    assert eaten.status == "oom", eaten
    full = box.run("head -c 200000000 /dev/zero > big")
    assert full.status == "disk", full
    names = box.run("rm big; python -c \"for i in range(120_000): open(str(i), 'w').close()\"")
    assert names.status == "disk", names
    assert box.run("echo still here").output == "still here\n"


@pytest.mark.docker
def test_the_image_brings_what_it_promises(box: DockerSandbox) -> None:
    promised = [line for line in image.recipe("requirements.txt").decode().split() if "==" in line]
    inside = {line.lower().replace("_", "-") for line in box.packages()}
    assert {line for line in promised if line not in inside} == set()
    assert (
        output(box, "python -c 'import sklearn, pandas, scipy, pyarrow, PIL, matplotlib; print(1)'") == "1\n"
    )


def test_the_runner_is_readable_inside_whatever_the_umask(home: Path) -> None:
    before = os.umask(0o077)
    try:
        copy = container.runner_copy()
    finally:
        os.umask(before)
    assert copy == container.runner_copy()
    for path in (copy, *copy.rglob("*")):
        assert path.stat().st_mode & 0o044 == 0o044, path
    assert not list(copy.parent.glob("*.*"))


@pytest.mark.parametrize("text", ["many", "device", "-1", "all,0"])
def test_gpus_that_cannot_be_read_are_refused(home: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="--gpus"):
        container.options(spec_for(tmp_path, gpus=text), "x", {}, {}, "n")


def test_gpus_are_asked_for_as_docker_does(home: Path, tmp_path: Path) -> None:
    def asked(text: str) -> list[Any]:
        return container.options(spec_for(tmp_path, gpus=text), "x", {}, {}, "n")["device_requests"]

    assert asked("") == asked("0") == []
    assert asked("all")[0]["Count"] == -1 and asked("2")[0]["Count"] == 2
    assert asked("device=0,1")[0]["DeviceIDs"] == ["0", "1"]


# --- being lost, and ending ---


@pytest.mark.docker
def test_a_container_removed_under_a_run_is_lost_by_name_and_starts_again(
    box: DockerSandbox, docker_engine: Any
) -> None:
    timer = threading.Timer(0.7, lambda: ours(docker_engine)[0].remove(force=True))
    timer.start()
    done = box.run("echo begun; sleep 30")
    timer.join()
    assert (done.status, done.output) == ("lost", "begun\n")
    assert "container" in done.detail and "\n" not in done.detail
    assert done.duration_s < 10
    with pytest.raises(SandboxLostError, match="start it again"):
        box.run("true")
    box.start()
    assert box.run("ls").output.strip() != "" and box.run("echo again").output == "again\n"


@pytest.mark.docker
def test_a_hung_container_is_given_up_at_the_hosts_deadline(
    box: DockerSandbox, docker_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mleagent.sandbox.client.GRACE_S", 1.0)
    timer = threading.Timer(0.5, ours(docker_engine)[0].pause)
    timer.start()
    done = box.run("echo begun; sleep 30", LIMITS.model_copy(update={"wall_s": 1.0}))
    timer.join()
    assert (done.status, done.output) == ("lost", "begun\n")
    assert done.duration_s < 8
    assert ours(docker_engine) == [], "a paused container is removed too"


@pytest.mark.docker
def test_sandboxes_in_a_row_leave_no_descriptor_behind(
    docker_engine: Any, home: Path, tmp_path: Path
) -> None:
    counts = []
    for _ in range(4):
        sandbox = DockerSandbox(spec_for(tmp_path))
        sandbox.start()
        assert sandbox.run("echo x").output == "x\n"
        sandbox.close()
        time.sleep(0.1)
        counts.append((len(os.listdir("/proc/self/fd")), threading.active_count()))
    assert counts[1] == counts[-1]


@pytest.mark.docker
def test_nothing_is_left_after_close(docker_engine: Any, home: Path, tmp_path: Path) -> None:
    sandbox = DockerSandbox(spec_for(tmp_path, session_id="test-close"))
    sandbox.start()
    assert len(ours(docker_engine, "test-close")) == 1
    sandbox.close()
    sandbox.close()
    assert ours(docker_engine, "test-close") == []


@pytest.mark.docker
def test_a_killed_owner_leaves_a_container_that_ends_and_is_reaped(
    docker_engine: Any, home: Path, tmp_path: Path
) -> None:
    program = (
        "import pathlib, sys\n"
        "from mleagent.protocols import SandboxSpec\n"
        "from mleagent.sandbox.docker import DockerSandbox\n"
        "public = pathlib.Path(sys.argv[1])\n"
        "s = DockerSandbox(SandboxSpec(session_id='test-killed', task_name='t', public=public))\n"
        "s.start(); print('up', flush=True); s.run('sleep 300')\n"
    )
    spec = spec_for(tmp_path)
    owner = subprocess.Popen([sys.executable, "-c", program, str(spec.public)], stdout=subprocess.PIPE)
    assert owner.stdout is not None and owner.stdout.readline() == b"up\n"
    [left] = ours(docker_engine, "test-killed")
    assert reap.reap(docker_engine) == []
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    for _ in range(100):
        left.reload()
        if left.status == "exited":
            break
        time.sleep(0.1)
    assert left.status == "exited"
    with_next = DockerSandbox(spec)
    with_next.start()
    assert ours(docker_engine, "test-killed") == []
    with_next.close()


def test_only_a_process_that_is_gone_on_this_host_abandons() -> None:
    mine = reap.labels("s")
    assert not reap.abandoned(mine)
    assert reap.abandoned({**mine, reap.STARTED: "1"})
    assert not reap.abandoned({**mine, reap.STARTED: "1", reap.HOST: "another"})
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert reap.abandoned({**mine, reap.PID: str(gone.pid)})
    assert not reap.abandoned({})


class Relay:
    """The engine's socket under another name, which can be cut and opened again as a daemon is restarted."""

    def __init__(self, place: Path, target: str = "/var/run/docker.sock"):
        self.place, self._target = place, target
        self._live: list[socket.socket] = []
        self.open()

    def open(self) -> None:
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(self.place))
        self._door.listen(16)
        threading.Thread(target=self._accept, args=(self._door,), daemon=True).start()

    def cut(self) -> None:
        self.place.unlink()
        for end in (self._door, *self._live):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._live.clear()

    def _accept(self, door: socket.socket) -> None:
        while True:
            try:
                near, _ = door.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._target)
            self._live += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.mark.docker
def test_an_engine_that_goes_away_is_named_and_a_new_start_works_when_it_is_back(
    docker_engine: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = Relay(tmp_path / "engine.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{relay.place}")
    sandbox = DockerSandbox(spec_for(tmp_path, session_id="test-engine"))
    sandbox.start()
    timer = threading.Timer(0.7, relay.cut)
    timer.start()
    done = sandbox.run("echo begun; sleep 30")
    timer.join()
    assert (done.status, done.output) == ("lost", "begun\n")
    assert "docker engine stopped" in done.detail
    with pytest.raises(UnavailableError, match="no engine answers"):
        sandbox.start()
    relay.open()
    sandbox.start()
    assert len(ours(docker_engine, "test-engine")) == 1, "what was left behind is removed at the new start"
    assert sandbox.run("echo again").output == "again\n"
    sandbox.close()
    assert ours(docker_engine, "test-engine") == []
    relay.cut()


# --- engines and images ---


def test_an_engine_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{tmp_path}/none.sock")
    for kind in ("docker", "podman"):
        began = time.monotonic()
        with pytest.raises(UnavailableError) as caught:
            engine.connect(kind)
        assert str(caught.value).startswith(f"{kind}: ") and "\n" not in str(caught.value)
        assert time.monotonic() - began < 3


@pytest.mark.docker
def test_podman_speaks_through_the_compatible_socket(
    docker_engine: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "CONTAINER_HOST",
        docker_engine.api.base_url.replace("http+docker://localhost", "unix:///var/run/docker.sock"),
    )
    sandbox = DockerSandbox(spec_for(tmp_path, session_id="test-podman"), kind="podman")
    sandbox.start()
    done = sandbox.run("echo hello")
    sandbox.close()
    assert (sandbox.name, done.output, done.sandbox) == ("podman", "hello\n", "podman")


@pytest.mark.docker
def test_an_image_that_cannot_be_had_is_one_line_with_the_mend(
    docker_engine: Any, home: Path, tmp_path: Path
) -> None:
    sandbox = DockerSandbox(spec_for(tmp_path, image="localhost:9/no/such:image"))
    with pytest.raises(UnavailableError, match=r"localhost:9/no/such:image.*leave it out") as caught:
        sandbox.start()
    assert "\n" not in str(caught.value)
    with pytest.raises(UnavailableError, match="not there"):
        sandbox.available()
    assert image.stock_tag() in DockerSandbox(spec_for(tmp_path)).available()


@pytest.mark.docker
def test_an_image_without_python_is_an_error_that_says_so(
    docker_engine: Any, home: Path, tmp_path: Path
) -> None:
    docker_engine.api.import_image_from_data(b"\0" * 10240, repository="mleagent-test-empty", tag="1")
    sandbox = DockerSandbox(spec_for(tmp_path, image="mleagent-test-empty:1", session_id="test-empty"))
    try:
        with pytest.raises(SandboxError, match="python3"):
            sandbox.start()
        assert ours(docker_engine, "test-empty") == []
    finally:
        docker_engine.images.remove("mleagent-test-empty:1")


def test_the_stock_tag_follows_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.stock_tag()
    assert before == image.stock_tag() and before.startswith(f"{image.REPOSITORY}:")
    monkeypatch.setattr(image, "recipe", lambda name: b"another " + name.encode())
    assert image.stock_tag() != before
