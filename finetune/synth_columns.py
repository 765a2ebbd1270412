"""Generating processes in categories, codes, dates, groups and missing values."""

from __future__ import annotations

import numpy as np

from .synth_base import Column, Floats, Ints, Made, Rng, family, normals, numbered, standard, weights

_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_START = np.datetime64("2015-01-01")


def _levels(rng: Rng, count: int) -> list[str]:
    """Distinct names of categories, in one of several styles."""
    style = int(rng.integers(3))
    if style == 0:
        return [
            f"{_LETTERS[place % 23]}{place // 23 + 1}" for place in rng.permutation(max(count, 23))[:count]
        ]
    if style == 1:
        return [f"type_{number}" for number in rng.choice(1000, count, replace=False)]
    starts, ends = (
        ("bel", "cor", "dan", "fal", "gor", "hal", "kin", "lor", "mar", "nor"),
        ("a", "en", "is", "or"),
    )
    picks = rng.choice(len(starts) * len(ends) * 2, count, replace=False)
    return [starts[p % 10] + ("ta" if p >= 40 else "") + ends[p // 10 % 4] for p in picks]


def _named(levels: list[str], codes: Ints) -> list[str | None]:
    return [levels[code] for code in codes]


@family("categories", weight=1.5)
def categories(rng: Rng, rows: int) -> Made:
    """Categories of many levels, each with an effect of its own, beside some numbers."""
    x = normals(rng, rows, int(rng.integers(2, 6)))
    signal = 0.5 * x @ weights(rng, x.shape[1])
    columns = numbered("x", x)
    for place in range(int(rng.integers(1, 4))):
        count = int(rng.integers(12, 36))
        code = np.minimum(rng.geometric(2.2 / count, rows) - 1, count - 1)
        columns[f"kind{place}"] = _named(_levels(rng, count), code)
        signal = signal + 1.2 * rng.normal(size=count)[code]
    return Made(columns, signal, "Each kind has its own level.")


@family("crossed")
def crossed(rng: Rng, rows: int) -> Made:
    """Two categories whose combination decides."""
    a, b = int(rng.integers(3, 6)), int(rng.integers(3, 6))
    first, second, third = rng.integers(0, a, rows), rng.integers(0, b, rows), rng.integers(0, 4, rows)
    x = normals(rng, rows, 2)
    signal = rng.normal(size=(a, b))[first, second] + 0.3 * x[:, 0]
    columns: dict[str, Column] = {
        "kind0": _named(_levels(rng, a), first),
        "kind1": _named(_levels(rng, b), second),
        "kind2": _named(_levels(rng, 4), third),
        **numbered("x", x),
    }
    return Made(columns, signal, "It is the combination of two kinds that decides.")


_SCALES = (
    ("low", "medium", "high"),
    ("poor", "fair", "good", "excellent"),
    ("XS", "S", "M", "L", "XL"),
    ("never", "rarely", "sometimes", "often", "always"),
)


@family("ordered-words")
def ordered_words(rng: Rng, rows: int) -> Made:
    """Words that are steps of a scale, in several columns."""
    columns: dict[str, Column] = {}
    signal = np.zeros(rows)
    for place in range(int(rng.integers(3, 7))):
        words = _SCALES[int(rng.integers(len(_SCALES)))]
        code = rng.integers(0, len(words), rows)
        columns[f"grade{place}"] = _named(list(words), code)
        signal = signal + weights(rng, 1)[0] * code / len(words)
    x = normals(rng, rows, int(rng.integers(1, 4)))
    return Made(columns | numbered("x", x), signal + 0.3 * x[:, 0], "Grades go from low to high.")


@family("codes", weight=1.3)
def codes(rng: Rng, rows: int) -> Made:
    """Codes like `B-204`: the letter is a kind, the number an amount."""
    letters = int(rng.integers(3, 7))
    kind, amount = rng.integers(0, letters, rows), rng.integers(10, 400, rows)
    mark = str(rng.choice(["-", "", "/", " "]))
    x = normals(rng, rows, int(rng.integers(2, 5)))
    signal = 0.7 * rng.normal(size=letters)[kind] + 1.5 * standard(amount.astype(float)) * rng.choice([-1, 1])
    if rng.random() < 0.4:
        signal = np.sin(amount / 60) * 1.5 + 0.7 * rng.normal(size=letters)[kind]
    signal = signal + 0.6 * x @ weights(rng, x.shape[1])
    code: list[str | None] = [f"{_LETTERS[k]}{mark}{a}" for k, a in zip(kind, amount, strict=True)]
    return Made({"code": code, **numbered("x", x)}, signal, "The code's digits carry meaning.")


@family("frequency")
def frequency(rng: Rng, rows: int) -> Made:
    """How common a row's category is matters, not which it is."""
    count = int(rng.integers(30, 60))
    share = np.exp(-np.arange(count) * rng.uniform(0.06, 0.12))
    code = rng.choice(count, rows, p=share / share.sum())
    often = np.bincount(code, minlength=count)[code]
    x = normals(rng, rows, int(rng.integers(2, 5)))
    names = _levels(rng, count)
    signal = 1.5 * standard(np.log(often)) + 0.4 * x @ weights(rng, x.shape[1])
    return Made(
        {"kind": _named(names, code), **numbered("x", x)},
        signal,
        "Common kinds differ from rare ones.",
        extras=False,
    )


@family("relative", weight=1.3)
def relative(rng: Rng, rows: int) -> Made:
    """A number against what is usual in its category."""
    count = int(rng.integers(6, 14))
    code = rng.integers(0, count, rows)
    usual = rng.normal(size=count, scale=4)
    own = rng.normal(size=(rows, 2))
    x = own.copy()
    x[:, 0] += usual[code]
    rest = normals(rng, rows, int(rng.integers(1, 4)))
    columns: dict[str, Column] = {
        "kind": _named(_levels(rng, count), code),
        **numbered("x", x),
        **numbered("z", rest),
    }
    return Made(columns, own[:, 0] + 0.3 * rest[:, 0], "A value counts against what is usual for its kind.")


@family("groups")
def groups(rng: Rng, rows: int) -> Made:
    """Rows come in groups; a number against its group's middle matters; test groups are new."""
    count = max(24, rows // 12)
    code = rng.integers(0, count, rows)
    usual = rng.normal(size=count, scale=3)
    own = rng.normal(size=rows)
    rest = normals(rng, rows, int(rng.integers(2, 5)))
    signal = own + 0.5 * rest @ weights(rng, rest.shape[1])
    names: list[str | None] = [f"g{number:03d}" for number in code]
    columns: dict[str, Column] = {"group": names, "x": own + usual[code], **numbered("z", rest)}
    return Made(
        columns,
        signal,
        "Compare each row with the others of its group.",
        extras=False,
        groups=code,
        group_name="group",
    )


@family("flags")
def flags(rng: Rng, rows: int) -> Made:
    """Many yes-or-no columns; how many hold matters."""
    count = int(rng.integers(8, 16))
    on = rng.random(size=(rows, count)) < rng.uniform(0.2, 0.8, size=count)
    signal = on[:, : count - 2].sum(axis=1) + 0.5 * on[:, 0] * on[:, 1]
    words = (("no", "yes"), ("False", "True"), ("0", "1"))[int(rng.integers(3))]
    columns: dict[str, Column] = {}
    for place in range(count):
        columns[f"flag{place}"] = (
            on[:, place].astype(np.int64)
            if words[0] == "0"
            else _named(list(words), on[:, place].astype(np.int64))
        )
    return Made(columns, signal.astype(float), "The number of signs that are there decides.", rescale=False)


@family("telling-gaps")
def telling_gaps(rng: Rng, rows: int) -> Made:
    """That a value is missing says something."""
    x = normals(rng, rows, int(rng.integers(4, 8)))
    signal = 0.5 * x @ weights(rng, x.shape[1])
    for place in range(2):
        gone = rng.random(rows) < rng.uniform(0.25, 0.5)
        signal = signal + rng.choice([-1, 1]) * rng.uniform(1.2, 2.0) * gone
        x[gone, place] = np.nan
    return Made(numbered("x", x), signal, "Values are missing for a reason.")


@family("many-gaps")
def many_gaps(rng: Rng, rows: int) -> Made:
    """A quarter of all values is missing at random, but columns go along with each other."""
    hidden = normals(rng, rows, 3)
    count = int(rng.integers(8, 16))
    x = hidden @ rng.normal(size=(3, count)) + 0.4 * rng.normal(size=(rows, count))
    signal = hidden @ weights(rng, 3)
    x[rng.random(x.shape) < rng.uniform(0.15, 0.35)] = np.nan
    return Made(numbered("x", x), signal, "Readings were lost at random, but the columns go together.")


def _dates(days: Ints, style: int) -> list[str | None]:
    stamps = _START + days.astype("timedelta64[D]")
    texts = [str(stamp) for stamp in stamps]
    return (
        list(texts)
        if style == 0
        else [f"{text[8:10]}/{text[5:7]}/{text[:4]}" if style == 1 else f"{text} 00:00:00" for text in texts]
    )


@family("seasons", weight=1.3)
def seasons(rng: Rng, rows: int) -> Made:
    """Time of the year and day of the week have effects."""
    days = rng.integers(0, 1800, rows)
    x = normals(rng, rows, int(rng.integers(2, 5)))
    turn = 2 * np.pi * (days % 365.25) / 365.25
    signal = 1.5 * np.sin(turn + rng.uniform(0, 6)) + 0.5 * x @ weights(rng, x.shape[1])
    if rng.random() < 0.6:
        signal = signal + rng.normal(size=7)[(days + 3) % 7]
    style = 0 if rng.random() < 0.7 else 2
    return Made(
        {"date": _dates(days, style), **numbered("x", x)},
        signal,
        "There is a season, and days of the week differ.",
    )


@family("trend")
def trend(rng: Rng, rows: int) -> Made:
    """Things drift over the years."""
    days = rng.integers(0, 2500, rows)
    x = normals(rng, rows, int(rng.integers(2, 5)))
    years = days / 365.25
    path = years if rng.random() < 0.6 else np.abs(years - rng.uniform(2, 5)) * 1.4
    signal = rng.choice([-1, 1]) * path + 0.7 * x @ weights(rng, x.shape[1])
    return Made({"date": _dates(days, 0), **numbered("x", x)}, signal, "Levels moved over the years.")


@family("spans")
def spans(rng: Rng, rows: int) -> Made:
    """The time between two dates matters."""
    first = rng.integers(0, 2000, rows)
    length = np.minimum(rng.exponential(120, rows), 700).astype(np.int64)
    x = normals(rng, rows, int(rng.integers(2, 5)))
    signal = 1.5 * standard(np.log1p(length)) + 0.5 * x @ weights(rng, x.shape[1])
    columns: dict[str, Column] = {
        "start": _dates(first, 0),
        "end": _dates(first + length, 0),
        **numbered("x", x),
    }
    return Made(columns, signal, "The time between the two dates is what matters.")


def mixed_effects(rng: Rng, rows: int) -> tuple[dict[str, Column], Floats]:
    """A category of a few levels and some numbers with a linear effect, for other processes to add."""
    count = int(rng.integers(3, 7))
    code = rng.integers(0, count, rows)
    x = normals(rng, rows, int(rng.integers(2, 4)))
    columns: dict[str, Column] = {"kind": _named(_levels(rng, count), code), **numbered("x", x)}
    return columns, rng.normal(size=count)[code] + x @ weights(rng, x.shape[1])


@family("mixture", weight=2.0)
def mixture(rng: Rng, rows: int) -> Made:
    """A bit of everything: a few kinds, a bend, a limit, a product, as in most real tables."""
    columns, signal = mixed_effects(rng, rows)
    z = normals(rng, rows, 4)
    signal = standard(signal) + rng.uniform(0, 1) * z[:, 0] * z[:, 1]
    signal = signal + rng.uniform(0, 1.5) * np.tanh(2 * z[:, 2]) + rng.uniform(0, 1.5) * (z[:, 3] > 0.4)
    return Made(columns | numbered("z", z), signal, "Several causes work together.")
