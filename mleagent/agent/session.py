"""The loop: ask the policy, perform the action, score, reward, log. One step after another.

`Solver.run` goes on until a `Finished` is raised somewhere below (submitted,
budget spent, stalled, interrupted, broken), commits every step in one
transaction before the next begins, and emits events; who shows or records them
is none of its business. What it is made of is put together in `start.py`.
"""

from __future__ import annotations

from typing import Protocol

from .. import clock, events
from ..errors import PolicyError, SandboxError, StoreError
from ..records import Action, Completion, Session, Step
from . import asking, flow, stuck
from .collect import background, collect, told
from .execute import Hooks
from .outcome import Outcome, facts_of, is_better
from .parts import Parts
from .policies import signed
from .requests import serve
from .unwritable import end_unwritable


class Ender(Protocol):
    """Ends a session: see `finish.finish`."""

    def __call__(self, solver: Solver, end: flow.Finished) -> events.SessionEnd:
        """Writes the submission, closes the records, gives the last event."""
        ...


class Solver:
    """One session in progress. Not thread-safe; `Parts.control` is how other threads reach it."""

    def __init__(self, parts: Parts, session: Session, steps: list[Step]) -> None:
        """`steps` are those of earlier sittings, oldest first."""
        self.parts, self.session, self.steps = parts, session, steps
        self.best_bytes = next(
            (parts.folder.submission_of(s.submission_path) for s in steps if s.id == session.best_step_id),
            None,
        )

    def run(self, finish: Ender) -> events.SessionEnd:
        """Work until something ends the session; the last event is emitted and returned."""
        try:
            if self.parts.baseline and not self.steps:
                self._baseline()
            while True:
                self.step()
        except flow.Finished as end:
            if end.status is None:
                collect(self, at_end=True)
            result = finish(self, end)
        except (PolicyError, SandboxError) as error:
            result = finish(self, flow.Broken(str(error)))
        except (StoreError, OSError) as error:
            result = end_unwritable(self, finish, error)
        self.parts.emit(result)
        return result

    def step(self) -> None:
        """One step, committed. Raises Finished when there is no next one."""
        self._border()
        started = clock.monotonic()
        budget = self.parts.budget
        self.parts.emit(
            events.StepStart(
                step=self.next_index(), steps_left=budget.steps_left,
                time_left_s=budget.time_left_s, tokens_left=budget.tokens_left,
            )
        )  # fmt: skip
        action, completion, repaired = asking.ask(self)
        self.parts.emit(events.ActionParsed(action=action))
        outcome = self._perform(action)
        self._commit(action, completion, outcome, repaired, started)
        if action.kind == "submit":
            raise flow.Submitted

    def _border(self) -> None:
        """Between two steps: the user's wishes, then the limits."""
        control = self.parts.control
        if control.paused and not control.leaving:
            self.parts.emit(events.Paused(reason="paused"))
        control.wait_while_paused()
        if control.leaving:
            raise flow.Interrupted
        control.stop.clear()
        collect(self)
        serve(self, control.take_requests())
        words = control.take_words()
        if words:
            self.parts.context.amend(f"The user says: {words}")
        self.parts.budget.check()
        stuck.check(self.steps, self.parts.settings.patience)

    def _baseline(self) -> None:
        """Step 0: the user's own script, as it is."""
        started = clock.monotonic()
        action = Action(
            kind="run", plan="the user's baseline", body=f"python {self.parts.performer.solution}"
        )
        self.parts.emit(events.ActionParsed(action=action))
        self._commit(action, None, self._perform(action, baseline=True), False, started)

    def _perform(self, action: Action, baseline: bool = False) -> Outcome:
        parts = self.parts
        if action.kind == "submit":
            return Outcome(
                body="Submitted the best so far." if self.session.best_step_id else "Nothing to submit."
            )
        rejection = parts.control.approve(action) if parts.control.approve and not baseline else None
        if parts.control.leaving:
            raise flow.Interrupted
        if rejection is not None:
            return Outcome(body=f"The user rejected this action. {rejection}".strip(), rejected=True)
        of_job = background(self, action)
        if of_job is not None:
            return of_job
        parts.executor.limit_s = parts.budget.run_limit_s(parts.exec_limit_s)
        script = parts.performer.solution if baseline else ""
        outcome = parts.performer.perform(action, self.steps, self.best_bytes, self._hooks(), script)
        if parts.control.leaving:
            raise flow.Interrupted
        if outcome.execution:
            parts.emit(events.RunEnd(execution=outcome.execution))
        return outcome

    def _hooks(self) -> Hooks:
        emit, limit_s = self.parts.emit, self.parts.executor.limit_s
        return Hooks(
            stop=self.parts.control.stop,
            on_diff=lambda path, diff: emit(events.Diff(path=path, diff=diff)),
            on_run=lambda command: emit(events.RunStart(command=command, limit_s=limit_s)),
            on_output=lambda text: emit(events.Output(text=text)),
        )

    def commit(self, action: Action, outcome: Outcome, started: float) -> None:
        """A step that no reply of the policy asked for just now: a background job's end."""
        self._commit(action, None, outcome, False, started)

    def _commit(
        self, action: Action, completion: Completion | None, outcome: Outcome, repaired: bool, started: float
    ) -> None:
        """Make the step a record, store it, tell everybody."""
        outcome = self.parts.context.worded(action, outcome, self.session.best_utility)
        facts = facts_of(
            action, outcome, completion, self.parts.yardstick, self.session.best_utility, repaired
        )
        step = self.parts.log.step(self, action, completion, outcome, facts)
        before = self.session.best
        better = facts.submission == "valid" and (
            is_better(step.score, before) or self.session.best_step_id is None
        )
        if better:
            self._new_best(step, outcome)
        self.parts.budget.count(step)
        wall = self.parts.budget.elapsed_s
        self.session = self.session.model_copy(update={"steps": step.index, "wall_s": wall})
        if step.completion is not None:
            self.session = signed(self.session, self.parts.policy, self.parts.context.style)
        step = self.parts.log.commit(self, step, started)
        for taken_back in outcome.undone:
            self.parts.store.add_label(taken_back, "undone")
        if outcome.rejected:
            self.parts.store.add_label(step.id, "rejected")
        self.steps.append(step)
        self.parts.emit(self.parts.log.step_end(self, step, better, before))
        self._observe(outcome)
        self.parts.installer.offer(step)

    def _new_best(self, step: Step, outcome: Outcome) -> None:
        self.best_bytes = outcome.submission
        utility = outcome.grade.utility if outcome.grade else None
        self.session = self.session.model_copy(
            update={"best_step_id": step.id, "best": step.score, "best_utility": utility}
        )

    def _observe(self, outcome: Outcome) -> None:
        if outcome.tree is not None:
            self.parts.context.amend(told(outcome))
            return
        left = self.parts.budget.steps_left
        words = self.parts.control.take_words()
        self.parts.context.observe(outcome.body, outcome.verdict, words, last=left == 1)

    def next_index(self) -> int:
        """Number of the step at hand."""
        return max((step.index for step in self.steps), default=0) + 1
