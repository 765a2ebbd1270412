"""Truths and predictions of every kind of metric, for the tests of metrics and their errors."""

from __future__ import annotations

import numpy as np

from mleagent.task import metrics
from mleagent.task.stderr import Array


def truth_for(name: str, rng: np.random.Generator, n: int) -> Array:
    kind = metrics.get(name).spec.prediction
    if kind == "value":
        return np.round(rng.gamma(1.0, 3.0, n), rng.integers(0, 3)) + 0.0
    if kind == "ranking":
        return np.asarray([f"l{k}" for k in rng.zipf(1.8, n) % 12])
    binary = name == "f1" or (kind == "probability" and rng.random() < 0.5)
    truth = rng.integers(0, 2 if binary else 5, n)
    truth[:2] = 0, 1
    return truth


def perfect_for(name: str, truth: Array) -> Array:
    if metrics.get(name).spec.prediction != "probability" or truth.max() < 2:
        return truth
    return np.eye(int(truth.max()) + 1)[truth]


def random_constant(name: str, truth: Array, rng: np.random.Generator) -> Array:
    kind, n = metrics.get(name).spec.prediction, len(truth)
    if kind == "value":
        return np.full(n, rng.choice([rng.uniform(truth.min(), truth.max()), rng.choice(truth)]))
    if kind == "label":
        return np.full(n, rng.choice(truth))
    if kind == "ranking":
        return np.full(n, " ".join(f"l{k}" for k in rng.permutation(12)[:5]))
    if truth.max() < 2:
        return np.full(n, rng.random())
    return np.tile(rng.dirichlet(np.ones(int(truth.max()) + 1)), (n, 1))


def population(name: str, rng: np.random.Generator, n: int) -> tuple[Array, Array, Array]:
    """Truth and two imperfect, related predictions from a fixed process."""
    kind = metrics.get(name).spec.prediction
    signal = rng.normal(size=n)
    if kind == "value":
        truth = np.exp(0.3 * signal + 0.2 * rng.normal(size=n))
        shared = rng.normal(size=n)
        a = np.exp(0.3 * signal + 0.1 * shared)
        return truth, a, np.exp(0.27 * signal + 0.1 * shared + 0.1 * rng.normal(size=n))
    levels = 2 if name == "f1" else 3
    cuts = np.linspace(-0.6, 0.6, levels - 1)
    truth = np.digitize(signal + 0.5 * rng.normal(size=n), cuts)
    noisy = [signal + 0.4 * rng.normal(size=n), signal + 0.7 * rng.normal(size=n)]
    if kind == "label":
        return truth, np.digitize(noisy[0], cuts), np.digitize(noisy[1], cuts)
    if kind == "ranking":
        first = [np.digitize(each, cuts) for each in noisy]
        lists = [np.asarray([f"l{k} l{(k + 1) % 3} l{(k + 2) % 3}" for k in each]) for each in first]
        return np.asarray([f"l{k}" for k in truth]), lists[0], lists[1]
    binary = (truth > 0).astype(int)
    return binary, 1 / (1 + np.exp(-2 * noisy[0])), 1 / (1 + np.exp(-noisy[1]))
