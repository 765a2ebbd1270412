"""The models `doctor` knows of: the configured one, checked; servers that run; what fits this machine.

A GGUF file's head is read and its need (weights and context) set against the memory; an endpoint is
asked for its models. Nothing is loaded, and only this machine's usual ports of local servers are looked at.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..config import Settings, data_home, user_path
from ..errors import InputError, UnavailableError
from ..models import Ledger
from ..models.active import resolve
from ..models.find import found
from ..models.known import KNOWN, context_of, need_gb
from ..policy import nano
from .fit import fit
from .machine import facts
from .servers import running

_ASK_S = 1.0
_SIGNS = {"gpu": "GPU", "memory": "fits", "tight": "tight", "no": "no"}


def configured(settings: Settings) -> str:
    """A line on the model `solve` would take. Raises InputError, PolicyError or UnavailableError."""
    name = settings.model.strip() or "auto"
    if name == "auto":
        missing = nano.missing().partition(";")[0]
        work = f"the playbook works without one ({missing})" if missing else "nano or the playbook works"
        return f"none (auto): {work}"
    if name == "playbook":
        return "playbook"
    if name == "nano":
        if nano.missing():
            raise UnavailableError(nano.missing())
        return nano.WHAT
    ready = resolve(Ledger(data_home()), name)
    if ready is not None:
        more = f" with the adapter {ready.adapter}" if ready.adapter else ""
        inner = settings.model_copy(update={"model": ready.model, "endpoint_model": ready.endpoint_model})
        return f"{ready.name}{more}: {configured(inner)}"
    if "://" in name:
        return _endpoint(name, settings)
    if name.lower().endswith(".gguf") or user_path(name).is_file():
        return gguf_line(user_path(name), settings.n_ctx)
    raise InputError(f"model {name!r} is unknown; mend the setting: mleagent config model NAME")


def _endpoint(address: str, settings: Settings) -> str:
    from ..policy.openai_api import OpenAIPolicy

    policy = OpenAIPolicy(address, settings.endpoint_model)
    policy.probe()
    context = f", context {policy.context_tokens} tokens" if policy.context_tokens else ""
    return f"{policy.name} at {policy.endpoint.where}{context}"


def gguf_line(path: Path, n_ctx: int = 0) -> str:
    """What a model file is and whether it fits. Raises InputError, UnavailableError."""
    from ..policy.gguf_check import check_gguf

    head = check_gguf(path)
    if importlib.util.find_spec("llama_cpp") is None:
        raise UnavailableError(
            f"{path} needs llama-cpp-python, which is not installed: pip install 'mleagent[local]'"
        )
    context = context_of(head.context_length, n_ctx)
    need = need_gb(head.bytes, head.kv_bytes, context)
    verdict = fit(need)
    if verdict.where == "no":
        raise UnavailableError(
            f"{path} needs about {need:.1f} GB, here are {facts().memory_gb:.1f} in all; take a smaller one"
        )
    return (
        f"{path}: {head.architecture}, {head.parameters / 1e9:.2g} B parameters, trained for "
        f"{head.context_length} tokens; with {context} it needs about {need:.1f} GB: {verdict.words}"
    )


def servers() -> list[tuple[str, str]]:
    """Model servers that run on this machine now: address, and what they list."""
    return [
        (one.address, f"{', '.join(one.models[:3])} ({one.usual}'s usual port); --model {one.address}")
        for one in running(_ASK_S)
    ]


def here(settings: Settings) -> list[tuple[str, str]]:
    """Model files on this machine: what `--model` takes, and whether they fit."""
    lines = []
    for setting, head in found(Ledger(data_home())):
        need = need_gb(head.bytes, head.kv_bytes, context_of(head.context_length, settings.n_ctx))
        lines.append((setting, f"needs about {need:.1f} GB: {fit(need).words}"))
    return lines


def known(settings: Settings) -> list[str]:
    """The open coder models of the table, a line each: whether they would fit this machine."""
    lines = []
    for one in KNOWN:
        context = context_of(None, settings.n_ctx)
        need = need_gb(one.gb * 1e9, one.kv_bytes, context)
        what = f"{one.gb:.1f} GB file, {need:.1f} GB with a context of {context}, {one.licence}"
        lines.append(f"{_SIGNS[fit(need).where]:<6}{one.name}: {what}")
    return lines
