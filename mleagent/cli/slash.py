"""The `/` commands of a session at a terminal. Each is a function of the running session and its argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .. import clock
from ..agent.control import Request
from ..agent.session import Solver
from ..agent.workspace import unified
from . import lines

if TYPE_CHECKING:
    from .render import Renderer

Command = Callable[[Solver, "Renderer", str], None]


def run(solver: Solver, view: Renderer, text: str) -> None:
    """Carry out `/name argument`; an unknown name lists what there is."""
    name, _, argument = text[1:].partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        view.say(f"/{name} is no command", "yellow")
        command = COMMANDS["help"]
    command(solver, view, argument.strip())


def _ask_engine(name: str, said: str) -> Command:
    def command(solver: Solver, view: Renderer, argument: str) -> None:
        """Left to the loop, at the next step's border."""
        solver.parts.control.ask_for(Request(name=name, argument=argument))
        if solver.parts.control.paused:
            solver.parts.control.resume()
        view.say(f"{said} at the next step", "dim")

    return command


def _score(solver: Solver, view: Renderer, argument: str) -> None:
    """All scores so far, a line a step."""
    scored = [step for step in solver.steps if step.score and step.facts.submission == "valid"]
    for step in scored:
        assert step.score is not None
        best = "  ← best" if step.id == solver.session.best_step_id else ""
        view.say(f"step {step.index}  {lines.with_error(step.score)}  {step.action.plan[:80]}{best}")
    if not scored:
        view.say("no score yet")


def _diff(solver: Solver, view: Renderer, argument: str) -> None:
    """What the last step changed, or what changed since the best one (`/diff best`)."""
    if argument == "best" and solver.session.best_step_id:
        best = next(s for s in solver.steps if s.id == solver.session.best_step_id)
        name = solver.parts.performer.solution
        workspace = solver.parts.executor.workspace
        before = workspace.checkpoints.files(best.checkpoint).get(name, b"").decode(errors="replace")
        text = unified(name, before, (workspace.read(name) or b"").decode(errors="replace"))
    else:
        text = next((s.diff for s in reversed(solver.steps) if s.diff), "")
    for line in (text or "no difference").splitlines():
        view.say(line, {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], ""))


def _best(solver: Solver, view: Renderer, argument: str) -> None:
    """The best step and its program."""
    best = next((s for s in solver.steps if s.id == solver.session.best_step_id), None)
    if best is None:
        view.say("no valid submission yet")
        return
    view.say(
        f"step {best.index}: {best.action.plan}" + (f", {lines.with_error(best.score)}" if best.score else "")
    )
    view.say(best.action.body)


def _quit(solver: Solver, view: Renderer, argument: str) -> None:
    """Leave; the session can be resumed."""
    solver.parts.control.leave()


def _apply(solver: Solver, view: Renderer, argument: str) -> None:
    """Say how to apply; writing into the user's folder is a command of its own, after the session."""
    view.say(f"after the session: mleagent diff {solver.session.id}, then mleagent apply {solver.session.id}")


def _jobs(solver: Solver, view: Renderer, argument: str) -> None:
    """The background run: its state, its output's end, its end."""
    jobs = solver.parts.jobs
    job = jobs.job
    if argument == "kill" and jobs.kill():
        view.say("ending the job; its result is told at the next step", "yellow")
        return
    if job is None:
        view.say("no background job runs")
        return
    state = "runs for" if jobs.running else "has ended, told at the next step; began before"
    seconds = clock.monotonic() - job.began
    view.say(f"job {job.number} {state} {lines.duration(seconds)}: {job.command}")
    tail = job.tail.splitlines()[-(40 if argument == "tail" else 5) :]
    for line in tail:
        view.say(f"  │ {line}", "dim")
    view.say("/jobs tail: more output · /jobs kill: end it", "dim")


def _install(solver: Solver, view: Renderer, argument: str) -> None:
    """A package for this session's programs; the engine asks before anything is fetched."""
    if not argument:
        view.say("/install NAME: which package?", "yellow")
        return
    _ask_engine("install", f"installing {argument} (you are asked first)")(solver, view, argument)


def _help(solver: Solver, view: Renderer, argument: str) -> None:
    """This list."""
    for name, text in HELP.items():
        view.say(f"/{name:<8} {text}")


COMMANDS: dict[str, Command] = {
    "score": _score,
    "best": _best,
    "diff": _diff,
    "undo": _ask_engine("undo", "undoing"),
    "label": _ask_engine("label", "labelling"),
    "budget": _ask_engine("budget", "changing the budget"),
    "model": _ask_engine("model", "changing the model"),
    "install": _install,
    "jobs": _jobs,
    "submit": _ask_engine("submit", "submitting the best so far"),
    "apply": _apply,
    "quit": _quit,
    "help": _help,
}
HELP = {
    "score": "all scores so far",
    "best": "the best step and its program",
    "diff": "what the last step changed; /diff best: since the best step",
    "undo": "take back the last change; /undo 3: the last three",
    "label": "/label + or /label - 4: your word on a step, kept for learning",
    "budget": "/budget steps 60 or /budget time 2h",
    "model": "/model PATH.gguf, /model http://…, /model playbook",
    "jobs": "the background run; /jobs tail: its output, /jobs kill: end it",
    "install": "/install NAME: a package for this session's programs, from outside, after a yes",
    "submit": "finish with the best submission so far",
    "apply": "how to copy the result into your folder",
    "quit": "leave; the session can be resumed",
    "help": "this list",
}
