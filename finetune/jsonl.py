"""Files of one JSON object a line, written by runs that may be killed at any moment.

What belongs together goes out in one write; a torn last line is closed before anything follows it, so that
a kill loses the line at hand and nothing after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path


def append(path: Path, lines: Iterable[str]) -> None:
    """Add lines (without their ends) in one write; the folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as stream:
        end = stream.seek(0, 2)
        torn = False
        if end:
            stream.seek(end - 1)
            torn = stream.read(1) != b"\n"
        stream.write(b"\n" * torn + b"".join(line.encode() + b"\n" for line in lines))


def lines(path: Path) -> Iterator[bytes]:
    """Every line, the torn ones too; a missing file holds none."""
    if path.is_file():
        with path.open("rb") as stream:
            yield from stream
