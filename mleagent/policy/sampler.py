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
        return token, float(logits[token] - _log_sum(logits))
    scaled = logits.astype(np.float64) / temperature
    probabilities = np.exp(scaled - _log_sum(scaled))
    if top_p < 1:
        kept = _nucleus(probabilities, top_p)
        mass = probabilities[kept]
        at = _pick(mass, rng)
        return int(kept[at]), float(np.log(mass[at] / mass.sum()))
    token = _pick(probabilities, rng)
    return token, float(np.log(probabilities[token]))


def _log_sum(logits: NDArray[np.floating]) -> float:
    top = float(logits.max())
    return top + float(np.log(np.exp(logits - top, dtype=np.float64).sum()))


def _pick(weights: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Index drawn in proportion to `weights` (of any sum); never one of weight zero."""
    ends = np.cumsum(weights)
    return int(np.searchsorted(ends, rng.random() * ends[-1], side="right").clip(0, len(ends) - 1))


def _nucleus(probabilities: NDArray[np.float64], top_p: float) -> NDArray[np.intp]:
    """The fewest tokens, most likely first, whose probabilities sum to at least `top_p`."""
    head = min(_HEAD, len(probabilities))
    candidates = np.argpartition(-probabilities, head - 1)[:head]
    if probabilities[candidates].sum() < top_p:
        candidates = np.arange(len(probabilities))
    ordered = candidates[np.argsort(-probabilities[candidates], kind="stable")]
    needed = int(np.searchsorted(np.cumsum(probabilities[ordered]), top_p)) + 1
    return ordered[:needed]
