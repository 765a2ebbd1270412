"""A session whose data folder takes no more (disk full, read-only): it ends, named and resumable."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from .. import events
from ..errors import StoreError
from . import flow

if TYPE_CHECKING:
    from .session import Ender, Solver

_NO_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def end_unwritable(solver: Solver, finish: Ender, error: StoreError | OSError) -> events.SessionEnd:
    """End a session that can't be written. The step at hand is not committed, all before it are.

    Raises StoreError where not even the end can be written, and `error` itself when it is another one.
    """
    if isinstance(error, OSError) and error.errno not in _NO_WRITING:
        raise error
    what = error.strerror if isinstance(error, OSError) else str(error)
    mend = f"make room, then mleagent solve -r {solver.session.id}"
    why = f"the data folder {solver.parts.home} can't be written ({what}); {mend}"
    try:
        return finish(solver, flow.Broken(why))
    except (StoreError, OSError):
        raise StoreError(why) from error
