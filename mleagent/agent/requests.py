"""What a user asks for between two steps: undo, submit, a label, another budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import events
from ..config import seconds
from ..errors import InputError, MleagentError
from ..records import Action, Label
from . import flow
from .compact import can_serve
from .control import Request
from .execute import Hooks
from .policies import fits, signed

if TYPE_CHECKING:
    from .session import Solver


def serve(solver: Solver, requests: list[Request]) -> None:
    """Do what was asked for, in order. Raises Submitted."""
    handlers = {
        "undo": _undo,
        "submit": _submit,
        "label": _label,
        "budget": _budget,
        "model": _model,
        "install": _install,
    }
    for request in requests:
        handlers[request.name](solver, request.argument)


def _submit(solver: Solver, argument: str) -> None:
    raise flow.Submitted


def _undo(solver: Solver, argument: str) -> None:
    count = int(argument) if argument.isdigit() else 1
    parts = solver.parts
    outcome = parts.performer.perform(
        Action(kind="undo", steps=count), solver.steps, solver.best_bytes, Hooks(parts.control.stop)
    )
    for step_id in outcome.undone:
        parts.store.add_label(step_id, "undone", "by the user")
    parts.control.steer(f"I undid {len(outcome.undone)} step(s). {outcome.body}")
    parts.emit(events.Notice(text=outcome.body))


def _label(solver: Solver, argument: str) -> None:
    """`+`, `-`, optionally with a step's number: `+ 4`."""
    words = argument.split()
    label: Label = "-" if words and words[0] == "-" else "+"
    wanted = int(words[1]) if len(words) > 1 and words[1].isdigit() else None
    steps = [s for s in solver.steps if wanted is None or s.index == wanted]
    if not steps:
        solver.parts.emit(events.Notice(level="warning", text="there is no such step to label"))
        return
    solver.parts.store.add_label(steps[-1].id, label)
    solver.parts.emit(events.Notice(text=f"step {steps[-1].index} labelled {label}"))


def _install(solver: Solver, argument: str) -> None:
    """A package from outside, after a yes; the next prompt says that it is there."""
    parts = solver.parts
    words = parts.installer.install(argument, parts.sandbox)
    if words:
        parts.control.steer(words)


def _model(solver: Solver, argument: str) -> None:
    """Another policy from the next step on; the trajectory so far stays the prompt."""
    from ..models.named import policy_named

    parts = solver.parts
    try:
        policy = policy_named(
            argument,
            parts.settings,
            solver.session.seed,
            lambda text: parts.emit(events.Notice(text=text)),
            unfit=can_serve(solver.session.task),
        )
    except MleagentError as error:
        parts.emit(events.Notice(level="warning", text=str(error)))
        return
    if not fits(policy, parts.context.style):
        policy.close()
        text = f"{policy.name} reads prompts of its own kind; start a session with --model {argument}"
        parts.emit(events.Notice(level="warning", text=text))
        return
    parts.policy.close()
    parts.policy = policy
    solver.session = signed(solver.session, policy)
    parts.emit(events.Notice(text=f"the policy is now {policy.name}"))


def _budget(solver: Solver, argument: str) -> None:
    """`steps 60` or `time 2h`: the new whole, not what is left."""
    what, _, value = argument.partition(" ")
    budget = solver.parts.budget
    try:
        if what == "steps":
            budget.steps = max(int(value), budget.spent_steps)
        elif what == "time":
            budget.wall_s = seconds(value, "/budget time")
        else:
            raise InputError("say /budget steps N or /budget time 2h")
    except (ValueError, InputError) as error:
        solver.parts.emit(events.Notice(level="warning", text=str(error)))
        return
    solver.parts.emit(events.Notice(text=f"{what} budget is now {value}"))
