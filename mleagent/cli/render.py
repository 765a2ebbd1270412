"""A session's events as coloured lines in a terminal's scrollback.

Lines are printed once they are whole, above the input line; what is still coming
(a reply being generated, a program running) is told by the status line instead.
"""

from __future__ import annotations

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from .. import events
from ..agent.looks import MAX_LINES
from ..records import Reward
from . import lines
from .dry_run import task_lines

MAX_OUTPUT_LINES = 40
"""Output lines of one run shown live; the rest is counted, the log has all."""


class Renderer:
    """Prints events on a console; `doing` is what goes on now, in a few words."""

    def __init__(self, console: Console) -> None:
        """`console` must be safe to print on while an input line is shown."""
        self._console = console
        self._partial = ""
        self._block = ""
        self._shown = 0
        self._streams_code = True
        self._code = Syntax("", "python", theme="ansi_dark", background_color="default")
        self.doing = "starting"

    def show(self, event: events.Event) -> None:
        """Print what an event means to the user."""
        handler = getattr(self, f"_on_{event.event}", None)
        if handler is not None:
            handler(event)

    def say(self, text: str, style: str = "") -> None:
        """A line of our own."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def _on_session_start(self, event: events.SessionStart) -> None:
        session = event.session
        self._streams_code = session.policy != "playbook"
        for line in task_lines(session.task):
            self.say(line, "bold" if line.startswith("task ") else "")
        held = session.task.withheld
        if held:
            names = ", ".join(item.path for item in held[:6]) + (" …" if len(held) > 6 else "")
            self.say(f"withheld from the agent: {names} (mleagent solve --dry-run says why)", "yellow")
        self.say(f"sandbox {session.sandbox} · policy {session.policy} · session {session.id}", "dim")
        for gap in event.gaps:
            self.say(f"not isolated: {gap}", "yellow")
        self.say("Enter steers, Esc pauses, /help lists commands, Ctrl-C twice leaves (resumable)", "dim")

    def _on_notice(self, event: events.Notice) -> None:
        style = {"warning": "yellow", "error": "bold red"}.get(event.level, "dim")
        self.say(event.text, style)

    def _on_step_start(self, event: events.StepStart) -> None:
        self.doing = f"step {event.step}: thinking"
        self._partial, self._block = "", ""
        self.say("")

    def _on_text(self, event: events.Text) -> None:
        *whole, self._partial = (self._partial + event.text).split("\n")
        for line in whole:
            self._reply_line(line)

    def _reply_line(self, line: str) -> None:
        stripped = line.strip()
        if self._block:
            if stripped.startswith(f"</{self._block}>"):
                self._block = ""
            elif self._streams_code:
                self._console.print(self._code.highlight(line), end="", soft_wrap=True)
            return
        for kind in ("write", "edit"):
            if stripped.startswith(f"<{kind} "):
                self._block = kind
                self.doing = f"writing {stripped[len(kind) + 2 :].rstrip('>')}"
                return
        if stripped.lower().startswith("plan:"):
            self.say(stripped, "bold cyan")
        elif stripped and not stripped.startswith("<"):
            self.say(line, "dim")

    def _on_action(self, event: events.ActionParsed) -> None:
        action = event.action
        if self._partial:
            self._reply_line(self._partial)
            self._partial = ""
        if action.kind == "invalid":
            self.say(f"malformed reply: {action.error}", "red")
        elif action.kind not in ("write", "edit"):
            what = action.body if action.kind == "run" else action.path
            self.say(f"{action.kind} {what}".rstrip(), "magenta")

    def _on_diff(self, event: events.Diff) -> None:
        fresh = event.diff.startswith(f"--- a/{event.path}\n+++ b/{event.path}\n@@ -0,0")
        body = event.diff.splitlines()
        if fresh and self._streams_code:
            return  # it has just been streamed
        for line in body[2:MAX_LINES]:
            style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
            self.say(line, style)
        if len(body) > MAX_LINES:
            self.say(f"… {len(body) - MAX_LINES} more lines of diff", "dim")

    def _on_run_start(self, event: events.RunStart) -> None:
        self._shown = 0
        self.doing = f"running {event.command[:40]} (at most {lines.duration(event.limit_s)})"

    def _on_output(self, event: events.Output) -> None:
        for line in event.text.rstrip("\n").split("\n"):
            self._shown += 1
            if self._shown <= MAX_OUTPUT_LINES:
                self.say(f"  │ {line}", "dim")

    def _on_run_end(self, event: events.RunEnd) -> None:
        run = event.execution
        hidden = self._shown - MAX_OUTPUT_LINES
        if hidden > 0:
            self.say(f"  │ … {hidden} more lines", "dim")
        if run.status != "ok":
            self.say(f"  └ {run.status}: {run.detail}".rstrip(": "), "red")
        self.doing = "scoring"

    def _on_step_end(self, event: events.StepEnd) -> None:
        style = (
            "bold green" if event.improved else ("green" if event.step.facts.submission == "valid" else "")
        )
        self.say(lines.step(event), style)
        if event.reward:
            self.say(f"        {reward_line(event.reward)}", "dim")
        self.doing = "between steps"

    def _on_paused(self, event: events.Paused) -> None:
        self.doing = "paused"
        self.say("paused: Enter goes on, words steer, /help lists commands", "yellow")

    def _on_session_end(self, event: events.SessionEnd) -> None:
        self.say("")
        for number, line in enumerate(lines.end(event)):
            self.say(line, "bold" if number == 0 or line.startswith(("submission", "solution")) else "")


def reward_line(reward: Reward) -> str:
    """`reward 0.71 = valid 0.40 + utility 0.24 + gain 0.09 - execution 0.02`."""
    parts = [f"{'-' if part.value < 0 else '+'} {part.name} {abs(part.value):.2f}" for part in reward.parts]
    return f"reward {reward.total:.2f} = {' '.join(parts).removeprefix('+ ')}"
