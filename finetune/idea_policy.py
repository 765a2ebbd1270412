"""Policies that write short programs without a model: ideas at random, one plan for every task.

They are what learning is measured against. `RandomIdeas` draws a plan for each execution, whatever came of
the earlier ones; `Recipe` lays a fixed list of plans, the same on every task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from threading import Event

from mleagent.errors import PolicyError
from mleagent.policy.playbook.brief import brief_of
from mleagent.protocols import Prompt
from mleagent.records import Completion, Sampling, State

from .compact import program
from .expert import Written
from .ideas import Plan, draw_plan


class IdeaPolicy:
    """Asks `plan_for` what to write next; one program a reply."""

    context_tokens: int | None = None

    def __init__(self, name: str, plan_for: Callable[[State, int], Plan]) -> None:
        """`plan_for` gets the state and the number of executions so far."""
        self.name, self._plan_for = name, plan_for

    def complete(
        self,
        prompt: Prompt,
        sampling: Sampling,
        n: int = 1,
        on_text: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> list[Completion]:
        """`n` times the same reply; see `Policy.complete`."""
        if prompt.state is None:
            raise PolicyError(f"{self.name} needs the state, not only messages")
        done = sum(step.facts.executed for step in prompt.state.steps)
        plan = self._plan_for(prompt.state, done)
        text = Written(plan, program(prompt.state.task, plan)).reply
        if on_text is not None:
            on_text(text)
        return [Completion(text=text, model=self.name)] * n

    def count_tokens(self, text: str) -> int:
        """An estimate from above."""
        return len(text)

    def close(self) -> None:
        """Nothing is held."""


def random_ideas() -> IdeaPolicy:
    """A plan drawn by chance for each execution, seeded by task and session."""

    def plan_for(state: State, done: int) -> Plan:
        rng = Random(f"random ideas {state.task.content_hash} {state.seed} {done}")
        return draw_plan(brief_of(state.task), rng)

    return IdeaPolicy("random-ideas", plan_for)


def recipe(plans: Sequence[Plan]) -> IdeaPolicy:
    """The same plans on every task, in order, round and round."""
    return IdeaPolicy("constant-recipe", lambda _state, done: plans[done % len(plans)])
