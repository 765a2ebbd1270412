"""What file names say: which are tables, media, code, texts.

Kept apart from the modules that open files, so that looking at a folder whose
task is already prepared imports nothing heavy.
"""

from __future__ import annotations

import re

CSV_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zip", ".tsv.zip")
PARQUET_SUFFIXES = (".parquet", ".pq")
TABLE_SUFFIXES = CSV_SUFFIXES + PARQUET_SUFFIXES
MEDIA_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".dcm", ".svg", ".ppm", ".pgm"),
    *(".wav", ".mp3", ".flac", ".ogg", ".m4a", ".aac", ".mp4", ".avi", ".mov", ".mkv"),
)
CODE_SUFFIXES = (".py", ".ipynb", ".r", ".rmd", ".sh", ".jl", ".sql")
DOC_SUFFIXES = (".md", ".rst", ".txt")
_DOC_NAMES = ("license", "readme")


def is_table(name: str) -> bool:
    """Whether a file name says that it is a table we read."""
    return name.lower().endswith(TABLE_SUFFIXES)


def is_media(name: str) -> bool:
    """Whether a file name says that it is an image, sound or film."""
    return name.lower().endswith(MEDIA_SUFFIXES)


def is_code(name: str) -> bool:
    """Whether a file name says that it is a program or notebook."""
    return name.lower().endswith(CODE_SUFFIXES)


def is_text(name: str) -> bool:
    """Whether a file name says that it is a text to read."""
    return name.lower().endswith(DOC_SUFFIXES) or name.lower() in _DOC_NAMES


def stem(name: str) -> str:
    """File name without folders and without its table suffix, in lower case."""
    name = name.rsplit("/", 1)[-1].lower()
    for suffix in sorted(TABLE_SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return name


def task_name(text: str) -> str:
    """A name that is safe as a folder: lower case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "task"
