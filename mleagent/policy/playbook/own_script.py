"""Improving a script of the user's own by changes to its source.

For projects whose metric a command prints (`kind == "eval"`) with a start
script: the playbook reads the script first, then tries one source-level idea a
step on the best version so far and writes the whole script anew.
"""

from __future__ import annotations

from random import Random

from ...records import State


def concerns(state: State) -> bool:
    """Whether this session improves a script instead of writing one from tables."""
    return state.task.kind == "eval" and bool(state.task.start)


def action(state: State, rng: Random, turn: int = 0) -> str:
    """The next action's text."""
    return f'Plan: read the script\n<read path="{state.task.start}"/>'
