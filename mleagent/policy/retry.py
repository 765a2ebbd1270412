"""How long to wait before asking a server again.

Exponential back-off with full jitter, a cap, and the server's own `Retry-After`
where it gives one, so that several sessions on one endpoint do not march in step.
"""

from __future__ import annotations

import email.utils
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..clock import now

RETRIED_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524, 529})


@dataclass(frozen=True)
class Backoff:
    """Waiting times of `retries` further attempts, in seconds."""

    retries: int = 5
    base_s: float = 0.5
    cap_s: float = 30.0
    server_cap_s: float = 120.0
    """The longest that a server's own `Retry-After` is honoured."""
    rng: random.Random = field(default_factory=lambda: random.Random(0), repr=False)

    def delay_s(self, attempt: int, retry_after_s: float | None = None) -> float:
        """Seconds before attempt number `attempt` (1 is the first retry).

        Between half and all of base * 2**(attempt - 1), at most `cap_s`; never less
        than what the server asked for, up to `server_cap_s`.
        """
        window = min(self.cap_s, self.base_s * 2.0 ** (attempt - 1))
        wait = window * (0.5 + 0.5 * self.rng.random())
        if retry_after_s is not None:
            wait = max(wait, min(retry_after_s, self.server_cap_s))
        return wait


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds a response asks to wait: `retry-after-ms`, or `Retry-After` as seconds or as a date."""
    milliseconds = headers.get("retry-after-ms")
    if milliseconds and _is_number(milliseconds):
        return max(0.0, float(milliseconds) / 1000)
    text = headers.get("retry-after")
    if not text:
        return None
    if _is_number(text):
        return max(0.0, float(text))
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - now())


def _is_number(text: str) -> bool:
    return text.strip().replace(".", "", 1).isdigit()
