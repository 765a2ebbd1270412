"""Sample-first: on large tables a new script runs on a few rows before it runs on all of them.

Takes the program and the workspace's files, runs them in a second sandbox over a sampled public
folder (MLEAGENT_SAMPLE=1 is set there), and gives back the run if it crashed. Hours are not spent on
what a typo ends after the data is loaded. Each version of a script is tried once, so that running it
again gets past a crash that only the sample is to blame for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from threading import Event

from ..errors import MleagentError
from ..protocols import Sandbox
from ..records import Execution, Limits

LIMIT_S = 120.0
"""Longest trial; one that takes longer has shown that it starts well."""
CRASHED = ("error", "missing_package", "oom")


class Trial:
    """The trial runs of one session; its sandbox is made with the first."""

    def __init__(self, make: Callable[[], Sandbox]) -> None:
        """`make` gives a sandbox over the sampled data, not started. Raises MleagentError, OSError."""
        self._make = make
        self._sandbox: Sandbox | None = None
        self._tried: set[str] = set()
        self._broken = False
        self.note = ""
        """What came of the trial before the run at hand, for the model; its owner empties it."""

    def crash(
        self,
        command: str,
        files: dict[str, bytes | None],
        source: bytes,
        limits: Limits,
        on_output: Callable[[str], None],
        stop: Event,
    ) -> Execution | None:
        """The trial's run when it crashed; None when the full run is next.

        `files` is the whole work folder; `source` tells versions of the script apart. Sets `note`.
        """
        digest = hashlib.sha256(source).hexdigest()
        if self._broken or digest in self._tried:
            return None
        self._tried.add(digest)
        on_output("trying it on a sample of the data first\n")
        run = self._run(
            command, files, limits.model_copy(update={"wall_s": min(LIMIT_S, limits.wall_s)}), stop
        )
        if run is None:
            return None
        if run.status in CRASHED:
            self.note = (
                "This was on a sample of the rows; the full run was not started. Mend it; or, if only the "
                "sample is to blame, run the same script again: it then gets all rows."
            )
            on_output(run.output)
            return run
        took = "took its two minutes" if run.status == "timeout" else f"ended in {run.duration_s:.0f} s"
        self.note = f"(A trial on a sample of the rows {took}; what follows is the run on all of them.)"
        return None

    def _run(
        self, command: str, files: dict[str, bytes | None], limits: Limits, stop: Event
    ) -> Execution | None:
        """One run in a work folder of its own; None when there is no sandbox for it: the full run decides."""
        try:
            if self._sandbox is None:
                self._sandbox = self._make()
            self._sandbox.start()
            self._sandbox.put(files)
            return self._sandbox.run(command, limits, stop=stop)
        except (MleagentError, OSError):
            self._broken = True
            return None
        finally:
            self.close()

    def close(self) -> None:
        """End the sandbox; twice is harmless."""
        if self._sandbox is not None:
            self._sandbox.close()
