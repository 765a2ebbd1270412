"""The user's own good steps: which replies of past sessions are worth learning, and why others are not.

Takes sessions with their steps and labels; gives `Lesson`s (a reply with the prompt it answered) and the
counts of what was taken and left out. Good is what was measured: a first valid submission, one that beat the
best beyond noise, the repair of a failure, what the user labelled `+`, and submitting after any of these.
All else stays in the prompts as context. Conversations from a file become lessons by their own marks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mleagent.agent.templates import Templates
from mleagent.errors import InputError
from mleagent.records import Message, Session, Step
from mleagent.reward.schemes import CONSTANT_UTILITY
from mleagent.task.options import load
from mleagent.trajectory.marks import StoredLabel
from mleagent.trajectory.store import Store

from .conversation import Conversation


@dataclass(frozen=True)
class Lesson:
    """One reply to learn."""

    source: str
    """The session's id, or what a conversation says it was made from."""
    prompt: tuple[Message, ...]
    reply: str
    prompt_ids: tuple[int, ...] = ()
    token_ids: tuple[int, ...] = ()
    """Exact tokens of prompt and reply; empty where there are none, or a secret may be among them."""
    model: str = ""
    """Whose tokens they are."""
    step: str = ""
    """Id of the step whose reply it is; empty for a conversation's."""


@dataclass
class Lessons:
    """What is to be learnt, and an account of how it was chosen."""

    found: list[Lesson] = field(default_factory=list)
    taken: Counter[str] = field(default_factory=Counter)
    """Steps taken, by why."""
    left: Counter[str] = field(default_factory=Counter)
    """Steps left out, by why."""
    closed: Counter[str] = field(default_factory=Counter)
    """Whole sessions left out, by why."""
    noun: str = "sessions"
    """What the sources are called."""

    @property
    def sources(self) -> list[str]:
        """Sessions that something is learnt from, in the order they were met."""
        return list(dict.fromkeys(lesson.source for lesson in self.found))

    @property
    def steps(self) -> list[str]:
        """Ids of the steps whose replies are learnt."""
        return [lesson.step for lesson in self.found if lesson.step]

    def account(self) -> str:
        """One line: what was taken and what was left out, with counts."""
        steps = f"{len(self.found)} replies of {len(self.sources)} {self.noun} ({_counts(self.taken)})"
        out = [f"{sum(self.left.values())} replies ({_counts(self.left)})"] if self.left else []
        out += [f"{sum(self.closed.values())} sessions ({_counts(self.closed)})"] if self.closed else []
        return f"taken: {steps}; left out: {', '.join(out) or 'nothing'}"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counter.most_common()) or "none"


# --- the verdict on a step --------------------------------------------------------


def verdict(
    step: Step, before: Sequence[Step], labels: Sequence[StoredLabel], good: bool
) -> tuple[bool, str]:
    """Whether the step's reply is to be learnt, and the word it is counted under.

    `before` are the steps its prompt holds, oldest first; `labels` the step's own, oldest first; `good`
    says whether one of those before was learnt.
    """
    given = [one.label for one in labels]
    signs = [label for label in given if label in "+-"]
    if not step.trainable:
        return False, "with a secret"
    for label in ("undone", "rejected"):
        if label in given:
            return False, label
    if signs and signs[-1] == "-":
        return False, "labelled -"
    if signs:
        return True, "labelled +"
    if step.action.kind == "submit":
        return good, "submitted after a good step" if good else "submitted nothing good"
    if not step.facts.format_valid:
        return False, "malformed"
    return _measured(step, before)


def _measured(step: Step, before: Sequence[Step]) -> tuple[bool, str]:
    """By what the sandbox and the grader found."""
    facts = step.facts
    if not facts.executed:
        repaired = facts.repaired and not facts.redundant
        return repaired, "repaired" if repaired else "ran nothing"
    if facts.submission != "valid":
        return False, "failed" if facts.status != "ok" else "left no valid submission"
    if facts.utility is not None and facts.utility <= CONSTANT_UTILITY:
        return False, "no better than a constant"
    if not any(one.facts.submission == "valid" for one in before):
        return True, "first valid"
    if _beats(step, before):
        return True, "better than the best"
    if facts.status == "ok" and _failed_last(before):
        return True, "repaired"
    return False, "no better"


def _beats(step: Step, before: Sequence[Step]) -> bool:
    """Better than everything before it by more than one standard error."""
    facts = step.facts
    change, noise = facts.delta_utility, facts.delta_se
    if change is None and facts.utility is not None and facts.best_utility_before is not None:
        change, noise = facts.utility - facts.best_utility_before, facts.utility_se
    if change is not None:
        return change > (noise or 0.0)
    score, others = step.score, [one.score for one in before if one.score and one.facts.submission == "valid"]
    if score is None:
        return False
    return all(score.better_than(one) and abs(score.value - one.value) > (score.se or 0) for one in others)


def _failed_last(before: Sequence[Step]) -> bool:
    ran = next((one for one in reversed(before) if one.facts.executed), None)
    return ran is not None and (ran.facts.status != "ok" or ran.facts.submission != "valid")


# --- sessions and conversations ----------------------------------------------------


def from_store(store: Store, style: str, templates: Templates) -> Lessons:
    """Lessons of all sessions that may be learnt from, for a base that reads prompts of `style`."""
    lessons = Lessons()
    compact = templates.render("compact_system")
    count = store.count_sessions()
    for session in reversed(store.sessions(limit=max(1, count))):
        if not _open(session):
            lessons.closed["kept out of learning"] += 1
            continue
        steps = _with_ancestors(store, store.steps(session.id))
        first = next((step.added[0] for step in steps if step.added), None)
        if first is None:
            lessons.closed["without a reply"] += 1
        elif ("compact" if first.content == compact else "full") != style:
            lessons.closed["with prompts of another style"] += 1
        else:
            of_session(lessons, session.id, steps, store.labels(session.id))
    return lessons


def _open(session: Session) -> bool:
    """Whether the task may be learnt from: as the session found it, and as its folder says now."""
    if not session.task.learn:
        return False
    try:
        return load(session.task.folder).learn
    except InputError:
        return True  # the folder is gone or its file is broken: what held then holds


def _with_ancestors(store: Store, steps: list[Step]) -> list[Step]:
    """The steps, before them those of another session that this one was forked from."""
    parent = steps[0].parent_id if steps else None
    return [*store.branch(parent), *steps] if parent else steps


def of_session(
    lessons: Lessons, session_id: str, steps: Iterable[Step], labels: Sequence[StoredLabel]
) -> None:
    """Add one session's good steps; parents come before their children in `steps`."""
    paths: dict[str, tuple[Step, ...]] = {}
    chosen: set[str] = set()
    for step in steps:
        before = paths.get(step.parent_id or "", ())
        paths[step.id] = (*before, step)
        if step.completion is None or step.session_id != session_id:
            continue  # the user's baseline, a job's end, another session's step: nobody's reply here
        own = [label for label in labels if label.step_id == step.id]
        taken, why = verdict(step, before, own, any(one.id in chosen for one in before))
        if not taken:
            lessons.left[why] += 1
            continue
        chosen.add(step.id)
        lessons.taken[why] += 1
        lessons.found.append(_lesson(session_id, step, before))


def _lesson(session_id: str, step: Step, before: Sequence[Step]) -> Lesson:
    """The step's reply after all messages since the last prefix root."""
    assert step.completion is not None
    path: list[Step] = [step]
    for one in reversed(before):
        if path[0].compaction:
            break
        path.insert(0, one)
    messages = [message for one in path for message in one.added]
    exact = all(one.trainable for one in path)  # else the ids before it spell what was redacted
    return Lesson(
        source=session_id,
        prompt=tuple(messages[:-1]),
        reply=messages[-1].content,
        prompt_ids=step.completion.prompt_ids if exact else (),
        token_ids=step.completion.token_ids if exact else (),
        model=step.completion.model,
        step=step.id,
    )


def from_conversations(conversations: Iterable[Conversation]) -> Lessons:
    """Every reply that is marked to be learnt."""
    lessons = Lessons(noun="sources")
    for conversation in conversations:
        messages = conversation.messages
        for at, turn in enumerate(conversation.turns):
            if turn.role != "assistant":
                continue
            if not turn.train:
                lessons.left["marked as context"] += 1
                continue
            lessons.taken["marked to be learnt"] += 1
            lessons.found.append(Lesson(conversation.source, messages[:at], turn.content))
    return lessons
