"""Turns bare columns into a table as users have them: units, odd columns, gaps, names of a style, words.

Nothing here changes what a row's answer is; it changes what must be handled on the way to it.
"""

from __future__ import annotations

import numpy as np

from .synth_answer import significant
from .synth_base import Column, Floats, Made, Rng

_NOUNS = (
    "age area balance capacity density depth distance dose duration energy flow force height humidity "
    "income index length level load mass moisture output power pressure purity radius rate ratio size "
    "speed strength supply temp tension time traffic turns volume voltage wear weight width wind zone "
    "acidity angle altitude budget current delay demand elevation exposure friction"
).split()
_FIRST = "avg base core day end front inner left max mean min net outer peak raw rear right top total".split()
_TARGETS = {
    "regression": "target yield price strength demand consumption response value cost duration".split(),
    "binary": "target label outcome churn defect default y passed".split(),
    "multiclass": "class label type category species target".split(),
    "ordinal": "grade quality rating severity target".split(),
}
_SPOKEN = frozenset("review text message compound comment date start end group hour direction".split())
"""Working names that mostly stay, because nobody would call such a column anything else."""
_IDS = ("id", "Id", "ID", "row_id", "record_id", "sample_id", "case_id", "SampleId")


def dress(rng: Rng, made: Made) -> dict[str, Column]:
    """Columns with units, perhaps meaningless ones and gaps, in a new order, under new names."""
    columns = dict(made.columns)
    rows = len(made.signal)
    if made.rescale:
        columns = {name: _unit(rng, values) for name, values in columns.items()}
    if made.extras:
        if rng.random() < 0.6:
            columns |= _meaningless(rng, rows)
        if rng.random() < 0.35:
            _gaps(rng, columns)
    columns = {name: _rounded(values) for name, values in columns.items()}
    if made.keep_names:
        return columns
    order = [list(columns)[place] for place in rng.permutation(len(columns))]
    names = column_names(rng, len(order))
    spoken = rng.random() < 0.7
    return {
        name if spoken and name in _SPOKEN else names[place]: columns[name]
        for place, name in enumerate(order)
    }


def _unit(rng: Rng, values: Column) -> Column:
    """A number column in some unit: shifted and scaled by up to a thousand."""
    reals = _reals(values)
    if reals is None:
        return values
    scale = 10.0 ** rng.uniform(-1.5, 2.5)
    if float(np.nanmin(reals)) > 0:
        return np.asarray(reals * scale)  # positive quantities stay positive
    return np.asarray((reals + rng.choice([0.0, 0.0, 5.0])) * scale)


def _reals(values: Column) -> Floats | None:
    """The column if it holds real numbers; None for text and whole numbers."""
    return None if isinstance(values, list) or values.dtype.kind == "i" else values.astype(np.float64)


def _rounded(values: Column) -> Column:
    reals = _reals(values)
    return values if reals is None else significant(reals)


def _meaningless(rng: Rng, rows: int) -> dict[str, Column]:
    """One to six columns that have nothing to do with the answer."""
    found: dict[str, Column] = {}
    for place in range(int(rng.integers(1, 7))):
        kind = rng.random()
        if kind < 0.6:
            found[f"n{place}"] = rng.normal(size=rows) * 10 ** rng.uniform(-1, 2)
        elif kind < 0.75:
            found[f"n{place}"] = np.exp(rng.normal(size=rows) * 1.3)
        elif kind < 0.85:
            found[f"n{place}"] = rng.integers(0, 10, rows)
        else:
            found[f"n{place}"] = [str(word) for word in rng.choice(["north", "south", "east", "west"], rows)]
    return found


def _gaps(rng: Rng, columns: dict[str, Column]) -> None:
    """Some values of some columns go missing, whatever they were."""
    for name in [name for name in columns if rng.random() < 0.4]:
        values = columns[name]
        gone = rng.random(len(values)) < rng.uniform(0.02, 0.1)
        if isinstance(values, list):
            if name.startswith(("date", "start", "end")) or max(len(v or "") for v in values) > 30:
                continue
            columns[name] = [None if out else value for value, out in zip(values, gone, strict=True)]
        else:
            columns[name] = np.where(gone, np.nan, values.astype(float))


def column_names(rng: Rng, count: int) -> list[str]:
    """Distinct column names in one of six styles."""
    style = int(rng.integers(6))
    if style == 0:
        return [f"x{number}" for number in range(1, count + 1)]
    if style == 1:
        return [f"feature_{number}" for number in range(count)]
    if style == 2:
        return [f"f_{number:02d}" for number in range(count)]
    pairs = [(first, noun) for noun in _NOUNS for first in ("", *_FIRST)]
    plain = [pair for pair in pairs if not pair[0]]
    pool = plain if count <= len(plain) and rng.random() < 0.6 else pairs
    picks = [pool[place] for place in rng.choice(len(pool), count, replace=False)]
    words = [[part for part in pair if part] for pair in picks]
    if style == 3:
        return ["_".join(parts) for parts in words]
    if style == 4:
        return ["".join(part.capitalize() for part in parts) for parts in words]
    return [" ".join(parts).capitalize() for parts in words]


def target_name(rng: Rng, problem: str, taken: set[str]) -> str:
    """A name for the target that no column has."""
    pool = [name for name in _TARGETS[problem] if name not in {other.lower() for other in taken}]
    name = pool[int(rng.integers(len(pool)))]
    return name.capitalize() if rng.random() < 0.3 else name


def id_name(rng: Rng) -> str:
    """A name for the id column."""
    return str(_IDS[int(rng.integers(len(_IDS)))])


def number(value: float) -> str:
    """A number as a CSV cell: plain digits, no more than it has; missing is empty."""
    if np.isnan(value):
        return ""
    text = np.format_float_positional(value, trim="-")
    return "0" if text == "-0" else text


def cells(values: Column) -> list[str]:
    """A column as CSV cells."""
    if isinstance(values, list):
        return ["" if value is None else value for value in values]
    if values.dtype.kind == "i":
        return [str(int(value)) for value in values]
    return [number(float(value)) for value in values]
