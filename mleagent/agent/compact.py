"""The compact prompt: a task and its history in a few hundred tokens, for models of a few million weights.

`CompactContext` takes what `Context` takes and asks the same questions in words from a short list (see
`words`): brief and profile under 350 tokens, an observation under 100. Names are left out, because such a
model can't copy them; its programs take them from the files. What it can't serve is said by `can_serve`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..policy.playbook.brief import brief_of
from ..protocols import Policy
from ..records import Action, ColumnProfile, Execution, Message, Sampling, State, Step, Task
from .context import PREDICTIONS, Context
from .outcome import Outcome
from .policies import style_of
from .templates import Templates
from .words import change_word, columns_text, count_word, hint, level, rows_word, share_word

MAX_REPLY = 400
"""Tokens of a reply; a compact action takes up to 250."""
NUCLEUS = 0.95
"""The share of likelihood that a compact reply's tokens are drawn from (top-p)."""
_MAX_LINE = 100
"""Characters of an error or a program line that an observation quotes."""
_SHOWN = 12
"""Steps that a compacted prompt lists."""
_ERROR = re.compile(r"^[A-Za-z_.]*(?:Error|Exception|Interrupt|Exit|Warning)\b.*", re.MULTILINE)
_PLACE = re.compile(r"\s*\(/[^)]*\)?$")
"""Where a library lies, as import errors say it: never the same twice."""
_AT = re.compile(r'^\s*File "[^"]*solution\.py", line \d+.*\n\s+(\S.*)$', re.MULTILINE)


def can_serve(task: Task) -> str:
    """Why a model with compact prompts can't work on `task`; empty when it can."""
    files = {item.path for item in task.inputs}
    if task.kind != "table":
        return f"it solves plain tables, and this is a task of kind {task.kind}"
    if not {"train.csv", "test.csv", "sample_submission.csv"} <= files:
        return "it needs train.csv, test.csv and sample_submission.csv, under these names"
    if len(task.targets) != 1 or task.problem not in ("regression", "binary", "multiclass"):
        return f"it predicts one target, and this is a {task.problem} task of {len(task.targets)}"
    if task.id_column is None:
        return "it needs an id column"
    return ""


def context_of(policy: Policy, templates: Templates, task: Task, instruction: str) -> Context:
    """The context in the style the policy was trained on."""
    compact = style_of(policy) == CompactContext.style
    return (CompactContext if compact else Context)(templates, task, instruction)


def sampling_for(context: Context, temperature: float | None, max_tokens: int) -> Sampling:
    """How replies are sampled; a temperature of None is the one that goes with the style.

    A small model's choice of ideas is broad and its spelling of programs sharp: at temperature 1 a nucleus
    leaves the first as it is and cuts off slips in the second, where a lower temperature sharpens
    both.
    """
    if isinstance(context, CompactContext):
        warm = 1.0 if temperature is None else temperature
        return Sampling(temperature=warm, top_p=NUCLEUS, max_tokens=min(max_tokens, MAX_REPLY))
    if temperature is None:
        return Sampling(max_tokens=max_tokens)
    return Sampling(temperature=temperature, max_tokens=max_tokens)


class CompactContext(Context):
    """The append-only prompt, in words."""

    prefix = "compact_"
    style = "compact"

    def worded(self, action: Action, outcome: Outcome, best_utility: float | None) -> Outcome:
        """The outcome as such a model is told of it; `best_utility` is the best before it."""
        return replace(outcome, body=told(self._task, action, outcome, best_utility), verdict="")

    def compact(self, state: State, settings: dict[str, str], room_chars: int) -> None:
        """Start a new prefix root: brief, what was tried lately, the last observation."""
        observation = self.messages[-1].content if self.messages[-1].role == "user" else ""
        run = [step for step in state.steps if step.facts.executed and step.index > 0]
        best = next((step for step in run if step.id == state.best_step_id), None)
        tried = [_tried(step) for step in run[-_SHOWN:]]
        self.begin_compacted(tried, _tried(best) if best else "", observation)

    def begin_compacted(self, tried: Sequence[str], best: str, observation: str) -> None:
        """A new prefix root from lines as `tried_line` makes them; `best` may be empty."""
        summary = self._templates.render(
            "compact_compaction", steps=list(tried), best=best, observation=observation
        )
        self.messages, self._added = [], []
        self.compacted, self.compactions = True, self.compactions + 1
        system, brief = self._root({})
        self._add(system)
        self._add(Message(role="user", content=f"{brief.content}\n{summary}"))

    def _root(self, settings: dict[str, str]) -> tuple[Message, Message]:
        return compact_root(self._templates, self._task, self._instruction)


def compact_root(templates: Templates, task: Task, instruction: str = "") -> tuple[Message, Message]:
    """System message and brief of a compact prompt."""
    system = templates.render("compact_system")
    said = " ".join(instruction.split())[:_MAX_LINE]
    brief = templates.render("compact_brief", **brief_words(task), instruction=said)
    return Message(role="system", content=system), Message(role="user", content=brief)


def brief_words(task: Task) -> dict[str, str]:
    """What the brief says of a task, each a word or two."""
    brief = brief_of(task)
    own = [c for c in task.columns if c.name not in brief.targets and c.name != brief.id_column]
    numbers = [c for c in own if c.type == "numeric"]

    def share(wanted: Callable[[ColumnProfile], bool]) -> str:
        return share_word(sum(wanted(c) for c in numbers) / max(1, len(numbers)))

    return {
        "metric": task.metric.name if task.metric else "unknown",
        "sense": "higher" if task.metric and task.metric.direction == "maximize" else "lower",
        "prediction": PREDICTIONS[task.metric.prediction] if task.metric else "numbers",
        "problem": task.problem,
        "classes": count_word(len(brief.classes)),
        "rows": rows_word(task.rows_labelled),
        "numbers": count_word(len(numbers)),
        "categories": count_word(len(brief.category)),
        "widest": count_word(brief.widest),
        "flags": count_word(sum(c.type == "boolean" for c in own)),
        "dates": count_word(len(brief.dates)),
        "texts": count_word(len(brief.text)),
        "missing": share_word(max((c.missing for c in own), default=0.0)),
        "skewed": share(lambda c: "skewed" in c.note),
        "few": share(lambda c: c.unique <= 15),
        "signed": share(lambda c: c.note.startswith("-")),
        "target": "skewed" if brief.skewed_target else "plain",
        "group": "grouped" if brief.group else "no groups",
        "picture": "pixels" if brief.image_table else "no pixels",
        "hint": hint(task.description),
    }


def told(task: Task, action: Action, outcome: Outcome, best_utility: float | None) -> str:
    """One line or two about what came of an action; never a sealed number."""
    run, grade = outcome.execution, outcome.grade
    if run is None:
        return _looked(task, action, outcome)
    trouble = failure(run)
    if grade is None:
        return trouble or "no submission"
    if not grade.valid:
        return trouble or f"invalid submission: {_cut(grade.reason)}"
    words = [f"{trouble}, but a submission was left"] if trouble else []
    if grade.utility is None:
        return ", ".join([*words, "valid, no score"])
    words.append(level(grade.utility))
    if best_utility is None or grade.delta_utility is None:
        return ", ".join([*words, "first"])
    change = change_word(grade.delta_utility, grade.delta_se)
    words.append(change)
    return ", ".join(words if change.endswith("better") else [*words, f"best {level(best_utility)}"])


def failure(run: Execution) -> str:
    """How a run failed, with the error's last line and the program's line; empty when it did not."""
    if run.status == "ok":
        return ""
    if run.status != "error":
        return f"failed: {run.status.replace('_', ' ')} {run.missing_package}".strip()
    errors, places = _ERROR.findall(run.output), _AT.findall(run.output)
    last = run.output.strip().splitlines()[-1] if run.output.strip() else f"exit {run.exit_code}"
    at = f"\nat: {_cut(places[-1].strip())}" if places else ""
    said = _PLACE.sub("", errors[-1] if errors else last)
    return f"failed: {_cut(said)}{at}"


def _looked(task: Task, action: Action, outcome: Outcome) -> str:
    if action.kind == "data" and not outcome.redundant:
        skip = {*task.targets, task.id_column, task.group_column}
        return f"columns: {columns_text([c for c in task.columns if c.name not in skip])}"
    if action.kind == "invalid":
        return f"malformed: {_cut(action.error)}"
    if action.kind == "undo":
        return "undone" if outcome.undone else "nothing to undo"
    return _cut(" ".join(outcome.body.split()))


def _tried(step: Step) -> str:
    valid = step.facts.submission == "valid"
    return tried_line(step.action.plan, step.facts.utility if valid else None)


def tried_line(plan: str, utility: float | None) -> str:
    """A plan and what it came to, for a compacted prompt; None: it failed."""
    return f"{plan[:80]}: {'failed' if utility is None else level(utility)}"


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_LINE else text[: _MAX_LINE - 3] + "..."
