"""Where time and fresh ids come from, so that a run can be replayed.

Code takes `now`, `monotonic` and `new_id` from here and nowhere else; tests
replace them by monkeypatching this module.
"""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def now() -> float:
    """Wall-clock time in seconds since the epoch (UTC)."""
    return time.time()


def monotonic() -> float:
    """Seconds on a clock that never goes back; only differences mean anything."""
    return time.monotonic()


def new_id() -> str:
    """A fresh id of 13 characters that sorts by creation time (milliseconds, then chance)."""
    number = (int(now() * 1000) << 20) | secrets.randbits(20)
    digits = []
    for _ in range(13):
        number, rest = divmod(number, 32)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))
