"""The policy's side of the model process: starts it, asks it, notices its death, ends it.

A process is started afresh (never forked from this one), in a session of its own so that
the terminal's Ctrl-C does not reach it, and ends when this process does, however that
happens. One call at a time; others wait.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from threading import Event, RLock
from typing import IO

from ..errors import InputError, MleagentError, PolicyError, UnavailableError
from .llama_library import MISSING
from .llama_wire import Answer, Failed, Load, Loaded, Request, Said, Stop, Wire

_POLL_S = 0.01
"""How soon a wish to stop is seen."""

_MAIN = "import sys; sys.path.append(sys.argv[1]); from mleagent.policy.llama_child import main; main()"
_ROOT = Path(__file__).resolve().parents[2]
_QUIET = {"OMP_WAIT_POLICY": "passive"}
"""Threads sleep where they wait for each other: spinning, two on two busy cores took ten times as long."""
_ERRORS: dict[str, type[MleagentError]] = {
    "InputError": InputError,
    "PolicyError": PolicyError,
    "UnavailableError": UnavailableError,
}


class ModelDiedError(PolicyError):
    """The model process ended by itself; the message says how."""


class LlamaProcess:
    """One model process with one model. `call` after `end` raises ModelDiedError."""

    def __init__(self, wish: Load) -> None:
        """Start it and load the model.

        Raises InputError for a file llama.cpp can't use or crashes on, UnavailableError without its library.
        """
        if importlib.util.find_spec("llama_cpp") is None:
            raise UnavailableError(MISSING)
        self._path = Path(wish.path)
        self._lock, self._number = RLock(), 0
        ours, theirs = socket.socketpair()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the process)
        with theirs:
            self._process = _start(theirs.fileno(), self._said)
        self._wire = Wire(ours)
        self._finalizer = weakref.finalize(self, _end, self._process, self._wire, self._said)
        try:
            answer, self.ids = self.call(wish)
        except ModelDiedError as error:
            raise InputError(f"model file {wish.path} can't be loaded: {error}") from None
        except BaseException:
            self.end()
            raise
        assert isinstance(answer, Loaded)
        self.loaded = answer

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._finalizer.alive and self._process.poll() is None

    def call(
        self,
        request: Request,
        data: bytes = b"",
        on_text: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> tuple[Answer, bytes]:
        """Ask and wait for the answer. Raises what the answer says, or ModelDiedError.

        When this is left by an exception of the caller's (an interrupt, an error in
        `on_text`) the request is stopped and its answer dropped.
        """
        with self._lock:
            self._number += 1
            number = self._number
            try:
                self._wire.send(request.model_copy(update={"number": number}), data)
                return self._wait(number, on_text, stop)
            except (EOFError, OSError):
                raise self._death() from None
            except MleagentError:
                raise
            except BaseException:
                self._stop(number)
                raise

    def _wait(
        self, number: int, on_text: Callable[[str], None] | None, stop: Event | None
    ) -> tuple[Answer, bytes]:
        asked = False
        while True:
            if not asked and stop is not None and stop.is_set():
                self._stop(number)
                asked = True
            try:
                answer, data = self._wire.receive(_POLL_S)
            except TimeoutError:
                continue
            if answer.number != number:
                continue
            match answer:
                case Said(text=text):
                    if on_text is not None:
                        on_text(text)
                case Failed(error=name, text=text):
                    raise _ERRORS[name](text)
                case _:
                    return answer, data  # type: ignore[return-value]

    def _stop(self, number: int) -> None:
        with contextlib.suppress(OSError):  # it may be gone: the next receive says so
            self._wire.send(Stop(number=number))

    def _death(self) -> ModelDiedError:
        """How it ended, in one line."""
        if not self._finalizer.alive:
            return ModelDiedError("the model process was ended while it was asked")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "")
        said = re.sub(r"\S*/(?=[\w.-]+:\d+)", "", said)  # where llama.cpp was built does not matter
        self.end()
        what = "ended" if code is None else f"ended with code {code}"
        mend = "take another model file or a newer llama-cpp-python"
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            what = (
                f"was killed ({name})" if -code in (signal.SIGKILL, signal.SIGTERM) else f"crashed ({name})"
            )
            if -code == signal.SIGKILL:
                mend = "if memory ran out, take a smaller model or n_ctx"
            elif -code == signal.SIGILL:
                mend = "llama.cpp was compiled for another processor: `mleagent doctor` tells the mend"
        return ModelDiedError(f"the model process {what}{': ' + said if said else ''}; {mend}")

    def end(self) -> None:
        """End the process; twice is harmless."""
        self._finalizer()


def _start(end: int, said: IO[bytes]) -> subprocess.Popen[bytes]:
    """`-P`: a file named `random.py` in the user's folder must not be imported."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _MAIN, str(_ROOT), str(end)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        pass_fds=[end],
        start_new_session=True,
        env=_QUIET | os.environ | {"GGML_NO_BACKTRACE": "1"},
    )


def _end(process: subprocess.Popen[bytes], wire: Wire, said: IO[bytes]) -> None:
    wire.close()  # it ends by itself then
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    said.close()
