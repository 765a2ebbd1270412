"""Scoring what a run left: held-out labels, the project's own command, or the program's own claim.

Three scorers with one method, so that the executor needs no cases. Each score
says its kind; a claim is never mixed up with a score from held-out labels.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..records import Execution, Grade, Limits, MetricSpec, Score, Task
from .outcome import Yardstick
from .workspace import Workspace

SUBMISSION = "submission.csv"
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_VALIDATION = re.compile(rf"validation[ _](?:score|[\w@.\- ]{{1,40}}?)\s*[:=]\s*({NUMBER})", re.IGNORECASE)
_LAST_NUMBER = re.compile(rf"(?:^|[\s:=])({NUMBER})\s*%?\s*$")


class Scorer(Protocol):
    """Scores the state that a run left behind."""

    yardstick: Yardstick

    def score(self, run: Execution, fresh: bytes | None, best: bytes | None) -> Grade | None:
        """The verdict; None when the run left nothing to score.

        `fresh` is the submission the run wrote, `best` the best one before it.
        """
        ...


class HeldOut:
    """Grades against labels that are never mounted (kind `feedback`)."""

    def __init__(self, private: Path, verified: bool) -> None:
        """Reads the private folder of a prepared task."""
        from ..task.grade import Grader

        self.grader = Grader(private, verified)
        direction, optimum, dummy = self.grader.facts()
        self.yardstick = Yardstick(direction, optimum, dummy)

    def score(self, run: Execution, fresh: bytes | None, best: bytes | None) -> Grade | None:
        """See `Scorer`."""
        return None if fresh is None else self.grader.grade(fresh, best)


@dataclass
class Claimed:
    """Takes the program's own validation line (kind `self-reported`): there are no labels."""

    task: Task
    yardstick: Yardstick = Yardstick()  # noqa: RUF009 - frozen

    def score(self, run: Execution, fresh: bytes | None, best: bytes | None) -> Grade | None:
        """See `Scorer`. A submission is checked for being a table with the wanted header."""
        if fresh is None:
            return None
        reason = _table_problem(fresh, self.task.submission_columns)
        if reason:
            return Grade(valid=False, reason=reason)
        value = self_reported(run.output)
        return Grade(valid=True, score=None if value is None else own_score(self.task.metric, value))


class Command:
    """Runs the project's own eval command after each run (kind `self-reported`).

    The files named in the command and all data files are the user's originals
    whenever it runs: a program that replaced one has its score refused.
    """

    def __init__(
        self, task: Task, workspace: Workspace, run: Callable[[str, Limits], Execution], limits: Limits
    ):
        """`run` executes in the session's sandbox; what it costs counts as execution."""
        self._task, self._workspace, self._run, self._limits = task, workspace, run, limits
        self._baseline: float | None = None
        self.protected = protected_files(task)
        self.yardstick = Yardstick(task.metric.direction if task.metric else "maximize")
        self.last: Execution | None = None

    def score(self, run: Execution, fresh: bytes | None, best: bytes | None) -> Grade | None:
        """See `Scorer`. The first score becomes the baseline that utilities are measured against."""
        self.last = None
        if run.status != "ok":
            return None
        replaced = [path for path in self.protected if self._differs(path)]
        if replaced:
            for path in replaced:
                self._workspace.write(path, (self._task.public / path).read_bytes())
            return Grade(
                valid=False, reason=f"the program replaced {replaced[0]}, which belongs to the evaluation"
            )
        self.last = self._run(self._task.eval_command or "", self._limits)
        if self.last.status != "ok":
            tail = self.last.output.strip().splitlines()
            detail = f": {tail[-1][:200]}" if tail else ""
            return Grade(valid=False, reason=f"the eval command ended with {self.last.status}{detail}")
        value = printed_number(self.last.output, self._task.metric.name if self._task.metric else "")
        if value is None:
            return Grade(valid=False, reason="the eval command printed no number")
        return self._grade(value)

    def restore(self, baseline: float | None) -> None:
        """Take the baseline of an earlier sitting."""
        self._set_baseline(baseline)

    def _grade(self, value: float) -> Grade:
        if self._baseline is None:
            self._set_baseline(value)
        return Grade(valid=True, score=own_score(self._task.metric, value), utility=self._utility(value))

    def _set_baseline(self, value: float | None) -> None:
        self._baseline = value
        spec = self._task.metric
        optimum = spec.optimum if spec and math.isfinite(spec.optimum) else None
        self.yardstick = Yardstick(self.yardstick.direction, optimum, value)

    def _utility(self, value: float) -> float | None:
        """Share of the way from the baseline to the optimum; None where there is no optimum."""
        dummy, optimum = self.yardstick.dummy, self.yardstick.optimum
        if optimum is None or dummy is None or optimum == dummy:
            return None
        return min(1.0, max(0.0, (value - dummy) / (optimum - dummy)))

    def _differs(self, path: str) -> bool:
        own = self._workspace.root / path
        return own.is_file() and own.read_bytes() != (self._task.public / path).read_bytes()


def protected_files(task: Task) -> tuple[str, ...]:
    """Inputs an agent may not replace: those the eval command names, and all that is not code."""
    words = set((task.eval_command or "").replace("=", " ").split())
    return tuple(
        item.path
        for item in task.inputs
        if item.path in words or f"./{item.path}" in words or item.role not in ("code", "description")
    )


def own_score(metric: MetricSpec | None, value: float) -> Score:
    """A self-reported score; without a metric more counts as better."""
    name, direction = (metric.name, metric.direction) if metric else ("score", "maximize")
    return Score(value=value, metric=name, direction=direction, kind="self-reported")


def self_reported(output: str) -> float | None:
    """The value of the last `validation <metric>: <value>` line; a claim, never a reward."""
    found = _VALIDATION.findall(output)
    return float(found[-1]) if found else None


def printed_number(output: str, name: str = "") -> float | None:
    """The number an eval command printed last: `{"score": x}`, `<metric>: x`, or a line ending in x."""
    for line in reversed(output.strip().splitlines()):
        if line.lstrip().startswith("{"):
            value = _json_number(line, name)
        else:
            found = _LAST_NUMBER.search(line)
            value = float(found[1]) if found else None
        if value is not None and math.isfinite(value):
            return value
    return None


def _json_number(line: str, name: str) -> float | None:
    try:
        data = json.loads(line)
    except json.JSONDecodeError:
        return None
    numbers = {k: v for k, v in data.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    for key in (name, "score", "metric"):
        if key in numbers:
            return float(numbers[key])
    return float(next(iter(numbers.values()))) if numbers else None


def _table_problem(data: bytes, columns: tuple[str, ...]) -> str:
    try:
        rows = csv.reader(io.StringIO(data.decode("utf-8")))
        header = next(rows, None)
        count = sum(1 for row in rows if row)
    except (UnicodeDecodeError, csv.Error) as error:
        return f"submission.csv can't be read: {error}"
    if not header or not count:
        return "submission.csv has no rows"
    if columns and tuple(header) != columns:
        return f"submission.csv has the columns {', '.join(header)}; expected {', '.join(columns)}"
    return ""
