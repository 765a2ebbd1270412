"""All ideas for short programs in one place: by name, and those that apply to a task.

They have the playbook's shape (name, kind, applies, draw) and its names where they mean the same, so that a
plan line reads the same whoever wrote the program. `draw_plan` is how learning draws them: independently of
what they are worth.
"""

from __future__ import annotations

from random import Random

from mleagent.policy.playbook.brief import Brief, brief_of
from mleagent.policy.playbook.idea import KINDS, SINGLE, Choice, Idea
from mleagent.records import Task

from . import ideas_columns, ideas_features, ideas_models, ideas_outcome

IDEAS: tuple[Idea, ...] = (
    *ideas_models.IDEAS,
    *ideas_features.IDEAS,
    *ideas_columns.IDEAS,
    *ideas_outcome.IDEAS,
)
_BY_NAME = {idea.name: idea for idea in IDEAS}
_ORDER = {idea.name: (KINDS.index(idea.kind), place) for place, idea in enumerate(IDEAS)}
"""Laying order: by kind, then as they stand in `IDEAS`."""
_ONE = SINGLE | {"model", "image-features", "text-features", "calibration"}
"""Kinds of which a short program holds at most one idea."""
Plan = tuple[Choice, ...]


def get(name: str) -> Idea | None:
    """The idea of that name, or None."""
    return _BY_NAME.get(name)


def ideas_for(task: Task) -> list[Idea]:
    """Ideas that apply to a task, in fixed order."""
    return fitting(brief_of(task))


def fitting(brief: Brief) -> list[Idea]:
    """Ideas that apply to a brief, in fixed order."""
    return [idea for idea in IDEAS if idea.fits(brief)]


def tidy(choices: Plan | list[Choice], brief: Brief | None = None) -> Plan:
    """Known ideas that apply, in laying order, each once, one a kind where only one can be; the last wins."""
    kept: dict[str, Choice] = {}
    for choice in choices:
        idea = get(choice.name)
        if idea is None or (brief is not None and not idea.fits(brief)):
            continue
        key = idea.kind if idea.kind in _ONE else idea.name
        kept.pop(key, None)
        kept[key] = choice
    return tuple(sorted(kept.values(), key=lambda choice: _ORDER[choice.name]))


def draw_plan(brief: Brief, rng: Random, extra: int | None = None) -> Plan:
    """A model and `extra` other ideas (0 to 2, drawn when None), each drawn evenly from those that apply."""
    ideas = fitting(brief)
    chosen = [rng.choice([idea for idea in ideas if idea.kind == "model"])]
    others = [idea for idea in ideas if idea.kind not in ("model", "validation")]
    count = rng.randint(0, 2) if extra is None else extra
    chosen += rng.sample(others, min(count, len(others)))
    return tidy([idea.draw(rng) for idea in chosen])


def plan_of(*names: str) -> Plan:
    """A plan of these ideas with their default parameters. Raises KeyError for an unknown name."""
    return tidy([_BY_NAME[name].default() for name in names])


def plan_line(plan: Plan) -> str:
    """The plan as the first line of a reply names it, parameters that differ from the default included."""
    shown = []
    for choice in plan:
        default = dict(_BY_NAME[choice.name].default().params)
        shown.append(str(Choice(choice.name, tuple((k, v) for k, v in choice.params if default[k] != v))))
    return ", ".join(shown)
