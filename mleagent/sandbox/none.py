"""No isolation at all: programs run as the user, on this machine. Only ever used when named.

Same runner, so same limits of time, output and (by sampling) memory, same
verdicts, same clean environment; but nothing keeps a program from reading and
writing what its user can, and `/kaggle` does not exist: relative paths work.
"""

from __future__ import annotations

import sys

from ..protocols import SandboxSpec
from .base import RUNNER_DIR, RunnerSandbox
from .client import RunnerClient, Setup
from .env import clean_env, interpreter
from .process import RunnerProcess, own_folder

_GENTLE_S = 3.0


class NoneSandbox(RunnerSandbox):
    """See the module."""

    kind = "none"

    def __init__(self, spec: SandboxSpec) -> None:
        super().__init__(spec)
        self._process: RunnerProcess | None = None

    def _launch(self) -> tuple[RunnerClient, Setup]:
        python = interpreter(self.spec.python)
        base = own_folder(self.kind)
        work, scratch, inputs = base / "working", base / "tmp", base / "input"
        for folder in (work, scratch, inputs):
            folder.mkdir()
        (inputs / self.spec.task_name).symlink_to(self.spec.public.resolve())
        command = [sys.executable, "-I", "-S", str(RUNNER_DIR)]
        # Given time to end its processes itself: nothing else would.
        self._process = RunnerProcess(command, leftovers=(base,), gentle_s=_GENTLE_S)
        client = RunnerClient(self._process.reader, self._process.writer, self._end, self.kind)
        setup = Setup(
            work=str(work),
            input=str(inputs / self.spec.task_name),
            env=clean_env(self.spec.limits, (str(python.executable.parent),), home=str(scratch)),
            scratch=(str(scratch),),
            kill_all=False,
            confine=False,
        )
        return client, setup

    def _package_paths(self) -> list[str]:
        return [str(folder) for folder in self.spec.packages]

    def _end(self) -> str:
        return self._process.end() if self._process is not None else ""

    def _own_gaps(self) -> tuple[str, ...]:
        return (
            "no isolation: programs can read and write what you can, and reach the network",
            "no /kaggle folder: programs that use its absolute paths fail",
            "memory is watched by sampling, disk not at all",
        )
