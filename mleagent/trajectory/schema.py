"""The store's tables, how they came to be, and how a connection to them is opened.

`MIGRATIONS[v]` holds the statements that bring a store from version v to v + 1;
`PRAGMA user_version` says where a file stands, `PRAGMA application_id` that it is
ours. A released migration is never edited: a change is a new entry.

Durability: WAL with synchronous=NORMAL. A committed transaction is in the
operating system's hands, so it survives the death of the process (kill −9). A
power cut may lose the transactions since the last WAL checkpoint, never the
consistency of the file; that is the price of not waiting for the disk every step.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreError

APPLICATION_ID = 0x6D6C6561
"""`mlea`, written into the header of every store."""

BUSY_SECONDS = 30.0
"""How long a writer waits for another writer before it gives up."""

_FIRST = (
    """CREATE TABLE sessions (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created_at REAL NOT NULL,
        folder TEXT NOT NULL, task_name TEXT NOT NULL, policy TEXT NOT NULL, model TEXT NOT NULL,
        adapter TEXT NOT NULL, status TEXT NOT NULL, steps INTEGER NOT NULL, reward_scheme TEXT NOT NULL,
        direction TEXT, best REAL, best_se REAL, best_kind TEXT, best_utility REAL, verified INTEGER NOT NULL,
        record TEXT NOT NULL, task BLOB NOT NULL)""",
    "CREATE INDEX sessions_by_time ON sessions (created_at, seq)",
    "CREATE INDEX sessions_by_folder ON sessions (folder, created_at)",
    """CREATE TABLE steps (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
        session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        parent_id TEXT REFERENCES steps (id) DEFERRABLE INITIALLY DEFERRED,
        idx INTEGER NOT NULL, created_at REAL NOT NULL, kind TEXT NOT NULL, plan TEXT NOT NULL,
        status TEXT, submission TEXT NOT NULL, compaction INTEGER NOT NULL,
        score REAL, score_se REAL, score_kind TEXT, direction TEXT, utility REAL, reward REAL,
        duration_s REAL NOT NULL, facts TEXT NOT NULL, rewards TEXT NOT NULL, record TEXT NOT NULL)""",
    "CREATE INDEX steps_by_session ON steps (session_id, seq)",
    "CREATE INDEX steps_by_parent ON steps (parent_id)",
    """CREATE TABLE step_data (
        step INTEGER PRIMARY KEY REFERENCES steps (seq) ON DELETE CASCADE,
        added BLOB, body BLOB, observation BLOB, output BLOB, line_times BLOB, diff BLOB, reply BLOB,
        prompt_shared INTEGER NOT NULL, prompt_ids BLOB, token_ids BLOB, logprobs BLOB)""",
    """CREATE TABLE labels (
        seq INTEGER PRIMARY KEY, step_id TEXT NOT NULL REFERENCES steps (id) ON DELETE CASCADE,
        label TEXT NOT NULL, note TEXT NOT NULL, created_at REAL NOT NULL)""",
    "CREATE INDEX labels_by_step ON labels (step_id)",
    """CREATE TABLE sealed (
        seq INTEGER PRIMARY KEY, session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        step_id TEXT NOT NULL, content_hash TEXT NOT NULL, record TEXT NOT NULL, created_at REAL NOT NULL)""",
    "CREATE INDEX sealed_by_session ON sealed (session_id)",
    # No foreign keys in these two: how often a split was looked at, and which weights a
    # session went into, stay true after the session is deleted.
    "CREATE TABLE looks (content_hash TEXT PRIMARY KEY, looks INTEGER NOT NULL)",
    """CREATE TABLE adapter_sessions (
        adapter TEXT NOT NULL, session_id TEXT NOT NULL, PRIMARY KEY (session_id, adapter)) WITHOUT ROWID""",
    "CREATE VIRTUAL TABLE session_text USING fts5 (task, instruction)",
    "CREATE VIRTUAL TABLE step_text USING fts5 (plan, body, output, observation)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)


@contextmanager
def guard(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into a StoreError of one line with the mend."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            mend = "another process holds it; wait for it to end and try again"
        elif "full" in text:
            mend = "free some space and try again"
        elif isinstance(error, sqlite3.IntegrityError):
            mend = "the record is stored already, or what it belongs to is not"
        elif "not a database" in text or "malformed" in text:
            mend = "it is no store; move it away or point MLEAGENT_HOME elsewhere"
        else:
            mend = "see that the file and its folder can be read and written"
        raise StoreError(f"store {path}: {text}; {mend}") from error


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the store at `path` and bring it to the newest version.

    Raises StoreError when the folder or file can't be used, is no store of ours,
    or was written by a newer mleagent.
    """
    _make_file(path)
    with guard(path):
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _check_ours(db, path)
            _use_wal(db)
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA foreign_keys = ON")
            _migrate(db, path)
        except BaseException:
            db.close()
            raise
    return db


def _make_file(path: Path) -> None:
    """Create the folder and an empty file that only the user may read: a log holds their data."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(
            f"store {path}: {error.strerror}; make it writable or set MLEAGENT_HOME to another folder"
        ) from error


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _check_ours(db: sqlite3.Connection, path: Path) -> None:
    """Before anything is written: refuse another program's database and a newer store."""
    application = int(db.execute("PRAGMA application_id").fetchone()[0])
    tables = int(db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    if tables and application != APPLICATION_ID:
        raise StoreError(
            f"store {path}: a database of another program; move it away or point MLEAGENT_HOME elsewhere"
        )
    if _version(db) > len(MIGRATIONS):
        raise StoreError(
            f"store {path}: written by a newer mleagent (version {_version(db)}, "
            f"this one knows {len(MIGRATIONS)}); upgrade mleagent"
        )


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch to WAL. The switch itself does not honour the busy timeout, so ask again for a while."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    """All missing migrations in one transaction; a second process that waited finds them done."""
    if _version(db) == len(MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        _check_ours(db, path)
        for statements in MIGRATIONS[_version(db) :]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
