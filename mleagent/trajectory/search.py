"""Full-text search over what was planned, written, printed and observed.

Each step's texts are indexed by SQLite's FTS5 in the transaction that commits the
step. Long texts are indexed by their head and tail, so that one megabyte of
training output does not slow the commit or double the store.
"""

from __future__ import annotations

import sqlite3

from ..records import Record, Step
from .codec import clip_middle, one_line

INDEXED_CHARACTERS = 20_000
"""Of each text, half from its head and half from its tail."""

MARK = ("«", "»")
"""What surrounds the matching words of a snippet."""


class Hit(Record):
    """A place where the words were found: a step, or a session's task and instruction."""

    session_id: str
    step_id: str | None = None
    index: int | None = None
    """The step's number; None for a session."""
    task: str
    created_at: float
    snippet: str
    """One line around the best match, matching words in `MARK`."""


def match_expression(text: str) -> str:
    """Words as an FTS5 query: all must occur, the last may be the beginning of a word.

    Operators and quotes lose their meaning, so nothing typed can be a syntax error.
    Text without any letter or digit gives a query that matches nothing.
    """
    words = text.replace('"', " ").replace("\0", " ").split()
    words = [word for word in words if any(char.isalnum() for char in word)]
    return " ".join(f'"{word}"' for word in words) + "*" if words else '""'


def index_step(db: sqlite3.Connection, seq: int, step: Step) -> None:
    """Make a step's texts searchable under its row number."""
    output = step.execution.output if step.execution else ""
    texts = (step.action.plan, step.action.body, output, step.observation)
    db.execute(
        "INSERT INTO step_text (rowid, plan, body, output, observation) VALUES (?, ?, ?, ?, ?)",
        (seq, *(clip_middle(text, INDEXED_CHARACTERS) for text in texts)),
    )


def find(db: sqlite3.Connection, text: str, limit: int) -> list[Hit]:
    """Hits, sessions first, then steps by relevance."""
    expression = match_expression(text)
    query = """SELECT s.id, NULL, NULL, s.task_name, s.created_at,
                      snippet(session_text, -1, ?, ?, '…', 16)
               FROM session_text JOIN sessions s ON s.seq = session_text.rowid
               WHERE session_text MATCH ? ORDER BY rank LIMIT ?"""
    rows = db.execute(query, (*MARK, expression, limit)).fetchall()
    query = """SELECT t.session_id, t.id, t.idx, s.task_name, t.created_at,
                      snippet(step_text, -1, ?, ?, '…', 16)
               FROM step_text JOIN steps t ON t.seq = step_text.rowid
               JOIN sessions s ON s.id = t.session_id
               WHERE step_text MATCH ? ORDER BY rank LIMIT ?"""
    if len(rows) < limit:
        rows += db.execute(query, (*MARK, expression, limit - len(rows))).fetchall()
    return [
        Hit(session_id=r[0], step_id=r[1], index=r[2], task=r[3], created_at=r[4], snippet=one_line([r[5]]))
        for r in rows
    ]


def forget_session(db: sqlite3.Connection, session_id: str) -> None:
    """Take a session and its steps out of the index; call it before their rows go."""
    db.execute(
        "DELETE FROM step_text WHERE rowid IN (SELECT seq FROM steps WHERE session_id = ?)", (session_id,)
    )
    db.execute(
        "DELETE FROM session_text WHERE rowid = (SELECT seq FROM sessions WHERE id = ?)", (session_id,)
    )
