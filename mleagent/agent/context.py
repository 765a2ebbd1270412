"""The append-only prompt of a session: what the policy is asked, step after step.

The prompt of step t+1 starts with exactly the messages of step t. Only a
deliberate compaction starts a new prefix root: task, summary of what was tried,
the best solution, the last observation. No clock and no counter stands in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..protocols import Prompt
from ..records import Action, Message, Sampling, State, Step, Task
from .outcome import Outcome
from .templates import Templates

RESERVE = 1.1
"""The room kept for a reply, as a multiple of the sampling's max_tokens."""
MAX_DESCRIPTION = 6000
"""Characters of the user's description that enter the prompt."""
PREDICTIONS = {
    "label": "class labels",
    "probability": "probabilities",
    "value": "numbers",
    "ranking": "ranked lists, best first",
}


class Context:
    """Messages so far, and what the step at hand has added to them."""

    prefix = ""
    """Of the templates' names; a style of prompts has its own set."""
    style = "full"
    """What a policy's `prompt_style` calls it."""

    def __init__(self, templates: Templates, task: Task, instruction: str = "") -> None:
        """Nothing is asked yet; see `open` and `restore`."""
        self._templates = templates
        self._task = task
        self._instruction = instruction
        self.messages: list[Message] = []
        self._added: list[Message] = []
        self.compacted = False
        self.compactions = 0

    def open(self, settings: dict[str, str]) -> None:
        """Begin a prefix root: system prompt and brief."""
        for message in self._root(settings):
            self._add(message)

    def restore(self, messages: Sequence[Message], compactions: int) -> None:
        """Go on from stored messages."""
        self.messages, self._added = list(messages), []
        self.compactions = compactions

    def worded(self, action: Action, outcome: Outcome, best_utility: float | None) -> Outcome:
        """The outcome in the words of this style; `best_utility` is the best before it."""
        return outcome

    def observe(self, body: str, verdict: str = "", steering: str = "", last: bool = False) -> None:
        """Append what the next prompt is told."""
        text = self._templates.render(
            f"{self.prefix}observation", body=body, verdict=verdict, steering=steering, last=last
        )
        self._add(Message(role="user", content=text))

    def amend(self, text: str) -> None:
        """Add to the last user message, which no policy has been asked with yet."""
        last = self.messages[-1]
        if last.role != "user":
            return  # the session is at its end: nothing will be asked any more
        whole = Message(role=last.role, content=f"{last.content.rstrip()}\n\n{text}\n")
        self.messages[-1] = whole
        if self._added:
            self._added[-1] = whole

    def reply(self, text: str) -> None:
        """Append the policy's reply, exactly as it came."""
        self._add(Message(role="assistant", content=text))

    def complain(self, error: str, solution: str) -> None:
        """Append the one request to repair a malformed reply."""
        text = self._templates.render(f"{self.prefix}repair", error=error, solution=solution)
        self._add(Message(role="user", content=text))

    def prompt(self, state: State) -> Prompt:
        """What the policy is asked now."""
        return Prompt(messages=tuple(self.messages), state=state)

    def take_added(self) -> tuple[tuple[Message, ...], bool]:
        """Messages added since the last step was committed, and whether they are a compaction's."""
        added, self._added = tuple(self._added), []
        compacted, self.compacted = self.compacted, False
        return added, compacted

    def fits(self, count: Callable[[str], int], limit: int | None, sampling: Sampling) -> bool:
        """Whether prompt and reply fit in `limit` tokens (None: no limit)."""
        if limit is None:
            return True
        used = sum(count(message.content) + 8 for message in self.messages)
        return used + RESERVE * sampling.max_tokens <= limit

    def compact(self, state: State, settings: dict[str, str], room_chars: int) -> None:
        """Start a new prefix root from what is known; `room_chars` bounds its variable part."""
        observation = self.messages[-1].content if self.messages[-1].role == "user" else ""
        best = next((s for s in state.steps if s.id == state.best_step_id), None)
        summary = self._templates.render(
            "compaction",
            steps=summary_lines(state.steps, room_chars // 4),
            best=best,
            best_line=score_text(best) if best else "",
            best_path=best.action.path or state.solution if best else "",
            best_body=_cut(best.action.body, room_chars // 2) if best else "",
            observation=_cut(observation, room_chars // 4),
        )
        self.messages, self._added = [], []
        self.compacted, self.compactions = True, self.compactions + 1
        system, brief = self._root(settings)
        self._add(system)
        self._add(Message(role="user", content=f"{brief.content}\n\n{summary}"))

    def _root(self, settings: dict[str, str]) -> tuple[Message, Message]:
        from ..task.profile import task_profile  # heavy

        task = self._task
        system = self._templates.render("system", mount=task.mount, **settings)
        brief = self._templates.render(
            "brief",
            task=task,
            instruction=self._instruction,
            description=_cut(task.description.strip(), MAX_DESCRIPTION),
            prediction=PREDICTIONS[task.metric.prediction] if task.metric else "",
            files=file_lines(task),
            profile=task_profile(task),
        )
        return Message(role="system", content=system), Message(role="user", content=brief)

    def _add(self, message: Message) -> None:
        self.messages.append(message)
        self._added.append(message)


def file_lines(task: Task, most: int = 30) -> list[str]:
    """The inputs, a line each, media folders counted rather than listed."""
    lines = [
        f"{item.path} ({_size(item.bytes)}, {item.role})" for item in task.inputs if item.role != "media"
    ]
    media = [item for item in task.inputs if item.role == "media"]
    if media:
        folders = sorted({str(Path(item.path).parent) for item in media})
        lines += [f"{folder}/ (media)" for folder in folders[:5]]
    return lines[:most] + ([f"... and {len(lines) - most} more"] if len(lines) > most else [])


def summary_lines(steps: Sequence[Step], room_chars: int) -> list[str]:
    """One line a step that ran something, the oldest dropped when there is no room."""
    lines = [
        f"step {s.index}: {s.action.plan or s.action.kind}: {score_text(s)}"
        for s in steps
        if s.facts.executed
    ]
    while len(lines) > 1 and sum(map(len, lines)) > room_chars:
        lines.pop(0)
    return lines


def score_text(step: Step) -> str:
    """What a step came to, in words for the model: never a sealed number."""
    facts = step.facts
    if step.score is not None and facts.submission == "valid":
        error = f" ({step.score.se:.2g})" if step.score.se is not None else ""
        kind = "score" if step.score.kind == "feedback" else f"{step.score.kind} score"
        return f"{kind} {step.score.value:.5g}{error}"
    if facts.submission == "invalid":
        return f"invalid submission: {facts.submission_error}"
    return facts.status or "no run"


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MB" if count >= 2**20 else f"{max(1, count // 1024)} kB"
