"""The trajectory store: every session and step, in one SQLite file in the data folder.

`Store` is the only way in and out; records go in, records come out, each change is
one transaction. A committed step survives kill −9 (see schema.py for what a power
cut may lose). One process may write while others read; writers wait for each other.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import InputError, StoreError
from ..records import Label, Message, Reward, SealedGrade, Session, Step, Task
from . import marks, search, session_rows, step_rows
from .lines import SessionLine, StepLine
from .marks import StoredLabel
from .schema import connect, guard
from .search import Hit

STORE_NAME = "store.db"
"""Name of the store in the data folder."""


class Store:
    """All sessions of a user. May be shared by threads; open one for each process."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self._db = db
        self._lock = threading.RLock()
        self._tasks: dict[str, Task] = {}
        self._last: tuple[str, step_rows.Ids] = ("", ())

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open the store at `path`, made if missing, migrated if old.

        Raises StoreError when it can't be used, is no store, or a newer mleagent wrote it.
        """
        return cls(path, connect(path))

    def close(self) -> None:
        """Close the file; twice is harmless."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, guard(self.path):
            yield self._db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, all or nothing."""
        with self._lock, guard(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    # --- sessions ---

    def add_session(self, session: Session) -> None:
        """Store a new session. Raises StoreError when its id is taken."""
        with self._writing() as db:
            session_rows.insert(db, session)
        self._tasks[session.id] = session.task

    def update_session(self, session: Session) -> None:
        """Write a session again. Raises InputError when it is unknown."""
        with self._writing() as db:
            session_rows.update(db, session, task=True)
        self._tasks[session.id] = session.task

    def session(self, session_id: str) -> Session:
        """The session of that id. Raises InputError when it is unknown."""
        with self._reading() as db:
            return session_rows.one(db, session_id)

    def sessions(
        self, *, limit: int = 100, offset: int = 0, folder: Path | None = None, status: str | None = None
    ) -> list[Session]:
        """Whole sessions, newest first, of one task folder or status if given."""
        with self._reading() as db:
            return session_rows.newest(db, limit, offset, folder, status)

    def session_lines(
        self,
        *,
        limit: int = 100,
        offset: int = 0,
        folder: Path | None = None,
        status: str | None = None,
        text: str = "",
    ) -> list[SessionLine]:
        """What a list shows of sessions, newest first; `text` keeps those it is found in."""
        with self._reading() as db:
            return session_rows.newest_lines(db, limit, offset, folder, status, text)

    def count_sessions(self, *, folder: Path | None = None, status: str | None = None, text: str = "") -> int:
        """How many sessions `session_lines` would list in all."""
        with self._reading() as db:
            return session_rows.count(db, folder, status, text)

    def resolve(self, text: str) -> Session:
        """The session meant by an id, a unique prefix of one, or `last`. Raises InputError otherwise."""
        with self._reading() as db:
            return session_rows.one(db, session_rows.resolve(db, text))

    def delete_session(self, session_id: str) -> None:
        """Remove a session with its steps, labels, sealed scores and search entries.

        Its files are the caller's to remove. Raises InputError when it is unknown or when
        another session goes on from one of its steps.
        """
        with self._writing() as db:
            session_rows.one(db, session_id)
            heirs = db.execute(
                """SELECT DISTINCT c.session_id FROM steps c JOIN steps p ON p.id = c.parent_id
                   WHERE p.session_id = ?1 AND c.session_id != ?1""",
                (session_id,),
            ).fetchall()
            if heirs:
                raise InputError(f"session {session_id} is continued by {heirs[0][0]}; delete that one first")
            search.forget_session(db, session_id)
            db.execute("DELETE FROM sessions WHERE id = ?", (session_id,))

    # --- steps ---

    def commit_step(
        self, step: Step, session: Session, resolved: Mapping[str, Sequence[Reward]] | None = None
    ) -> None:
        """Store a step, the session as it is after it, and rewards that earlier steps got by it.

        One transaction. Raises StoreError when the step's id is taken or its session or
        parent is not there; nothing is stored then.
        """
        with self._writing() as db:
            before = self._ids_before(db, step.parent_id)
            seq = step_rows.insert(db, step, session.reward_scheme, before)
            search.index_step(db, seq, step)
            session_rows.update(db, session, task=self._tasks.get(session.id) is not session.task)
            for earlier, rewards in (resolved or {}).items():
                step_rows.add_rewards(db, earlier, rewards)
        self._tasks[session.id] = session.task
        self._last = (step.id, step_rows.ids_after(step))

    def _ids_before(self, db: sqlite3.Connection, parent_id: str | None) -> step_rows.Ids:
        last_id, ids = self._last
        return ids if parent_id is not None and parent_id == last_id else step_rows.ids_at(db, parent_id)

    def steps(self, session_id: str, *, limit: int | None = None, offset: int = 0) -> list[Step]:
        """A session's steps in the order they were committed, with their rewards."""
        with self._reading() as db:
            return step_rows.of_session(db, session_id, limit, offset)

    def step_lines(self, session_id: str) -> list[StepLine]:
        """What a list shows of a session's steps, in the order they were committed."""
        with self._reading() as db:
            return step_rows.lines(db, session_id)

    def step(self, step_id: str) -> Step:
        """The step of that id. Raises InputError when it is unknown."""
        with self._reading() as db:
            return step_rows.one(db, step_id)

    def branch(self, step_id: str) -> list[Step]:
        """Root … step, along `parent_id`. Raises InputError when it is unknown."""
        with self._reading() as db:
            return step_rows.branch(db, step_id)

    def messages(self, step_id: str) -> list[Message]:
        """The whole prompt after that step: what was added since the last prefix root."""
        with self._reading() as db:
            return step_rows.messages(db, step_id)

    def search(self, text: str, limit: int = 50) -> list[Hit]:
        """Where all words of `text` occur (the last may be the beginning of one)."""
        with self._reading() as db:
            return search.find(db, text, limit)

    # --- rewards, labels, sealed scores ---

    def add_reward(self, step_id: str, reward: Reward) -> None:
        """Add a reward to a step; one of the same scheme and version is replaced."""
        with self._writing() as db:
            step_rows.add_rewards(db, step_id, [reward])

    def rewards(self, step_id: str) -> list[Reward]:
        """All rewards of a step. Raises InputError when it is unknown."""
        with self._reading() as db:
            return list(step_rows.rewards(db, step_id))

    def add_label(self, step_id: str, label: Label, note: str = "") -> None:
        """Log a label; the newest one of a step is the one shown. Raises InputError when it is unknown."""
        with self._writing() as db:
            marks.add_label(db, step_id, label, note)

    def labels(self, session_id: str) -> list[StoredLabel]:
        """All labels of a session's steps, oldest first."""
        with self._reading() as db:
            return marks.labels(db, session_id)

    def add_sealed(self, session_id: str, step_id: str, content_hash: str, grade: SealedGrade) -> SealedGrade:
        """Store a sealed grade and return it with `score.looks`: how often this split was looked at."""
        with self._writing() as db:
            return marks.add_sealed(db, session_id, step_id, content_hash, grade)

    def count_look(self, content_hash: str) -> int:
        """Count a look at a split's sealed rows outside any session; how often they were looked at by now."""
        with self._writing() as db:
            return marks.count_look(db, content_hash)

    def sealed(self, session_id: str) -> list[SealedGrade]:
        """A session's sealed grades, oldest first. For reports and people; nothing may learn from them."""
        with self._reading() as db:
            return marks.sealed(db, session_id)

    def add_adapter(self, adapter: str, session_ids: Sequence[str]) -> None:
        """Note which sessions an adapter was trained on; sessions that are gone by now are passed over."""
        with self._writing() as db:
            marks.add_adapter(db, adapter, session_ids)

    def adapters_trained_on(self, session_id: str) -> list[str]:
        """Names of the adapters whose training used the session."""
        with self._reading() as db:
            return marks.adapters(db, session_id)

    # --- upkeep ---

    def changes(self) -> int:
        """A number that differs from the last call's when another process has committed in between."""
        with self._reading() as db:
            return int(db.execute("PRAGMA data_version").fetchone()[0])

    def check(self) -> None:
        """SQLite's integrity and foreign key checks. Raises StoreError with what they found."""
        with self._reading() as db:
            verdict = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
            orphans = db.execute("PRAGMA foreign_key_check").fetchall()
        if verdict != "ok" or orphans:
            what = verdict if verdict != "ok" else f"{len(orphans)} rows without their parent"
            raise StoreError(f"store {self.path}: damaged ({what}); restore it from a backup")
