"""The libraries that learning needs: whether they are there, and that they keep quiet.

Asked before anything of `finetune` that imports them, so that a missing one is a line with its mend.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

from mleagent.errors import UnavailableError

_EXTRAS = (("learn", ("torch", "transformers", "peft", "gguf")), ("local", ("llama_cpp",)))
_SETTINGS = {
    "HF_HUB_OFFLINE": "1",  # nothing is fetched
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TQDM_DISABLE": "1",  # their own progress bars
    "TOKENIZERS_PARALLELISM": "false",
}


def require() -> None:
    """Raises UnavailableError where a library is missing; imports none of them."""
    for extra, names in _EXTRAS:
        missing = [name for name in names if find_spec(name) is None]
        if missing:
            raise UnavailableError(
                f"learning needs {missing[0]}, which is not installed: pip install 'mleagent[{extra}]'"
            )
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
