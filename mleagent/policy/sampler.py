"""Draws a token from logits and says how likely it was.

Temperature, then top-p, as the common servers do it; the log-probability is
that of the distribution drawn from, which at temperature 1 and top-p 1 is the
model's own. Greedy decoding (temperature 0) reports the model's own too.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_HEAD = 256
"""Tokens sorted first for top-p; the whole vocabulary only when these hold too little."""
_BLOCK = 1024
"""Tokens summed together first where the vocabulary is long."""


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
    at, total = _pick(weights, rng.random())
    return int(at if kept is None else kept[at]), _log(float(weights[at]) / total)


def _weights(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Unnormalised probabilities, the likeliest 1; single precision, as a vocabulary is long."""
    weights: NDArray[np.float32] = logits - logits.max()
    if temperature != 1:
        weights /= np.float32(temperature)
    np.exp(weights, out=weights)
    return weights


def _pick(weights: NDArray[np.float32], chance: float) -> tuple[int, float]:
    """The index at the share `chance` of all weight, and that weight; a block of a long vocabulary first.

    Running sums of a whole vocabulary of 152,000 took ten times as long as all else here.
    """
    if len(weights) <= 2 * _BLOCK:
        return _search(weights, chance)
    starts = np.arange(0, len(weights), _BLOCK)
    sums = np.add.reduceat(weights, starts, dtype=np.float64)
    block, total = _search(sums, chance)
    before = float(sums[:block].sum())
    start = block * _BLOCK
    inside = (chance * total - before) / float(sums[block])
    return start + _search(weights[start : start + _BLOCK], max(inside, 0.0))[0], total


def _search(weights: NDArray[np.floating], chance: float) -> tuple[int, float]:
    """Where the running sum passes the share `chance` of all, and the sum of all."""
    ends = weights.cumsum(dtype=np.float64)
    total = float(ends[-1])
    at = int(ends.searchsorted(chance * total, side="right"))
    if at == len(ends):  # rounding led past the end: the last that has any weight
        at = int(ends.searchsorted(total, side="left"))
    return at, total


def _log(share: float) -> float:
    """Of what is no number: that too."""
    return math.log(share) if share > 0 else math.nan


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
