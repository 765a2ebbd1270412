"""Projects without labels to hold out: the metric their own command prints, and what they mount.

Such a project is scored by a command (`--eval`) or by its program's own
claims; nothing is withheld from it but hidden files, environments and caches.
"""

from __future__ import annotations

import re

from ..errors import InputError
from ..records import MetricSpec
from . import metrics
from .discover import Found
from .names import is_media
from .options import TaskOptions
from .withhold import Mount


def project_mounts(found: Found) -> tuple[Mount, ...]:
    """Every file of the project; media by link, the rest copied."""
    code = {file.rel for file in found.code}
    return tuple(
        Mount(file, "code" if file.rel in code else "media" if is_media(file.name) else "other")
        for file in sorted(found.files, key=lambda file: file.rel)
    )


def project_metric(options: TaskOptions) -> MetricSpec:
    """The metric a command prints: the registry's if it has the name, else as the options say."""
    name = options.metric or "score"
    try:
        spec = metrics.get(name).spec
    except InputError:
        lower = options.maximize is False or (
            options.maximize is None
            and re.search(r"loss|error|rmse|mae|mse|perplexity", name.lower()) is not None
        )
        optimum = options.optimum if options.optimum is not None else (0.0 if lower else 1.0)
        return MetricSpec(
            name=name, direction="minimize" if lower else "maximize", optimum=optimum, prediction="value"
        )
    changes: dict[str, object] = {}
    if options.maximize is not None:
        changes["direction"] = "maximize" if options.maximize else "minimize"
    if options.optimum is not None:
        changes["optimum"] = options.optimum
    return spec.model_copy(update=changes)
