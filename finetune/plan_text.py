"""Plans and the room they take: a plan line back to a plan, and a plan cut until its program is short.

`read_plan` reads `extra-trees(leaf=2), log-target` as a person or a model wrote it (the other direction is
`ideas.plan_line`). Unknown names, parameters and values are left out, never an error, because models
misspell.
"""

from __future__ import annotations

import ast
import re

from mleagent.policy.playbook.idea import Choice, Idea, Value
from mleagent.records import Task

from .compact import pieces, program
from .ideas import Plan, get, tidy

_CHOICE = re.compile(r"([A-Za-z0-9]+(?:-[A-Za-z0-9]+)*)(?:\(([^)]*)\))?")
_VALUE = re.compile(r"(\w+)=([^,]+)")


def within(task: Task, plan: Plan, most: int = 250) -> Plan:
    """The plan with ideas dropped, the longest first, until its program has at most `most` pieces.

    The model stays; where even its program is longer, that is what comes back.
    """
    while pieces(program(task, plan)) > most:
        rest = [choice for choice in plan if (idea := get(choice.name)) and idea.kind != "model"]
        if not rest:
            break
        shorter = [tuple(other for other in plan if other is not choice) for choice in rest]
        plan = min(shorter, key=lambda cut: pieces(program(task, cut)))
    return plan


def read_plan(line: str) -> Plan:
    """The ideas a line names, with the parameter values it gives and defaults for the rest."""
    found = []
    for name, inside in _CHOICE.findall(line):
        idea = get(name.lower())
        if idea is not None:
            found.append(Choice(idea.name, _params(idea, inside)))
    return tidy(found)


def _params(idea: Idea, inside: str) -> tuple[tuple[str, Value], ...]:
    params = dict(idea.default().params)
    for key, text in _VALUE.findall(inside):
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            continue
        allowed = idea.params.get(key, ())
        same = [option for option in allowed if option == value and type(option) is type(value)]
        if same:
            params[key] = same[0]
    return tuple(params.items())
