"""Reading a submission: bytes become a table of text, one row a test row, or one exact reason why not.

Takes the file's bytes and the ids to be answered; gives the columns as text, checked and brought into
the answers' own order. Text, because ids like `007` must survive, because the file to upload repeats
the numbers as they were written, and because a reason quotes what stands there. Never trusts the bytes.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from ..errors import InputError
from .layout import SubmissionLayout
from .stderr import Array

MAX_BYTES = 2 * 2**30
"""A larger submission is refused without being read."""

_BLOCK = 64 * 2**20
_HEADER_BYTES = 2**20
_MAGIC = {
    b"\x1f\x8b": "a gzip archive",
    b"PK\x03\x04": "a zip archive",
    b"PAR1": "a parquet file",
    b"\x93NUMPY": "a numpy file",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"%PDF": "a PDF",
}


class SubmissionError(InputError):
    """A submission can't be scored; the message is one line, fit for a prompt and a screen."""

    def __init__(self, reason: str):
        plain = "".join(char if char.isprintable() else "?" for char in " ".join(reason.split()))
        super().__init__(plain if len(plain) <= 400 else plain[:397] + "...")


def _too_large(size: int) -> SubmissionError:
    return SubmissionError(f"the submission is too large: {size / 2**30:.1f} GB, at most 2 GB are read")


def quoted(text: object) -> str:
    """A cell as a reason quotes it: in quotes, at most 40 characters."""
    plain = str(text)
    return repr(plain if len(plain) <= 40 else plain[:37] + "...")


def first_of(items: Iterable[object], count: int) -> str:
    """`3 rows`-style lists: the first three of `count` items."""
    shown = ", ".join(str(item) for _, item in zip(range(3), items, strict=False))
    return f"first: {shown}" if count > 3 else shown


def read_file(path: Path) -> bytes:
    """The bytes of a submission file, never of one over 2 GB. Raises SubmissionError."""
    try:
        if not path.is_file():
            raise SubmissionError(f"no submission: there is no file {path.name}")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SubmissionError(
                f"the submission is too large: {size / 2**30:.1f} GB, at most 2 GB are read"
            )
        return path.read_bytes()
    except OSError as error:
        raise SubmissionError(f"{path.name} can't be read: {error.strerror or error}") from None


@dataclass(frozen=True)
class Ids:
    """The ids to be answered, in the answers' order; `integers` where they are whole numbers."""

    text: Any
    integers: Any | None

    @classmethod
    def of(cls, text: Any, whole: bool) -> Ids:
        """From an arrow array of text; compared as numbers where `whole` (so that `7.0` is `7`)."""
        plain = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
        return cls(plain, _integers(plain) if whole else None)

    def positions(self, given: Any) -> Array:
        """Row of the answers for each id of `given` (arrow text), shape (n,); -1 for an unknown id."""
        if self.integers is not None and self.integers.null_count == 0:
            found = pc.index_in(_integers(given), value_set=self.integers, skip_nulls=True)
        else:
            found = pc.index_in(given, value_set=self.text)
            if found.null_count:
                found = pc.index_in(pc.utf8_trim_whitespace(given), value_set=self.text)
        return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int64)


def _integers(text: Any) -> Any:
    """Whole numbers of an arrow text array: `7`, ` 7 `, `7.0`; null for anything else."""
    try:
        return pc.cast(text, pa.int64())
    except pa.ArrowInvalid:
        plain = pc.utf8_trim_whitespace(text)
        whole = pc.match_substring_regex(plain, r"^[+-]?[0-9]{1,18}(\.0*)?$")
        kept = pc.if_else(whole, pc.replace_substring_regex(plain, r"^\+|\.0*$", ""), None)
        return pc.cast(kept, pa.int64())


def read_table(data: bytes, layout: SubmissionLayout, ids: Ids) -> Any:
    """The submission as an arrow table of text, columns as in `layout`, rows as the ids.

    Raises SubmissionError with the reason: empty, too large, not text, wrong columns, ragged rows,
    missing, unknown or duplicate ids.
    """
    header, body = _split_header(data)
    _check_header(header, layout.columns)
    table = _parse(body, header, data).select(list(layout.columns))
    if layout.id_column is None:
        if table.num_rows != len(ids.text):
            raise SubmissionError(f"{table.num_rows} rows instead of {len(ids.text)}, one for each test row")
        return table
    name = layout.id_column if layout.id_column in layout.columns else layout.columns[0]
    given = table.column(name).combine_chunks()
    positions = ids.positions(given)
    _check_ids(positions, given, ids, name)
    if (positions == np.arange(len(positions))).all():
        return table
    order = np.empty(len(positions), dtype=np.int64)
    order[positions] = np.arange(len(positions))
    return table.take(order)


def _split_header(data: bytes) -> tuple[list[str], bytes]:
    if len(data) > MAX_BYTES:
        raise SubmissionError(
            f"the submission is too large: {len(data) / 2**30:.1f} GB, at most 2 GB are read"
        )
    for magic, what in _MAGIC.items():
        if data.startswith(magic):
            raise SubmissionError(f"the submission is {what}, not a CSV file")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SubmissionError("wrong encoding: UTF-16; write the CSV as UTF-8")
    text = data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    if not text.strip():
        raise SubmissionError("the submission is empty")
    line = re.split(rb"\r\n|\n|\r", text[:_HEADER_BYTES], maxsplit=1)[0]
    try:
        names = next(csv.reader([line.decode("utf-8")]), [])
    except UnicodeDecodeError:
        raise SubmissionError(_bad_byte(data)) from None
    except csv.Error as error:
        raise SubmissionError(f"unreadable CSV: {error} in the header") from None
    return [name.strip() for name in names], text[len(line) :].lstrip(b"\r\n")


def _check_header(header: Sequence[str], expected: Sequence[str]) -> None:
    want = f"expected {','.join(expected[:6])}{',...' if len(expected) > 6 else ''}"
    if len(header) == 1 and len(expected) > 1:
        for mark, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if mark in header[0]:
                raise SubmissionError(f"wrong columns: separated by {word}, not commas; {want}")
    missing = [name for name in expected if name not in header]
    extra = [name for name in header if name not in expected]
    twice = sorted({name for name in header if header.count(name) > 1})
    faults = []
    if missing:
        faults.append(f"missing {first_of(map(quoted, missing), len(missing))}")
    if extra:
        faults.append(f"unexpected {first_of(map(quoted, extra), len(extra))}")
        if extra[0] == "" or extra[0].startswith("Unnamed:"):
            faults[-1] += " (an index? write with index=False)"
    if twice:
        faults.append(f"more than once {first_of(map(quoted, twice), len(twice))}")
    if faults:
        raise SubmissionError(f"wrong columns: {'; '.join(faults)}; {want}")


def _parse(body: bytes, header: Sequence[str], data: bytes) -> Any:
    if not body:
        raise SubmissionError("the submission has a header and no rows")
    types = dict.fromkeys(header, pa.string())
    block = min(len(body) + 1, _BLOCK)
    try:
        return pacsv.read_csv(
            pa.BufferReader(body),
            read_options=pacsv.ReadOptions(column_names=list(header), use_threads=False, block_size=block),
            parse_options=pacsv.ParseOptions(newlines_in_values=b'"' in body),
            convert_options=pacsv.ConvertOptions(column_types=types, strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        raise SubmissionError(_csv_fault(str(error), data)) from None


def _csv_fault(message: str, data: bytes) -> str:
    if "UTF8" in message:
        return _bad_byte(data)
    ragged = re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+): (.*)", message, re.DOTALL)
    if ragged:
        row = f"row {ragged[1]}" if ragged[1] else "a row"
        return f"unreadable CSV: {row} has {ragged[3]} columns instead of {ragged[2]}: {quoted(ragged[4])}"
    return f"unreadable CSV: {message.removeprefix('CSV parse error: ')}"


def _bad_byte(data: bytes) -> str:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{data[error.start]:02x} in line {line}"
        return f"wrong encoding: {byte} is not UTF-8; write the CSV as UTF-8"
    return "wrong encoding: write the CSV as UTF-8"


def _check_ids(positions: Array, given: Any, ids: Ids, name: str) -> None:
    unknown = np.flatnonzero(positions < 0)
    counts = np.bincount(positions[positions >= 0], minlength=len(ids.text))
    missing, twice = np.flatnonzero(counts == 0), np.flatnonzero(counts > 1)
    faults = []
    for rows, source, one, many in (
        (missing, ids.text, "missing id", "missing ids"),
        (unknown, given, "unknown id", "unknown ids"),
        (twice, ids.text, "duplicate id", "duplicate ids"),
    ):
        if len(rows):
            shown = [quoted(source[int(row)].as_py()).strip("'\"") for row in rows[:3]]
            faults.append(f"{len(rows)} {one if len(rows) == 1 else many} ({first_of(shown, len(rows))})")
    if faults:
        raise SubmissionError(
            f"column {quoted(name)}: {', '.join(faults)}; {len(given)} rows instead of {len(ids.text)}"
            if len(given) != len(ids.text)
            else f"column {quoted(name)}: {', '.join(faults)}"
        )


def write_csv(header: Sequence[str], columns: Sequence[Sequence[str]]) -> bytes:
    """Columns of text as a CSV file with Unix line ends."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue().encode("utf-8")
