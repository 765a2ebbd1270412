"""Whether a model fits this machine: its need in GB against the GPU's memory and the machine's own."""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

from .machine import facts


class Fit(NamedTuple):
    """The verdict on a need."""

    where: Literal["gpu", "memory", "tight", "no"]
    """`tight`: it fits the machine, but not what is free now."""
    words: str


@cache
def gpu_gb() -> tuple[float, float]:
    """Memory of the largest GPU that llama.cpp can use: all and free, in GB; zeros without one."""
    from ..sandbox import gpu

    cards = gpu.gpus()
    if not cards or llama_without_gpu() is not False:
        return 0.0, 0.0
    best = max(cards, key=lambda card: card.free_mb)
    return best.memory_mb * 2**20 / 1e9, best.free_mb * 2**20 / 1e9


@cache
def llama_without_gpu() -> bool | None:
    """True when the installed llama.cpp was built without GPU support; None when there is none."""
    from importlib.util import find_spec

    if find_spec("llama_cpp") is None:
        return None
    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError):
        return None  # its library does not load; whoever uses it says so
    return not llama_cpp.llama_supports_gpu_offload()


def fit(need_gb: float) -> Fit:
    """Where a model of this need runs on this machine."""
    gpu, gpu_free = gpu_gb()
    machine = facts()
    beside = f", not its GPU ({gpu_free:.1f} GB free): mleagent config gpu_layers N puts only N layers there"
    if need_gb <= gpu_free:
        return Fit("gpu", f"fits the GPU ({gpu_free:.1f} GB free)")
    if need_gb <= machine.memory_free_gb:
        words = f"fits this machine ({machine.memory_free_gb:.1f} GB free)"
        return Fit("memory", words + (beside if gpu else ""))
    if need_gb <= machine.memory_gb:
        return Fit("tight", f"fits only when more is free ({machine.memory_free_gb:.1f} GB are now)")
    return Fit("no", f"does not fit this machine ({machine.memory_gb:.1f} GB in all)")
