"""Rotary positions as a GGUF has them, put back on a model that is trained from it.

transformers' loader takes the base frequency from a GGUF and leaves every scaling of it out: a Llama 3 or a
YaRN model would be trained at other positions than it runs with. Linear and YaRN scaling go into the config
before the model is made, Llama 3's factors (the tensor `rope_freqs.weight`) into the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

from mleagent.errors import InputError

_TENSOR = "rope_freqs.weight"


def add_scaling(config: Any, path: Path) -> None:
    """Linear or YaRN scaling of the GGUF at `path` into a transformers config. InputError for another."""
    reader = gguf.GGUFReader(path)
    architecture = reader.fields["general.architecture"].contents()

    def told(key: str) -> Any:
        field = reader.fields.get(f"{architecture}.rope.{key}")
        return field.contents() if field is not None else None

    kind = told("scaling.type")
    old = told("scale_linear")  # what files before 2024 say
    if kind in (None, "none") and old in (None, 0.0, 1.0):
        return
    kind = kind or "linear"
    if kind not in ("linear", "yarn"):
        raise InputError(f"{path}: rotary positions of type {kind!r} can't be trained here")
    scaling = {"rope_type": kind, "factor": float(told("scaling.factor") or old)}
    original = told("scaling.original_context_length")
    if kind == "yarn" and original:
        scaling["original_max_position_embeddings"] = int(original)
    config.rope_parameters = {**config.rope_parameters, **scaling}


def add_factors(model: Any, path: Path) -> None:
    """Divide a torch model's frequencies, (head_dim / 2,), by the GGUF's factors where it has some."""
    import torch

    found = next((one for one in gguf.GGUFReader(path).tensors if one.name == _TENSOR), None)
    if found is None:
        return
    factors = torch.from_numpy(np.array(found.data, dtype=np.float32).reshape(-1))
    for module in model.modules():
        for name in ("inv_freq", "original_inv_freq"):
            held = getattr(module, name, None)
            if isinstance(held, torch.Tensor):
                if held.shape != factors.shape:
                    raise InputError(f"{path}: {len(factors)} rotary factors for {len(held)} frequencies")
                held.div_(factors.to(held.device))
