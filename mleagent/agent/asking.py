"""Getting the next action from the policy: one reply, one repair attempt, compaction when it must be.

Takes the solver with its context and gives (action, completion, repaired). A
malformed reply stays in the prompt as what it was, followed by one request to
repair it; a second malformed reply is an `invalid` step.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from .. import clock, events
from ..errors import ContextOverflowError
from ..records import Action, Completion, State, Task
from . import actions, flow

if TYPE_CHECKING:
    from .session import Solver

UNKNOWN_CONTEXT = 32_768
"""Tokens assumed when a compaction is needed and the policy can't say its context length."""
CHARS_PER_TOKEN = 2
"""A safe underestimate, so that a compacted prompt surely fits."""


def ask(solver: Solver) -> tuple[Action, Completion, bool]:
    """The policy's next action. Raises Interrupted when the user left meanwhile."""
    first = _reply(solver)
    action = actions.parse(first.text)
    if action.kind != "invalid":
        return action, first, False
    solver.parts.context.complain(action.error, solver.parts.performer.solution)
    second = _reply(solver)
    again = actions.parse(second.text)
    whole = second.model_copy(update={"duration_s": first.duration_s + second.duration_s})
    return again, whole, again.kind != "invalid"


def _reply(solver: Solver) -> Completion:
    parts = solver.parts
    if not parts.context.fits(parts.policy.count_tokens, parts.policy.context_tokens, parts.sampling):
        _compact(solver)
    try:
        completion = _complete(solver)
    except ContextOverflowError:
        _compact(solver)
        completion = _complete(solver)
    if parts.control.leaving:
        raise flow.Interrupted
    return completion


def _complete(solver: Solver) -> Completion:
    parts, started = solver.parts, clock.monotonic()
    seed = chance(solver.session.task, solver.session.seed, solver.next_index())
    completion = parts.policy.complete(
        parts.context.prompt(state_of(solver)),
        parts.sampling.model_copy(update={"seed": seed}),
        on_text=lambda text: parts.emit(events.Text(text=text)),
        stop=parts.control.stop,
    )[0]
    parts.context.reply(completion.text)
    return completion.model_copy(update={"duration_s": clock.monotonic() - started})


def chance(task: Task, seed: int, step: int) -> int:
    """The sampling seed of a step, 31 bits: the same again for the same task, independent between tasks.

    With the session's seed alone a model would draw the same ideas on one task after another.
    """
    text = f"{task.content_hash} {seed} {step}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1


def _compact(solver: Solver) -> None:
    parts = solver.parts
    limit = parts.policy.context_tokens or UNKNOWN_CONTEXT
    parts.context.compact(state_of(solver), parts.prompt_settings, CHARS_PER_TOKEN * limit)
    parts.emit(events.Notice(text="the prompt was compacted to fit the model's context"))


def state_of(solver: Solver) -> State:
    """What the policy may look at."""
    session, budget, parts = solver.session, solver.parts.budget, solver.parts
    return State(
        task=session.task,
        steps=tuple(solver.steps),
        best=session.best,
        best_step_id=session.best_step_id,
        instruction=session.instruction,
        steps_left=budget.steps_left,
        time_left_s=budget.time_left_s,
        exec_limit_s=budget.run_limit_s(parts.exec_limit_s),
        packages=parts.packages,
        solution=parts.performer.solution,
        seed=session.seed,
    )
