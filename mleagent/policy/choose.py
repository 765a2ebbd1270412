"""From the words after `--model` to a policy that is ready to be asked.

Takes `auto`, `nano`, `playbook`, the path of a GGUF file or an endpoint's address (names of the ledger
are looked up above, in `models/named.py`); heavy libraries are imported only for the kind that needs
them. A model is checked here, before a session begins: a file is loaded, an endpoint asked for its
models. What leaves this machine is said once, before it does.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

from ..config import Settings, user_path
from ..errors import InputError, UnavailableError
from ..protocols import Policy
from . import nano
from .gguf_check import check_gguf

Notice = Callable[[str], None]

NAMES = ("auto", "nano", "playbook")
PROBE_S = 10.0
"""Most silence of an endpoint that is asked for its models, in seconds."""


def choose(
    setting: str,
    settings: Settings,
    seed: int = 0,
    notice: Notice | None = None,
    *,
    unfit: str = "",
    adapter: Path | None = None,
    names: Sequence[str] = (),
) -> Policy:
    """The policy that `setting` names; an empty one means the configured model.

    `notice` gets one line where the user should know what was chosen or what leaves the machine.
    `unfit` says why a small model with compact prompts can't do the task (empty: it can, or there is
    none yet). `adapter` is put on a GGUF model; `names` are others the user may have meant. Raises
    InputError (unknown name, bad file), UnavailableError (llama-cpp-python missing, the model
    declines), PolicyError (an endpoint that can't be used).
    """
    say = notice or (lambda _text: None)
    name = setting.strip()
    if name in ("", "auto"):
        name = settings.model.strip() or "auto"
    if name == "auto":
        name = _automatic(unfit, say)
    if name == "playbook":
        from .playbook import PlaybookPolicy

        return PlaybookPolicy(seed)
    if name == "nano":
        return _nano(settings, seed, say, unfit, adapter)
    if "://" in name:
        return _endpoint(name, settings, say)
    if name.lower().endswith(".gguf") or user_path(name).is_file():
        return _gguf(user_path(name), settings, seed, say, unfit, adapter)
    raise InputError(f"model {name!r} is unknown; {_mend(name, names)}")


def _automatic(unfit: str, say: Notice) -> str:
    """Nothing is configured: nano where it can run and can do the task, else the playbook."""
    why_not = (nano.missing() or unfit).partition(";")[0]
    if not why_not:
        return "nano"
    say(
        f"no model is configured, so the playbook works (mleagent-nano can't: {why_not}); "
        "--model takes a .gguf file or http://…"
    )
    return "playbook"


def _nano(settings: Settings, seed: int, say: Notice, unfit: str, adapter: Path | None) -> Policy:
    missing = nano.missing()
    if missing:
        raise UnavailableError(missing)
    if unfit:
        raise UnavailableError(_declines("mleagent-nano", unfit))
    say(nano.WHAT)
    return _gguf(nano.path(), settings, seed, say, unfit, adapter)


def _gguf(path: Path, settings: Settings, seed: int, say: Notice, unfit: str, adapter: Path | None) -> Policy:
    """A model file, loaded; one that was made for compact prompts declines what it can't do."""
    if unfit and check_gguf(path).prompt_style == "compact":
        raise UnavailableError(_declines(path.stem, unfit))
    from .llama_cpp import LlamaCppPolicy

    policy = LlamaCppPolicy(
        path,
        settings.n_ctx,
        n_threads=settings.threads,
        n_gpu_layers=settings.gpu_layers,
        seed=seed,
        notice=say,
    )
    try:
        if adapter is not None:
            policy.set_adapter(adapter)
    except BaseException:
        policy.close()
        raise
    return policy


def _declines(name: str, unfit: str) -> str:
    return f"{name} declines this task: {unfit}; take --model playbook, a larger model or an endpoint"


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


def _mend(name: str, names: Sequence[str]) -> str:
    """What the user may have meant."""
    if user_path(name).is_dir():
        return "it is a folder; name the .gguf file inside it"
    host, _, port = name.partition(":")
    if port.split("/")[0].isdigit() and host:
        return f"an endpoint's address begins with its scheme: http://{name}"
    close = difflib.get_close_matches(name.lower(), (*NAMES, *names), n=1)
    if close:
        return f"did you mean {close[0]}?"
    return (
        "write auto, nano, playbook, a name of `mleagent models list`, the path of a .gguf file, "
        "or an endpoint's address (http://localhost:8080/v1)"
    )
