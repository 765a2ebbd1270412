"""What a generating process hands to the generator of synthetic tasks, and the registry of processes.

A process is a function (rng, rows) → `Made`: the columns as a user would see them and a signal that the
answer is made of. Processes live in `synth_numeric`, `synth_columns` and `synth_media`; names, noise, the
metric and the words around them come later, so that the same process gives many different tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Problem = Literal["regression", "binary", "multiclass", "ordinal"]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Rng = np.random.Generator
Column = Floats | Ints | list[str | None]
"""Numbers with NaN where missing, whole numbers, or text with None where missing; one value a row."""
PROBLEMS: tuple[Problem, ...] = ("regression", "binary", "multiclass", "ordinal")


@dataclass
class Made:
    """Columns and signal of `rows` rows."""

    columns: dict[str, Column]
    """By a working name; most names are replaced by ones of a style."""
    signal: Floats
    """What the answer is made of; only its order and shape matter, scale does not."""
    hint: str
    """What a domain expert would say of the process, one sentence; some tasks' words hold it."""
    problems: tuple[Problem, ...] = PROBLEMS
    classes: Ints | None = None
    """Natural classes for multiclass problems; else the signal is cut."""
    rescale: bool = True
    """Whether each number column may get a unit of its own."""
    extras: bool = True
    """Whether columns that mean nothing, and missing values, may be added."""
    keep_names: bool = False
    growth: bool = False
    """The target is the exponential of the signal: positive, with a long tail."""
    tails: bool = False
    """The target's noise has heavy tails."""
    groups: Ints | None = None
    """Group of each row; whole groups go into the user's test table."""
    group_name: str = ""


Process = Callable[[Rng, int], Made]


@dataclass(frozen=True)
class Family:
    """A registered process with what the generator must know before calling it."""

    name: str
    make: Process
    rows: tuple[int, int] = (150, 600)
    """Labelled rows, from and to."""
    weight: float = 1.0


FAMILIES: dict[str, Family] = {}
"""Every process by its name; filled by `family` when the modules are imported (see `synth`)."""


def family(
    name: str, rows: tuple[int, int] = (150, 600), weight: float = 1.0
) -> Callable[[Process], Process]:
    """Register a process under `name`."""

    def register(make: Process) -> Process:
        FAMILIES[name] = Family(name, make, rows, weight)
        return make

    return register


def normals(rng: Rng, rows: int, columns: int, link: float = 0.0) -> Floats:
    """Standard normal columns (rows, columns), each pair correlated by `link`."""
    common = rng.normal(size=(rows, 1))
    return np.asarray(np.sqrt(link) * common + np.sqrt(1 - link) * rng.normal(size=(rows, columns)))


def weights(rng: Rng, count: int) -> Floats:
    """Coefficients of either sign, none near zero."""
    return rng.choice([-1.0, 1.0], count) * rng.uniform(0.5, 1.5, count)


def standard(values: Floats) -> Floats:
    """Mean 0 and spread 1, rounded so that the last bits of a machine's arithmetic never decide a label."""
    spread = float(values.std())
    return np.asarray(np.round((values - values.mean()) / (spread if spread > 0 else 1.0), 9))


def numbered(prefix: str, values: Floats) -> dict[str, Column]:
    """The columns of a matrix under working names `prefix0`, `prefix1`, ..."""
    return {f"{prefix}{place}": values[:, place].copy() for place in range(values.shape[1])}
