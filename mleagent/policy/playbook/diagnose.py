"""From a traceback or a grader's reason to a mended recipe.

`diagnose` names the trouble by the words scikit-learn, pandas, the sandbox and
the grader use for it; `mend` changes the recipe accordingly, or gives None where
only another idea helps.
"""

from __future__ import annotations

import re

from .history import Attempt
from .idea import Choice
from .library import get
from .recipe import Recipe, kind_of, tidy

_SIGNS: tuple[tuple[str, str], ...] = (
    ("memory", r"\boom\b|MemoryError|Unable to allocate|out of memory|bad_alloc"),
    ("time", r"\btimeout\b|timed out|time-out|TimeoutError"),
    ("package", r"missing_package|ModuleNotFoundError|No module named|ImportError"),
    ("disk", r"\bdisk\b|No space left"),
    ("text-in-numbers", r"could not convert string to float|Cannot use \w+ strategy with non-numeric"),
    ("infinity", r"infinity|too large for dtype|overflow encountered"),
    ("missing", r"Input X contains NaN|contains NaN|Input contains NaN"),
    ("target", r"Input y contains|func and inverse_func|y_true.*negative|Poisson|out of the valid range"),
    ("classes", r"least populated class|n_splits=|number of groups|The number of classes has to be greater"
                r"|n_splits cannot be greater|only one class|least_populated"),
    ("column", r"KeyError|not in index|not found in axis|columns are missing"),
    ("answer-range", r"below|outside|not among|whole number|negative"),
    ("answer-missing", r"infinite|missing (value|label)|NaN|empty list|all 0|no number"),
    ("answer-columns", r"wrong columns|unreadable|header"),
    ("answer-rows", r"rows instead of|\bids?\b"),
)  # fmt: skip

_LIGHT = {"extra-trees", "linear-model", "hist-gradient-boosting", "naive-bayes", "decision-tree"}
_HARDENING = ("coerce-numbers", "replace-infinities")


def diagnose(attempt: Attempt) -> str:
    """The name of the trouble; `unknown` when no sign is recognised."""
    about_answer = attempt.outcome == "invalid"
    for name, pattern in _SIGNS:
        text = attempt.refusal if about_answer else attempt.trouble
        if name.startswith("answer") == about_answer and re.search(pattern, text):
            return name
    return "unknown"


def mend(attempt: Attempt) -> Recipe | None:
    """The attempt's recipe changed so that its trouble should not come back."""
    trouble, recipe = diagnose(attempt), attempt.recipe
    add, drop = _change(trouble, attempt)
    mended = tidy([*(c for c in recipe if c.name not in drop), *add])
    return mended if recipe and mended != recipe else None


def _change(trouble: str, attempt: Attempt) -> tuple[list[Choice], set[str]]:
    """Choices to add and names to drop."""
    recipe = attempt.recipe
    by_kind: dict[str, set[str]] = {}
    for choice in recipe:
        by_kind.setdefault(str(kind_of(choice)), set()).add(choice.name)
    if trouble in ("time", "memory", "disk"):
        return _lighter(recipe, by_kind)
    if trouble == "package":
        gone = {c.name for c in recipe if (idea := get(c.name)) and idea.package}
        return [], gone or {c.name for c in recipe if c.name not in _LIGHT}
    if trouble == "text-in-numbers":
        return _defaults("coerce-numbers"), set()
    if trouble == "infinity":
        return _defaults("replace-infinities"), set()
    if trouble == "missing":
        return _defaults("median-imputation"), by_kind.get("imputer", set())
    if trouble == "target":
        return [], by_kind.get("target-transform", set()) | {"tweedie-regression"}
    if trouble == "classes":
        gone = by_kind.get("threshold", set()) | by_kind.get("calibration", set())
        return [*_defaults("unstratified-folds", "holdout-validation")], gone
    if trouble == "answer-missing":
        return _defaults("fill-predictions"), set()
    if trouble in ("answer-rows", "answer-columns"):
        return _defaults("follow-sample", "fill-predictions"), set()
    if trouble == "answer-range":
        return _defaults("bound-predictions"), by_kind.get("target-transform", set())
    return [], set()


def _lighter(recipe: Recipe, by_kind: dict[str, set[str]]) -> tuple[list[Choice], set[str]]:
    """Fewer wraps, one light model; when it is light already, fewer rows."""
    gone = by_kind.get("calibration", set()) | by_kind.get("threshold", set()) - {"ordinal-cuts"}
    gone |= by_kind.get("ensemble", set())
    models = by_kind.get("model", set())
    heavy = len(models) > 1 or not models <= _LIGHT
    if heavy:
        return [Choice("hist-gradient-boosting", (("max_iter", 80), ("max_leaf_nodes", 15)))], gone | models
    shares = (0.5, 0.25, 0.1, 0.03)
    now = next((float(dict(c.params).get("share", 1.0)) for c in recipe if c.name == "sample-rows"), 1.0)
    less = next((share for share in shares if share < now), 0.01)
    holdout = (
        _defaults("holdout-validation") if "time-validation" not in by_kind.get("validation", ()) else []
    )
    return [Choice("sample-rows", (("share", less),)), *holdout], gone


def _defaults(*names: str) -> list[Choice]:
    return [idea.default() for name in names if (idea := get(name))]


def last_resorts() -> list[Recipe]:
    """Ever plainer programs, for when nothing has run yet."""
    return [
        tidy(_defaults("hist-gradient-boosting", *_HARDENING, "unstratified-folds")),
        tidy(_defaults("linear-model", *_HARDENING, "holdout-validation", "unstratified-folds")),
        tidy(
            _defaults("extra-trees", *_HARDENING, "follow-sample", "fill-predictions", "bound-predictions",
                      "holdout-validation", "unstratified-folds")
        ),
        tidy(_defaults("constant-prediction", "follow-sample", "fill-predictions", "holdout-validation",
                       "unstratified-folds", *_HARDENING)),
    ]  # fmt: skip
