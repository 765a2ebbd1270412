"""The rows of the public test table: which they are, their order, their ids and media names.

Held-out rows and the user's own are shuffled together, so that nothing tells
them apart. Ids stay the user's where they can; where they overlap, repeat or
tell the target, all public test rows get new ones, which the private answers
map back.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from . import media
from .problem import Problem
from .sources import Sources
from .split import TRAIN, Ints
from .understanding import Understanding


@dataclass(frozen=True)
class TestRows:
    """The rows of the public test table, in its order."""

    held: Ints
    """Train row of each; -1 for the user's own."""
    own: Ints
    """Row of the user's test table of each; -1 for held-out ones."""
    ids: tuple[str, ...]
    """Public ids as text."""
    user_ids: tuple[str | None, ...]
    media: tuple[tuple[str, ...], ...] = ()
    """For each reference: the public path of each row's file."""


@dataclass(frozen=True)
class Decided:
    """An understanding whose tables are there."""

    u: Understanding
    sources: Sources
    problem: Problem
    parts: Ints
    dropped: frozenset[str]

    @classmethod
    def of(cls, u: Understanding) -> Decided:
        """Narrow `u`; only for tasks with labels."""
        assert u.sources is not None and u.problem is not None
        assert u.parts is not None and u.columns is not None
        return cls(u, u.sources, u.problem, u.parts, frozenset(u.columns.dropped))


def test_rows(decided: Decided) -> TestRows:
    """Held-out and own rows shuffled together (in order where the split is by time), with their ids."""
    held = np.flatnonzero(decided.parts != TRAIN)
    count = decided.sources.test.rows if decided.sources.test is not None else 0
    both = np.concatenate([held, np.full(count, -1)])
    own = np.concatenate([np.full(len(held), -1), np.arange(count)])
    if not decided.u.task.time_column:
        order = np.random.default_rng([decided.u.options.seed, 7]).permutation(len(both))
        both, own = both[order], own[order]
    names = tuple(_neutral(decided, index, both, own) for index in range(len(decided.u.references)))
    ids, user_ids = _ids(decided, both, own, names)
    return TestRows(both, own, ids, user_ids, names)


def _neutral(decided: Decided, index: int, held: Ints, own: Ints) -> tuple[str, ...]:
    """Neutral public paths of one reference's files."""
    reference, first = decided.u.references[index], decided.u.references[0]
    folder = media.neutral_folder(reference, labelled=True)
    mark = "" if reference.train == first.train else f"_{index}"
    paths = []
    for number, (row, mine) in enumerate(zip(held, own, strict=True)):
        file = reference.train[row] if row >= 0 else reference.test[mine]
        suffix = os.path.splitext(file.name)[1].lower() if file is not None else ""
        paths.append(f"{folder}/{number:06d}{mark}{suffix}".lstrip("/"))
    return tuple(paths)


def _ids(
    decided: Decided, held: Ints, own: Ints, names: tuple[tuple[str, ...], ...]
) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    """Public ids and the user's ids of the test rows."""
    sources, column = decided.sources, decided.problem.id_column
    if column is None:
        start, users = _positions(decided)
        user_ids = tuple(users[row] if row >= 0 else None for row in own)
        return tuple(str(start + number) for number in range(len(held))), user_ids
    theirs = sources.test.frame[column].astype(str).tolist() if sources.test is not None else []
    user_ids = tuple(theirs[row] if row >= 0 else None for row in own)
    if not decided.u.remap:
        mine = sources.train[column].astype(str).tolist()
        kept = zip(held, own, strict=True)
        return tuple(mine[row] if row >= 0 else theirs[other] for row, other in kept), user_ids
    for reference, paths in zip(decided.u.references, names, strict=True):
        if reference.column == column:
            return tuple(written_as(path, reference.by) for path in paths), user_ids
    taken = sources.train[column].astype(str).tolist() if column in sources.train else []
    return _fresh_ids([*taken, *theirs], len(held)), user_ids


def written_as(path: str, by: str) -> str:
    """A media path the way its column writes it."""
    name = path.rsplit("/", 1)[-1]
    return path if by == "rel" else name if by == "name" else name.rsplit(".", 1)[0]


def _positions(decided: Decided) -> tuple[int, list[str]]:
    """First position and the user's ids where ids are row numbers of the sample submission."""
    sources, name = decided.sources, decided.problem.sample_id
    count = sources.test.rows if sources.test is not None else 0
    if sources.sample is not None and name in sources.sample.columns and sources.sample.rows == count:
        users = sources.sample.frame[name].astype(str).tolist()
        first = users[0] if users else "0"
        return (int(first) if first.isdigit() and int(first) <= 1 else 0), users
    return 0, [str(number) for number in range(count)]


def _fresh_ids(taken: list[str], count: int) -> tuple[str, ...]:
    """Ids that no row has: whole numbers above all where the user's are whole, else `test_000001`, ..."""
    if all(is_whole(text) for text in taken):
        start = max((int(text) for text in taken), default=-1) + 1
        return tuple(str(start + number) for number in range(count))
    used, prefix = set(taken), "test"
    while any(text.startswith(f"{prefix}_") for text in used):
        prefix += "x"
    return tuple(f"{prefix}_{number:06d}" for number in range(count))


def is_whole(text: str) -> bool:
    """Whether an id is a whole number written plainly, so that counting on from it is safe."""
    return text.isdigit() and (text == "0" or not text.startswith("0")) and len(text) < 18
