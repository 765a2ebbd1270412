"""An idea, a choice of its parameters, and the draft of a program that ideas fill in.

An `Idea` is a named thing to try. It says where it applies, which parameter
values it may take (the first of each is its default) and what it adds to a
`Draft`. Drawing an idea and its parameters needs no score, so that ideas can be
drawn independently of what they are worth.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from .brief import Brief

Kind = Literal[
    "validation", "rows", "image-features", "feature", "date-features", "text-features",
    "imputer", "scaler", "encoder", "feature-selection", "target-transform", "class-weights",
    "model", "ensemble", "calibration", "threshold", "repair",
]  # fmt: skip
KINDS: tuple[Kind, ...] = (
    "rows", "repair", "image-features", "date-features", "feature", "text-features",
    "imputer", "scaler", "encoder", "feature-selection", "class-weights", "target-transform",
    "model", "ensemble", "calibration", "threshold", "validation",
)  # fmt: skip
"""In the order in which ideas are laid into a draft."""
SINGLE: frozenset[Kind] = frozenset(
    {"validation", "rows", "imputer", "scaler", "encoder", "class-weights", "target-transform",
     "ensemble", "calibration", "threshold"}
)  # fmt: skip
"""Kinds of which a program holds at most one idea."""

Value = int | float | str | bool
Params = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """An idea by name with the values drawn for its parameters."""

    name: str
    params: tuple[tuple[str, Value], ...] = ()

    def __str__(self) -> str:
        inside = ", ".join(f"{key}={literal(value)}" for key, value in self.params)
        return f"{self.name}({inside})" if inside else self.name


@dataclass
class Draft:
    """A program in the making. Ideas add to its slots; `render` turns it into text."""

    brief: Brief
    seconds: float = 600.0
    """Time the program may take."""
    regress: bool = False
    """Models are regressors; set from the brief, and by ideas that regress on class numbers."""
    imports: set[tuple[str, str]] = field(default_factory=set)
    """(module, name) for `from module import name`; ("", "import x") for other lines."""
    sample_rows: int = 0
    """Train on that many rows at most; 0: on all."""
    repairs: set[str] = field(default_factory=set)
    features: list[str] = field(default_factory=list)
    """Lines of `add_features(df)`: from one table's columns to new ones, row by row."""
    frames: list[str] = field(default_factory=list)
    """Lines that use X and X_test together, before columns are sorted by type."""
    helpers: list[str] = field(default_factory=list)
    """Top-level functions, whole."""
    images: list[str] = field(default_factory=list)
    """Expressions that turn a Pillow `image` into a flat array."""
    impute: str = ""
    scale: str = ""
    numeric_extra: list[str] = field(default_factory=list)
    """Pipeline steps on the numeric columns, after imputing and scaling."""
    encode: str = ""
    text: str = ""
    """Vectoriser of a text column."""
    reduce: list[str] = field(default_factory=list)
    """Pipeline steps after all columns are prepared."""
    balanced: bool = False
    target: str | None = None
    """Keywords of TransformedTargetRegressor for the regression target."""
    models: list[str] = field(default_factory=list)
    needs: set[str] = field(default_factory=set)
    """Of the models: `impute`, `scale`, `onehot`, `dense`, `positive` (no negative inputs)."""
    mute: set[str] = field(default_factory=set)
    """Models without `predict_proba`."""
    native_multi: bool = True
    """Whether every model predicts several targets by itself."""
    heavy: float = 0.0
    """Sum of the models' costs; 1 is gradient boosting of 200 rounds."""
    ensemble: str = "blend"
    """How several models join: `blend`, `stack`, `stack-passthrough`."""
    bag: int = 0
    """Copies of the model with other seeds and rows, averaged; 0: none."""
    wrap: list[str] = field(default_factory=list)
    """Expressions with `{}` for the model, applied in order."""
    cuts: str = ""
    """How regressed class numbers become classes: `shares` or `search`."""
    clip: bool = False
    """Keep predicted values inside the range of the train target."""
    validation: str = ""
    folds: int = 0

    def use(self, module: str, *names: str) -> None:
        """Import `names` from `module`."""
        self.imports.update((module, name) for name in names)

    def model(
        self,
        module: str,
        name: str,
        *,
        needs: str = "",
        multi: bool = False,
        proba: bool = True,
        cost: float = 1.0,
        **args: Any,
    ) -> None:
        """Add a model: a call of `name` with `args` as keywords; `needs` as words."""
        self.use(module, name)
        self.models.append(call(name, **args))
        if not proba:
            self.mute.add(self.models[-1])
        self.needs.update(needs.split())
        self.native_multi = self.native_multi and multi
        self.heavy += cost

    def after(self, step: str) -> None:
        """Put a pipeline step before the model added last, for that model alone."""
        self.use("sklearn.pipeline", "make_pipeline")
        self.models[-1] = f"make_pipeline({step}, {self.models[-1]})"


class Raw(str):
    """An argument that is code, not a string."""


def literal(value: object) -> str:
    """A value as source text, strings in double quotes; never holds a closing tag of an action."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)
        return text.replace("</", "\\x3c/")
    return repr(value)


def call(name: str, *positional: str, **args: Any) -> str:
    """`name(positional, key=value)` as source text; None-valued keywords are left out."""
    parts = list(positional)
    for key, value in args.items():
        if value is not None:
            parts.append(f"{key}={literal(value)}")
    return f"{name}({', '.join(parts)})"


Contribution = Callable[[Draft, Params], None]


def always(brief: Brief) -> bool:
    """Applies to every task."""
    return True


@dataclass(frozen=True)
class Idea:
    """A named, composable thing to try."""

    name: str
    kind: Kind
    about: str
    """One line for people and prompts."""
    contribute: Contribution
    """Adds the idea to a draft; raises nothing."""
    applies: Callable[[Brief], bool] = always
    params: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """Values each parameter may take; the first is the default."""
    package: str = ""
    """Needs this package beyond numpy, pandas and scikit-learn."""
    weight: float = 1.0
    """How eagerly the playbook itself tries it; learning may ignore it."""

    def default(self) -> Choice:
        """The choice with every parameter's first value."""
        return Choice(self.name, tuple((key, values[0]) for key, values in self.params.items()))

    def draw(self, rng: Random) -> Choice:
        """A choice with every parameter drawn evenly from its values."""
        return Choice(self.name, tuple((key, rng.choice(values)) for key, values in self.params.items()))

    def fits(self, brief: Brief) -> bool:
        """Whether it applies and its package is there."""
        return (not self.package or brief.has(self.package)) and self.applies(brief)
