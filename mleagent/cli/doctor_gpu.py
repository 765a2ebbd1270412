"""The GPU's part of `mleagent doctor`: what there is, who can use it, who holds it.

A GPU that llama.cpp was built without is a failure, not a remark: a model would run many times slower
than this machine can, and nothing else would say so.
"""

from __future__ import annotations

import shutil
from typing import NamedTuple

from ..policy import llama_build
from ..sandbox import gpu
from .fit import llama_without_gpu


class Line(NamedTuple):
    """One line of the report; `state` as in `doctor_cmd.Check`."""

    name: str
    state: str
    detail: str


def lines() -> list[Line]:
    """What can be said without using a GPU; takes the time `nvidia-smi` does."""
    found = gpu.gpus()
    if not found:
        why = "nvidia-smi sees none" if shutil.which("nvidia-smi") else "there is no nvidia-smi"
        return [Line("nvidia", "info", f"no GPU ({why}): models and programs run on the CPU")]
    about = [
        Line("nvidia", "ok", f"{card.name}, {card.memory_mb} MiB, {card.free_mb} MiB free") for card in found
    ]
    about.append(_llama())
    tool = gpu.toolkit()
    missing = "docker can't hand a GPU to a container; install nvidia-container-toolkit"
    about.append(Line("toolkit", "ok" if tool else "warn", tool or f"not installed: {missing}"))
    if not gpu.device_nodes("all"):
        about.append(
            Line("devices", "warn", f"no {gpu.DEV}/nvidia*: bubblewrap and namespaces run on the CPU")
        )
    holder = gpu.Lease().holder()
    return [*about, Line("lease", "info", f"held by {holder}" if holder else "free")]


def _llama() -> Line:
    """Whether GGUF models can use the GPU that is here."""
    without = llama_without_gpu()
    if without is None:
        mend = llama_build.command(anew=False)
        return Line("llama.cpp", "warn", f"not installed; for GGUF models on the GPU: {mend}")
    if without:
        mend = llama_build.command()
        return Line("llama.cpp", "fail", f"built without GPU support, so models run on the CPU; {mend}")
    return Line("llama.cpp", "ok", "uses the GPU")
