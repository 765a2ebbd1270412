"""One step in words: its action, output, reward part by part, facts. Plain text for any face.

What a model wrote or a program printed may hold terminal escapes; `printable`
takes them out, and everything here has gone through it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from ..records import Action, Facts, Message, Reward, Session, Step
from .lines import duration, number, score_text, with_error

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[()*+][0-9A-Za-z]|[@-Z\\-_]?)"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Terminal escapes removed, other control characters but tab and line break shown as `·`."""
    return _CONTROLS.sub("·", _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


def when(seconds: float) -> str:
    """Local time, `2026-11-21 03:02`."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def header(session: Session) -> list[tuple[str, str]]:
    """What a session was: pairs of a name and its value, empty ones left out."""
    task, best = session.task, session.best
    model = session.model or session.policy
    pairs = [
        ("task", f"{task.name} ({task.problem}, {task.kind})"),
        ("folder", str(task.folder)),
        ("asked", session.instruction),
        ("started", when(session.created_at)),
        ("status", session.status),
        ("model", f"{model} + {session.adapter}" if session.adapter else model),
        ("sandbox", session.sandbox),
        ("metric", f"{task.metric.name}, {task.metric.direction}" if task.metric else ""),
        ("best", score_text(best.value, best.se, best.kind, task.verified) if best else ""),
        ("utility", number(session.best_utility) if session.best_utility is not None else ""),
        ("steps", f"{session.steps} in {duration(session.wall_s)}"),
        ("reward", session.reward_scheme),
        ("submission", session.submission),
    ]
    return [(name, printable(value)) for name, value in pairs if value]


def action_text(action: Action) -> str:
    """The action as it was written: its tag, then its body."""
    places = [f'path="{action.path}"'] if action.path else []
    places += [f'from="{action.start}"'] if action.start is not None else []
    places += [f'to="{action.end}"'] if action.end is not None else []
    places += [f'steps="{action.steps}"'] if action.kind == "undo" else []
    places += ['run="no"'] if not action.execute else []
    places += ['background="yes"'] if action.background else []
    head = f"<{' '.join([action.kind, *places])}>"
    if action.kind == "invalid":
        head = f"malformed: {action.error}"
    return printable("\n".join(part for part in (head, action.body) if part))


def output_text(step: Step) -> str:
    """What the program printed, under a line that says how it ended; the observation without a run."""
    run = step.execution
    if run is None:
        return printable(step.observation)
    ended = [run.status, duration(run.duration_s)]
    ended += [f"exit {run.exit_code}"] if run.exit_code is not None else []
    ended += [f"{run.peak_memory_mb:.0f} MiB"] if run.peak_memory_mb is not None else []
    ended += ["from the cache"] if run.cached else []
    ended += [f"{run.dropped_bytes} bytes dropped"] if run.dropped_bytes else []
    lines = [f"$ {run.command}", f"[{', '.join(ended)}]", run.detail, run.output]
    return printable("\n".join(line for line in lines if line))


def reward_text(rewards: Sequence[Reward]) -> str:
    """Every scheme's verdict, a line a part with its reason."""
    if not rewards:
        return "no reward yet: it comes with the next execution"
    lines = []
    for reward in rewards:
        lines.append(f"{reward.total:+.4f}  {reward.scheme} v{reward.version}")
        width = max((len(part.name) for part in reward.parts), default=0)
        lines += [f"  {part.value:+.4f}  {part.name:{width}}  {part.why}".rstrip() for part in reward.parts]
    return printable("\n".join(lines))


def facts_text(facts: Facts) -> str:
    """The raw facts a reward may depend on, those that say nothing left out."""
    lines = []
    for name, value in facts.model_dump(exclude={"milestones"}).items():
        if value is None or value == "":
            continue
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        lines.append(f"{name:22} {shown}")
    lines += [
        f"{'milestone':22} {m.name}" + (f" at {m.at_s:.2f}s" if m.at_s is not None else "") + f" ({m.source})"
        for m in facts.milestones
    ]
    return printable("\n".join(lines))


def diff_style(line: str) -> str:
    """The colour of a line of a unified diff; empty for context."""
    if line.startswith(("+++", "---", "@@")):
        return "cyan"
    return {"+": "green", "-": "red"}.get(line[:1], "")


def score_line(step: Step) -> str:
    """The step's score in its metric's name, or that there is none."""
    if step.score is None:
        return "no score"
    return f"{step.score.metric} {with_error(step.score.value, step.score.se)} ({step.score.kind})"


def prompt_text(messages: Sequence[Message]) -> str:
    """A whole prompt, each message under its role."""
    return printable("\n\n".join(f"── {message.role} ──\n{message.content}" for message in messages))
