"""The records of the ledger: base models, adapters with their provenance and gate result, looks, uses.

Plain frozen records. A base is known by the hash of its weights, so an adapter's parent stays known
when the file is renamed or moved; a name is for people. Times are seconds since the epoch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from ..errors import InputError
from ..records import Record

Kind = Literal["gguf", "safetensors", "endpoint"]
AdapterState = Literal["candidate", "promoted", "refused", "retired"]
RESERVED = ("auto", "nano", "playbook")
"""Words of `--model` that no entry may be called."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Files(Record):
    """What of an entry lies on disk, as it was when it was checked."""

    path: str
    """Absolute: the file, the first part of a split GGUF, or the folder of a safetensors model."""
    sha256: str
    """Of the file; for several, of the lines `sha256  name`, sorted by name."""
    bytes: int
    stamp: str
    """Sizes and times of change: as long as it holds, the files are not read again to hash them."""


class Base(Record):
    """A base model: weights on disk, or an endpoint."""

    name: str
    kind: Kind
    files: Files | None = None
    """None for an endpoint."""
    url: str = ""
    endpoint_model: str = ""
    """Model name sent to the endpoint; empty: the first it lists."""
    owned: bool = False
    """In our own folder, so `remove` deletes it; what the user added stays where it is."""
    source: str = ""
    """`hub:owner/name@commit`, or where the user had it."""
    licence: str = ""
    """As the hub or the file states it; empty where nothing does."""
    architecture: str = ""
    parameters: int = 0
    context_length: int | None = None
    kv_bytes: int = 0
    """Memory of one token of context in bytes, keys and values in F16; 0 where it is not known."""
    added_at: float = 0.0


class Provenance(Record):
    """How an adapter came to be: enough to make it again, and to find it by what it learned from."""

    config: Mapping[str, str] = Field(default_factory=dict)
    seed: int = 0
    data: tuple[str, ...] = ()
    """Hashes of the data sets it was trained on."""
    sessions: tuple[str, ...] = ()
    """Sessions of the user's that it was trained on."""
    versions: Mapping[str, str] = Field(default_factory=dict)
    """Library to version."""


class GateResult(Record):
    """What the gate found of an adapter, in utility on the gate's tasks (DESIGN §10)."""

    verdict: Literal["promoted", "refused", "undecided"]
    gain: float
    """Mean paired gain over what was active."""
    lower: float
    """Lower bound of the gain at `alpha`."""
    alpha: float
    tasks: int
    worst_user_task: float | None = None
    """The smallest change on a task of the user's; None without any."""
    at: float = 0.0
    reason: str = ""


class Adapter(Record):
    """LoRA weights as a GGUF file, and the base they belong to."""

    name: str
    files: Files
    parent: str
    """sha256 of the base's weights."""
    parent_name: str = ""
    """What the base was called then, for messages."""
    state: AdapterState = "candidate"
    provenance: Provenance = Provenance()
    gate: GateResult | None = None
    owned: bool = True
    added_at: float = 0.0


Entry = Base | Adapter


class Look(Record):
    """One look at a frozen set of gate tasks, and the share of alpha it spent."""

    gate_set: str
    """Hash of the frozen set."""
    adapter: str
    alpha: float
    verdict: str
    at: float


class Use(Record):
    """One change of the configured model, so that it can be taken back."""

    number: int
    before: str
    after: str
    at: float


def checked_name(name: str) -> str:
    """A name that `--model` can't take for something else. Raises InputError."""
    if name.lower() in RESERVED:
        raise InputError(f"a model can't be called {name!r}: --model {name.lower()} means something else")
    if not _NAME.fullmatch(name) or name.lower().endswith((".gguf", ".toml")):
        raise InputError(
            f"model name {name!r} can't be used; take letters, digits, dots, dashes (no / or :), no .gguf"
        )
    return name


def name_for(path: Path) -> str:
    """A name made from a file's: what comes before .gguf and a split's number, odd characters as dashes."""
    stem = re.sub(r"-\d{5}-of-\d{5}$", "", path.stem if path.suffix.lower() == ".gguf" else path.name)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._").lower()[:80] or "model"
    return f"{name}-model" if name in RESERVED else name
