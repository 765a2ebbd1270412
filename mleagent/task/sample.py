"""A small copy of a task's public folder, so that a new script's crashes show in seconds, not hours.

Every k-th record of each large table is taken, the same k for tables of the same length, so that a
test table and its sample submission still belong together. Small files are hard links. It is for
running only: nothing is scored on it.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..clock import new_id
from ..records import Task
from .media import link
from .prepare import readable

ROWS = 20_000
"""About so many rows of a table are kept."""
SMALL = 5 * 2**20
"""Files up to this size (bytes) are taken whole."""
MANY_ROWS = 1_000_000
"""Train tables with more rows count as large, whatever their bytes."""
MANY_FILES = 2_000
"""Folders with more files are media: linking them would take longer than it saves."""
_TEXT, _PARQUET = (".csv", ".tsv"), (".parquet",)


def is_large(task: Task, threshold_mb: int) -> bool:
    """Whether scripts on this task are worth a trial run; `threshold_mb` 0 never."""
    size = sum(item.bytes for item in task.inputs if item.role in ("train", "table"))
    few = task.kind == "table" and len(task.inputs) <= MANY_FILES
    return few and threshold_mb > 0 and (size > threshold_mb * 2**20 or task.rows_train > MANY_ROWS)


def sample_public(task: Task, home: Path) -> Path:
    """The sampled public folder, made once per prepared task. Raises OSError when it can't be written."""
    place = home / "tasks" / task.content_hash / "sample"
    if place.is_dir():
        return place
    work = home / "tasks" / f".tmp-{os.getpid()}-{new_id()}"
    try:
        work.mkdir(parents=True)
        for folder, _, names in os.walk(task.public):
            for name in names:
                source = Path(folder, name)
                _take(source, work / source.relative_to(task.public))
        readable(work)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_dir():
            os.rename(work, place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return place


def _take(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    suffix = source.suffix.lower()
    if source.stat().st_size <= SMALL or suffix not in (*_TEXT, *_PARQUET):
        link(source, target)
    elif suffix in _PARQUET:
        _parquet(source, target)
    else:
        _text(source, target)


def _text(source: Path, target: Path) -> None:
    step = _step(sum(1 for _ in _records(source)) - 1)
    with target.open("wb") as out:
        for number, record in enumerate(_records(source)):
            if number == 0 or (number - 1) % step == 0:
                out.write(record)


def _records(source: Path) -> Iterator[bytes]:
    """The records of a table as they stand there; one in quotes may hold line ends."""
    held: list[bytes] = []
    quotes = 0
    with source.open("rb") as lines:
        for line in lines:
            quotes += line.count(b'"')
            if quotes % 2:
                held.append(line)
                continue
            yield b"".join([*held, line]) if held else line
            if held:
                held = []
    if held:
        yield b"".join(held)


def _parquet(source: Path, target: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(source)
    step, seen, kept = _step(file.metadata.num_rows), 0, []
    for batch in file.iter_batches():
        first = -seen % step
        kept.append(batch.take(pa.array(range(first, batch.num_rows, step), pa.int64())))
        seen += batch.num_rows
    pq.write_table(pa.Table.from_batches(kept, file.schema_arrow), target)


def _step(rows: int) -> int:
    return max(1, math.ceil(rows / ROWS))
