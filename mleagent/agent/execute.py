"""Runs code in the sandbox and says what came of it: instrument, run, collect, score.

Takes a script of the workspace or a shell command, gives an `Outcome` with the
execution, milestones, grade and the text the model is told. The script runs with
milestone prints inserted; line numbers and output are put back before anybody
sees them. A sandbox that goes away ends the run with the verdict `lost` and is
made anew for the next.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event

from .. import clock
from ..errors import SandboxError, SandboxLostError, UnavailableError
from ..protocols import Annotator, Sandbox
from ..records import Execution, Grade, Limits
from ..reward.instrument import Instrumented, instrument
from ..reward.milestones import collect
from .outcome import Outcome
from .recall import Recall
from .report import observation, verdict_line
from .scorers import SUBMISSION, Command, Scorer, self_reported
from .trial import Trial
from .workspace import Workspace

Emit = Callable[[str], None]
MAX_LOST = 3
"""Sandboxes lost in a row before the session gives up."""
RETURN_S = 60.0
"""How long a lost sandbox's engine is waited for."""
RETRY_S = 1.0


@dataclass(frozen=True)
class Hooks:
    """Who hears of what happens during an action, and what ends it."""

    stop: Event
    on_diff: Callable[[str, str], None] = lambda _path, _diff: None
    """Path and unified diff of a change, before anything runs."""
    on_run: Callable[[str], None] = lambda _command: None
    on_output: Emit = lambda _text: None


_NO_MARKS = Instrumented(source="", tag="none")


class Executor:
    """The session's one way to run anything."""

    def __init__(
        self,
        sandbox: Sandbox,
        workspace: Workspace,
        annotator: Annotator,
        limits: Limits,
        pull_bytes: int,
        redact: Callable[[str], str],
    ) -> None:
        """`scorer` is set once it exists (the project's eval command runs through this executor)."""
        self.sandbox, self.workspace, self.annotator = sandbox, workspace, annotator
        self.limits, self._pull_bytes, self._redact = limits, pull_bytes, redact
        self.scorer: Scorer | None = None
        self.recall: Recall | None = None
        """The execution cache; None: everything runs."""
        self.trial: Trial | None = None
        """Runs new scripts on a sample first; None: the data is small."""
        self._lost = 0
        self.limit_s = limits.wall_s
        """Wall limit of the next run in seconds; the loop sets it from the budget."""

    def script(self, path: str, best: bytes | None, hooks: Hooks) -> Outcome:
        """Run a Python script of the workspace, instrumented, and score what it left."""
        source = (self.workspace.read(path) or b"").decode("utf-8", errors="replace")
        tag = clock.new_id()[-6:]
        program = instrument(source, self.annotator.annotate(source), tag, path)
        self.workspace.resend(path)
        return self._go(f"python {shlex.quote(path)}", program, path, best, hooks)

    def command(self, command: str, best: bytes | None, hooks: Hooks) -> Outcome:
        """Run a shell command and score a submission it left."""
        return self._go(command, _NO_MARKS, "", best, hooks)

    def _go(
        self, command: str, program: Instrumented, path: str, best: bytes | None, hooks: Hooks
    ) -> Outcome:
        self.workspace.remove(SUBMISSION)  # what lies there afterwards is this run's own
        limits = self.limits.model_copy(update={"wall_s": self.limit_s})
        hooks.on_run(command)
        run = self._recalled(command, program, path, limits, hooks)
        fresh = self.workspace.read(SUBMISSION) if run.status != "lost" else None
        claims = collect(program, run.output, run.line_times)
        clean = run.model_copy(
            update={
                "output": program.restore(claims.output) if path else claims.output,
                "line_times": claims.line_times,
            }
        )
        grade = self._grade(clean, fresh, best)
        kept = collect(program, run.output, run.line_times, grade, fresh is not None)
        safe = self.redacted(clean)
        return Outcome(
            body=f"{observation(safe, self.sandbox.skipped)}\n{self._trial_note(path)}".rstrip("\n"),
            verdict=verdict_line(grade),
            execution=self._with_eval(safe),
            grade=grade,
            submission=fresh,
            milestones=kept.milestones if path else (),
            forged=kept.forged,
            self_reported=self_reported(clean.output),
        )

    def _recalled(
        self, command: str, program: Instrumented, path: str, limits: Limits, hooks: Hooks
    ) -> Execution:
        """The run from the cache, else for real."""
        on_output, recall = _hiding_milestones(hooks.on_output), self.recall
        if self.trial:
            self.trial.note = ""
        key = recall.key(command, program, limits) if recall else None
        if recall and key and (kept := recall.replay(key, program, limits, path)):
            on_output(kept.output)
            return kept
        if self.trial and path:
            own = self.workspace.read(path) or b""
            files = self._whole(path, program)
            crashed = self.trial.crash(command, files, own, limits, on_output, hooks.stop)
            if crashed:
                return crashed
        pending = self.workspace.take_pending()
        if path:
            pending[path] = program.source.encode()

        def keep(run: Execution, changed: Mapping[str, bytes]) -> None:
            if recall and key:
                recall.keep(key, program, run, changed)

        return self._run(command, pending, limits, on_output, hooks.stop, path, keep)

    def _whole(self, path: str, program: Instrumented) -> dict[str, bytes | None]:
        """All files of the workspace, with the instrumented script."""
        files: dict[str, bytes | None] = {name: self.workspace.read(name) for name in self.workspace.paths()}
        return {**files, path: program.source.encode()}

    def _trial_note(self, path: str) -> str:
        return self.trial.note if self.trial and path else ""

    def _run(
        self,
        command: str,
        files: dict[str, bytes | None],
        limits: Limits,
        on_output: Emit | None,
        stop: Event | None,
        path: str = "",
        keep: Callable[[Execution, Mapping[str, bytes]], None] = lambda _run, _changed: None,
    ) -> Execution:
        """put, run, pull; a lost sandbox becomes a verdict and is replaced, a full work folder one too."""
        try:
            refused = self._put(files)
            if refused and path:
                return Execution(command=command, status="disk", detail=refused, sandbox=self.sandbox.name)
            run = self.sandbox.run(command, limits, on_output, stop)
            if run.status == "lost":
                raise SandboxLostError(run.detail or "the sandbox went away")
            changed = self.sandbox.pull(self._pull_bytes)
        except SandboxLostError as error:
            return self._replace(command, str(error), stop)
        self._lost = 0
        if not refused:  # else the program saw other files than the workspace's
            keep(run, changed)
        self.workspace.absorb(changed, self.sandbox.removed, keep=path)
        if path:
            self.workspace.resend(path)
        return run

    def _put(self, files: dict[str, bytes | None]) -> str:
        """Send the files; why the work folder can't take them, or ''. A command may still make room."""
        try:
            self.sandbox.put(files)
        except SandboxLostError:
            raise
        except SandboxError as error:
            self.workspace.pend(files)
            return f"the work folder can't take the session's files ({error}); remove some, or <undo/>"
        return ""

    def _replace(self, command: str, why: str, stop: Event | None) -> Execution:
        """Make the sandbox anew after it was lost. Raises SandboxError when that keeps failing."""
        self._lost += 1
        if self._lost >= MAX_LOST:
            raise SandboxError(f"the sandbox was lost {self._lost} times in a row: {why}")
        deadline = clock.monotonic() + RETURN_S
        while True:
            try:
                self.sandbox.start()
                break
            except (SandboxError, UnavailableError) as error:
                # An engine that is restarted is back in seconds: the next step is worth the wait.
                waited = clock.monotonic() > deadline
                if waited or (stop or Event()).wait(RETRY_S):
                    why = f"{why}; {error}"
                    break
        self.workspace.resend_all()
        return Execution(command=command, status="lost", detail=why, sandbox=self.sandbox.name)

    def evaluate(self, command: str, limits: Limits) -> Execution:
        """Run the project's eval command; see `scorers.Command`."""
        bounded = limits.model_copy(update={"wall_s": min(limits.wall_s, self.limit_s)})
        return self._run(command, self.workspace.take_pending(), bounded, None, None)

    def redacted(self, run: Execution) -> Execution:
        """`run` without secrets in its text."""
        return run.model_copy(update={"output": self._redact(run.output), "detail": self._redact(run.detail)})

    def _grade(self, run: Execution, fresh: bytes | None, best: bytes | None) -> Grade | None:
        if fresh is None and run.status != "lost" and not isinstance(self.scorer, Command):
            left = next((x for x in self.sandbox.skipped if x.startswith(f"{SUBMISSION}: ")), "")
            if left:
                return Grade(valid=False, reason=f"it could not be taken from the work folder ({left})")
        return self.scorer.score(run, fresh, best) if self.scorer else None

    def _with_eval(self, run: Execution) -> Execution:
        """Add what the eval command cost to the run it belongs to."""
        extra = self.scorer.last if isinstance(self.scorer, Command) else None
        return run.model_copy(update={"duration_s": run.duration_s + extra.duration_s}) if extra else run


def _hiding_milestones(on_output: Emit) -> Emit:
    """Live output without the tool's own lines; partial lines wait for their end."""
    held = ""

    def emit(text: str) -> None:
        nonlocal held
        lines = (held + text).split("\n")
        held = lines.pop()
        shown = "".join(line + "\n" for line in lines if "[mle:" not in line)
        if shown:
            on_output(shown)

    return emit
