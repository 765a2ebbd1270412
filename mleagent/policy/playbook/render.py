"""A filled draft as source text: reading, features, columns, model, validation, submission.

The script is what a careful Kaggler would write: top-level statements in the
order of the work, names taken from the files, nothing that this task does not
need. It runs in the sandbox, on Kaggle, and beside the data.
"""

from __future__ import annotations

from collections import defaultdict

from ...records import Task
from .features import MOMENTS
from .idea import Draft
from .render_data import columns_section, features_section, file_of, read_section
from .render_model import model_section, submission_section, validation_section


def render(draft: Draft, task: Task) -> str:
    """The program's text without its header line."""
    after = [
        features_section(draft),
        columns_section(draft),
        model_section(draft),
        validation_section(draft),
        submission_section(draft, file_of(task, "sample_submission") is not None),
    ]
    if any("moments(" in line for section in after for line in section):
        draft.helpers.append(MOMENTS)
    helpers = [["", *helper.split("\n"), ""] for helper in draft.helpers]
    sections = [read_section(draft, task), *helpers, *after]
    body = "\n\n".join("\n".join(section) for section in sections if section)
    return imports(draft, body) + "\n\n" + body + "\n"


def imports(draft: Draft, body: str) -> str:
    """Import lines, one a module, for what the body uses."""
    lines = ["from pathlib import Path", "", "import numpy as np", "import pandas as pd"]
    if "np." not in body:
        lines.remove("import numpy as np")
    names: dict[str, set[str]] = defaultdict(set)
    for module, name in draft.imports:
        names[module].add(name)
    # scikit-learn wants this switch thrown before IterativeImputer can be imported
    first = [module for module in names if module == "sklearn.experimental"]
    for module in first + sorted(set(names) - set(first)):
        lines.append(f"from {module} import {', '.join(sorted(names[module]))}")
    return "\n".join(lines)
