"""Which ideas a task calls for at first sight: the first draft, and the order of model families.

Small tables begin with a linear model, large ones with boosting, pixels with a
support vector machine, text with a linear model over TF-IDF; the metric adds the
target transform or the cuts it asks for.
"""

from __future__ import annotations

from .brief import Brief
from .idea import Choice
from .library import IDEAS, get
from .outcome import SKEW_METRICS
from .recipe import Recipe, tidy


def first_draft(brief: Brief) -> Recipe:
    """The robust baseline of a task."""
    names = [*groundwork(brief), model_order(brief)[0]]
    return tidy(idea.default() for name in names if (idea := get(name)))


def groundwork(brief: Brief) -> list[str]:
    """Ideas that every program of this task should hold, without the model."""
    names: list[str] = []
    if brief.dates:
        names += ["date-parts", "date-elapsed"]
    if brief.text:
        names += ["text-words", "text-lengths"]
    if brief.paths:
        names += ["image-pixels"]
    if brief.spelling:
        names += ["one-spelling"]
    if brief.widest > 20:
        names += ["code-numbers"]
    if brief.metric in SKEW_METRICS:
        names += ["log-target"]
    if brief.metric == "qwk":
        names += ["ordinal-cuts"]
    return [name for name in names if (idea := get(name)) and idea.fits(brief)]


def model_order(brief: Brief) -> list[str]:
    """Model families from the most promising on; only those that apply."""
    boosting = ["lightgbm", "xgboost", "catboost"]
    if brief.image_table or brief.paths:
        order = ["support-vectors", "extra-trees", "nearest-neighbours", "linear-discriminant",
                 "kernel-ridge", "neural-network", "partial-least-squares", "linear-model"]  # fmt: skip
    elif brief.text and not brief.numeric and not brief.category:
        order = ["linear-model", "linear-svm", "elastic-net", "hist-gradient-boosting", "extra-trees"]
    elif brief.rows < 250:
        order = ["linear-model", "extra-trees", "support-vectors", "random-forest", "gaussian-process",
                 "shallow-boosting", "linear-discriminant", "partial-least-squares"]  # fmt: skip
    else:
        order = ["hist-gradient-boosting", "linear-model", "extra-trees", "shallow-boosting", *boosting,
                 "support-vectors", "neural-network", "spline-model"]  # fmt: skip
    if brief.text:
        order.insert(1, "linear-model")
    every = [*dict.fromkeys([*order, "hist-gradient-boosting", "random-forest"])]
    return [name for name in every if (idea := get(name)) and idea.fits(brief)] or ["linear-model"]


def liking(brief: Brief, choice_names: frozenset[str], name: str) -> float:
    """How much the playbook likes to add idea `name` to a program of those ideas; 0: never."""
    idea = get(name)
    if idea is None or not idea.fits(brief):
        return 0.0
    like = idea.weight
    smooth = {"linear-model", "support-vectors", "neural-network", "nearest-neighbours", "kernel-ridge",
              "spline-model", "linear-svm", "elastic-net", "gaussian-process"}  # fmt: skip
    if idea.kind in ("scaler", "imputer") or name == "log-skewed-columns":
        like *= 1.5 if choice_names & smooth else 0.2
    if name == "tuned-threshold":
        like *= 4.0 if brief.metric in {"f1", "f1_binary", "balanced_accuracy", "mcc"} else 0.4
    if name == "balanced-class-weights":
        wanted = brief.metric in {"f1", "f1_binary", "f1_macro", "balanced_accuracy", "mcc"}
        like *= 3.0 if wanted else 0.1
    if name.endswith("-calibration"):
        like *= 2.0 if brief.metric in {"logloss", "brier", "logloss_multi", "logloss_binary"} else 0.1
    if idea.kind == "encoder":
        like *= 2.0 if brief.widest > 15 else 1.0
    return like


def wanted_by(brief: Brief, words: str) -> list[Choice]:
    """Ideas that the user's own words name, e.g. `use catboost, add date cycles`."""
    spaced = f" {' '.join(''.join(c if c.isalnum() else ' ' for c in words.lower()).split())} "
    found = []
    for idea in IDEAS:
        if f" {idea.name.replace('-', ' ')} " in spaced and idea.fits(brief):
            found.append(idea.default())
    return found
