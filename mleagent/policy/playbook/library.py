"""All ideas in one place: by name, and those that apply to a task.

`ideas_for(task)` is what learning draws from; the order is fixed, so a seeded
draw gives the same ideas on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...records import Task
from . import columns, features, models_other, models_trees, outcome
from .brief import Brief, brief_of
from .idea import Idea

IDEAS: tuple[Idea, ...] = (
    *models_trees.IDEAS,
    *models_other.IDEAS,
    *features.IDEAS,
    *columns.IDEAS,
    *outcome.IDEAS,
)
_BY_NAME = {idea.name: idea for idea in IDEAS}


def get(name: str) -> Idea | None:
    """The idea of that name, or None."""
    return _BY_NAME.get(name)


def fitting(brief: Brief) -> list[Idea]:
    """Ideas that apply to a brief, repairs and last resorts included."""
    return [idea for idea in IDEAS if idea.fits(brief)]


def ideas_for(task: Task, packages: Iterable[str] = ()) -> list[Idea]:
    """Ideas worth drawing for a task: all that apply but repairs and last resorts (weight 0)."""
    return [idea for idea in fitting(brief_of(task, packages)) if idea.weight > 0]
