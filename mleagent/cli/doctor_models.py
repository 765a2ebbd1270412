"""The models `doctor` knows of: the configured one, checked; and servers running on this machine.

A GGUF file's head is read and its size set against the memory; an endpoint is
asked for its models. Nothing is loaded, and only this machine's usual ports of
local model servers are looked at.
"""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

from ..config import Settings
from ..errors import InputError, PolicyError, UnavailableError
from .machine import facts

_PORTS = {8080: "llama-server", 8000: "vLLM", 11434: "Ollama", 1234: "LM Studio"}
_CONNECT_S = 0.2
_ASK_S = 2.0
_SPARE_GB = 1.0
"""Beside the weights: context, the program itself, the sandbox's first megabytes."""


def configured(settings: Settings) -> str:
    """A line on the model `solve` would take. Raises InputError, PolicyError or UnavailableError."""
    name = settings.model.strip() or "auto"
    if name == "auto":
        return "none (auto): the playbook works without one"
    if name == "playbook":
        return "playbook"
    if "://" in name:
        from ..policy.openai_api import OpenAIPolicy

        policy = OpenAIPolicy(name, settings.endpoint_model)
        policy.probe()
        context = f", context {policy.context_tokens} tokens" if policy.context_tokens else ""
        return f"{policy.name} at {policy.endpoint.where}{context}"
    if name.lower().endswith(".gguf") or Path(name).expanduser().is_file():
        return gguf_line(Path(name).expanduser())
    raise InputError(f"model {name!r} is unknown; mend the setting: mleagent config model NAME")


def gguf_line(path: Path) -> str:
    """What a model file is and whether it fits. Raises InputError, UnavailableError."""
    from ..policy.gguf_check import check_gguf

    head = check_gguf(path)
    if importlib.util.find_spec("llama_cpp") is None:
        raise UnavailableError(
            f"{path} needs llama-cpp-python, which is not installed: pip install 'mleagent[local]'"
        )
    need = head.bytes / 1e9 + _SPARE_GB
    machine = facts()
    if need > machine.memory_gb:
        raise UnavailableError(
            f"{path} needs about {need:.1f} GB, here are {machine.memory_gb:.1f} in all; take a smaller one"
        )
    tight = "" if need <= machine.memory_free_gb else f" (only {machine.memory_free_gb:.1f} GB are free now)"
    return (
        f"{path}: {head.architecture}, {head.parameters / 1e9:.2g} B parameters, "
        f"trained for {head.context_length} tokens, needs about {need:.1f} GB{tight}"
    )


def servers() -> list[tuple[str, str]]:
    """Model servers that run on this machine now: address, and what it lists or what it said instead."""
    found = []
    for port, usual in _PORTS.items():
        with socket.socket() as probe:
            probe.settimeout(_CONNECT_S)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                continue
        from ..policy.openai_api import OpenAIPolicy

        address = f"http://localhost:{port}/v1"
        try:
            policy = OpenAIPolicy(address, probe_timeout_s=_ASK_S)
            policy.probe()
        except PolicyError:
            continue  # something else listens there
        found.append((address, f"{policy.name} ({usual}'s usual port); --model {address}"))
    return found
