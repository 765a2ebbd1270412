"""The interactive session: output scrolls above an input line that is always there.

The engine works in a thread of its own; this thread reads keys. Enter steers,
Esc or Ctrl-C pauses, a second Ctrl-C within two seconds leaves (resumable).
Everything shown comes from events, so headless runs are the same engine.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.patch_stdout import patch_stdout
from rich.console import Console

from .. import clock
from ..agent.finish import finish
from ..agent.session import Solver
from ..agent.wish import Wish
from ..events import Event, SessionEnd
from ..records import Action
from . import lines, slash
from .render import Renderer

TWICE_S = 2.0
"""Two Ctrl-C within this many seconds leave the session."""


class Terminal:
    """One session at a terminal."""

    def __init__(self, wish: Wish, ask: str, yes: bool) -> None:
        """`ask`: approve runs, edits (and runs) or never; `yes` answers every question."""
        self._wish = wish
        self._view = Renderer(Console(force_terminal=True, highlight=False))
        self._solver: Solver | None = None
        self._end: SessionEnd | None = None
        self._failure: BaseException | None = None
        self._question: str = ""
        self._answer: str | None = None
        self._answered = threading.Event()
        self._over = threading.Event()
        self._last_interrupt = 0.0
        wish.emit = self._show
        wish.confirm_install = self._confirm_install  # whatever `yes` says: it never grants the network
        if not yes:
            wish.confirm_refit = self._confirm_refit
            if ask != "never":
                wish.control.approve = lambda action: self._approve(action, ask)

    def run(self, begin: Callable[[], Solver]) -> SessionEnd:
        """Begin the session, work until it ends; the last event."""
        self._solver = solver = begin()
        prompt: PromptSession[str] = PromptSession(
            key_bindings=self._keys(), bottom_toolbar=self._status, refresh_interval=0.5
        )
        worker = threading.Thread(target=self._work, args=(solver, prompt), daemon=True)
        try:
            with patch_stdout(raw=True):
                worker.start()
                while not self._over.is_set():
                    try:
                        # The end may come between two prompts: then the next one ends as it begins.
                        text = prompt.prompt("› ", pre_run=lambda: self._leave_prompt(prompt))
                    except (EOFError, KeyboardInterrupt):
                        self._wish.control.leave()
                        break
                    self._entered(text.strip())
                worker.join()
        finally:
            self._wish.control.leave()
            worker.join()
            solver.parts.close()
        if self._failure is not None:
            raise self._failure
        assert self._end is not None
        return self._end

    def _work(self, solver: Solver, prompt: PromptSession[str]) -> None:
        try:
            self._end = solver.run(finish)
        except BaseException as error:  # noqa: BLE001 - raised again in the reading thread
            self._failure = error
        finally:
            self._over.set()
            loop = prompt.app.loop
            if prompt.app.is_running and loop is not None:
                with contextlib.suppress(RuntimeError):  # closed meanwhile: it ends by itself
                    loop.call_soon_threadsafe(lambda: self._leave_prompt(prompt))

    def _leave_prompt(self, prompt: PromptSession[str]) -> None:
        """End the input line once the session is over; harmless at any other moment."""
        app = prompt.app
        if self._over.is_set() and app.is_running and app.future is not None and not app.future.done():
            app.exit(result="")

    def _show(self, event: Event) -> None:
        self._view.show(event)

    def _entered(self, text: str) -> None:
        """A line from the user: an answer, a command, words to steer, or just Enter."""
        solver, control = self._solver, self._wish.control
        if solver is None or self._end is not None:
            return
        if self._question:
            self._answer, self._question = text, ""
            self._answered.set()
        elif text.startswith("/"):
            slash.run(solver, self._view, text)
        elif text:
            control.steer(text)
            self._view.say(f"you: {text}", "bold")
            control.resume()
        elif control.paused:
            control.resume()

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("escape", eager=True)
        def _pause(event: KeyPressEvent) -> None:
            self._pause()

        @keys.add("c-c", eager=True)
        def _interrupt(event: KeyPressEvent) -> None:
            moment = clock.monotonic()
            if moment - self._last_interrupt < TWICE_S:
                self._view.say("leaving; the session can be resumed with mleagent solve -c", "yellow")
                self._answered.set()
                self._wish.control.leave()
            else:
                self._pause()
            self._last_interrupt = moment

        return keys

    def _pause(self) -> None:
        self._wish.control.pause()
        self._view.say("pausing after this step (Ctrl-C again leaves)", "yellow")

    def _status(self) -> FormattedText:
        solver = self._solver
        if solver is None:
            return FormattedText([("", "starting")])
        session, budget = solver.session, solver.parts.budget
        model = session.model or session.policy
        bits = [session.sandbox, model + (f"+{session.adapter}" if session.adapter else "")]
        bits.append(f"{session.steps}/{budget.steps} steps" if budget.steps else f"{session.steps} steps")
        if budget.time_left_s is not None:
            bits.append(f"{lines.duration(budget.time_left_s)} left")
        cached = sum((s.completion.usage.cached_tokens or 0) for s in solver.steps if s.completion)
        prompted = sum((s.completion.usage.prompt_tokens or 0) for s in solver.steps if s.completion)
        if prompted:
            bits.append(f"prompt cache {cached / prompted:.0%}")
        kept = sum(1 for s in solver.steps if s.execution and s.execution.cached)
        if kept:
            bits.append(f"{kept} runs from the cache" if kept > 1 else "1 run from the cache")
        if session.best is not None:
            bits.append(f"best {lines.with_error(session.best)}")
        return FormattedText([("bold", f" {self._view.doing} "), ("", "· " + " · ".join(bits))])

    def _ask(self, question: str) -> str:
        """Ask from the engine's thread; '' when the user leaves instead."""
        self._view.say(question, "bold yellow")
        self._answer, self._question = None, question
        self._answered.clear()
        while not self._answered.wait(0.2):
            if self._wish.control.leaving:
                return ""
        return self._answer or ""

    def _approve(self, action: Action, ask: str) -> str | None:
        """None lets the action pass; words reject it."""
        runs = action.kind == "run" or (action.kind in ("write", "edit") and action.execute)
        if not (runs or (ask == "edits" and action.kind in ("write", "edit"))):
            return None
        answer = self._ask(
            f"{action.kind} {action.path or action.body[:80]}? Enter lets it pass, `n` or words reject it"
        )
        return (
            None if answer.lower() in ("", "y", "yes") else ("" if answer.lower() in ("n", "no") else answer)
        )

    def _confirm_install(self, question: str) -> bool:
        return self._ask(question).lower() in ("y", "yes")

    def _confirm_refit(self, took_s: float) -> bool:
        return self._ask(
            f"refit on all labelled rows? The run took {lines.duration(took_s)}; Enter for yes, n for no"
        ).lower() in ("", "y", "yes")
