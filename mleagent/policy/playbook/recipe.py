"""A recipe: the choices a program is made of, and how it is written into the program's first line.

`# ideas: hist-gradient-boosting(learning_rate=0.05), date-parts` makes every
program carry what it was composed of, so the best one can be taken up again
from its text alone, also after a resume or a fork.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from .idea import KINDS, SINGLE, Choice, Kind, Value
from .library import get
from .models_other import CLASSIFIERS

Recipe = tuple[Choice, ...]
MARK = "# ideas: "
CUTS = frozenset({"ordinal-cuts", "searched-cuts"})
"""Ideas that regress on class numbers."""
_CHOICE = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*)(\([^)]*\))?")


def kind_of(choice: Choice) -> Kind | None:
    """The kind of a choice's idea; None when there is no such idea."""
    idea = get(choice.name)
    return idea.kind if idea else None


def tidy(choices: Iterable[Choice]) -> Recipe:
    """Known ideas in laying order, each once, one a kind where only one can be; the last wins.

    Cuts between ordered classes are left out beside a model that can't regress.
    """
    kept: dict[str, Choice] = {}
    given = list(choices)
    only_classes = any(choice.name in CLASSIFIERS for choice in given)
    for choice in given:
        kind = kind_of(choice)
        if kind is None or (only_classes and choice.name in CUTS):
            continue
        key = kind if kind in SINGLE else choice.name
        kept.pop(key, None)
        kept[key] = choice
    order = {kind: place for place, kind in enumerate(KINDS)}
    return tuple(sorted(kept.values(), key=lambda choice: order[kind_of(choice) or "repair"]))


def header(recipe: Recipe) -> str:
    """The line a program opens with."""
    return MARK + ", ".join(str(choice) for choice in recipe)


def read(text: str) -> Recipe:
    """The recipe in a program's header (or a plan line); unknown names are left out."""
    for line in text.split("\n", 3)[:3]:
        if line.startswith(MARK):
            return tidy(_choices(line[len(MARK) :]))
    return ()


def from_plan(plan: str) -> Recipe:
    """Ideas named in a plan, with their default parameters."""
    found = [get(name) for name, _ in _CHOICE.findall(plan.lower())]
    return tidy(idea.default() for idea in found if idea)


def _choices(text: str) -> list[Choice]:
    found = []
    for name, inside in _CHOICE.findall(text):
        if get(name) is not None:
            found.append(Choice(name, _params(inside)))
    return found


def _params(inside: str) -> tuple[tuple[str, Value], ...]:
    """`(a=1, b='x')` as pairs; () for anything that can't be read."""
    try:
        call = ast.parse(f"f{inside or '()'}", mode="eval").body
        assert isinstance(call, ast.Call)
        return tuple((key.arg, ast.literal_eval(key.value)) for key in call.keywords if key.arg)
    except (SyntaxError, ValueError, AssertionError):
        return ()
