"""From the words after `--model` to a policy that is ready to be asked.

Takes `auto`, `playbook`, the path of a GGUF file or an endpoint's address; heavy
libraries are imported only for the kind that needs them. A model is checked
here, before a session begins: a file is loaded, an endpoint asked for its
models. What leaves this machine is said once, before it does.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from ..config import Settings
from ..errors import InputError
from ..protocols import Policy

Notice = Callable[[str], None]

NAMES = ("auto", "playbook")
PROBE_S = 10.0
"""Most silence of an endpoint that is asked for its models, in seconds."""


def choose(setting: str, settings: Settings, seed: int = 0, notice: Notice | None = None) -> Policy:
    """The policy that `setting` names; an empty one means the configured model.

    `notice` gets one line where the user should know what was chosen or what
    leaves the machine. Raises InputError (unknown name, bad file), UnavailableError
    (llama-cpp-python missing), PolicyError (an endpoint that can't be used).
    """
    say = notice or (lambda _text: None)
    name = setting.strip()
    if name in ("", "auto"):
        name = settings.model.strip() or "auto"
    if name == "auto":
        say("no model is configured, so the playbook works (--model takes a .gguf file or http://…)")
        name = "playbook"
    if name == "playbook":
        from .playbook import PlaybookPolicy

        return PlaybookPolicy(seed)
    if "://" in name:
        return _endpoint(name, settings, say)
    if name.lower().endswith(".gguf") or Path(name).expanduser().is_file():
        from .llama_cpp import LlamaCppPolicy

        path = Path(name).expanduser()
        return LlamaCppPolicy(
            path, settings.n_ctx, n_threads=settings.threads, n_gpu_layers=settings.gpu_layers, seed=seed
        )
    raise InputError(f"model {name!r} is unknown; {_mend(name)}")


def _endpoint(address: str, settings: Settings, say: Notice) -> Policy:
    from .openai_api import OpenAIPolicy

    limit = settings.request_timeout_s
    policy = OpenAIPolicy(
        address, settings.endpoint_model, timeout_s=limit, probe_timeout_s=min(limit, PROBE_S)
    )
    policy.probe()
    if not policy.endpoint.local:
        say(
            f"prompts go to {policy.endpoint.where}: the task's description, column names and profile, "
            "the code and what it prints"
        )
    return policy


def _mend(name: str) -> str:
    """What the user may have meant."""
    if Path(name).expanduser().is_dir():
        return "it is a folder; name the .gguf file inside it"
    host, _, port = name.partition(":")
    if port.split("/")[0].isdigit() and host:
        return f"an endpoint's address begins with its scheme: http://{name}"
    close = difflib.get_close_matches(name.lower(), NAMES, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return (
        "write auto, playbook, the path of a .gguf file, or an endpoint's address (http://localhost:8080/v1)"
    )
