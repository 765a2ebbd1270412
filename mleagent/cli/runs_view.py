"""How `mleagent runs` looks on a terminal: tables and blocks of Rich text.

Everything that came from a model, a program or a file is shown as plain text,
never as markup. Without a terminal there is no colour and lines are not cut.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..records import SealedGrade, Session, Step
from ..trajectory import detail
from ..trajectory.lines import (
    SessionLine,
    StepLine,
    duration,
    progress,
    score_text,
    sealed_text,
    sign,
    step_text,
    with_error,
)
from ..trajectory.marks import StoredLabel

_STATUS = {
    "done": "green",
    "running": "cyan",
    "failed": "red",
    "no_submission": "yellow",
    "interrupted": "yellow",
}
_SIGN = {"✓": "green", "✗": "red", "·": "dim"}


NONE = "No session. `mleagent solve DIR` makes one."


def console() -> Console:
    """A console; without a terminal wide enough that no table is cut."""
    own = Console(highlight=False)
    return own if own.is_terminal else Console(highlight=False, width=200)


def _plain(text: str, style: str = "") -> Text:
    return Text(detail.printable(text), style=style)


def print_sessions(lines: Sequence[SessionLine], total: int, page: int, limit: int) -> None:
    """The table of `runs list` and where in the whole it stands."""
    out = console()
    if not lines:
        out.print(
            "No session on this page." if total else NONE,
            markup=False,
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, right in (
        ("id", False), ("when", False), ("task", False), ("model", False), ("steps", True), ("best", False),
        ("sealed", False), ("reward", True), ("status", False),
    ):  # fmt: skip
        table.add_column(name, justify="right" if right else "left", no_wrap=name in ("id", "when", "steps"))
    for line in lines:
        table.add_row(
            line.id,
            detail.when(line.created_at),
            _plain(line.task),
            _plain(f"{line.model or line.policy}{' + ' + line.adapter if line.adapter else ''}"),
            str(line.steps),
            score_text(line.best, line.best_se, line.best_kind, line.verified),
            sealed_text(line),
            "-" if line.reward is None else f"{line.reward:.2f}",
            Text(line.status, style=_STATUS.get(line.status, "")),
        )
    out.print(table)
    first = (page - 1) * limit + 1
    if total > len(lines):
        more = f"; more with --page {page + 1}" if first + len(lines) <= total else ""
        out.print(f"{first} to {first + len(lines) - 1} of {total}{more}", style="dim", markup=False)


def print_session(session: Session, lines: Sequence[StepLine], sealed: Sequence[SealedGrade]) -> None:
    """The header of a session and a line a step."""
    out = console()
    out.print(Text(f"session {session.id}", style="bold"))
    pairs = detail.header(session)
    for grade in sealed:
        score = with_error(grade.score.value, grade.score.se)
        pairs.append(("sealed", f"{score}, utility {grade.utility:.4f}, look {grade.score.looks}"))
    for name, value in pairs:
        out.print(Text(f"  {name:10} ", style="dim") + Text(value), soft_wrap=True)
    for step in progress(lines):
        text = Text(step_text(step), style=_SIGN[sign(step.line)])
        if step.line.reward is not None:
            text.append(f"  reward {step.line.reward:+.3f}", style="default not dim")
        if step.line.label:
            text.append(f"  [{step.line.label}]", style="bold magenta")
        plan = step.line.plan or step.line.kind
        text.append(f"  {detail.printable(plan)}", style="dim")
        out.print(text, soft_wrap=True)


def _block(out: Console, title: str, text: Text) -> None:
    if text.plain.strip():
        text.rstrip()
        out.rule(Text(title), align="left", style="dim")
        out.print(text, soft_wrap=True)


def print_step(session: Session, step: Step, labels: Sequence[StoredLabel]) -> None:
    """One step whole: plan, action, diff, output, reward part by part, facts, labels."""
    out = console()
    title = f"session {session.id} step {step.index}  {detail.score_line(step)}  {duration(step.duration_s)}"
    out.print(Text(title, style="bold"))
    _block(out, "plan", _plain(step.action.plan))
    _block(out, "action", Text(detail.action_text(step.action)))
    _block(out, "diff", coloured_diff(step.diff))
    _block(out, "output", Text(detail.output_text(step)))
    _block(out, "reward", Text(detail.reward_text(step.rewards)))
    _block(out, "facts", Text(detail.facts_text(step.facts)))
    marks = [f"{x.label}  {detail.when(x.created_at)}  {x.note}".rstrip() for x in labels]
    _block(out, "labels", _plain("\n".join(marks)))


def coloured_diff(diff: str) -> Text:
    """A unified diff, added lines green, removed ones red."""
    text = Text()
    for line in detail.printable(diff).splitlines(keepends=True):
        text.append(line, style=detail.diff_style(line))
    return text
