"""Performs one action: looks, writes, edits, runs, undoes. Gives an `Outcome`.

Refusals (a path that leaves the folder, an edit that does not match) are
outcomes too: the model is told and the session goes on. `submit` ends the
session by raising `Submitted` from the loop, not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..records import Action, Step, Task
from .edits import EditRefused
from .edits import apply as apply_edit
from .execute import Executor, Hooks
from .looks import look
from .outcome import Outcome, is_job, repeats
from .scorers import Command
from .workspace import PathRefused, Workspace, inside, unified


class Performer:
    """Everything an action can do in one session."""

    def __init__(self, task: Task, workspace: Workspace, executor: Executor, solution: str) -> None:
        """`solution` is the script that a write or edit runs at once."""
        self.task, self.workspace, self.executor, self.solution = task, workspace, executor, solution

    def perform(
        self, action: Action, steps: Sequence[Step], best: bytes | None, hooks: Hooks, script: str = ""
    ) -> Outcome:
        """Carry out `action` after `steps`; `best` is the best submission so far.

        `script` names a script to run instrumented instead (the user's baseline).
        """
        try:
            if script:
                return self.executor.script(script, best, hooks)
            if action.kind in ("list", "read", "data"):
                body = look(action, self.task, self.workspace)
                return Outcome(body=body, path=action.path, redundant=repeats(action, steps))
            if action.kind in ("write", "edit"):
                return self._change(action, best, hooks)
            if action.kind == "run":
                outcome = self.executor.command(action.body, best, hooks)
                return replace(outcome, redundant=repeats(action, steps))
            if action.kind == "undo":
                return self._undo(action.steps, steps)
        except (PathRefused, EditRefused) as refusal:
            return Outcome(body=f"Refused: {refusal}", path=action.path, redundant=True)
        return Outcome(body=f"Malformed reply: {action.error}")

    def _change(self, action: Action, best: bytes | None, hooks: Hooks) -> Outcome:
        path = inside(action.path)
        scorer = self.executor.scorer
        if isinstance(scorer, Command) and path in scorer.protected:
            raise PathRefused(f"{path} belongs to the evaluation and can't be changed")
        before = (self.workspace.read(path) or b"").decode("utf-8", errors="replace")
        after = action.body if action.kind == "write" else apply_edit(self._existing(path), action.body)
        self.workspace.write(path, after.encode())
        diff = unified(path, before, after)
        if diff:
            hooks.on_diff(path, diff)
        if action.execute and path == self.solution:
            outcome = self.executor.script(path, best, hooks)
        else:
            outcome = Outcome(body=f"Wrote {path} ({len(after.splitlines())} lines).")
        return replace(outcome, path=path, diff=diff, redundant=before == after)

    def _existing(self, path: str) -> str:
        data = self.workspace.read(path)
        if data is None:
            raise PathRefused(f"there is no {path} to edit; <write> it")
        return data.decode("utf-8", errors="replace")

    def _undo(self, count: int, steps: Sequence[Step]) -> Outcome:
        """Back to the checkpoint before the last `count` steps that changed files."""
        steps = [step for step in steps if not is_job(step)]
        changing = [i for i, step in enumerate(steps) if step.diff or step.facts.executed]
        if not changing:
            return Outcome(body="There is nothing to undo.", redundant=True)
        first = changing[max(0, len(changing) - count)]
        taken_back = tuple(step.id for step in steps[first:])
        earlier = next((step.checkpoint for step in reversed(steps[:first]) if step.checkpoint), "")
        if earlier:
            self.workspace.restore(earlier)
        else:
            for path in self.workspace.paths():
                self.workspace.remove(path)
        names = ", ".join(self.workspace.paths()[:20]) or "no files"
        return Outcome(body=f"Undone. The work folder now holds: {names}.", undone=taken_back)
