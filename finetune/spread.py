"""Of many plans the few that differ most (ML-Agent's exploration): farthest-point selection on embeddings.

A plan's embedding counts its ideas and the pieces of its program, weighted by how rare they are among the
candidates (tf-idf) and scaled to length 1. The first is drawn; each next one is the candidate whose nearest
chosen plan is farthest away (maximin), which unlike the largest *mean* distance can't pick a tight cluster.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

import numpy as np

from .synth_base import Floats

_WORD = re.compile(r"[A-Za-z_]+|\d+(?:\.\d+)?")


def embed(texts: Sequence[str]) -> Floats:
    """Unit vectors (texts, words) of tf-idf weights."""
    split = [_WORD.findall(text) for text in texts]
    place = {word: at for at, word in enumerate(sorted({word for words in split for word in words}))}
    counts = np.zeros((len(texts), max(1, len(place))))
    for row, words in enumerate(split):
        for word in words:
            counts[row, place[word]] += 1
    rarity = np.log((1 + len(texts)) / (1 + (counts > 0).sum(axis=0))) + 1e-9
    vectors = np.sqrt(counts) * rarity
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1.0))


def spread(texts: Sequence[str], count: int, rng: Random) -> list[int]:
    """Places of the `count` most different texts, in order of choice; all of them when there are fewer."""
    if not texts:
        return []
    vectors = embed(texts)
    chosen = [rng.randrange(len(texts))]
    nearest = 1 - vectors @ vectors[chosen[0]]
    while len(chosen) < min(count, len(texts)):
        nearest[chosen] = -1.0
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, 1 - vectors @ vectors[chosen[-1]])
    return chosen


def mean_distance(texts: Sequence[str], places: Sequence[int]) -> float:
    """Mean cosine distance of all pairs among the chosen texts."""
    vectors = embed(texts)[list(places)]
    pairs = len(places) * (len(places) - 1)
    return float((1 - vectors @ vectors.T).sum() / pairs) if pairs else 0.0
