"""The bundled small model: where its files lie. The files are package data beside this module.

mleagent-nano writes, repairs and improves short scikit-learn programs for small tables; its sibling has
a quarter of its weights. Trained from scratch on synthetic tasks (`finetune/nano/`).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ...errors import UnavailableError

WHAT = "mleagent-nano: a 5-million-parameter model for small tables; it shows the loop, it is no expert"
"""Said once wherever nano is used."""

_FOLDER = Path(__file__).parent


def path() -> Path:
    """The file of mleagent-nano. Raises UnavailableError when it is not installed."""
    return _there("mleagent-nano.gguf")


def quarter_path() -> Path:
    """The file of its quarter-size sibling. Raises UnavailableError when it is not installed."""
    return _there("mleagent-nano-quarter.gguf")


def missing() -> str:
    """Why nano can't run on this machine, as an error would say it; empty when it can."""
    try:
        path()
    except UnavailableError as error:
        return str(error)
    if find_spec("llama_cpp") is None:
        return "mleagent-nano needs llama-cpp-python: pip install 'mleagent[local]', or take --model playbook"
    return ""


def _there(name: str) -> Path:
    file = _FOLDER / name
    if not file.is_file():
        raise UnavailableError(
            f"{file} is missing from this installation; reinstall mleagent, or take --model playbook"
        )
    return file
