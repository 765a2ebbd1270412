"""The content hash that a preparation is cached by.

Tables, texts and code count with their bytes; media with path, size and
modification time (they are never read); everything else with its path, since
it is not mounted unless `include` says so. The settings that the preparation depends on and a version
of the preparation itself go in too.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..errors import InputError
from .discover import Found
from .options import TaskOptions

PREPARATION_VERSION = 1
"""Raised whenever the same folder would be prepared differently."""
_BLOCK = 2**20


def content_hash(found: Found, options: TaskOptions) -> str:
    """24 hex digits over the folder's content, the settings and the preparation's version."""
    digest = hashlib.sha256(f"v{PREPARATION_VERSION}\n".encode())
    settings = options.model_dump_json(exclude={"instruction", "learn", "env"})
    digest.update(f"{found.folder.name}\n{settings}\n".encode())
    read = {file.rel for file in (*found.all_tables, *found.docs, *found.code)}
    stamped = {file.rel for file in found.media}
    if options.include:
        stamped |= {file.rel for file in found.other}
    for file in sorted(found.files, key=lambda f: f.rel):
        digest.update(f"{file.rel}\0".encode("utf-8", errors="surrogateescape"))
        if file.rel in read:
            _feed(digest, file.path)
        elif file.rel in stamped:
            digest.update(f"{file.bytes} {file.mtime_ns}".encode())
    for item in found.skipped:
        digest.update(f"{item.path}\0".encode("utf-8", errors="surrogateescape"))
    if ".py:" in options.metric:
        source = found.folder / options.metric.rpartition(":")[0]
        if source.is_file():
            _feed(digest, source)
    return digest.hexdigest()[:24]


def _feed(digest: hashlib._Hash, path: Path) -> None:
    try:
        with path.open("rb") as handle:
            while block := handle.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}); check its permissions") from None
    digest.update(b"\0")
