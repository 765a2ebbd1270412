"""The frozen sets of synthetic tasks: train (a range of seeds), gate (120) and report (72), all disjoint.

`synth_sets.json` beside this module lists seed, family and content hash of every gate and report task and of
the first train tasks. `verify` makes tasks anew and compares: a set is what its hashes say, or the generator
was changed without raising its version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from mleagent.errors import InputError
from mleagent.records import Record

from .synth import GENERATOR, make_task

SetName = Literal["train", "gate", "report"]
TRAIN = range(0, 1_000_000)
"""Seeds that learning may take tasks from."""
GATE = range(2_000_000, 2_000_120)
"""Read by the gate only, which counts its looks."""
REPORT = range(3_000_000, 3_000_072)
"""Quoted in claims; no gate and no training ever reads it."""
_LISTED_TRAIN = 200
MANIFEST = Path(__file__).with_name("synth_sets.json")


class Entry(Record):
    """One frozen task."""

    set: SetName
    seed: int
    family: str
    hash: str


class Manifest(Record):
    """All listed tasks, and the generator's version they were made by."""

    generator: int
    entries: tuple[Entry, ...]


def seeds(name: SetName) -> range:
    """The seeds of a set."""
    return {"train": TRAIN, "gate": GATE, "report": REPORT}[name]


def build() -> Manifest:
    """Make every listed task and hash it: a minute of work."""
    entries = []
    for name, chosen in (("train", TRAIN[:_LISTED_TRAIN]), ("gate", GATE), ("report", REPORT)):
        for seed in chosen:
            task = make_task(seed)
            entries.append(Entry.model_validate(
                {"set": name, "seed": seed, "family": task.family, "hash": task.content_hash}
            ))  # fmt: skip
    return Manifest(generator=GENERATOR, entries=tuple(entries))


def load() -> Manifest:
    """The committed manifest. Raises InputError where it is missing, damaged or of another generator."""
    try:
        manifest = Manifest.model_validate_json(MANIFEST.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{MANIFEST}: not readable ({str(error).splitlines()[0]}); restore it from the repository"
        ) from None
    if manifest.generator != GENERATOR:
        raise InputError(
            f"{MANIFEST}: made by generator {manifest.generator}, this is {GENERATOR}; rebuild it"
        )
    return manifest


def verify(entries: Iterable[Entry]) -> list[Entry]:
    """Entries whose task, made anew, has other bytes than when it was frozen."""
    return [entry for entry in entries if make_task(entry.seed).content_hash != entry.hash]


def per_family(entries: Sequence[Entry], count: int) -> list[Entry]:
    """The first `count` entries of each family, in order of seed: a small sample that leaves none out."""
    taken: dict[str, int] = {}
    found = []
    for entry in entries:
        if taken.get(entry.family, 0) < count:
            taken[entry.family] = taken.get(entry.family, 0) + 1
            found.append(entry)
    return found


def main() -> None:
    """Write the manifest anew: `python -m finetune.synth_sets`, after raising `GENERATOR`."""
    lines = [json.dumps(entry.model_dump(), separators=(", ", ": ")) for entry in build().entries]
    text = f'{{"generator": {GENERATOR}, "entries": [\n' + ",\n".join(lines) + "\n]}\n"
    MANIFEST.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
