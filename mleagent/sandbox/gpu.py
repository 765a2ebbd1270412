"""GPUs: which there are, what a sandbox must be shown of them, and the lease that one user at a time holds.

Model, sandbox and trainer share one device; whoever is about to use it hard takes the
lease, a lock on a file that every mleagent process of the user respects. The lease may
*park* the model: its memory on the GPU is freed for the length of a run and restored
after. Nothing here has been run on a GPU by our tests; without one, all falls back to the CPU.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Literal, Protocol, runtime_checkable

from .. import clock
from ..config import data_home
from ..errors import InputError, SandboxError
from ..records import Record

Share = Literal["auto", "keep", "park"]
"""`park`: free the model's memory for each run. `keep`: never. `auto`: when less than half is free."""
DEV = Path("/dev")
_CONTROL = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset", "nvidia-caps")
_QUERY = ("--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits")
_TOOLKIT = ("nvidia-container-cli", "nvidia-ctk", "nvidia-container-runtime")
_ENOUGH_FREE = 0.5
_POLL_S = 0.1


class Gpu(Record):
    """One device as the driver describes it; memory in MiB."""

    name: str
    memory_mb: int
    free_mb: int


@runtime_checkable
class Parkable(Protocol):
    """A model that can leave the GPU and come back; both may take seconds, twice is harmless."""

    def park(self) -> None:
        """Free its memory on the GPU."""
        ...

    def restore(self) -> None:
        """Take it back; what it answers afterwards is what it would have answered before."""
        ...


class GpuHeldError(SandboxError):
    """Somebody else held the GPU until the wait was given up."""


# --- what there is ------------------------------------------------------------


def gpus() -> tuple[Gpu, ...]:
    """NVIDIA devices, by `nvidia-smi`; none where that is missing, fails or takes over ten seconds."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        said = subprocess.run([tool, *_QUERY], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return parsed(said)


def parsed(said: str) -> tuple[Gpu, ...]:
    """Devices from `nvidia-smi`'s lines `name, total, free`; lines that say otherwise are left out."""
    found = []
    for line in said.splitlines():
        name, *numbers = (word.strip() for word in line.rsplit(",", 2))
        if len(numbers) == 2 and all(number.isdigit() for number in numbers):
            found.append(Gpu(name=name, memory_mb=int(numbers[0]), free_mb=int(numbers[1])))
    return tuple(found)


def toolkit() -> str:
    """The NVIDIA container toolkit's program, which docker needs for `--gpus`; '' where there is none."""
    return next((path for name in _TOOLKIT if (path := shutil.which(name))), "")


def wanted(text: str) -> int | tuple[str, ...]:
    """Docker's `--gpus`: how many (-1: all), or which. Raises InputError for what can't be read."""
    text = text.strip()
    if text in ("", "0", "none"):
        return 0
    if text.startswith("device="):
        return tuple(text[len("device=") :].split(","))
    if text == "all" or text.isdigit():
        return -1 if text == "all" else int(text)
    raise InputError(f"--gpus {text!r} can't be read; write a number, all, or device=0,1")


def device_nodes(text: str) -> list[Path]:
    """Device files that `--gpus TEXT` means on this machine; [] for none asked for or none there."""
    which = wanted(text)
    if not which:
        return []
    cards = sorted(
        (p for p in DEV.glob("nvidia[0-9]*") if p.name[6:].isdigit()), key=lambda p: int(p.name[6:])
    )
    if isinstance(which, tuple):
        cards = [card for card in cards if card.name[6:] in which]
    elif which > 0:
        cards = cards[:which]
    return [*cards, *(DEV / name for name in _CONTROL if (DEV / name).exists())] if cards else []


def gap(text: str) -> str:
    """What to say of a sandbox that was asked for GPUs; '' when it was not."""
    if not wanted(text):
        return ""
    if not device_nodes(text):
        return "no GPU was found: programs run on the CPU"
    return "GPU devices are handed in as they are: their driver is shared with this machine"


# --- the lease ----------------------------------------------------------------


class Lease:
    """The right to use the GPU hard, one holder at a time among all processes of this data folder."""

    def __init__(
        self, share: Share = "auto", model: Parkable | None = None, path: Path | None = None
    ) -> None:
        """`model` is what may have to make room; `path` is the lock file (default: in the data folder)."""
        self._share, self._model = share, model
        self._path = path or data_home() / "gpu.lock"

    @contextlib.contextmanager
    def hold(self, who: str, stop: Event | None = None, timeout_s: float | None = None) -> Iterator[None]:
        """Wait for the lease, make room, and give both back at the end of the `with`.

        Raises GpuHeldError, naming the holder, when `timeout_s` passes or `stop` is set first.
        """
        file = self._lock(who, stop, timeout_s)
        try:
            if not self._must_park() or self._model is None:
                yield
                return
            self._model.park()
            try:
                yield
            finally:
                self._model.restore()
        finally:
            os.ftruncate(file, 0)
            os.close(file)

    def holder(self) -> str:
        """Who holds it, `sandbox (process 17)`; '' when nobody does."""
        try:
            file = os.open(self._path, os.O_RDONLY)
        except OSError:
            return ""
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _named(os.read(file, 1000))
        finally:
            os.close(file)
        return ""

    def _lock(self, who: str, stop: Event | None, timeout_s: float | None) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        deadline = None if timeout_s is None else clock.monotonic() + timeout_s
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                if stop is not None and stop.is_set():
                    raise GpuHeldError(f"stopped while {self.holder() or 'another'} held the GPU")
                if deadline is not None and clock.monotonic() >= deadline:
                    raise GpuHeldError(f"the GPU is held by {self.holder() or 'another'}; wait or end that")
                time.sleep(_POLL_S)
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps({"who": who, "pid": os.getpid()}).encode(), 0)
        except BaseException:
            os.close(file)
            raise
        return file

    def _must_park(self) -> bool:
        if self._share != "auto":
            return self._share == "park"
        return any(gpu.free_mb < _ENOUGH_FREE * gpu.memory_mb for gpu in gpus())


def _named(data: bytes) -> str:
    try:
        said = json.loads(data)
        return f"{said['who']} (process {said['pid']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
