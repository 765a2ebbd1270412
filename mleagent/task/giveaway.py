"""What gives the target away: columns, ids, row order, words in texts.

Takes typed values of the labelled rows. A model that finds the answer in such
a place scores well and has learned nothing, so columns are withheld and ids
are renamed; what is only suspicious becomes a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .columns import class_text, column_type, is_number

PURITY = 0.995
"""Share of rows whose label a map learned on the other half gets right."""
CORRELATION = 0.9999
MIN_ROWS = 50
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Labels:
    """The target of the labelled rows, as codes of classes or as numbers."""

    codes: np.ndarray[Any, np.dtype[np.int64]] | None
    numbers: Floats | None
    words: tuple[str, ...] = ()
    """Text of each class."""


def labels_of(column: pd.Series, classification: bool) -> Labels:
    """The target as this module's functions take it."""
    if classification:
        codes, names = pd.factorize(class_text(column), sort=True)
        return Labels(np.asarray(codes, dtype=np.int64), None, tuple(map(str, names)))
    return Labels(None, pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64))


def telling_columns(values: pd.DataFrame, names: Iterable[str], labels: Labels) -> list[tuple[str, str]]:
    """(column, reason) of columns that alone tell the target."""
    found = []
    for name in names:
        reason = tells(values[name], labels)
        if reason:
            found.append((name, reason))
    return found


def tells(column: pd.Series, labels: Labels, purity: float = PURITY) -> str:
    """Why a column gives the target away; empty if it does not."""
    if len(column) < MIN_ROWS or column.nunique(dropna=False) < 2:
        return ""
    if labels.numbers is not None:
        if (
            is_number(column)
            and abs(_correlation(column.to_numpy(dtype=float), labels.numbers)) >= CORRELATION
        ):
            return "is the target or a function of it"
        return ""
    assert labels.codes is not None
    majority = float(np.bincount(labels.codes).max()) / len(labels.codes)
    needed = max(purity, majority + 0.8 * (1 - majority))
    if column.nunique(dropna=False) <= len(column) // 4 and _mapped(column, labels.codes) >= needed:
        return "each of its values stands for one class of the target"
    if is_number(column) and len(labels.words) == 2 and _separates(column, labels.codes) >= 0.9995:
        return "one threshold on it tells the class"
    return ""


def _mapped(column: pd.Series, codes: np.ndarray[Any, np.dtype[np.int64]]) -> float:
    """Accuracy of value → most frequent class, learned on one half and tried on the other, both ways."""
    keys = pd.factorize(column, use_na_sentinel=False)[0]
    table = np.zeros((2, int(keys.max()) + 1, int(codes.max()) + 1), dtype=np.int64)
    half = np.arange(len(keys)) % 2
    # Rows sorted by class would put a value in one half only; a fixed shuffle spreads them.
    half = np.random.default_rng(0).permutation(half)
    np.add.at(table, (half, keys, codes), 1)
    seen = table.sum(axis=2)[1 - half, keys] > 0
    guess = table.argmax(axis=2)[1 - half, keys]
    return float(((guess == codes) & seen).mean())


def _separates(column: pd.Series, codes: np.ndarray[Any, np.dtype[np.int64]]) -> float:
    """How well one threshold tells two classes: AUC, whichever way round."""
    ranks = column.rank().fillna(0).to_numpy(dtype=float)
    ones = codes == 1
    positives, negatives = int(ones.sum()), int((~ones).sum())
    area = (ranks[ones].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    return float(max(area, 1 - area))


def _correlation(first: Floats, second: Floats) -> float:
    """Rank correlation over the rows where both are finite."""
    ok = np.isfinite(first) & np.isfinite(second)
    if ok.sum() < MIN_ROWS or ok.mean() < 0.9:
        return 0.0
    a, b = pd.Series(first[ok]).rank().to_numpy(), pd.Series(second[ok]).rank().to_numpy()
    if not float(a.std()) or not float(b.std()):
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def telling_names(names: pd.Series, labels: Labels) -> str:
    """Why ids or file names tell the target: words or numbers in them, or their order; empty if not."""
    text = names.astype(str)
    if len(text) < MIN_ROWS // 2:
        return "too few to judge"
    if labels.codes is not None:
        words = text.str.replace(r"\d+", "", regex=True)
        if words.nunique() > 1 and tells_by_words(words, labels.codes):
            return "words in them follow the target"
    elif labels.numbers is not None:
        pieces = text.map(lambda name: {float(n) for n in re.findall(r"\d+(?:\.\d+)?", name)})
        hits = np.mean([value in found for value, found in zip(labels.numbers, pieces, strict=True)])
        if hits > 0.5:
            return "they hold the target's value"
    return _telling_order(text, labels)


def tells_by_words(words: pd.Series, codes: np.ndarray[Any, np.dtype[np.int64]]) -> bool:
    """Whether the words of a name predict the class well beyond the most frequent one."""
    majority = float(np.bincount(codes).max()) / len(codes)
    return _mapped(words, codes) >= majority + 0.5 * (1 - majority)


def _telling_order(text: pd.Series, labels: Labels) -> str:
    """Neighbours in id order that share the label: the rows were sorted or numbered by it."""
    numbers = pd.to_numeric(text.str.extract(r"(\d+)(?!.*\d)", expand=False), errors="coerce")
    order = np.lexsort((text.to_numpy(dtype=str), numbers.fillna(0).to_numpy()))
    if labels.codes is not None:
        codes = labels.codes[order]
        same = float((codes[1:] == codes[:-1]).mean())
        shares = np.bincount(codes) / len(codes)
        chance = float((shares**2).sum())
        return "their order follows the target" if same > chance + 0.6 * (1 - chance) else ""
    assert labels.numbers is not None
    values = pd.Series(labels.numbers[order]).rank().to_numpy()
    if not float(values.std()):
        return ""
    follow = float(np.corrcoef(values[1:], values[:-1])[0, 1])
    return "their order follows the target" if follow > 0.9 else ""


def telling_texts(values: pd.DataFrame, names: Iterable[str], labels: Labels) -> list[str]:
    """Free-text columns that mostly contain the very word of their row's class."""
    if labels.codes is None or any(len(word) < 4 or not word.isalpha() for word in labels.words):
        return []
    found = []
    for name in names:
        if column_type(values[name], int(values[name].nunique())) != "text":
            continue
        text = values[name].fillna("").astype(str).str.lower()
        hits = np.zeros((len(text), len(labels.words)), dtype=bool)
        for code, word in enumerate(labels.words):
            hits[:, code] = text.str.contains(rf"\b{re.escape(word.lower())}\b", regex=True).to_numpy()
        own = hits[np.arange(len(text)), labels.codes]
        if own.mean() > 0.9 and (hits.sum(axis=1) - own).mean() < 0.1:
            found.append(name)
    return found
