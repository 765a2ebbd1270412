"""SEARCH/REPLACE edits: change part of a file by quoting it.

Takes a file's text and the body of an `<edit>`, gives the new text. A block is
matched exactly first, then with white space ignored; else the edit is refused
with the nearest lines shown, and nothing is changed (all blocks or none).
"""

from __future__ import annotations

import difflib
import re

_BLOCK = re.compile(
    r"^<{5,9} ?SEARCH[ \t]*\n(.*?)^={5,9}[ \t]*\n(.*?)^>{5,9} ?REPLACE[ \t]*$", re.MULTILINE | re.DOTALL
)

_FORM = "<<<<<<< SEARCH\nold lines\n=======\nnew lines\n>>>>>>> REPLACE"


class EditRefused(Exception):
    """The edit can't be applied; the message is meant for the model."""


def blocks(body: str) -> list[tuple[str, str]]:
    """(search, replace) pairs of an edit's body. Raises EditRefused when there are none."""
    found = [(match.group(1), match.group(2)) for match in _BLOCK.finditer(body + "\n")]
    if not found:
        raise EditRefused(f"no SEARCH/REPLACE block found; write\n{_FORM}")
    return found


def apply(text: str, body: str) -> str:
    """`text` with every block of `body` applied in order. Raises EditRefused; `text` is untouched then."""
    for number, (search, replace) in enumerate(blocks(body), start=1):
        text = _apply_one(text, search, replace, number)
    return text


def _apply_one(text: str, search: str, replace: str, number: int) -> str:
    if not search.strip():
        if text.strip():
            raise EditRefused(f"block {number}: SEARCH is empty; quote the lines to change, or use <write>")
        return replace
    count = _occurrences(text, search)
    if count == 1:
        start = 0 if text.startswith(search) else text.find("\n" + search) + 1
        return text[:start] + replace + text[start + len(search) :]
    if count > 1:
        raise EditRefused(
            f"block {number}: SEARCH matches {count} places; quote more lines around the change"
        )
    return _apply_loosely(text, search, replace, number)


def _occurrences(text: str, search: str) -> int:
    """Exact matches that begin at a line's start."""
    return ("\n" + text).count("\n" + search)


def _apply_loosely(text: str, search: str, replace: str, number: int) -> str:
    lines, wanted = text.splitlines(keepends=True), search.splitlines()
    squeezed = ["".join(line.split()) for line in lines]
    target = ["".join(line.split()) for line in wanted]
    hits = [i for i in range(len(lines) - len(target) + 1) if squeezed[i : i + len(target)] == target]
    if len(hits) != 1:
        where = "matches several places" if hits else "is not in the file"
        raise EditRefused(f"block {number}: SEARCH {where}. {_nearest(lines, wanted)}")
    start, stop = hits[0], hits[0] + len(target)
    moved = _reindent(replace, _indent(wanted), _indent(lines[start:stop]))
    return "".join(lines[:start]) + moved + "".join(lines[stop:])


def _indent(lines: list[str]) -> str:
    first = next((line for line in lines if line.strip()), "")
    return first[: len(first) - len(first.lstrip(" \t"))]


def _reindent(block: str, old: str, new: str) -> str:
    if old == new:
        return block
    out = []
    for line in block.splitlines(keepends=True):
        out.append(new + line[len(old) :] if line.strip() and line.startswith(old) else line)
    return "".join(out)


def _nearest(lines: list[str], wanted: list[str]) -> str:
    size = max(1, len(wanted))
    probe = "\n".join(line.strip() for line in wanted)
    best, at = 0.0, 0
    for i in range(max(1, len(lines) - size + 1)):
        window = "\n".join(line.strip() for line in lines[i : i + size])
        ratio = difflib.SequenceMatcher(None, window, probe, autojunk=False).quick_ratio()
        if ratio > best:
            best, at = ratio, i
    if best < 0.4:
        return "Nothing like it was found; <read> the file first."
    shown = "".join(f"{at + k + 1}: {line.rstrip()}\n" for k, line in enumerate(lines[at : at + size][:12]))
    return f"The nearest lines are:\n{shown}".rstrip()
