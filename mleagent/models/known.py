"""Open coder models known to work, with what they take: a table, so that `doctor` can say which would fit.

Sizes are those of the publishers' own Q4_K_M files; the memory of a token of context follows from
layers x key/value heads x head size, keys and values in 16 bits.
"""

from __future__ import annotations

from typing import NamedTuple

DEFAULT_CONTEXT = 8192
"""Tokens of context of a GGUF model when `n_ctx` is 0 and the model was trained for more."""
SPARE_GB = 1.0
"""Beside weights and context: compute buffers, the program itself, the sandbox's first megabytes."""


class Known(NamedTuple):
    """A model of the table."""

    name: str
    pull: str
    """What `models pull` is given."""
    gb: float
    """Size of the file."""
    kv_bytes: int
    """Memory of one token of context."""
    licence: str


def _coder(size: str, gb: float, layers: int, kv_heads: int, head: int, licence: str = "apache-2.0") -> Known:
    repo = f"Qwen/Qwen2.5-Coder-{size}-Instruct-GGUF:Q4_K_M"
    return Known(f"qwen2.5-coder-{size.lower()}", repo, gb, 4 * layers * kv_heads * head, licence)


KNOWN = (
    _coder("0.5B", 0.49, 24, 2, 64),
    _coder("1.5B", 1.12, 28, 2, 128),
    _coder("3B", 2.10, 36, 2, 128, "qwen-research"),
    _coder("7B", 4.68, 28, 4, 128),
    _coder("14B", 8.99, 48, 8, 128),
    _coder("32B", 19.85, 64, 8, 128),
)


def need_gb(file_bytes: float, kv_bytes: int, context: int) -> float:
    """Memory to run a model in GB (1e9 bytes): weights, context, and what comes beside them."""
    return file_bytes / 1e9 + kv_bytes * context / 1e9 + SPARE_GB


def context_of(trained: int | None, n_ctx: int) -> int:
    """Tokens of context a model will get: the setting, else what it was trained for, bounded."""
    return n_ctx or min(trained or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
