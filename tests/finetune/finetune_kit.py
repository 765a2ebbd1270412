"""Shared by the tests of `finetune`: a prepared arena for a family, once a session."""

from __future__ import annotations

from pathlib import Path

from finetune.arena import Arena, warm_up
from finetune.synth import make_task

_ARENAS: dict[tuple[str, int], Arena] = {}


def arena_of(family: str, folder: Path, seed: int = 11) -> Arena:
    """The arena of a family's task; made once, in the folder of whoever asks first."""
    if (family, seed) not in _ARENAS:
        warm_up()
        place = folder / f"{family}-{seed}"
        place.mkdir()
        _ARENAS[family, seed] = Arena(make_task(seed, family), place)
    return _ARENAS[family, seed]
