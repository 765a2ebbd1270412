"""Rows of the `sessions` table: written from and read as `Session` and `SessionLine`.

The task is kept in a column of its own: it is the large part and never changes
while a session runs, so that committing a step does not write it again.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..records import Session
from .codec import from_json, pack_text, to_json, unpack_text
from .lines import SessionLine
from .search import match_expression

_LINE = """SELECT s.id, created_at, folder, task_name AS task, policy, model, adapter, status, steps,
    direction, best, best_se, best_kind, best_utility, verified,
    (SELECT sum(t.reward) FROM steps t WHERE t.session_id = s.id) AS reward,
    (SELECT z.record FROM sealed z WHERE z.session_id = s.id ORDER BY z.seq DESC LIMIT 1) AS sealed_record
    FROM sessions s"""


def _columns(session: Session, task: bool) -> dict[str, Any]:
    best = session.best
    columns: dict[str, Any] = {
        "id": session.id,
        "created_at": session.created_at,
        "folder": str(session.task.folder),
        "task_name": session.task.name,
        "policy": session.policy,
        "model": session.model,
        "adapter": session.adapter,
        "status": session.status,
        "steps": session.steps,
        "reward_scheme": session.reward_scheme,
        "direction": best.direction if best else None,
        "best": best.value if best else None,
        "best_se": best.se if best else None,
        "best_kind": best.kind if best else None,
        "best_utility": session.best_utility,
        "verified": session.task.verified,
        "record": to_json(session.model_dump(exclude={"task"})),
    }
    if task:
        columns["task"] = pack_text(to_json(session.task.model_dump()))
    return columns


def insert(db: sqlite3.Connection, session: Session) -> None:
    """Add the row and its searchable words."""
    columns = _columns(session, task=True)
    names, marks = ", ".join(columns), ", ".join("?" for _ in columns)
    cursor = db.execute(f"INSERT INTO sessions ({names}) VALUES ({marks})", tuple(columns.values()))
    db.execute(
        "INSERT INTO session_text (rowid, task, instruction) VALUES (?, ?, ?)",
        (cursor.lastrowid, session.task.name, session.instruction),
    )


def update(db: sqlite3.Connection, session: Session, task: bool) -> None:
    """Write the row again; its task and searchable words only when `task`. InputError when unknown."""
    columns = _columns(session, task)
    sets = ", ".join(f"{name} = ?" for name in columns)
    done = db.execute(f"UPDATE sessions SET {sets} WHERE id = ?", (*columns.values(), session.id))
    if not done.rowcount:
        raise unknown(session.id)
    if task:
        db.execute(
            """UPDATE session_text SET task = ?, instruction = ?
               WHERE rowid = (SELECT seq FROM sessions WHERE id = ?)""",
            (session.task.name, session.instruction, session.id),
        )


def unknown(session_id: str) -> InputError:
    """The error for an id that no session has."""
    return InputError(f"no session {session_id!r}; `mleagent runs list` shows them")


def _session(record: str, task: bytes) -> Session:
    return Session.model_validate({**from_json(record), "task": from_json(unpack_text(task))})


def one(db: sqlite3.Connection, session_id: str) -> Session:
    """The session of that id. Raises InputError when there is none."""
    row = db.execute("SELECT record, task FROM sessions WHERE id = ?", (session_id,)).fetchone()
    if row is None:
        raise unknown(session_id)
    return _session(*row)


def _where(folder: Path | None, status: str | None, text: str) -> tuple[str, list[Any]]:
    clauses: list[str] = []
    values: list[Any] = []
    if folder is not None:
        clauses.append("folder = ?")
        values.append(str(folder))
    if status is not None:
        clauses.append("status = ?")
        values.append(status)
    if text.strip():
        expression = match_expression(text)
        clauses.append(
            """(id IN (SELECT t.session_id FROM step_text x JOIN steps t ON t.seq = x.rowid
                       WHERE step_text MATCH ?)
                OR seq IN (SELECT rowid FROM session_text WHERE session_text MATCH ?)
                OR substr(id, 1, ?) = ?)"""
        )
        values += [expression, expression, len(text.strip()), text.strip()]
    return (" WHERE " + " AND ".join(clauses) if clauses else ""), values


def newest(
    db: sqlite3.Connection, limit: int, offset: int, folder: Path | None, status: str | None
) -> list[Session]:
    """Whole sessions, newest first."""
    where, values = _where(folder, status, "")
    query = f"SELECT record, task FROM sessions{where} ORDER BY created_at DESC, seq DESC LIMIT ? OFFSET ?"
    return [_session(*row) for row in db.execute(query, (*values, limit, offset))]


def count(db: sqlite3.Connection, folder: Path | None, status: str | None, text: str) -> int:
    """How many sessions match."""
    where, values = _where(folder, status, text)
    return int(db.execute(f"SELECT count(*) FROM sessions{where}", values).fetchone()[0])


def newest_lines(
    db: sqlite3.Connection, limit: int, offset: int, folder: Path | None, status: str | None, text: str
) -> list[SessionLine]:
    """Lines of a list, newest first."""
    where, values = _where(folder, status, text)
    query = f"{_LINE}{where} ORDER BY created_at DESC, seq DESC LIMIT ? OFFSET ?"
    cursor = db.execute(query, (*values, limit, offset))
    names = [column[0] for column in cursor.description]
    return [_line(dict(zip(names, row, strict=True))) for row in cursor]


def _line(row: dict[str, Any]) -> SessionLine:
    sealed = row.pop("sealed_record")
    if sealed:
        score = from_json(sealed)["score"]
        row |= {"sealed": score["value"], "sealed_se": score["se"], "looks": score["looks"]}
    return SessionLine.model_validate(row)


def resolve(db: sqlite3.Connection, text: str) -> str:
    """The id meant by an id, a unique prefix of one, or `last`. Raises InputError otherwise."""
    if text == "last":
        row = db.execute("SELECT id FROM sessions ORDER BY created_at DESC, seq DESC LIMIT 1").fetchone()
        if row is None:
            raise InputError("there is no session yet; `mleagent solve DIR` makes one")
        return str(row[0])
    rows = db.execute(
        "SELECT id FROM sessions WHERE substr(id, 1, ?) = ? ORDER BY id LIMIT 4", (len(text), text)
    ).fetchall()
    ids = [row[0] for row in rows]
    if not text or not ids:
        raise unknown(text)
    if text in ids or len(ids) == 1:
        return text if text in ids else ids[0]
    raise InputError(f"session {text!r} could be {', '.join(ids)}; give more of the id")
