"""What a sandbox's warm interpreter imports: the libraries nearly every solution needs, and the task's own.

Takes a SandboxSpec, gives module names in the order of import. What is not
installed inside is passed over there.
"""

from __future__ import annotations

from ..protocols import SandboxSpec

USUAL = (
    "numpy",
    "pandas",
    "scipy.sparse",
    "scipy.stats",
    "joblib",
    "sklearn.linear_model",
    "sklearn.ensemble",
    "sklearn.preprocessing",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "sklearn.compose",
    "sklearn.impute",
    "sklearn.metrics",
    "sklearn.feature_extraction.text",
    "sklearn.feature_selection",
    "sklearn.neighbors",
    "sklearn.svm",
    "sklearn.tree",
    "sklearn.naive_bayes",
    "sklearn.decomposition",
    "sklearn.cluster",
    "sklearn.dummy",
    "sklearn.datasets",
    "pyarrow.parquet",
)
ENOUGH_MB = 768
"""They hold about 150 MiB, which counts into the sandbox's memory. With a lower limit the interpreter
is warm, but nothing is imported ahead: the memory is the programs'."""


def preloads(spec: SandboxSpec) -> tuple[str, ...]:
    """Module names in order, each once; none for a sandbox with little memory."""
    if not spec.warm or spec.limits.memory_mb < ENOUGH_MB:
        return ()
    return tuple(dict.fromkeys((*USUAL, *spec.preload)))
