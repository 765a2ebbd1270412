"""Draws a token from logits and says how likely it was.

Temperature, then top-p, as the common servers do it; the log-probability is
that of the distribution drawn from, which at temperature 1 and top-p 1 is the
model's own. Greedy decoding (temperature 0) reports the model's own too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_HEAD = 256
"""Tokens sorted first for top-p; the whole vocabulary only when these hold too little."""


def draw(
    logits: NDArray[np.float32], temperature: float, top_p: float, rng: np.random.Generator
) -> tuple[int, float]:
    """One token and its natural-log probability. `logits` has shape (vocabulary,)."""
    if temperature <= 0:
        token = int(np.argmax(logits))
        return token, -float(np.log(_weights(logits, 1.0).sum(dtype=np.float64)))
    weights = _weights(logits, temperature)
    kept = _nucleus(weights, top_p) if top_p < 1 else None
    if kept is not None:
        weights = weights[kept]
    ends = np.cumsum(weights, dtype=np.float64)
    at = int(np.searchsorted(ends, rng.random() * ends[-1], side="right").clip(0, len(ends) - 1))
    return int(at if kept is None else kept[at]), float(np.log(weights[at] / ends[-1]))


def _weights(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Unnormalised probabilities, the likeliest 1; single precision, as a vocabulary is long."""
    weights: NDArray[np.float32] = np.exp((logits - logits.max()) / np.float32(temperature))
    return weights


def _nucleus(weights: NDArray[np.float32], top_p: float) -> NDArray[np.intp]:
    """The fewest tokens, most likely first, that hold at least the share `top_p` of all weight."""
    wanted = top_p * float(weights.sum(dtype=np.float64))
    head = min(_HEAD, len(weights))
    candidates = np.argpartition(weights, -head)[-head:]
    if weights[candidates].sum(dtype=np.float64) < wanted:
        candidates = np.arange(len(weights))
    ordered = candidates[np.argsort(-weights[candidates], kind="stable")]
    needed = int(np.searchsorted(np.cumsum(weights[ordered], dtype=np.float64), wanted)) + 1
    return ordered[:needed]
