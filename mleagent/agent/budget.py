"""What a session may spend: steps, wall time, tokens, execution time.

Every limit is an object with a name; `Budget.check` raises `BudgetSpent` with
that name. Spent amounts are rebuilt from the stored steps on resume, so a
killed session does not get its time twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..clock import monotonic
from ..records import Step
from .flow import BudgetSpent
from .outcome import is_job

QUARTER = 0.25
"""A run may take at most this share of the time left (DESIGN §6)."""
JOB_SHARE = 0.9
"""Share of the time left that a background job may take."""
LONGEST_JOB_S = 86_400.0
"""Where time is unlimited."""
MIN_RUN_S = 5.0
"""A run is always given this long, so that the end of a session can still score something."""


@dataclass
class Budget:
    """Limits (None: unlimited) and what is spent. Times in seconds."""

    steps: int | None = None
    wall_s: float | None = None
    tokens: int | None = None
    execution_s: float | None = None
    spent_steps: int = 0
    spent_wall_s: float = 0.0
    spent_tokens: int = 0
    spent_execution_s: float = 0.0
    _since: float = field(default_factory=monotonic)

    @property
    def elapsed_s(self) -> float:
        """Wall time spent, earlier sittings included."""
        return self.spent_wall_s + monotonic() - self._since

    @property
    def steps_left(self) -> int | None:
        """Steps left, or None."""
        return None if self.steps is None else max(0, self.steps - self.spent_steps)

    @property
    def time_left_s(self) -> float | None:
        """Seconds left, or None."""
        return None if self.wall_s is None else max(0.0, self.wall_s - self.elapsed_s)

    @property
    def tokens_left(self) -> int | None:
        """Tokens left, or None."""
        return None if self.tokens is None else max(0, self.tokens - self.spent_tokens)

    def run_limit_s(self, exec_limit_s: float) -> float:
        """How long the next run may take: the limit, or a quarter of the time left."""
        left = self.time_left_s
        limit = exec_limit_s if left is None else min(exec_limit_s, max(MIN_RUN_S, QUARTER * left))
        if self.execution_s is not None:
            limit = min(limit, max(1.0, self.execution_s - self.spent_execution_s))
        return limit

    def job_limit_s(self) -> float:
        """How long a background run may take: most of the time left, for it costs no turns."""
        left = self.time_left_s
        limit = LONGEST_JOB_S if left is None else max(MIN_RUN_S, JOB_SHARE * left)
        if self.execution_s is not None:
            limit = min(limit, max(1.0, self.execution_s - self.spent_execution_s))
        return limit

    def count(self, step: Step) -> None:
        """Add a committed step. One that met a missing package costs nothing but its tokens and time."""
        free = step.facts.status == "missing_package"
        if step.index > 0 and not free and not is_job(step):
            self.spent_steps += 1
        usage = step.completion.usage if step.completion else None
        if usage is not None:
            self.spent_tokens += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        self.spent_execution_s += 0.0 if free else step.facts.duration_s

    def restore(self, steps: Iterable[Step], wall_s: float) -> None:
        """Count what an earlier sitting spent."""
        for step in steps:
            self.count(step)
        self.spent_wall_s = wall_s

    def check(self) -> None:
        """Raises BudgetSpent naming the first limit that is used up."""
        if self.steps_left == 0:
            raise BudgetSpent(f"step budget spent ({self.steps} steps)")
        if self.time_left_s == 0:
            raise BudgetSpent(f"time budget spent ({self.wall_s:.0f} s)")
        if self.tokens_left == 0:
            raise BudgetSpent(f"token budget spent ({self.tokens} tokens)")
        if self.execution_s is not None and self.spent_execution_s >= self.execution_s:
            raise BudgetSpent(f"execution budget spent ({self.execution_s:.0f} s)")
