"""The ledger itself: a small SQLite file `models.db` in the data folder.

SQLite and not a JSON file, because a background job that promotes an adapter and a user at the
terminal may write at once, and because a transaction is what makes a kill −9 or a full disk leave
either the old ledger or the new one. Each entry is one row holding its record as JSON; looks of the
gate and uses are rows that are only ever added (a use taken back is marked).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ..errors import InputError, StoreError
from .entries import Adapter, AdapterState, Base, Entry, GateResult, Look, Use, checked_name

LEDGER_NAME = "models.db"
_APPLICATION_ID = 0x6D6C6D64
_VERSION = 1
_BUSY_S = 10.0
_TABLES = (
    """CREATE TABLE models (
        name TEXT PRIMARY KEY COLLATE NOCASE, role TEXT NOT NULL, sha256 TEXT NOT NULL,
        parent TEXT NOT NULL, state TEXT NOT NULL, added_at REAL NOT NULL, record TEXT NOT NULL)""",
    "CREATE INDEX models_by_hash ON models (sha256)",
    """CREATE TABLE looks (
        number INTEGER PRIMARY KEY, gate_set TEXT NOT NULL, adapter TEXT NOT NULL, alpha REAL NOT NULL,
        verdict TEXT NOT NULL, at REAL NOT NULL)""",
    """CREATE TABLE uses (
        number INTEGER PRIMARY KEY, before TEXT NOT NULL, after TEXT NOT NULL, at REAL NOT NULL,
        taken_back INTEGER NOT NULL DEFAULT 0)""",
)


class Ledger:
    """Bases, adapters, looks and uses. Every method that writes is one transaction."""

    def __init__(self, home: Path) -> None:
        """The ledger of the data folder `home`; nothing is created before the first write."""
        self.home = home
        self.path = home / LEDGER_NAME

    # --- reading ------------------------------------------------------------------

    def bases(self) -> list[Base]:
        """All bases, oldest first."""
        return [Base.model_validate_json(text) for text in self._records("base")]

    def adapters(self, state: AdapterState | None = None) -> list[Adapter]:
        """All adapters, or those of a state, oldest first."""
        found = [Adapter.model_validate_json(text) for text in self._records("adapter")]
        return [one for one in found if state in (None, one.state)]

    def find(self, name: str) -> Entry | None:
        """The entry of that name (case does not matter); None if there is none."""
        rows = self._rows("SELECT role, record FROM models WHERE name = ?", (name,))
        return _entry(*rows[0]) if rows else None

    def get(self, name: str) -> Entry:
        """The entry of that name. Raises InputError with the names that there are."""
        found = self.find(name)
        if found is None:
            names = ", ".join(self.names()) or "none yet; mleagent models add PATH or pull REPO brings one"
            raise InputError(f"there is no model {name!r} in the ledger; known: {names}")
        return found

    def names(self) -> list[str]:
        """Names of all entries, oldest first."""
        return [str(row[0]) for row in self._rows("SELECT name FROM models ORDER BY added_at, name")]

    def base_of_hash(self, sha256: str) -> Base | None:
        """The base whose weights have this hash."""
        rows = self._rows("SELECT record FROM models WHERE role = 'base' AND sha256 = ?", (sha256,))
        return Base.model_validate_json(rows[0][0]) if rows and sha256 else None

    def children(self, sha256: str) -> list[Adapter]:
        """Adapters trained on the base of this hash."""
        rows = self._rows("SELECT record FROM models WHERE role = 'adapter' AND parent = ?", (sha256,))
        return [Adapter.model_validate_json(row[0]) for row in rows if sha256]

    def trained_on(self, session: str) -> list[Adapter]:
        """Adapters that learned from a session of the user's."""
        return [one for one in self.adapters() if session in one.provenance.sessions]

    def looks(self, gate_set: str) -> list[Look]:
        """All looks at a gate set, oldest first."""
        query = "SELECT gate_set, adapter, alpha, verdict, at FROM looks WHERE gate_set = ? ORDER BY number"
        keys = ("gate_set", "adapter", "alpha", "verdict", "at")
        return [
            Look.model_validate(dict(zip(keys, row, strict=True))) for row in self._rows(query, (gate_set,))
        ]

    def last_use(self) -> Use | None:
        """The newest change of the model that was not taken back."""
        rows = self._rows(
            "SELECT number, before, after, at FROM uses WHERE NOT taken_back ORDER BY number DESC LIMIT 1"
        )
        return Use(number=rows[0][0], before=rows[0][1], after=rows[0][2], at=rows[0][3]) if rows else None

    # --- writing ------------------------------------------------------------------

    def add(self, entry: Entry, *, replace: bool = False) -> None:
        """Put a new entry in. Raises InputError when the name is taken and not to be replaced."""
        checked_name(entry.name)
        with self.writing() as db:
            taken = db.execute("SELECT name FROM models WHERE name = ?", (entry.name,)).fetchone()
            if taken and not replace:
                raise InputError(f"there is a model {taken[0]!r} already; choose another name with --name")
            db.execute("DELETE FROM models WHERE name = ?", (entry.name,))
            _insert(db, entry)

    def update(self, entry: Entry) -> None:
        """Replace the record of an entry that is there. Raises InputError if it has gone."""
        with self.writing() as db:
            if not db.execute("DELETE FROM models WHERE name = ?", (entry.name,)).rowcount:
                raise InputError(f"there is no model {entry.name!r} in the ledger any more")
            _insert(db, entry)

    def set_state(self, name: str, state: AdapterState, gate: GateResult | None = None) -> Adapter:
        """Move an adapter on; a gate result, where given, is kept with it. Raises InputError."""
        adapter = self.get(name)
        if not isinstance(adapter, Adapter):
            raise InputError(f"{name} is a base model, and only adapters have a state")
        changed = adapter.model_copy(update={"state": state, "gate": gate or adapter.gate})
        self.update(changed)
        return changed

    def remove(self, name: str) -> None:
        """Take an entry out; its files are the caller's."""
        with self.writing() as db:
            db.execute("DELETE FROM models WHERE name = ?", (name,))

    def record_look(self, look: Look) -> None:
        """Note a look at a gate set; looks are never taken back."""
        with self.writing() as db:
            db.execute(
                "INSERT INTO looks (gate_set, adapter, alpha, verdict, at) VALUES (?, ?, ?, ?, ?)",
                (look.gate_set, look.adapter, look.alpha, look.verdict, look.at),
            )

    # --- the file -----------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that waits for other writers; all of it is kept or nothing. Raises StoreError."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as db:
                db.execute("BEGIN IMMEDIATE")
                self._prepare(db)
                try:
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} can't be written: {error}; nothing in it was changed") from None

    def _connect(self) -> sqlite3.Connection:
        # the rollback journal with its full sync: writes are rare, and a power cut must not undo one
        db = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
        db.execute("PRAGMA synchronous = FULL")
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Tables in a new file; refuses what is not ours or newer than we are."""
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version == 0 and not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            for statement in _TABLES:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {_VERSION}")
        elif int(db.execute("PRAGMA application_id").fetchone()[0]) != _APPLICATION_ID:
            raise StoreError(f"{self.path} is not a ledger of models; move it away")
        elif version > _VERSION:
            raise StoreError(f"{self.path} was written by a newer mleagent; update this one")

    def _records(self, role: str) -> list[str]:
        return [
            str(row[0])
            for row in self._rows("SELECT record FROM models WHERE role = ? ORDER BY added_at, name", (role,))
        ]

    def _rows(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        if not self.path.is_file():
            return []
        try:
            with closing(self._connect()) as db:
                self._prepare(db)
                return db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} can't be read: {error}; move it away to begin anew") from None


def _insert(db: sqlite3.Connection, entry: Entry) -> None:
    adapter = isinstance(entry, Adapter)
    db.execute(
        "INSERT INTO models VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            entry.name,
            "adapter" if adapter else "base",
            entry.files.sha256 if entry.files else "",
            entry.parent if isinstance(entry, Adapter) else "",
            entry.state if isinstance(entry, Adapter) else "",
            entry.added_at,
            entry.model_dump_json(),
        ),
    )


def _entry(role: object, record: object) -> Entry:
    kind: type[Entry] = Adapter if role == "adapter" else Base
    return kind.model_validate_json(str(record))
