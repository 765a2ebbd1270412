"""What all faces of `solve` share: tidying up after dead sessions, beginning or resuming one."""

from __future__ import annotations

from ..agent.session import Solver
from ..agent.start import mark_dead, new_session, resume_session, session_to_continue
from ..agent.wish import Wish
from ..config import data_home
from ..trajectory.store import STORE_NAME, Store


def begin(wish: Wish, again: bool, resume: str) -> Solver:
    """A new session, or the one that `-c` / `-r` means. Raises InputError, UnavailableError."""
    home = data_home()
    home.mkdir(parents=True, exist_ok=True)
    with Store.open(home / STORE_NAME) as store:
        mark_dead(store, home)
        session = session_to_continue(store, wish.folder.resolve(), resume) if again or resume else None
    return resume_session(wish, session) if session else new_session(wish)
