"""The execution cache: what a program did, kept on disk under everything that it could depend on.

Takes a key (see `recall.py`) and gives back facts, changed files and the original
duration. One file an entry, written whole or not at all, checked by its hash when
read; the folder is kept under a size cap by dropping what was used longest ago.
A cache that can't be read or written is a slower run, never an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from .. import clock
from ..records import Execution

_MAGIC = b"mleagent execution 1\n"
_KEEP = ("ok", "error")
"""Time-outs, memory, disk, kills and losses depend on the machine's mood; a missing package may come."""
_LARGEST_SHARE = 8
_ROOM_SHARE = 0.9
_STALE_S = 3600.0
_FACTS, _FILES = "execution.json", "files/"


@dataclass(frozen=True)
class Entry:
    """One execution and what it left."""

    execution: Execution
    """As measured, with the tool's own milestone lines under `tag`."""
    tag: str = "none"
    changed: Mapping[str, bytes] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


class ExecutionCache:
    """Entries under `folder`, at most `cap_mb` MiB of them. Safe for several processes at once."""

    def __init__(self, folder: Path, cap_mb: int) -> None:
        """Nothing is created until the first `put`."""
        self._folder, self._cap = folder, cap_mb * 2**20
        self._size: int | None = None
        self.hits = self.misses = 0

    def get(self, key: str) -> Entry | None:
        """What is kept under `key`; an entry that is not whole is removed."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            self.misses += 1
            return None
        entry = _unpacked(data)
        with contextlib.suppress(OSError):
            if entry is None:
                path.unlink()
            else:
                os.utime(path)
        self.hits += entry is not None
        self.misses += entry is None
        return entry

    def put(self, key: str, entry: Entry) -> bool:
        """Keep `entry`, if its verdict is one that the same program would get again; whether it was."""
        if entry.execution.status not in _KEEP:
            return False
        data = _packed(entry)
        if len(data) > self._cap // _LARGEST_SHARE:
            return False
        path = self._path(key)
        partial = path.with_name(f".{path.name}.{clock.new_id()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(data)
            os.replace(partial, path)
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            return False
        self._size = None if self._size is None else self._size + len(data)
        if self._size is None or self._size > self._cap:
            self._make_room()
        return True

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key

    def _make_room(self) -> None:
        """Measure the folder and drop the entries used longest ago, to nine tenths of the cap if over it."""
        found, old = [], time.time() - _STALE_S
        for path in self._folder.glob("*/*"):
            with contextlib.suppress(OSError):
                there = path.stat()
                if path.name.startswith(".") and there.st_mtime < old:
                    path.unlink()  # of a process that was killed while it wrote
                else:
                    found.append((there.st_mtime, there.st_size, path))
        size = sum(item[1] for item in found)
        if size > self._cap:
            for _, bytes_, path in sorted(found, key=lambda item: item[0]):
                if size <= self._cap * _ROOM_SHARE:
                    break
                with contextlib.suppress(OSError):
                    path.unlink()
                    size -= bytes_
        self._size = size


def _packed(entry: Entry) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        facts = {
            "execution": entry.execution.model_dump(mode="json"),
            "tag": entry.tag,
            "removed": entry.removed,
        }
        archive.writestr(_FACTS, json.dumps(facts))
        for path, data in entry.changed.items():
            archive.writestr(_FILES + path, data)
    data = body.getvalue()
    return _MAGIC + hashlib.sha256(data).digest() + data


def _unpacked(data: bytes) -> Entry | None:
    """The entry, or None for anything that was not written whole by `_packed`."""
    start = len(_MAGIC) + 32
    if not data.startswith(_MAGIC) or hashlib.sha256(data[start:]).digest() != data[len(_MAGIC) : start]:
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(data[start:])) as archive:
            facts = json.loads(archive.read(_FACTS))
            names = [name for name in archive.namelist() if name.startswith(_FILES)]
            changed = {name.removeprefix(_FILES): archive.read(name) for name in names}
        execution = Execution.model_validate(facts["execution"])
        return Entry(execution, str(facts["tag"]), changed, tuple(map(str, facts["removed"])))
    except (zipfile.BadZipFile, ValidationError, ValueError, KeyError, TypeError):
        return None
