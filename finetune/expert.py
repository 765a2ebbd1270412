"""The expert without a model: one trajectory on a task, written as a session would hold it.

Takes plans that were drawn independently of what they score, and a runner that executes programs for real.
It drafts, changes what it tried (mostly the best so far), makes mistakes and repairs them, takes back what
was worse, submits. Which ideas it tries, and what it changes in a program, never depends on what they score:
choosing well is what reinforcement learning adds. Gives a conversation; None where no submission was valid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from mleagent.agent.actions import parse
from mleagent.agent.compact import CompactContext, tried_line
from mleagent.agent.outcome import Outcome
from mleagent.agent.templates import Templates
from mleagent.records import Task

from .conversation import Conversation, Turn
from .ideas import Plan, plan_line
from .mistakes import damaged, malformed

LENGTHS = (3, 4, 5, 6, 7, 8, 8, 8)
"""Executions of a trajectory, drawn evenly."""
_LOOK, _MISTAKE, _MALFORMED, _UNDO, _WISH, _STEER, _COMPACTED = 0.2, 0.2, 0.03, 0.3, 0.12, 0.05, 0.12
_WORDS = ("use {}", "try {}", "{} please", "I want {}", "start with {}")
Run = Callable[[str, bytes | None], Outcome]
"""Executes a program's text; the second argument is the best submission so far."""


@dataclass(frozen=True)
class Written:
    """A plan and its program."""

    plan: Plan
    text: str
    base: int = -1
    """Number of the draft that it changes; -1: it is a draft itself."""

    @property
    def line(self) -> str:
        """As the reply's first line names it."""
        return plan_line(self.plan)

    @property
    def reply(self) -> str:
        """As the policy says it."""
        return f'Plan: {self.line}\n<write path="solution.py">\n{self.text}</write>'


@dataclass
class _Memory:
    """What the trajectory knows so far."""

    utility: float | None = None
    submission: bytes | None = None
    best: int = -1
    """Number of the draft that the best program is, or changes."""
    tried: list[int] = field(default_factory=list)
    """Drafts that were run, themselves or changed."""
    texts: set[str] = field(default_factory=set)


def wish(written: Written, rng: Random) -> str:
    """A user asks for one of the plan's ideas."""
    return rng.choice(_WORDS).format(rng.choice(written.plan).name.replace("-", " "))


class Trajectory:
    """One trajectory in the making."""

    def __init__(
        self, task: Task, templates: Templates, drafts: Sequence[Written], changes: Sequence[Written],
        run: Run, rng: Random,
    ) -> None:  # fmt: skip
        """`drafts` are the diverse plans of the task, `changes` variations of them."""
        self._task, self._templates, self._run, self._rng = task, templates, run, rng
        self._drafts, self._changes = drafts, changes
        self._order = rng.sample(range(len(drafts)), len(drafts))
        self._first = rng.randint(2, 4)
        """Drafts laid before anything is changed."""
        asked = wish(drafts[self._order[0]], rng) if rng.random() < _WISH else ""
        self._context = CompactContext(templates, task, asked)
        self._marks: list[bool] = []
        self._steer = ""
        self._told = False
        """Whether the last observation said that the next step is the last."""
        self._know = _Memory()

    def write(self) -> Conversation | None:
        """Play it to its end."""
        rng = self._rng
        kind = self._open()
        length = left = rng.choice(LENGTHS)
        told = rng.random() < 0.7
        """Whether the end comes with the last step rather than by choice."""
        if kind == "session" and rng.random() < _LOOK:
            self._say('Plan: look at the columns\n<data path="train.csv"/>', True)
            self._observe(Outcome(), last=False)
        while left:
            left -= self._attempt(last=told and left == 1, spare=left > 1)
        if self._know.utility is None:
            return None
        # An early end by choice is no example: what is left of the budget would go unused.
        self._say("Plan: submit the best\n<submit/>", self._told or length == max(LENGTHS))
        turns = zip(self._context.messages, self._all_marks(), strict=True)
        return Conversation(
            source=self._task.name,
            kind=kind,
            turns=tuple(Turn(role=m.role, content=m.content, train=train) for m, train in turns),
        )

    # --- one attempt ----------------------------------------------------------------

    def _attempt(self, last: bool, spare: bool) -> int:
        """A program and what came of it, a mistake before it perhaps; how many executions it took."""
        rng, written, used = self._rng, self._next(), 1
        wrong = damaged(written.text, rng) if spare and rng.random() < _MISTAKE else None
        if wrong:
            self._say(written.reply.replace(written.text, wrong[1]), False)
            outcome = self._run(wrong[1], self._know.submission)
            used += 1
            if outcome.grade is not None and outcome.grade.valid:  # no mistake after all
                self._took(written, outcome, last=False)
                return used - 1
            self._observe(outcome, last=False)
        elif rng.random() < _MALFORMED:
            bad = malformed(written.reply, rng)
            self._say(bad, False)
            self._context.complain(parse(bad).error, "solution.py")
        self._say(written.reply, True)
        outcome = self._run(written.text, self._know.submission)
        self._took(written, outcome, last)
        return used

    def _took(self, written: Written, outcome: Outcome, last: bool) -> None:
        """Remember what a program came to, tell it, take it back perhaps."""
        know, rng = self._know, self._rng
        draft = written.base if written.base >= 0 else list(self._drafts).index(written)
        grade = outcome.grade
        if grade is None or not grade.valid or grade.utility is None:
            self._marks[-1] = False  # an honest failure is context, never an example
            self._observe(outcome, last)
            return
        before = know.utility
        worse = before is not None and (grade.delta_utility or 0.0) < 0
        steered = not last and rng.random() < _STEER
        self._steer = wish(self._drafts[self._upcoming()], rng) if steered else ""
        undo = worse and not last and not self._steer and rng.random() < _UNDO
        self._observe(outcome, last, self._steer)
        know.tried.append(draft)
        know.texts.add(written.text)
        if before is None or (grade.delta_utility or 0.0) > 0:
            know.utility, know.submission, know.best = grade.utility, outcome.submission, draft
        if undo:
            self._say("Plan: back to the best\n<undo/>", True)
            self._observe(Outcome(undone=("step",)), last=False)

    def _next(self) -> Written:
        """What is tried next: the first drafts, what was asked for, then changes and drafts in turn."""
        know, rng = self._know, self._rng
        if len(know.tried) < self._first or self._steer:
            self._steer = ""
            return self._drafts[self._upcoming(take=True)]
        if rng.random() < 0.5:
            base = know.best if rng.random() < 0.8 else rng.choice(know.tried)
            fresh = [c for c in self._changes if c.base == base and c.text not in know.texts]
            if fresh:
                return rng.choice(fresh)
        return self._drafts[self._upcoming(take=True)]

    def _upcoming(self, take: bool = False) -> int:
        """The next draft in the trajectory's own order, round and round."""
        number = self._order[0]
        if take:
            self._order.append(self._order.pop(0))
        return number

    # --- the conversation -----------------------------------------------------------

    def _open(self) -> str:
        """The root of the prompt: a brief, or one that was compacted after some steps."""
        rng, know = self._rng, self._know
        if rng.random() >= _COMPACTED:
            self._context.open({})
            return "session"
        lines, best, observation = [], "", ""
        for _ in range(rng.randint(2, min(6, len(self._drafts)))):
            number = self._upcoming(take=True)
            written = self._drafts[number]
            outcome = self._run(written.text, know.submission)
            grade = outcome.grade
            utility = grade.utility if grade is not None and grade.valid else None
            lines.append(tried_line(written.line, utility))
            worded = self._context.worded(parse(written.reply), outcome, know.utility)
            observation = worded.body
            if grade is None or utility is None:
                continue
            know.tried.append(number)
            if know.utility is None or (grade.delta_utility or 0.0) > 0:
                know.utility, know.submission, know.best = utility, outcome.submission, number
                best = lines[-1]
        self._context.begin_compacted(lines, best, observation)
        return "compacted"

    def _say(self, reply: str, train: bool) -> None:
        self._context.reply(reply)
        self._marks.append(train)

    def _observe(self, outcome: Outcome, last: bool, steering: str = "") -> None:
        action = parse(self._context.messages[-1].content)
        worded = self._context.worded(action, outcome, self._know.utility)
        self._context.observe(worded.body, worded.verdict, steering, last=last)
        self._told = last

    def _all_marks(self) -> list[bool]:
        """For every message whether it is trained on."""
        marks = iter(self._marks)
        return [next(marks) if m.role == "assistant" else False for m in self._context.messages]
