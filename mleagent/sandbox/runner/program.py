"""One program in a fork of the warm interpreter, from source to exit code, as a fresh one would have it.

`prepare` reads and compiles the script (or says that a fresh interpreter must
run it), `enter` gives the process the face of `python SCRIPT`, and `finish` ends
it: threads awaited, exit functions called, what the program still holds let go
in the order Python does, buffers written. What was imported before the fork is
left to the kernel: taking it down object by object would cost more than most runs.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib.machinery
import io
import itertools
import os
import signal
import sys
import threading
import time
import types
import weakref
from typing import Any

from . import faithful

_MODULE = types.ModuleType
_WRITERS = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
_BROKEN_OUTPUT = 120
"""Python's exit code when its output could not be written."""


class Before:
    """The interpreter as it was before any program: what a fork must find again."""

    def __init__(self) -> None:
        self.environment = dict(os.environ)
        self.path = list(sys.path)
        self.modules: frozenset[str] = frozenset()
        self.names: set[str] = set()
        self.own: list[str] = []

    def loaded(self, own: str) -> None:
        """Everything is imported; `own` is the package of this module, which no program sees."""
        self.modules = frozenset(sys.modules)
        tops = {name.partition(".")[0] for name in self.modules}
        self.names = tops - {"__main__", own}
        # Found here once: to walk through all modules' names in a fork would copy hundreds of pages.
        self.own = [name for name in self.modules if name == own or name.startswith(own + ".")]


class Program:
    """A script about to run. `code` and `globals` are for `exec`."""

    def __init__(self, words: list[str], path: str, code: types.CodeType) -> None:
        self._words, self._path = words, path
        self.code = code
        self.globals: dict[str, Any] = {}
        self.failure: BaseException | None = None
        self._exit_code = 0
        self._interrupted = False
        self._before = frozenset[str]()

    @classmethod
    def prepare(cls, words: list[str], before: Before) -> Program | None:
        """None: for a fresh interpreter, also for what can't be opened or compiled, for it says why."""
        path = os.path.abspath(words[1])
        folder = os.path.dirname(os.path.realpath(path))
        try:
            if not os.path.isfile(path):
                return None
            with open(path, "rb") as file:
                source = file.read(faithful.MAX_SOURCE + 1)
            if not faithful.plain(source) or not faithful.nothing_hidden(folder, before.names):
                return None
            return cls(words, path, compile(source, path, "exec", dont_inherit=True))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return None

    # --- before ---

    def enter(self, before: Before) -> None:
        """Become `python SCRIPT ARGS`: names, paths, environment, seeds."""
        self._before = before.modules
        folder = os.path.dirname(os.path.realpath(self._path))
        sys.argv[:] = self._words[1:]
        sys.orig_argv[:] = self._words
        sys.path[:] = [folder, *before.path]
        for name in before.own:
            del sys.modules[name]
        _name_interpreter(self._words[0])
        for name in set(os.environ) - set(before.environment):
            del os.environ[name]
        _new_seeds()
        main = types.ModuleType("__main__")
        self.globals = main.__dict__
        self.globals["__loader__"] = importlib.machinery.SourceFileLoader("__main__", self._path)
        if sys.version_info < (3, 14):
            self.globals["__annotations__"] = {}
        self.globals["__builtins__"] = sys.modules["builtins"]
        self.globals["__file__"] = self._path
        if sys.version_info < (3, 15):
            self.globals["__cached__"] = None
        sys.modules["__main__"] = main
        # The frame of the caller and of `exec` stand below; a recursion stays as deep as it would be.
        sys.setrecursionlimit(sys.getrecursionlimit() + 2)

    # --- after ---

    def _failed(self, error: BaseException) -> None:
        """The program ended by an exception: say what Python says, note the exit code."""
        trace = error.__traceback__
        error.__traceback__ = trace = trace.tb_next if trace else None
        if isinstance(error, SystemExit):
            self._exit_code = _code_of(error)
            return
        self._exit_code = 1
        self._interrupted = isinstance(error, KeyboardInterrupt)
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
        if sys.version_info >= (3, 12):
            sys.last_exc = error
        try:
            sys.excepthook(type(error), error, trace)
        except SystemExit as wish:
            self._exit_code = _code_of(wish)
        except BaseException as other:  # noqa: BLE001 - a program's own hook may raise anything
            other.__traceback__ = other.__traceback__.tb_next if other.__traceback__ else None
            sys.stderr.write("Error in sys.excepthook:\n")
            sys.__excepthook__(type(other), other, other.__traceback__)
            sys.stderr.write("\nOriginal exception was:\n")
            sys.__excepthook__(type(error), error, trace)

    def finish(self) -> None:
        """End the process, said why if `failure` is set. Never returns."""
        try:
            if self.failure is not None:
                self._failed(self.failure)
                self.failure = None
            with contextlib.suppress(KeyboardInterrupt):
                threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            broken = not _flush()
            self._let_go()
            ctypes.CDLL(None).fflush(None)
            if (not _flush() or broken) and not self._interrupted:
                self._exit_code = _BROKEN_OUTPUT
            if self._interrupted:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGINT)
        finally:
            os._exit(self._exit_code & 0xFF)

    def _let_go(self) -> None:
        """Drop what the program holds, so that files it left open are written and `__del__` is called."""
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            sys.__dict__.pop(name, None)
        # Modules stand in the order of import, the program's after all others.
        own = list(itertools.takewhile(lambda name: name not in self._before, reversed(sys.modules)))
        own = ["__main__", *reversed(own)] if "__main__" in sys.modules else own
        left = [weakref.ref(sys.modules.pop(name)) for name in own if type(sys.modules[name]) is _MODULE]
        self.globals = {}
        # In a cycle a file may be closed before the text above it is written to it: write it first.
        for thing in gc.get_objects():
            if type(thing) in _WRITERS and not thing.closed:
                with contextlib.suppress(Exception):
                    thing.flush()
        gc.collect()
        for module in reversed([module for alive in left if (module := alive()) is not None]):
            _clear(module.__dict__)
        gc.collect()


def _clear(names: dict[str, Any]) -> None:
    """Empty a module the way Python does at its end: private names first, the builtins never."""
    for name in list(names):
        if name.startswith("_") and not name.startswith("__"):
            names[name] = None
    for name in list(names):
        if name != "__builtins__":
            names[name] = None


def _flush() -> bool:
    """Write out the standard streams; False when stdout could not be."""
    good = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not getattr(stream, "closed", False):
                stream.flush()
        except Exception:  # noqa: BLE001 - a program may have put anything in their place
            good = good and stream is not sys.stdout
    return good


def _code_of(error: SystemExit) -> int:
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if -(2**63) <= code < 2**63 else 0xFF
    sys.stdout.flush()
    sys.stderr.write(f"{code}\n")
    return 1


def _name_interpreter(word: str) -> None:
    """`python3 x` finds itself under that name where `python x` finds the other."""
    named = os.path.join(os.path.dirname(sys.executable), word)
    if named == sys.executable or not os.path.exists(named):
        return
    sys.executable = named
    spawn = sys.modules.get("multiprocessing.spawn")
    if spawn is not None:
        spawn.set_executable(named)


def _new_seeds() -> None:
    """What a fresh interpreter draws at random or reads off the clock; `random` does so itself at a fork."""
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        config = process.current_process()._config
        config["authkey"] = process.AuthenticationString(os.urandom(32))
    if "logging" in sys.modules:
        now = time.time_ns() if sys.version_info >= (3, 13) else time.time()
        sys.modules["logging"].__dict__["_startTime"] = now
