"""A synthetic task made ready for very many executions, without a sandbox: prepare, run, grade.

`Arena` prepares a `SynthTask` as a session would, runs program texts in forked children that share the
imported libraries, and grades what they leave: on the feedback rows, and on all rows nobody is shown (the
sealed ones and the user's own test rows, whose answers the generator keeps), cut in two halves at random,
so that what is chosen on one half can be reported on the other. Only for programs of our own making.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mleagent.clock import monotonic
from mleagent.errors import MleagentError
from mleagent.records import Task
from mleagent.task.grade import Grader
from mleagent.task.layout import ANSWERS_FILE, LAYOUT_FILE, PART, USER_ID
from mleagent.task.options import TaskOptions
from mleagent.task.prepare import prepare

from .compact import MODULES
from .synth import SynthTask

RUN_LIMIT_S = 20
"""Wall-clock limit of one execution; far above what a short program takes."""


@dataclass(frozen=True)
class Outcome:
    """One execution's verdict. Utilities are 0 where there is no valid submission."""

    valid: bool
    reason: str
    feedback: float
    """Utility on the feedback rows."""
    first: float
    """Utility on the first half of the rows nobody is shown."""
    second: float
    cpu_s: float
    wall_s: float


def warm_up() -> None:
    """Import what programs import, once, and keep numeric libraries to one thread."""
    import threadpoolctl

    for name in MODULES:
        importlib.import_module(name)
    threadpoolctl.threadpool_limits(1)


class Arena:
    """One prepared task. `work` is a folder of its own, kept by the caller."""

    def __init__(self, synth: SynthTask, work: Path):
        """Prepare under `work`. Raises InputError when the folder is refused, which would be a defect."""
        self.synth = synth
        self.task: Task = prepare(synth.write(work / synth.name), TaskOptions(), work / "home")
        assert self.task.private is not None
        self.grader = Grader(self.task.private)
        self.truth = Grader(self._truth_folder(self.task.private, work / "truth"))
        self.place = work / "run"
        self.place.mkdir(exist_ok=True)
        for path in self.task.public.iterdir():
            link = self.place / path.name
            if not link.exists():
                link.symlink_to(path.resolve())

    def _truth_folder(self, private: Path, folder: Path) -> Path:
        """A private folder whose `feedback` and `sealed` are the two halves of the rows nobody is shown."""
        folder.mkdir(parents=True, exist_ok=True)
        table = pd.read_parquet(private / ANSWERS_FILE)
        own = pd.read_csv(io.BytesIO(self.synth.answers))
        key, target = own.columns
        known = dict(zip(own[key].astype(str), own[target], strict=True))
        mine = (table[PART] == "test").to_numpy()
        values = table[target].astype(object)
        values[mine] = [known[name] for name in table.loc[mine, USER_ID].astype(str)]
        numbers = self.synth.problem == "regression"
        table[target] = values.astype(float) if numbers else values.astype(str)
        unseen = (table[PART] != "feedback").to_numpy()
        half = np.random.Generator(np.random.PCG64([2, self.synth.seed])).random(len(table)) < 0.5
        table[PART] = np.where(unseen, np.where(half, "feedback", "sealed"), "test")
        table.to_parquet(folder / ANSWERS_FILE, index=False)
        (folder / LAYOUT_FILE).write_bytes((private / LAYOUT_FILE).read_bytes())
        return folder

    def run(self, text: str) -> Outcome:
        """Execute a program and grade its submission; never raises for what the program does."""
        left = self.place / "submission.csv"
        left.unlink(missing_ok=True)
        start = monotonic()
        reason, cpu = _fork(text, self.place)
        wall = monotonic() - start
        if reason or not left.is_file():
            return Outcome(False, reason or "no submission", 0.0, 0.0, 0.0, cpu, wall)
        content = left.read_bytes()
        grade = self.grader.grade(content)
        if not grade.valid or grade.utility is None:
            return Outcome(False, grade.reason, 0.0, 0.0, 0.0, cpu, wall)
        try:
            first, second = self.truth.grade(content), self.truth.seal(content)
        except MleagentError as error:
            return Outcome(False, str(error), grade.utility, 0.0, 0.0, cpu, wall)
        return Outcome(True, "", grade.utility, first.utility or 0.0, second.utility, cpu, wall)


def _fork(text: str, place: Path) -> tuple[str, float]:
    """Run the text in a child; why it failed (empty: it did not) and its CPU seconds."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        status = 1
        try:
            _inside(text, place, writer)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        said = stream.read().decode(errors="replace")
    _, status, usage = os.wait4(child, 0)
    cpu = usage.ru_utime + usage.ru_stime
    if os.WIFSIGNALED(status):
        return f"ended by signal {os.WTERMSIG(status)}", cpu
    return said, cpu


def _inside(text: str, place: Path, writer: int) -> None:
    """The child's side: silence, a limit, the program; a failure is told in one line through `writer`."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the parent may have a handler of its own
    signal.alarm(RUN_LIMIT_S)
    os.chdir(place)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    names: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            exec(compile(text, "solution.py", "exec"), names)
        except BaseException:
            kind, error, _ = sys.exc_info()
            said = " ".join(str(error).split())
            os.write(writer, f"{kind.__name__ if kind else 'error'}: {said[-400:]}".encode())
