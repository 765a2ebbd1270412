"""The bundled models as bases of the ledger, though they are no rows of it: they come with the program."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from ..errors import UnavailableError
from ..policy import nano
from .entries import Base
from .files import files_at, head_of

_NAMES: dict[str, Callable[[], Path]] = {"nano": nano.path, "nano-quarter": nano.quarter_path}
NAMES = tuple(_NAMES)


def bundled(name: str) -> Base | None:
    """The bundled model of that name; None where its file is not installed or the name is another."""
    make = _NAMES.get(name.lower())
    try:
        return _base(name.lower(), make()) if make else None
    except UnavailableError:
        return None


def bundled_of_hash(sha256: str) -> Base | None:
    """The bundled model whose weights have this hash."""
    found = (bundled(name) for name in NAMES)
    return next((base for base in found if base and base.files and base.files.sha256 == sha256), None)


@cache
def _base(name: str, path: Path) -> Base:
    head = head_of(path)
    return Base(
        name=name,
        kind="gguf",
        files=files_at(path),
        source="comes with mleagent",
        licence=head.licence or "apache-2.0",
        architecture=head.architecture,
        parameters=head.parameters,
        context_length=head.context_length,
        kv_bytes=head.kv_bytes,
    )
