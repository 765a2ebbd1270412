"""Executes panel plans and random plans on synthetic tasks, one line of JSON a task, resumable.

Same text, same outcome: a plan whose program equals an earlier one's on the task is not run again. Lines
are keyed by the task's content hash and by `VERSION`, so a killed run goes on where it stopped, and lines
of an older generator or program form are never mixed in.
"""

from __future__ import annotations

import ast
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

from mleagent.policy.playbook.brief import Brief, brief_of
from mleagent.records import Record, Task

from . import jsonl
from .arena import Arena, Outcome, warm_up
from .compact import pieces, program
from .ideas import Plan, draw_plan, plan_line
from .plans import PANEL
from .synth import make_task
from .synth_sets import Entry

_SOURCES = ("compact", "ideas", "ideas_columns", "ideas_features", "ideas_models", "ideas_outcome", "plans")
VERSION = hashlib.sha256(
    "".join(
        ast.dump(ast.parse(Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")))
        for name in _SOURCES
    ).encode()
).hexdigest()[:8]
"""Of the code that makes programs (not of its layout); results of other versions are not taken up."""


class Run(Record):
    """One plan's outcome on one task. Utilities 0..1; `first` and `second` are halves of the unseen rows."""

    plan: str
    ideas: tuple[str, ...]
    panel: int | None = None
    """Number in the panel; None for a random plan."""
    valid: bool
    reason: str = ""
    feedback: float
    first: float
    second: float
    cpu_s: float
    pieces: int

    @property
    def unseen(self) -> float:
        """Utility on all rows nobody is shown, as the mean of the halves."""
        return (self.first + self.second) / 2


class TaskRuns(Record):
    """All runs on one task, with what a rule may know of it."""

    version: str
    hash: str
    seed: int
    family: str
    metric: str
    problem: str
    rows: int
    features: dict[str, float]
    words: str
    runs: tuple[Run, ...]


def load(path: Path) -> dict[str, TaskRuns]:
    """Finished tasks of this version by content hash; a torn line is ignored."""
    found = {}
    for line in jsonl.lines(path):
        try:
            task = TaskRuns.model_validate_json(line)
        except ValueError:
            continue
        if task.version == VERSION:
            found[task.hash] = task
    return found


def execute(
    entries: Iterable[Entry], path: Path, random_plans: int, say: Callable[[str], None]
) -> list[TaskRuns]:
    """Runs of every entry's task: those in `path`, and new ones, which are appended to it."""
    done, found = load(path), []
    warm_up()
    for entry in entries:
        known = done.get(entry.hash)
        if known is None or sum(run.panel is None for run in known.runs) != random_plans:
            done[entry.hash] = one_task(entry.seed, random_plans)
            jsonl.append(path, [done[entry.hash].model_dump_json()])
            say(f"{entry.seed} {entry.family}: {len(done[entry.hash].runs)} runs")
        found.append(done[entry.hash])
    return found


def one_task(seed: int, random_plans: int) -> TaskRuns:
    """Every panel plan and `random_plans` drawn ones on the task of a seed."""
    work = Path(tempfile.mkdtemp(prefix="headroom-"))
    try:
        synth = make_task(seed)
        arena = Arena(synth, work)
        brief = brief_of(arena.task)
        rng = Random(f"headroom {seed}")
        plans = [(plan, number) for number, plan in enumerate(PANEL)]
        drawn = [(draw_plan(brief, rng), None) for _ in range(random_plans)]
        runs = _runs(arena, [*plans, *drawn])
        return TaskRuns(
            version=VERSION, hash=synth.content_hash, seed=seed, family=synth.family, metric=synth.metric,
            problem=synth.problem, rows=arena.task.rows_labelled, features=features(arena.task, brief),
            words=arena.task.description, runs=tuple(runs),
        )  # fmt: skip
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _runs(arena: Arena, plans: Iterable[tuple[Plan, int | None]]) -> list[Run]:
    known: dict[str, Outcome] = {}
    runs = []
    for plan, number in plans:
        text = program(arena.task, plan)
        outcome = known.get(text) or arena.run(text)
        known[text] = outcome
        runs.append(Run(
            plan=plan_line(plan), ideas=tuple(choice.name for choice in plan), panel=number,
            valid=outcome.valid, reason=outcome.reason, feedback=round(outcome.feedback, 5),
            first=round(outcome.first, 5), second=round(outcome.second, 5), cpu_s=round(outcome.cpu_s, 3),
            pieces=pieces(text),
        ))  # fmt: skip
    return runs


def features(task: Task, brief: Brief) -> dict[str, float]:
    """What the profile shows, as numbers: the columns' types, gaps, skew, cardinality, rows, the metric."""
    columns = [c for c in task.columns if c.name not in brief.targets and c.name != brief.id_column]
    numbers = [c for c in columns if c.type == "numeric"]
    few = [c for c in numbers if c.unique <= 15]
    return {
        "rows": float(task.rows_labelled),
        "numbers": float(len(brief.numeric)),
        "categories": float(len(brief.category)),
        "widest": float(brief.widest),
        "flags": float(sum(c.type == "boolean" for c in columns)),
        "dates": float(len(brief.dates)),
        "text": float(len(brief.text)),
        "image": float(brief.image_table),
        "missing": sum(c.missing for c in columns) / max(1, len(columns)),
        "most missing": max((c.missing for c in columns), default=0.0),
        "skewed": sum("skewed" in c.note for c in numbers) / max(1, len(numbers)),
        "few values": len(few) / max(1, len(numbers)),
        "positive": sum(not c.note.startswith("-") for c in numbers) / max(1, len(numbers)),
        "group": float(brief.group is not None),
        "classes": float(len(brief.classes)),
        "skewed target": float(brief.skewed_target),
        **{f"metric {name}": 1.0 for name in (brief.metric,)},
        **{f"output {brief.output}": 1.0},
    }
