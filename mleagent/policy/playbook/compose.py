"""From ideas to the text of a program: the one door for the policy and for learning.

`compose(task, ideas, rng)` draws each idea's parameters, lays the ideas into a
draft in a fixed order, fills what the models need, and renders a plain
scikit-learn script. The script's first line is its recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from ...records import Task
from .brief import Brief, brief_of
from .idea import Choice, Draft, Idea
from .library import get
from .recipe import CUTS, Recipe, header, kind_of, tidy
from .render import render

FALLBACK = "hist-gradient-boosting"


@dataclass(frozen=True)
class Program:
    """A composed script."""

    text: str
    recipe: Recipe

    @property
    def plan(self) -> str:
        """The ideas' names, as a plan line names them."""
        return ", ".join(choice.name for choice in self.recipe)


def compose(
    task: Task,
    ideas: Sequence[Idea | Choice],
    rng: Random,
    *,
    packages: Iterable[str] = (),
    seconds: float = 600.0,
) -> Program:
    """A program of these ideas; parameters of plain ideas are drawn from `rng`.

    Of kinds that go in only once the last idea counts; without a model gradient
    boosting is taken; cuts between ordered classes are left out beside a model
    that can't regress. `seconds` is what one run may take: validation gets
    cheaper, then rows fewer, to stay under half of it. Never raises for odd tasks.
    """
    drawn = [idea.draw(rng) if isinstance(idea, Idea) else idea for idea in ideas]
    if not any(kind_of(choice) == "model" for choice in drawn):
        fallback = get(FALLBACK)
        drawn += [fallback.default()] if fallback else []
    recipe = tidy(drawn)
    draft = lay(brief_of(task, packages), recipe, seconds)
    return Program(header(recipe) + "\n" + render(draft, task), recipe)


def lay(brief: Brief, recipe: Recipe, seconds: float) -> Draft:
    """Every choice's contribution in one draft, and the validation that time allows."""
    draft = Draft(brief=brief, seconds=seconds, regress=brief.mode == "regress")
    if any(choice.name in CUTS for choice in recipe):
        draft.regress = not brief.multi  # models must know it before they are laid
    for choice in recipe:
        idea = get(choice.name)
        if idea is not None:
            known = {key: value for key, value in choice.params if key in idea.params}
            idea.contribute(draft, {**dict(idea.default().params), **known})
    _fit_time(draft)
    return draft


def fit_seconds(draft: Draft, rows: int) -> float:
    """A rough guess of one fit's time on two cores."""
    return max(draft.heavy, 0.1) * (0.2 + rows * draft.brief.width * 2e-5)


def _fit_time(draft: Draft) -> None:
    """Choose folds and rows so that a run stays well inside its limit."""
    brief, half = draft.brief, draft.seconds / 2
    if not draft.validation:
        draft.validation = "group" if brief.group else "time" if brief.time else "kfold"
        draft.folds = 5 if brief.rows < 800 else 3
    rows = draft.sample_rows or brief.rows
    folds = draft.folds * (2 if draft.validation == "repeated" else 1)
    if draft.validation in {"kfold", "repeated"} and fit_seconds(draft, rows) * folds > min(20.0, half):
        draft.validation, draft.folds = "holdout", 0
    while rows > 500 and fit_seconds(draft, rows) * 2 > half:
        rows //= 2
        draft.sample_rows = rows
