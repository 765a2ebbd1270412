"""Held-out rows quoted in texts: descriptions, programs, notebooks.

A README that shows the first rows of train.csv, or a dictionary of answers in
a script, names held-out rows with their labels. Takes text and what is held
out; finds such lines and cuts them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .discover import File

_SEPARATORS = re.compile(r"[,;|\t]")
_RUN = re.compile(r"(?:[-+\w.'\"]+\s*,\s*){50,}")
_WORD = re.compile(r"[^\s,;|\"'`\[\](){}<>:=]+")


@dataclass(frozen=True)
class HeldOut:
    """What must not be found in public: ids and labels of the held-out rows."""

    labels: Mapping[str, str]
    """Label by id, both as text; empty where rows have no ids."""
    ids: frozenset[str]
    """Ids of all labelled rows."""
    test_ids: frozenset[str]
    remapped: bool
    """Public ids differ from the user's."""
    rows: frozenset[str] = frozenset()
    """Every held-out row as `row_key` writes it."""
    labelled: int = 0
    """How many labelled rows there are."""


def row_key(cells: Iterable[str]) -> str:
    """A table row as it can be found again in a text, whatever separates its cells."""
    return "\x1f".join(cell.strip() for cell in cells)


def without_rows(text: str, held: HeldOut) -> tuple[str, int]:
    """`text` less the lines that name a held-out row with its label, and how many those were."""
    lines, cut = [], 0
    for line in text.splitlines(keepends=True):
        if _quotes(line, held) or _is_row(line, held):
            cut += 1
            lines.append("[a row of the train table that is held out]\n")
        else:
            lines.append(line)
    return ("".join(lines), cut) if cut else (text, 0)


def _is_row(line: str, held: HeldOut) -> bool:
    """Whether a line is a held-out row of the train table, perhaps with a row number before it."""
    if len(_SEPARATORS.findall(line)) < 2:
        return False
    for mark in (",", "|", ";", "\t"):
        cells = line.strip().strip("|").split(mark)
        if row_key(cells) in held.rows or row_key(cells[1:]) in held.rows:
            return True
    return False


def carries(text: str, held: HeldOut) -> str:
    """Why a program or text could hold labels, beyond single quoted lines; empty if it does not look so."""
    named = set(_WORD.findall(text)) & held.labels.keys()
    listed = [name for name in named if not name.isdigit()] or list(named)
    if len(listed) >= 10 and len(listed) >= 0.3 * len(held.labels):
        return f"lists {len(listed)} held-out ids"
    longest = max((run.group().count(",") for run in _RUN.finditer(text)), default=0)
    if held.labelled and longest >= max(50, 0.5 * held.labelled):
        return f"holds a list of {longest + 1} values, as long as the labels"
    return ""


def _quotes(line: str, held: HeldOut) -> list[str]:
    """Held-out ids that stand in a line together with their label."""
    words = _WORD.findall(line)
    present = set(words)
    found = [word for word in present if word in held.labels and held.labels[word] in present - {word}]
    if not found:
        return []
    # Small numbers are everywhere in prose and programs: as ids they count in table rows only.
    plain = [word for word in found if word.isdigit()]
    if plain and not (len(_SEPARATORS.findall(line)) >= 1 and words[0] in plain):
        many = len(plain) > 10
        found = [word for word in found if not word.isdigit() or many]
    return found


def clean_code(file: File) -> bytes | None:
    """A notebook without outputs, attachments and metadata; None for plain code."""
    if not file.name.lower().endswith(".ipynb"):
        return None
    try:
        book = json.loads(file.path.read_text(encoding="utf-8"))
        cells = [_clean_cell(cell) for cell in book.get("cells", [])]
    except (ValueError, AttributeError, OSError):
        return json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()
    clean = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return (json.dumps(clean, indent=1, ensure_ascii=False) + "\n").encode("utf-8")


def _clean_cell(cell: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {"cell_type": cell["cell_type"], "metadata": {}, "source": cell.get("source", "")}
    if kept["cell_type"] == "code":
        kept |= {"outputs": [], "execution_count": None}
    return kept
