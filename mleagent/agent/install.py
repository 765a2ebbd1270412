"""`/install NAME`: a package for the programs of this session, fetched outside after the user's yes.

Takes a name, asks the user where it would come from, and adds wheels to the session's package
folder, which the sandbox sees at once. The sandbox keeps no network throughout. Where nobody can be
asked, what is missing is told with the setting that puts it in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import events
from ..errors import MleagentError
from ..events import Listener
from ..protocols import Sandbox
from ..records import Step


@dataclass
class Installer:
    """A session's package folder and the way to add to it."""

    folder: Path
    """Mounted into the sandbox."""
    wheelhouse: Path | None
    """`[env] wheelhouse`: then no index is ever asked."""
    home: Path
    confirm: Callable[[str], bool] | None
    """Puts a question to the user; None where nobody is there."""
    emit: Listener

    def install(self, name: str, sandbox: Sandbox) -> str:
        """Add a package after a yes; words for the model, '' when nothing was added."""
        from ..sandbox import environment
        from ..sandbox.wheels import Source, checked_requirement

        source = Source(self.wheelhouse)
        try:
            wanted = checked_requirement(name)
            places = ", else ".join(x.words for x in environment.sources(source, self.home))
            if self.confirm is None or not self.confirm(
                f"install {wanted} and what it needs for this session, from {places}? y for yes"
            ):
                self.emit(events.Notice(text=f"{wanted} was not installed"))
                return ""
            added = environment.install(wanted, sandbox, self.folder, source, self.home)
        except MleagentError as error:
            self.emit(events.Notice(level="warning", text=f"/install {name}: {error}"))
            return ""
        if not added:
            self.emit(events.Notice(text=f"{wanted} is installed already"))
            return ""
        text = f"installed {', '.join(added)}"
        self.emit(events.Notice(text=text))
        return f"I {text}; you may use it now. A run that missed it may be tried again."

    def offer(self, step: Step) -> None:
        """After a run that met a missing package: say how it can be had."""
        name = step.execution.missing_package if step.execution else ""
        if not name:
            return
        if self.confirm is not None:
            text = f"package {name} is missing: /install {name} puts it in (you are asked first)"
        else:
            text = (
                f"package {name} is missing: list it in a file named by [env] requirements in"
                " mleagent.toml to have it next time"
            )
        self.emit(events.Notice(level="warning", text=text))
