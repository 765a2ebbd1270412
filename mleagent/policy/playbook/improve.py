"""The next recipe on the best so far: other models first, then a blend, then features and tuning.

A move changes one or two ideas of the base. Which one is drawn from a seeded rng
with weights that follow the task and what the session has shown: ideas that
gained come back, ideas that failed or gave nothing fade. A recipe already tried
is never proposed again.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from .brief import Brief
from .compose import lay
from .first import groundwork, liking, model_order, wanted_by
from .history import Attempt, best_of, judged
from .idea import Choice
from .library import IDEAS, get
from .recipe import Recipe, kind_of, tidy

FAMILIES = 4
"""Model families tried before anything else is."""
ADDABLE = {
    "feature", "date-features", "text-features", "image-features", "imputer", "scaler", "encoder",
    "feature-selection", "target-transform", "class-weights", "calibration", "threshold",
}  # fmt: skip


class Search:
    """Proposes recipes for one task from what was tried."""

    def __init__(self, brief: Brief, tried: list[Attempt], rng: Random, instruction: str = "") -> None:
        self.brief, self.rng = brief, rng
        self.tried = tried = judged(tried, brief.rows)
        self.wanted = wanted_by(brief, instruction)
        self.seen = {attempt.recipe for attempt in tried}
        self.laid = {repr(lay(brief, recipe, 600.0)) for recipe in self.seen}
        self.best = best_of([attempt for attempt in tried if attempt.recipe])
        self.base = self._base()
        worked = {name for a in tried if a.value is not None for name in a.names}
        self.banned = {name for a in tried if a.value is None for name in a.names} - worked

    def _base(self) -> Recipe:
        """The best recipe, or one of those within noise of it (a coin tosses)."""
        if self.best is None:
            return ()
        level = (self.best.value or 0.0) - self.best.se / 2
        near = [a for a in self.tried if a.recipe and a.value is not None and a.value >= level]
        return self.best.recipe if self.rng.random() < 0.7 else self.rng.choice(near).recipe

    def next(self, steps_left: int | None = None) -> Recipe | None:
        """A recipe not tried yet; None when nothing new was found."""
        for choice in self.wanted:
            if not any(choice.name in a.names for a in self.tried):
                return self._with(choice)
        families = self._singles()
        late = steps_left is not None and steps_left <= 3
        length = len(self.tried) + (steps_left if steps_left is not None else 40)
        wanted = FAMILIES if length > 12 else 3 if length > 6 else 2
        if len(families) < wanted and not late:
            found = self._new_family()
            if found:
                return found
        blended = any(len(a.models) > 1 for a in self.tried)
        if not blended and len(families) >= 2 and (found := self._blend()):
            return found
        return self.drawn()

    def drawn(self) -> Recipe | None:
        """A weighted draw among the moves, until one gives a new recipe."""
        moves: list[tuple[Callable[[], Recipe | None], float]] = [
            (self._add, 4.0), (self._tune, 2.5), (self._blend, 2.0), (self._new_family, 1.0),
            (self._drop, 0.7), (self._swap, 1.2), (self._stack, 0.8),
        ]  # fmt: skip
        for _ in range(60):
            move = self.rng.choices([m for m, _ in moves], [w for _, w in moves])[0]
            found = move()
            if found and found not in self.seen:
                return found
        return None

    # --- moves ------------------------------------------------------------------

    def _new_family(self) -> Recipe | None:
        """The base with the most promising model family not tried yet."""
        done = {name for a in self.tried for name in a.models}
        ahead = [name for name in model_order(self.brief) if name not in done | self.banned]
        if not ahead:
            rest = [i for i in IDEAS if i.kind == "model" and i.fits(self.brief) and i.weight > 0.2]
            ahead = [i.name for i in rest if i.name not in done | self.banned]
            self.rng.shuffle(ahead)
        idea = get(ahead[0]) if ahead else None
        if idea is None:
            return None
        return self._fresh(tidy([*self._ground(), idea.default()]))

    def _ground(self) -> list[Choice]:
        """What the base has besides models, or the task's groundwork when there is no base."""
        if self.base:
            return [c for c in self.base if kind_of(c) not in ("model", "ensemble")]
        return [idea.default() for name in groundwork(self.brief) if (idea := get(name))]

    def _blend(self) -> Recipe | None:
        """The best two to four families in one."""
        ranked = self._singles()
        count = self.rng.choice((3, 2, 4)) if any(len(a.models) > 1 for a in self.tried) else 3
        chosen = [a for place, a in enumerate(ranked[:count]) if place < 2 or self._close(a, ranked)]
        models = [c for a in chosen for c in a.recipe if kind_of(c) == "model"]
        if len(models) < 2:
            return None
        idea = get("blend-average")
        return self._fresh(tidy([*self._ground(), *models, *([idea.default()] if idea else [])]))

    def _close(self, attempt: Attempt, ranked: list[Attempt]) -> bool:
        """Whether a family is near enough to the best to help a blend."""
        values = [a.value or 0.0 for a in ranked]
        gap = max(2.5 * ranked[0].se, 0.5 * (values[0] - values[-1]))
        return (attempt.value or 0.0) >= values[0] - gap

    def _stack(self) -> Recipe | None:
        idea = get(self.rng.choice(("stacking", "stacking", "stacking-with-columns")))
        blend = self._blend()
        if not blend or idea is None or not idea.fits(self.brief):
            return None
        return self._fresh(tidy([*blend, idea.default()]))

    def _add(self) -> Recipe | None:
        """One or two more ideas on the base."""
        found = self.base
        for _ in range(self.rng.choice((1, 1, 1, 2))):
            ideas = [i for i in IDEAS if i.kind in ADDABLE and i.name not in {c.name for c in found}]
            weights = [self._interest(i.name) ** 2 for i in ideas]
            if not any(weights):
                break
            idea = self.rng.choices(ideas, weights)[0]
            first = all(idea.name not in a.names for a in self.tried)
            kept = [
                c for c in found if not (idea.kind == "text-features" == kind_of(c)) or "lengths" in c.name
            ]
            found = tidy([*kept, idea.default() if first else idea.draw(self.rng)])
        return self._fresh(found)

    def _tune(self) -> Recipe | None:
        """One parameter of one choice takes another value."""
        open_ = [c for c in self.base if (i := get(c.name)) and any(len(v) > 1 for v in i.params.values())]
        if not open_:
            return None
        weights = [3.0 if kind_of(c) == "model" else 1.0 for c in open_]
        choice = self.rng.choices(open_, weights)[0]
        idea = get(choice.name)
        assert idea is not None
        name = self.rng.choice([key for key, values in idea.params.items() if len(values) > 1])
        params = {**dict(idea.default().params), **dict(choice.params)}
        params[name] = self.rng.choice([v for v in idea.params[name] if v != params[name]])
        tuned = Choice(choice.name, tuple(params.items()))
        return self._fresh(tidy([tuned if c is choice else c for c in self.base]))

    def _drop(self) -> Recipe | None:
        """The base without one of its ideas."""
        extra = [c for c in self.base if kind_of(c) in ADDABLE]
        images = [c for c in extra if kind_of(c) == "image-features"]
        if len(images) == 1:
            extra.remove(images[0])  # without it there may be nothing left to learn from
        models = [c for c in self.base if kind_of(c) == "model"]
        extra += models if len(models) > 2 else []
        if not extra:
            return None
        gone = self.rng.choice(extra)
        return self._fresh(tidy([c for c in self.base if c is not gone]))

    def _swap(self) -> Recipe | None:
        """One model of the base replaced by another."""
        models = [c for c in self.base if kind_of(c) == "model"]
        ideas = [i for i in IDEAS if i.kind == "model" and i.fits(self.brief) and i.name not in self.banned]
        weights = [i.weight for i in ideas]
        if not models or not any(weights):
            return None
        new = self.rng.choices(ideas, weights)[0].draw(self.rng)
        gone = self.rng.choice(models)
        return self._fresh(tidy([*(c for c in self.base if c is not gone), new]))

    def _with(self, choice: Choice) -> Recipe:
        """The base with an idea that the user asked for; a model replaces the models."""
        if kind_of(choice) == "model":
            return tidy([*self._ground(), choice])
        return tidy([*self.base, choice])

    # --- judgement --------------------------------------------------------------

    def _fresh(self, recipe: Recipe) -> Recipe | None:
        """The recipe, unless it or one that lays the same program was tried."""
        if not recipe or recipe in self.seen:
            return None
        return recipe if repr(lay(self.brief, recipe, 600.0)) not in self.laid else None

    def _singles(self) -> list[Attempt]:
        """The best attempt of each single-model family, best first."""
        by_family: dict[tuple[str, ...], Attempt] = {}
        for attempt in self.tried:
            if attempt.value is None or len(attempt.models) != 1:
                continue
            other = by_family.get(attempt.models)
            if other is None or attempt.value > (other.value or 0.0):
                by_family[attempt.models] = attempt
        return sorted(by_family.values(), key=lambda a: a.value or 0.0, reverse=True)

    def _interest(self, name: str) -> float:
        """Liking, faded by every try that gave nothing, raised by one that gained."""
        if name in self.banned:
            return 0.0
        like = liking(self.brief, frozenset(c.name for c in self.base), name)
        best: float | None = None
        for attempt in self.tried:
            gained = attempt.value is not None and (best is None or attempt.value > best)
            if name in attempt.names:
                like *= 1.2 if gained else 0.45
            if gained:
                best = attempt.value
        return like
