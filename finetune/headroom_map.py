"""The heat map of the headroom table: which recipe gains on which generating process.

Takes runs; gives effects (recipe, family), the mean unseen utility of a panel recipe minus that of the
random plans on the same tasks, as CSV and as text of two digits a cell.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence

from mleagent.records import Record

from .headroom_run import TaskRuns
from .plans import GROUND, PANEL


class Effect(Record):
    """One cell. `gain` is in utility; `tasks` is how many tasks of the family it was measured on."""

    recipe: str
    family: str
    gain: float
    tasks: int


def names() -> list[str]:
    """The panel's recipes without the groundwork they share, in order of the panel."""
    return [" + ".join(c.name for c in reversed(plan) if c.name not in GROUND) for plan in PANEL]


def effects(tasks: Sequence[TaskRuns]) -> list[Effect]:
    """All cells, recipes in order of the panel, families by name."""
    gains: dict[tuple[int, str], list[float]] = defaultdict(list)
    for task in tasks:
        drawn = [run.unseen for run in task.runs if run.panel is None]
        level = sum(drawn) / len(drawn) if drawn else 0.0
        for run in task.runs:
            if run.panel is not None:
                gains[run.panel, task.family].append(run.unseen - level)
    shown = names()
    return [
        Effect(recipe=shown[panel], family=family, gain=sum(values) / len(values), tasks=len(values))
        for (panel, family), values in sorted(gains.items())
    ]


def as_csv(cells: Sequence[Effect]) -> str:
    """One line a cell: recipe, family, gain, tasks."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["recipe", "family", "gain", "tasks"])
    writer.writerows([cell.recipe, cell.family, f"{cell.gain:.4f}", cell.tasks] for cell in cells)
    return text.getvalue()


def as_text(cells: Sequence[Effect]) -> str:
    """A grid: recipes down, families across under upright names; hundredths, `.` where near zero."""
    families = sorted({cell.family for cell in cells})
    recipes = list(dict.fromkeys(cell.recipe for cell in cells))
    value = {(cell.recipe, cell.family): round(100 * cell.gain) for cell in cells}
    wide = max(len(name) for name in recipes)
    tall = max(len(name) for name in families)
    lines = [
        " " * wide + "".join(f"{name.rjust(tall)[level]:>4}" for name in families) for level in range(tall)
    ]
    for recipe in recipes:
        row = [_cell(value.get((recipe, family))) for family in families]
        lines.append(recipe.ljust(wide) + "".join(f"{text:>4}" for text in row))
    return "\n".join(line.rstrip() for line in lines)


def _cell(gain: int | None) -> str:
    if gain is None:
        return ""
    return "." if abs(gain) < 3 else str(gain)
