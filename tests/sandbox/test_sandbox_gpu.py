"""What of `--gpus` can be tried without a GPU: which devices, how they are handed in, and the lease."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from boxes import LIMITS, made

from mleagent.cli import doctor_gpu
from mleagent.errors import InputError
from mleagent.sandbox import container, gpu
from mleagent.sandbox.gpu import GpuHeldError, Lease


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.fixture
def devices(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /dev with two cards, made of nodes that read as zeros."""
    dev = folder / "dev"
    dev.mkdir()
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm"):
        if os.geteuid() == 0:
            os.mknod(dev / name, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
            (dev / name).chmod(0o666)
        else:
            (dev / name).touch()
    monkeypatch.setattr(gpu, "DEV", dev)
    return dev


# --- which --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("0", []),
        ("1", ["nvidia0", "nvidiactl", "nvidia-uvm"]),
        ("all", ["nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm"]),
        ("device=1,10", ["nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm"]),
        ("device=7", []),
    ],
)
def test_the_devices_that_are_meant(text: str, names: list[str], devices: Path) -> None:
    assert [node.name for node in gpu.device_nodes(text)] == names
    assert ("CPU" in gpu.gap(text)) == (text == "device=7")


def test_docker_is_asked_for_the_same() -> None:
    assert container._gpus("0") == []
    assert container._gpus("all")[0]["Count"] == -1 and container._gpus("2")[0]["Count"] == 2
    assert container._gpus("device=0,3")[0]["DeviceIDs"] == ["0", "3"]
    with pytest.raises(InputError, match="--gpus"):
        container._gpus("some")


def test_what_the_driver_says_is_read() -> None:
    said = "NVIDIA A100, 80GB, 81920, 40000\nodd line\nTesla T4, 15360, 15000\n"
    assert [(card.name, card.memory_mb, card.free_mb) for card in gpu.parsed(said)] == [
        ("NVIDIA A100, 80GB", 81920, 40000),
        ("Tesla T4", 15360, 15000),
    ]


# --- handed in ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["namespaces", "bubblewrap"])
def test_devices_reach_programs(kind: str, folder: Path, devices: Path, home: Path, any_sandbox) -> None:
    any_sandbox(kind)
    if os.geteuid() != 0:
        pytest.skip("making device nodes takes root")
    public = folder / "public"
    public.mkdir()
    box = made(kind, public, LIMITS, gpus="1")
    box.start()
    try:
        assert any("GPU devices are handed in" in gap for gap in box.gaps)
        seen = box.run(
            "ls /dev/nvidia*; head -c 4 /dev/nvidia0 | od -An -tx1; echo x > /dev/nvidia0 && echo written"
        )
        assert seen.output.split() == ["/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl", "00", "00", "00",
                                       "00", "written"]  # fmt: skip
    finally:
        box.close()


@pytest.mark.parametrize("kind", ["namespaces", "bubblewrap"])
def test_without_a_gpu_programs_run_on_the_cpu_and_that_is_said(
    kind: str, folder: Path, home: Path, any_sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    any_sandbox(kind)
    monkeypatch.setattr(gpu, "DEV", folder / "nowhere")
    public = folder / "public"
    public.mkdir()
    box = made(kind, public, LIMITS, gpus="all")
    box.start()
    try:
        assert any("no GPU was found: programs run on the CPU" in gap for gap in box.gaps)
        assert box.run("echo well").output == "well\n"
        assert not (home / "gpu.lock").read_bytes()
    finally:
        box.close()


def test_doctor_says_where_everything_will_run(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PATH", str(folder))
    (line,) = doctor_gpu.lines()
    assert line.state == "info" and "no GPU (there is no nvidia-smi)" in line.detail and "CPU" in line.detail


def test_doctor_says_what_is_missing_beside_a_gpu(
    monkeypatch: pytest.MonkeyPatch, folder: Path, home: Path
) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'Tesla T4, 15360, 15000'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.setattr(gpu, "DEV", folder / "nowhere")
    said = {line.name: (line.state, line.detail) for line in doctor_gpu.lines()}
    assert said["nvidia"] == ("ok", "Tesla T4, 15360 MiB, 15000 MiB free")
    assert said["toolkit"][0] == said["devices"][0] == "warn" and said["lease"] == ("info", "free")


# --- the lease ----------------------------------------------------------------


class Model:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def park(self) -> None:
        self.asked.append("park")

    def restore(self) -> None:
        self.asked.append("restore")


def test_one_holder_at_a_time_also_among_processes(home: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c",
         "import time; from mleagent.sandbox.gpu import Lease\n"
         "with Lease().hold('trainer'): print('held', flush=True); time.sleep(30)"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        assert Lease().holder() == f"trainer (process {other.pid})"
        with pytest.raises(GpuHeldError, match="held by trainer"), Lease().hold("sandbox", timeout_s=0.2):
            pass
        stop = threading.Event()
        stop.set()
        with pytest.raises(GpuHeldError, match="stopped"), Lease().hold("sandbox", stop):
            pass
    finally:
        other.kill()
        other.wait()
    with Lease().hold("sandbox", timeout_s=10):
        assert "sandbox" in Lease().holder(), "a killed holder holds nothing"
    assert Lease().holder() == ""


def test_threads_take_turns(home: Path) -> None:
    inside, most = [], []

    def use() -> None:
        with Lease().hold("thread", timeout_s=30):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1, 1, 1, 1]


def test_the_model_makes_room_when_it_must(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, free = Model(), [1000]
    monkeypatch.setattr(gpu, "gpus", lambda: (gpu.Gpu(name="x", memory_mb=8000, free_mb=free[0]),))
    with Lease("keep", model).hold("run"):
        assert model.asked == []
    with Lease("park", model).hold("run"):
        assert model.asked == ["park"]
    assert model.asked == ["park", "restore"]
    with pytest.raises(RuntimeError), Lease("auto", model).hold("run"):
        raise RuntimeError("a run may fail")
    assert model.asked == ["park", "restore"] * 2, "it is restored all the same"
    free[0] = 7000
    with Lease("auto", model).hold("run"):
        assert len(model.asked) == 4, "there is room enough"


def test_a_run_that_may_use_a_gpu_waits_for_the_lease(folder: Path, home: Path, any_sandbox) -> None:
    any_sandbox("namespaces")
    public = folder / "public"
    public.mkdir()
    box = made("namespaces", public, LIMITS, gpus="1")
    box.start()
    stop = threading.Event()
    try:
        with Lease().hold("trainer"):
            threading.Timer(0.3, stop.set).start()
            result = box.run("echo never", stop=stop)
            assert result.status == "killed" and "trainer" in result.detail and not result.output
        assert box.run("echo now").output == "now\n"
    finally:
        box.close()
