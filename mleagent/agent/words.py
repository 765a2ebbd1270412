"""Numbers as words, for prompts of small models: a few words a model of five million weights can learn.

Takes counts, shares and utilities, gives one word or two from a short list. The borders are part of what a
model was trained on: changing one makes every compact model a worse one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ..records import ColumnProfile

LEVELS = 20
"""Steps of utility that a compact prompt tells apart."""
_COUNTS = ((0, "none"), (1, "one"), (2, "two"), (5, "few"), (10, "several"), (25, "many"), (100, "dozens"))
_SHARES = ((0.0, "none"), (0.05, "little"), (0.2, "some"), (0.5, "much"))
_ROWS = ((150, "tiny"), (300, "small"), (600, "medium"), (3000, "large"))
_SAME, _MUCH = 0.005, 0.05
_TOLD_ELSEWHERE = re.compile(
    r"csv|submi|predict|evaluat|score|for each class|probability|row of|metric|```|\|", re.IGNORECASE
)


def count_word(count: int) -> str:
    """`none`, `one`, `two`, `few` (to 5), `several` (10), `many` (25), `dozens` (100) or `hundreds`."""
    return next((word for most, word in _COUNTS if count <= most), "hundreds")


def share_word(share: float) -> str:
    """`none`, `little` (to 0.05), `some` (to 0.2), `much` (to 0.5), `most`."""
    return next((word for most, word in _SHARES if share <= most), "most")


def rows_word(rows: int) -> str:
    """`tiny` (to 150 rows), `small` (300), `medium` (600), `large` (3,000), `huge`."""
    return next((word for most, word in _ROWS if rows <= most), "huge")


def level(utility: float) -> str:
    """`level 13`: utility 0..1 in twentieths."""
    return f"level {round(utility * LEVELS)}"


def change_word(delta: float, error: float | None) -> str:
    """How a utility compares with the best before; `same` within 0.005 or half its standard error."""
    if abs(delta) <= max(_SAME, (error or 0.0) / 2):
        return "same"
    word = "better" if delta > 0 else "worse"
    return f"much {word}" if abs(delta) > _MUCH else word


def column_words(column: ColumnProfile) -> str:
    """A column without its name: `number skewed gaps`, `category few`, `flag`, `date`, `text`."""
    if column.type == "numeric":
        words = ["number"]
        if "skewed" in column.note:
            words.append("skewed")
        elif column.unique <= 15:
            words.append("few")
        if column.note.startswith("-"):
            words.append("signed")
    elif column.type == "categorical":
        words = ["category", count_word(column.unique)]
    else:
        words = [{"boolean": "flag"}.get(column.type, column.type)]
    if column.missing > 0:
        words.append("gaps")
    return " ".join(words)


def columns_text(columns: Sequence[ColumnProfile], most: int = 10) -> str:
    """Columns of a kind counted together, the commonest kinds first: `several number, two category few`."""
    counts = Counter(column_words(column) for column in columns)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
    return ", ".join(f"{count_word(count)} {words}" for words, count in ordered)


def hint(description: str, most: int = 160) -> str:
    """What the user's words say beyond files, target and metric: whole sentences, `most` characters."""
    lines = [line for line in description.splitlines() if not line.lstrip().startswith(("#", "-", "*", ">"))]
    sentences = re.split(r"(?<=[.!?])\s+", " ".join(" ".join(lines).split()))
    kept = ""
    for sentence in sentences:
        if not sentence or _TOLD_ELSEWHERE.search(sentence):
            continue
        if len(kept) + len(sentence) > most:
            break
        kept = f"{kept} {sentence}".strip()
    return kept
