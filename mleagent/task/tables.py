"""Reading and writing the user's tables, exactly.

A CSV is held as the text it is (`007` stays `007`), because rows are only
moved between files; `columns.typed` gives the values. Compression, delimiter
and file name survive. Errors name the file, the line and the mend.
"""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from ..errors import InputError
from .names import PARQUET_SUFFIXES

_SNIFF_BYTES = 65536


@dataclass(frozen=True)
class Format:
    """How a table lies on disk."""

    kind: Literal["csv", "parquet"]
    delimiter: str = ","
    compression: Literal["", "gzip", "zip"] = ""


@dataclass(frozen=True)
class Table:
    """A table with its relative path. CSV columns are text as written; parquet ones are typed."""

    rel: str
    format: Format
    frame: pd.DataFrame

    @property
    def rows(self) -> int:
        """Number of data rows."""
        return len(self.frame)

    @property
    def columns(self) -> list[str]:
        """Column names in order."""
        return [str(name) for name in self.frame.columns]

    def take(self, frame: pd.DataFrame) -> Table:
        """The same file with other rows or columns."""
        return replace(self, frame=frame)


def read_table(path: Path, rel: str = "", limit: int | None = None) -> Table:
    """Read `path` (the first `limit` rows of it). Raises InputError naming line and encoding."""
    rel = rel or path.name
    try:
        if path.name.lower().endswith(PARQUET_SUFFIXES):
            return _read_parquet(path, rel, limit)
        return _read_csv(path, rel, limit)
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{path}: can't be read ({reason}); check the file and its permissions") from None


def _read_parquet(path: Path, rel: str, limit: int | None) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if limit is None:
            frame = pq.read_table(path).to_pandas()
        else:
            batches = pq.ParquetFile(path).iter_batches(batch_size=max(1, limit))
            first = next(batches, None)
            frame = first.to_pandas() if first is not None else pq.read_table(path).to_pandas()
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{path}: not a parquet file ({str(error).splitlines()[0]}); write it again"
        ) from None
    frame.columns = [str(name) for name in frame.columns]
    return Table(rel, Format("parquet"), frame.reset_index(drop=True))


def _read_csv(path: Path, rel: str, limit: int | None) -> Table:
    data = _decompressed(path)
    kind = _format(path, data)
    _check_encoding(path, data)
    try:
        frame = pd.read_csv(
            io.BytesIO(data),
            dtype=str,
            na_filter=False,
            sep=kind.delimiter,
            encoding="utf-8-sig",
            nrows=limit,
            low_memory=False,
        )
    except pd.errors.EmptyDataError:
        raise InputError(f"{path}: the file is empty; a header line and rows are needed") from None
    except pd.errors.ParserError as error:
        raise InputError(f"{path}: broken CSV ({_parser_words(str(error), data, kind)})") from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise InputError(f"{path}: broken CSV (line 2 has more fields than the header); mend that line")
    if limit is None:
        _check_short_rows(path, data, kind, frame)
    return Table(rel, kind, frame)


def _decompressed(path: Path) -> bytes:
    """The CSV's bytes; a zip must hold exactly one table."""
    name = path.name.lower()
    if name.endswith(".gz"):
        with gzip.open(path, "rb") as handle:
            return handle.read()
    if name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.namelist() if not m.startswith("__MACOSX") and not m.endswith("/")]
            if len(members) != 1:
                raise InputError(f"{path}: holds {len(members)} files where one CSV is expected; unpack it")
            return archive.read(members[0])
    return path.read_bytes()


def _format(path: Path, data: bytes) -> Format:
    """Delimiter by the header line: the separator that occurs most, a comma in doubt."""
    name = path.name.lower()
    compression: Literal["", "gzip", "zip"] = (
        "gzip" if name.endswith(".gz") else "zip" if name.endswith(".zip") else ""
    )
    header = data[:_SNIFF_BYTES].split(b"\n", 1)[0]
    counts = {mark: header.count(mark.encode()) for mark in (",", ";", "\t", "|")}
    best = max(counts, key=lambda mark: counts[mark])
    default = "\t" if ".tsv" in name else ","
    return Format("csv", best if counts[best] > counts[default] else default, compression)


def _check_encoding(path: Path, data: bytes) -> None:
    """Name the encoding where it is not UTF-8; guessing silently would change the user's text."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{path}: the encoding is UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        guess = "cp1252 (Windows Latin)" if data[error.start] < 0xA0 else "latin-1 or cp1252"
        raise InputError(
            f"{path}: line {line} is not UTF-8 (byte 0x{data[error.start]:02x}; looks like {guess}); "
            f"convert it: iconv -f CP1252 -t UTF-8"
        ) from None
    if b"\x00" in data[:_SNIFF_BYTES]:
        raise InputError(f"{path}: holds NUL bytes, so it is no CSV text; write it again as UTF-8")


def _parser_words(message: str, data: bytes, kind: Format) -> str:
    """The parser's complaint in words with a line number counted from 1."""
    if "Expected" in message:
        expected, saw = message.split("Expected ", 1)[1].split(" fields in line ")
        number, count = saw.split(", saw ")
        return f"line {number}: {count.strip()} fields where the header has {expected}; mend that line"
    if "EOF inside string" in message:
        line = _open_quote_line(data, kind)
        return f"line {line}: a quote is opened and never closed; mend that line"
    return message.strip().splitlines()[0]


def _open_quote_line(data: bytes, kind: Format) -> int:
    """Line (from 1) where the record with the unclosed quote begins."""
    reader = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), delimiter=kind.delimiter)
    before = 0
    try:
        for _ in reader:
            last, before = before, reader.line_num
        return last + 1
    except csv.Error:
        return before + 1


def _check_short_rows(path: Path, data: bytes, kind: Format, frame: pd.DataFrame) -> None:
    """Pandas fills short rows with blanks in silence; a cut-off line must not become data."""
    if frame.shape[1] < 2 or not len(frame) or not (frame.iloc[:, -1] == "").any():
        return
    reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=kind.delimiter)
    csv.field_size_limit(2**31 - 1)
    for fields in reader:
        if fields and len(fields) < frame.shape[1]:
            raise InputError(
                f"{path}: broken CSV (line {reader.line_num}: {len(fields)} fields where the header has "
                f"{frame.shape[1]}); mend that line"
            )


def write_table(table: Table, path: Path) -> None:
    """Write a table the way its original lies on disk; same rows give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if table.format.kind == "parquet":
        frame = table.frame.copy(deep=False)
        frame.attrs = {}  # They would be written into the file's metadata, whatever they hold.
        frame.to_parquet(path, index=False)
        return
    header = ["" if name.startswith("Unnamed: ") else name for name in table.columns]
    text = table.frame.to_csv(index=False, sep=table.format.delimiter, header=header, lineterminator="\n")
    data = text.encode("utf-8")
    if table.format.compression == "gzip":
        path.write_bytes(gzip.compress(data, mtime=0))
    elif table.format.compression == "zip":
        info = zipfile.ZipInfo(path.name.removesuffix(".zip"), date_time=(1980, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(info, data)
    else:
        path.write_bytes(data)
