"""What a session is made of, in one place; `start.py` fills it, the loop uses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..config import Settings
from ..events import Listener
from ..protocols import Policy, Sandbox
from ..records import Sampling
from ..task.options import TaskOptions
from ..trajectory.store import Store
from .budget import Budget
from .context import Context
from .control import Control
from .execute import Executor
from .folder import SessionFolder
from .install import Installer
from .jobs import Jobs
from .log import Log
from .outcome import Yardstick
from .perform import Performer
from .templates import Templates


@dataclass
class Parts:
    """The collaborators of one `Solver`."""

    home: Path
    settings: Settings
    store: Store
    policy: Policy
    sandbox: Sandbox
    make_sandbox: Callable[[Path], Sandbox]
    """A fresh sandbox of the same kind over another public folder (refit)."""
    folder: SessionFolder
    options: TaskOptions
    templates: Templates
    context: Context
    executor: Executor
    performer: Performer
    budget: Budget
    control: Control
    log: Log
    emit: Listener
    sampling: Sampling
    prompt_settings: dict[str, str]
    """What the system template is rendered with, besides the task."""
    packages: tuple[str, ...]
    exec_limit_s: float
    baseline: bool
    """Whether the user's own script runs as step 0."""
    confirm_refit: Callable[[float], bool]
    """Asked before a refit of a run that took this many seconds, when that is over ten minutes."""
    installer: Installer
    jobs: Jobs

    @property
    def yardstick(self) -> Yardstick:
        """What utilities are measured against, as the scorer knows it now."""
        return self.executor.scorer.yardstick if self.executor.scorer else Yardstick()

    def close(self) -> None:
        """Free everything; twice is harmless."""
        for part in (self.jobs, self.policy, self.sandbox):
            part.close()
        self.release()

    def release(self) -> None:
        """Free what is the session's own; policy and sandbox live on, for they were lent."""
        for part in (self.jobs, self.executor.workspace.checkpoints, self.store):
            part.close()
        self.folder.unlock()
