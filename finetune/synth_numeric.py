"""Generating processes on columns of numbers: linear, smooth, rules, distances, products, tails, ...

Each leaves a different kind of program ahead; which one, the columns and their number tell in part, the
rest only trying reveals.
"""

from __future__ import annotations

import numpy as np

from .synth_base import Column, Floats, Made, Rng, family, normals, numbered, standard, weights

_REGRESSION_AND_TWO = ("regression", "binary", "ordinal")


@family("linear")
def linear(rng: Rng, rows: int) -> Made:
    """A weighted sum of a handful of columns."""
    x = normals(rng, rows, int(rng.integers(4, 13)), float(rng.choice([0.0, 0.3])))
    return Made(numbered("x", x), x @ weights(rng, x.shape[1]), "Every factor adds its own share.")


@family("sparse", rows=(150, 260))
def sparse(rng: Rng, rows: int) -> Made:
    """A few columns of very many matter."""
    x = normals(rng, rows, int(rng.integers(60, 110)))
    used = rng.choice(x.shape[1], int(rng.integers(3, 7)), replace=False)
    signal = x[:, used] @ weights(rng, len(used))
    return Made(numbered("x", x), signal, "Only a few of the many columns matter.", extras=False)


@family("factors", rows=(150, 300))
def factors(rng: Rng, rows: int) -> Made:
    """Many columns that all mirror three or four hidden factors."""
    hidden = normals(rng, rows, int(rng.integers(3, 5)))
    count = int(rng.integers(24, 60))
    x = hidden @ rng.normal(size=(hidden.shape[1], count)) + 0.6 * rng.normal(size=(rows, count))
    signal = hidden @ weights(rng, hidden.shape[1])
    return Made(numbered("x", x), signal, "The columns overlap: few causes stand behind all.", extras=False)


def _bend(rng: Rng, x: Floats) -> Floats:
    shapes = (
        np.sin(2.2 * x), x**2 - 1, np.abs(x) - 0.8, np.tanh(3 * x), np.exp(-2 * x**2), np.exp(0.7 * x) - 1,
    )  # fmt: skip
    return standard(shapes[int(rng.integers(len(shapes)))])


@family("additive")
def additive(rng: Rng, rows: int) -> Made:
    """A sum of smooth bends, one a column."""
    x = rng.uniform(-2, 2, size=(rows, int(rng.integers(4, 8))))
    signal = sum((_bend(rng, x[:, k]) * rng.uniform(0.6, 1.4) for k in range(x.shape[1])), np.zeros(rows))
    return Made(numbered("x", x), signal, "Each factor has a smooth effect of its own, with an optimum.")


@family("products")
def products(rng: Rng, rows: int) -> Made:
    """Products of pairs."""
    x = normals(rng, rows, int(rng.integers(4, 8)))
    signal = 0.3 * (x @ weights(rng, x.shape[1]))
    for _ in range(int(rng.integers(2, 4))):
        a, b = rng.choice(x.shape[1], 2, replace=False)
        signal = signal + rng.uniform(0.8, 1.6) * rng.choice([-1, 1]) * x[:, a] * x[:, b]
    return Made(numbered("x", x), signal, "Factors act in pairs: one strengthens another.")


@family("ratios")
def ratios(rng: Rng, rows: int) -> Made:
    """One positive quantity for each of another."""
    x = np.exp(rng.normal(size=(rows, int(rng.integers(4, 7))), scale=0.6)) * 10
    signal = x[:, 0] / x[:, 1]
    if rng.random() < 0.5:
        signal = signal + rng.uniform(0.5, 1.0) * x[:, 2] / x[:, 3]
    return Made(
        numbered("x", x),
        np.minimum(signal, 8.0),
        "What counts is one quantity for each of another.",
        rescale=False,
    )


@family("differences")
def differences(rng: Rng, rows: int) -> Made:
    """Like columns; the gap between two of them matters."""
    x = 50 + 12 * normals(rng, rows, int(rng.integers(4, 8)), 0.6)
    a, b, c = rng.choice(x.shape[1], 3, replace=False)
    gap = x[:, a] - x[:, b]
    signal = np.abs(gap) if rng.random() < 0.5 else np.tanh(gap / 5) + np.tanh((x[:, c] - x[:, b]) / 5)
    return Made(numbered("x", x), signal, "What counts is the gap between two readings.", rescale=False)


@family("rules")
def rules(rng: Rng, rows: int) -> Made:
    """A tree of yes-or-no questions."""
    x = rng.uniform(0, 1, size=(rows, int(rng.integers(5, 10))))
    depth = int(rng.integers(3, 5))
    leaf = np.zeros(rows, dtype=np.int64)
    for level in range(depth):
        which = rng.integers(0, min(4, x.shape[1]), 2**level)
        cut = rng.uniform(0.35, 0.65, 2**level)
        leaf = 2 * leaf + (x[np.arange(rows), which[leaf]] > cut[leaf])
    signal = rng.normal(size=2**depth)[leaf]
    return Made(numbered("x", x), signal, "Decisions follow a list of rules with fixed limits.")


@family("steps")
def steps(rng: Rng, rows: int) -> Made:
    """Columns with limits; passing one adds a fixed amount."""
    x = rng.uniform(0, 1, size=(rows, int(rng.integers(4, 9))))
    signal = np.zeros(rows)
    for _ in range(int(rng.integers(5, 9))):
        signal = signal + weights(rng, 1)[0] * (x[:, rng.integers(x.shape[1])] > rng.uniform(0.15, 0.85))
    return Made(numbered("x", x), signal, "There are limits; beyond one of them things change at once.")


@family("waves")
def waves(rng: Rng, rows: int) -> Made:
    """A fast periodic effect of one or two columns."""
    x = rng.uniform(-3, 3, size=(rows, int(rng.integers(2, 5))))
    signal = np.sin(rng.uniform(2.0, 4.0) * x[:, 0] + rng.uniform(0, 6))
    if x.shape[1] > 2:
        signal = signal + 0.7 * np.sin(rng.uniform(1.5, 3.0) * x[:, 1])
    return Made(numbered("x", x), signal, "The effect comes and goes in waves.")


@family("distance")
def distance(rng: Rng, rows: int) -> Made:
    """How near a row is to a few places."""
    x = rng.normal(size=(rows, int(rng.integers(2, 5))))
    places = rng.normal(size=(int(rng.integers(1, 4)), x.shape[1]))
    near = np.sqrt(((x[:, None, :] - places[None]) ** 2).sum(axis=2)).min(axis=1)
    signal = np.exp(-(near**2)) if rng.random() < 0.5 else -near
    return Made(numbered("x", x), signal, "It matters how near a point lies to certain places.")


@family("clusters")
def clusters(rng: Rng, rows: int) -> Made:
    """Many small clusters, each with an answer of its own."""
    count, width = int(rng.integers(7, 13)), int(rng.integers(3, 7))
    centres = rng.uniform(-2.5, 2.5, size=(count, width))
    member = rng.integers(0, count, rows)
    x = centres[member] + rng.normal(size=(rows, width), scale=0.55)
    names = int(rng.integers(3, 5))
    classes = np.arange(count)[member] % names
    return Made(
        numbered("x", x),
        rng.normal(size=count)[member],
        "Similar cases have similar outcomes.",
        classes=classes,
    )


@family("board")
def board(rng: Rng, rows: int) -> Made:
    """A board of fields, light and dark, in two columns."""
    x = rng.uniform(0, 1, size=(rows, int(rng.integers(3, 6))))
    fields = int(rng.integers(2, 4))
    cell = np.floor(x[:, :2] * fields).sum(axis=1) % 2
    signal = cell + 0.25 * x[:, 2]
    return Made(
        numbered("x", x), signal, "Neither column tells anything alone.", problems=("binary", "regression")
    )


@family("tails")
def tails(rng: Rng, rows: int) -> Made:
    """Columns with long tails whose order of size matters."""
    logs = rng.normal(size=(rows, int(rng.integers(5, 10))))
    signal = logs @ weights(rng, logs.shape[1])
    return Made(
        numbered("x", np.exp(rng.uniform(1.2, 1.9) * logs)),
        signal,
        "Amounts range from tiny to huge; each doubling counts the same.",
    )


@family("outliers")
def outliers(rng: Rng, rows: int) -> Made:
    """A linear process; some readings are far off."""
    x = normals(rng, rows, int(rng.integers(5, 10)))
    signal = x @ weights(rng, x.shape[1])
    wild = rng.random(x.shape) < rng.uniform(0.02, 0.05)
    x = np.where(wild, x * rng.uniform(15, 60, size=x.shape), x)
    return Made(numbered("x", x), signal, "Some instruments failed now and then and gave wild values.")


@family("rough")
def rough(rng: Rng, rows: int) -> Made:
    """A linear or mildly bent process whose target has heavy-tailed noise."""
    x = normals(rng, rows, int(rng.integers(4, 9)), 0.2)
    signal = x @ weights(rng, x.shape[1]) + 0.4 * x[:, 0] ** 2
    return Made(
        numbered("x", x), signal, "A few results were recorded badly.", problems=("regression",), tails=True
    )


@family("growth", weight=1.5)
def growth(rng: Rng, rows: int) -> Made:
    """Effects multiply: the logarithm of the target is a sum."""
    x = normals(rng, rows, int(rng.integers(4, 10)), 0.2)
    signal = x @ weights(rng, x.shape[1])
    if rng.random() < 0.4:
        signal = signal + np.abs(x[:, 0]) * 1.5
    return Made(
        numbered("x", x), signal, "Effects multiply each other.", problems=("regression",), growth=True
    )


@family("profiles")
def profiles(rng: Rng, rows: int) -> Made:
    """Like columns; their spread, most or least matters, not any one of them."""
    x = 20 + rng.normal(size=(rows, int(rng.integers(6, 13)))) * rng.uniform(1, 5, size=(rows, 1))
    kind = int(rng.integers(3))
    signal = (x.std(axis=1), x.max(axis=1) - x.min(axis=1), np.log(x.std(axis=1) + 0.1))[kind]
    return Made(numbered("x", x), signal, "How much the readings of a row vary matters.", rescale=False)


@family("greatest")
def greatest(rng: Rng, rows: int) -> Made:
    """Like columns; which is the greatest decides."""
    count = int(rng.integers(3, 5))
    x = 100 + 15 * normals(rng, rows, count + int(rng.integers(0, 3)), 0.4)
    return Made(
        numbered("x", x),
        x[:, :count].max(axis=1) - x[:, :count].mean(axis=1),
        "The highest of several scores decides.",
        problems=("multiclass", "regression"),
        classes=x[:, :count].argmax(axis=1),
        rescale=False,
    )


@family("angles")
def angles(rng: Rng, rows: int) -> Made:
    """Hours and directions: numbers that close to a circle."""
    hour, degree = rng.integers(0, 24, rows), np.round(rng.uniform(0, 360, rows))
    other = normals(rng, rows, int(rng.integers(2, 5)))
    signal = 1.3 * np.cos((hour - rng.integers(24)) / 24 * 2 * np.pi)
    signal = (
        signal + np.cos(np.radians(degree - rng.uniform(0, 360))) + 0.5 * other @ weights(rng, other.shape[1])
    )
    columns: dict[str, Column] = {"hour": hour, "direction": degree, **numbered("x", other)}
    return Made(columns, signal, "Time of day and direction have smooth effects.", rescale=False)


@family("regimes")
def regimes(rng: Rng, rows: int) -> Made:
    """Two ways of working; a switch says which, and the effects turn round."""
    x = normals(rng, rows, int(rng.integers(3, 7)))
    switch = (rng.random(rows) < rng.uniform(0.35, 0.65)).astype(np.int64)
    first, second = weights(rng, x.shape[1]), weights(rng, x.shape[1])
    signal = np.where(switch == 1, x @ first, x @ second)
    return Made(
        {"mode": switch, **numbered("x", x)},
        signal,
        "There are two modes with different behaviour.",
        problems=("regression", "binary", "ordinal"),
    )


@family("number-codes")
def number_codes(rng: Rng, rows: int) -> Made:
    """Whole numbers that are names: each has an effect of its own."""
    columns: dict[str, Column] = {}
    signal = np.zeros(rows)
    for place in range(int(rng.integers(2, 4))):
        count = int(rng.integers(6, 13))
        code = rng.integers(1, count + 1, rows)
        columns[f"code{place}"] = code
        signal = signal + rng.normal(size=count + 1)[code]
    x = normals(rng, rows, 3)
    return Made(
        columns | numbered("x", x),
        signal + 0.5 * x[:, 0],
        "Some numbers are codes, not amounts.",
        rescale=False,
    )


@family("smooth-surface")
def smooth_surface(rng: Rng, rows: int) -> Made:
    """A random smooth surface over three to five columns."""
    x = normals(rng, rows, int(rng.integers(3, 6)))
    turns = rng.normal(size=(x.shape[1], 40), scale=rng.uniform(0.5, 0.9))
    signal = np.cos(x @ turns + rng.uniform(0, 6.28, 40)) @ rng.normal(size=40)
    return Made(numbered("x", x), signal, "The outcome changes smoothly with all factors at once.")


@family("noisy-labels")
def noisy_labels(rng: Rng, rows: int) -> Made:
    """A simple linear cut with a good share of wrong labels."""
    x = normals(rng, rows, int(rng.integers(6, 15)))
    signal = standard(x[:, :4] @ weights(rng, 4))
    wrong = rng.random(rows) < rng.uniform(0.08, 0.16)
    return Made(
        numbered("x", x),
        np.where(wrong, -signal, signal),
        "A share of the labels is known to be wrong.",
        problems=("binary",),
    )
