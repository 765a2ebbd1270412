"""The playbook as a policy: a seeded expert that answers in the same action text as a model.

`PlaybookPolicy.complete` reads `prompt.state` only. It drafts, repairs what
failed, improves on the best, and submits when the budget or its patience ends. A
pure function of (state, seed), so a resumed session goes on with the same action.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from threading import Event

from ...errors import PolicyError
from ...protocols import Prompt
from ...records import Completion, Sampling, State
from . import own_script
from .brief import Brief, brief_of
from .compose import Program, compose
from .diagnose import last_resorts, mend
from .first import first_draft
from .history import Attempt, attempts, best_of, failing, stalled
from .idea import Choice
from .improve import Search
from .recipe import Recipe, kind_of, tidy

PATIENCE = 8
"""Executions without a real gain after which it submits."""
LEAST = 14
"""Executions before patience can end a session."""
SUBMIT = "Plan: submit the best so far\n<submit/>"


class PlaybookPolicy:
    """The expert without a language model; see the module."""

    name = "playbook"
    context_tokens: int | None = None

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def complete(
        self,
        prompt: Prompt,
        sampling: Sampling,
        n: int = 1,
        on_text: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> list[Completion]:
        """`n` different actions. Raises PolicyError when the prompt carries no state."""
        if prompt.state is None:
            raise PolicyError(
                "the playbook needs the session's state; use a language model for bare messages"
            )
        texts = actions(prompt.state, self.seed, max(1, n))
        told = ""
        for line in texts[0].splitlines(keepends=True) if on_text else ():
            if stop is not None and stop.is_set():
                texts[0] = told
                break
            told += line
            if on_text:
                on_text(line)
        return [Completion(text=text, model=self.name) for text in texts]

    def count_tokens(self, text: str) -> int:
        """An estimate from above: a token every three characters."""
        return len(text.encode("utf-8")) // 3 + 1

    def close(self) -> None:
        """Nothing is held."""


def actions(state: State, seed: int, n: int) -> list[str]:
    """`n` different actions from a state, the preferred one first."""
    found: list[str] = []
    for turn in range(n * 12):
        text = _action(state, seed, turn)
        if text not in found:
            found.append(text)
        if len(found) == n:
            return found
    while len(found) < n:  # nothing new to say: distinguishable, and harmless to execute
        found.append(f'Plan: look at the files ({len(found)})\n<list path="."/>')
    return found


def _action(state: State, seed: int, turn: int) -> str:
    task = state.task
    rng = Random(f"{seed}|{state.seed}|{task.content_hash}|{len(state.steps)}|{turn}")
    if own_script.concerns(state):
        return own_script.action(state, rng, turn)
    brief = brief_of(task, state.packages)
    tried = attempts(state)
    recipe = None if turn == 0 and _finished(state, tried) else choose(state, brief, tried, rng, turn)
    if recipe is None:
        return SUBMIT
    return write(state, compose(task, recipe, rng, packages=state.packages, seconds=allowance(state, tried)))


def write(state: State, program: Program) -> str:
    """The action that writes and runs a program."""
    return f'Plan: {program.plan}\n<write path="{state.solution}">\n{program.text}</write>'


def allowance(state: State, tried: list[Attempt]) -> float:
    """Seconds a program may take; a third after each time-out."""
    limits = [limit for limit in (state.exec_limit_s, state.time_left_s) if limit is not None]
    late = sum("timeout" in attempt.trouble.split("\n", 1)[0] for attempt in tried)
    return max(4.0, min([600.0, *limits]) * 0.33**late)


def _finished(state: State, tried: list[Attempt]) -> bool:
    """Whether to submit now: the budget ends, or nothing has been gained for long."""
    best = best_of(tried)
    if best is None:
        return failing(tried) >= 12 or (state.steps_left is not None and state.steps_left <= 0)
    if state.steps_left is not None and state.steps_left <= 1:
        return True
    slow = max((attempt.seconds for attempt in tried[-5:]), default=0.0)
    if state.time_left_s is not None and state.time_left_s < max(5.0, 1.5 * slow):
        return True
    return len(tried) >= LEAST and stalled(tried) >= PATIENCE


def choose(state: State, brief: Brief, tried: list[Attempt], rng: Random, turn: int = 0) -> Recipe | None:
    """The recipe of the next program; None when there is nothing left to try."""
    seen = {attempt.recipe for attempt in tried}
    best, failed = best_of(tried), failing(tried)
    if best is None and state.steps_left is not None and state.steps_left <= 1 and tried:
        return last_resorts()[-1]
    search = Search(brief, tried, rng, state.instruction)
    if not tried or not any(attempt.recipe for attempt in tried):
        draft = first_draft(brief)
        if search.wanted:
            draft = _asked(draft, search.wanted)
        if turn == 0 and draft not in seen:
            return draft
        search.base = draft
        return search.next(state.steps_left) if turn % 2 else search.drawn()
    if failed and turn == 0:
        mended = _mended(tried, failed, best)
        if mended is not None and mended not in seen:
            return mended
    if best is None:
        plain = [recipe for recipe in last_resorts() if recipe not in seen]
        if plain:
            return plain[min(turn, len(plain) - 1)]
    return search.next(state.steps_left) if turn == 0 else search.drawn()


def _mended(tried: list[Attempt], failed: int, best: Attempt | None) -> Recipe | None:
    """A repair of the last failure; two in a row are tried, five while nothing has run yet."""
    return mend(tried[-1]) if failed <= (2 if best else 5) else None


def _asked(draft: Recipe, wanted: list[Choice]) -> Recipe:
    """The draft with what the user asked for; a model they named replaces the draft's."""
    named = any(kind_of(choice) == "model" for choice in wanted)
    return tidy([*(c for c in draft if not named or kind_of(c) != "model"), *wanted])
