"""What is said about sessions and steps afterwards: labels, sealed scores, adapters trained on them.

Sealed scores lie in a table of their own that no prompt, memory or reward reads.
How often a split's sealed rows were looked at is counted by the split's content
hash and outlives the sessions, so that deleting a session does not make a look unhappen.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from .. import clock
from ..records import Label, Record, SealedGrade
from . import step_rows
from .codec import from_json, to_json


class StoredLabel(Record):
    """A label as it was given."""

    step_id: str
    index: int
    label: Label
    note: str = ""
    created_at: float


def add_label(db: sqlite3.Connection, step_id: str, label: Label, note: str) -> None:
    """Append a label. Raises InputError when there is no such step."""
    if db.execute("SELECT 1 FROM steps WHERE id = ?", (step_id,)).fetchone() is None:
        raise step_rows.unknown(step_id)
    db.execute(
        "INSERT INTO labels (step_id, label, note, created_at) VALUES (?, ?, ?, ?)",
        (step_id, label, note, clock.now()),
    )


def labels(db: sqlite3.Connection, session_id: str) -> list[StoredLabel]:
    """All labels of a session's steps, oldest first."""
    rows = db.execute(
        """SELECT l.step_id, t.idx, l.label, l.note, l.created_at FROM labels l
           JOIN steps t ON t.id = l.step_id WHERE t.session_id = ? ORDER BY l.seq""",
        (session_id,),
    )
    return [StoredLabel(step_id=r[0], index=r[1], label=r[2], note=r[3], created_at=r[4]) for r in rows]


def count_look(db: sqlite3.Connection, content_hash: str) -> int:
    """Count a look at a split's sealed rows; how often they were looked at, this time included."""
    db.execute(
        """INSERT INTO looks (content_hash, looks) VALUES (?, 1)
           ON CONFLICT (content_hash) DO UPDATE SET looks = looks + 1""",
        (content_hash,),
    )
    return int(db.execute("SELECT looks FROM looks WHERE content_hash = ?", (content_hash,)).fetchone()[0])


def add_sealed(
    db: sqlite3.Connection, session_id: str, step_id: str, content_hash: str, grade: SealedGrade
) -> SealedGrade:
    """Count the look, store the grade with that count and return it."""
    looks = count_look(db, content_hash)
    score = grade.score.model_copy(update={"looks": looks})
    counted = grade.model_copy(update={"score": score})
    db.execute(
        """INSERT INTO sealed (session_id, step_id, content_hash, record, created_at)
           VALUES (?, ?, ?, ?, ?)""",
        (session_id, step_id, content_hash, to_json(counted.model_dump()), clock.now()),
    )
    return counted


def sealed(db: sqlite3.Connection, session_id: str) -> list[SealedGrade]:
    """A session's sealed grades, oldest first."""
    rows = db.execute("SELECT record FROM sealed WHERE session_id = ? ORDER BY seq", (session_id,))
    return [SealedGrade.model_validate(from_json(row[0])) for row in rows]


def add_adapter(db: sqlite3.Connection, adapter: str, session_ids: Sequence[str]) -> None:
    """Note the sessions that an adapter was trained on."""
    db.executemany(
        """INSERT OR IGNORE INTO adapter_sessions (adapter, session_id)
           SELECT ?, id FROM sessions WHERE id = ?""",
        [(adapter, session_id) for session_id in session_ids],
    )


def adapters(db: sqlite3.Connection, session_id: str) -> list[str]:
    """Names of the adapters that were trained on the session."""
    rows = db.execute(
        "SELECT adapter FROM adapter_sessions WHERE session_id = ? ORDER BY adapter", (session_id,)
    )
    return [row[0] for row in rows]
