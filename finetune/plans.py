"""Plans that do not depend on one task: the panel from which constant and profile-aware recipes are made.

A panel plan is a recipe for every task: ideas that do not apply are left out, and what the profile shows at
once (dates, texts, a skewed positive target) is served by a groundwork that most of them share. So the best
constant recipe is a strong one, and beating it takes more than noticing that there is a text column.
`grounded` lends the same groundwork to drawn plans: an expert's habit, not a finding.
"""

from __future__ import annotations

from random import Random

from mleagent.policy.playbook.brief import Brief

from .ideas import Plan, plan_of, tidy

GROUND = ("date-elapsed", "date-parts", "text-words", "text-lengths", "log-target")
GROUNDED = 0.6
"""How often an expert lays the groundwork under a drawn plan."""

_MODELS = (
    "hist-gradient-boosting", "shallow-boosting", "gradient-boosting", "stump-boosting", "random-forest",
    "extra-trees", "wide-extra-trees", "linear-model", "shrunken-linear", "lasso", "support-vectors",
    "sharp-support-vectors", "polynomial-support-vectors", "gaussian-process", "neural-network",
    "nearest-neighbours", "kernel-approximation", "spline-model", "polynomial-model", "stepwise-model",
    "linear-discriminant", "partial-least-squares", "huber-regression",
)  # fmt: skip
_COMPOSED = (
    ("linear-model", "blend-forest"),
    ("hist-gradient-boosting", "blend-linear"),
    ("extra-trees", "blend-kernel"),
    ("gaussian-process", "blend-forest"),
    ("spline-model", "blend-boosting"),
    ("extra-trees", "target-encoding", "code-numbers"),
    ("linear-model", "code-numbers", "code-letters"),
    ("shallow-boosting", "target-and-one-hot", "frequency-encoding"),
    ("linear-model", "grade-words"),
    ("extra-trees", "pairwise-differences"),
    ("shallow-boosting", "absolute-differences"),
    ("extra-trees", "pairwise-ratios"),
    ("linear-model", "quantile-scaling"),
    ("support-vectors", "clip-outliers"),
    ("support-vectors", "quantile-scaling"),
    ("linear-model", "missing-flags"),
    ("extra-trees", "row-statistics"),
    ("linear-model", "row-statistics"),
    ("linear-model", "circle-columns", "date-cycles"),
    ("extra-trees", "date-cycles", "date-differences"),
    ("linear-model", "date-cycles", "weekday-categories"),
    ("shallow-boosting", "group-aggregates"),
    ("linear-model", "group-aggregates"),
    ("linear-model", "numbers-as-categories", "category-crosses"),
    ("linear-model", "text-characters"),
    ("linear-model", "text-pairs"),
    ("extra-trees", "text-signs", "text-counts"),
    ("extra-trees", "pixel-frequencies"),
    ("support-vectors", "pixel-centred"),
    ("extra-trees", "curve-frequencies"),
    ("extra-trees", "value-statistics"),
    ("linear-model", "pixel-edges"),
    ("shrunken-linear", "curve-slopes"),
    ("partial-least-squares", "curve-standard"),
    ("linear-model", "balanced-class-weights", "ordinal-rounding"),
    ("extra-trees", "balanced-class-weights", "ordinal-rounding"),
    ("support-vectors", "tuned-threshold", "ordinal-cuts"),
)

PANEL: tuple[Plan, ...] = tuple(
    plan_of(*GROUND, *names) for names in (*((model,) for model in _MODELS), *_COMPOSED)
)
"""Every panel plan; its place in this tuple is its number."""


def grounded(plan: Plan, brief: Brief, rng: Random) -> Plan:
    """The drawn plan, with the groundwork that the profile calls for under it, or as it is.

    What was drawn wins over the groundwork. Whether it is laid is drawn too, whatever it would score.
    """
    return tidy((*plan_of(*GROUND), *plan), brief) if rng.random() < GROUNDED else plan
