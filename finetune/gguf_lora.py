"""Writes a peft LoRA adapter as the GGUF file that llama.cpp lays over a base at run time.

Takes an adapter folder (adapter_config.json, adapter_model.safetensors) and the base it was trained
on, as GGUF. The scale alpha / r (or alpha / sqrt(r)) is folded into B and `adapter.lora.alpha` set to
0, which llama.cpp takes as "no further scale": its own formula knows neither rank-stabilised LoRA
nor patterns. What can't be said in that format is refused in one line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from mleagent.errors import InputError

from .gguf_folder import Folder
from .gguf_model import name_map, permute

_PREFIX = "base_model.model."
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Initialisations that alter the base's weights, so the adapter is wrong on the untouched GGUF."""


def write_adapter(
    folder: Folder, base: Path, path: Path, metadata: Mapping[str, str | int | float | bool]
) -> None:
    """Writes the adapter for `base` to `path`. InputError for what llama.cpp can't apply or doesn't fit."""
    told = folder.json("adapter_config.json", needed=True)
    _refuse(folder, told)
    head = BaseHead(base)
    writer = gguf.GGUFWriter(str(path), head.architecture)
    try:
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", 0.0)
        for key, value in metadata.items():
            writer.add_string(key, str(value))
        for name, (a, b) in _pairs(folder).items():
            target = head.target(folder, name, a, b)
            if head.architecture == "llama" and ".attn_q." in target:
                b = permute(b, head.heads)
            elif head.architecture == "llama" and ".attn_k." in target:
                b = permute(b, head.kv_heads)
            scale = np.float32(scale_of(told, name, a.shape[0]))
            writer.add_tensor(f"{target}.lora_a", np.ascontiguousarray(a))
            writer.add_tensor(f"{target}.lora_b", np.ascontiguousarray(b * scale))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _refuse(folder: Folder, told: Mapping[str, Any]) -> None:
    """InputError when the adapter is more than pairs of A and B on linear layers."""
    initial = str(told.get("init_lora_weights", True)).lower()
    reasons = {
        f"peft type {told.get('peft_type')}": told.get("peft_type") != "LORA",
        "DoRA": told.get("use_dora"),
        "modules_to_save": told.get("modules_to_save"),
        "trainable tokens": told.get("trainable_token_indices"),
        f"bias {told.get('bias')!r}": told.get("bias", "none") != "none" or told.get("lora_bias"),
        "target_parameters": told.get("target_parameters"),
        "activated LoRA": told.get("alora_invocation_tokens"),
        f"initialisation {initial!r} (it changes the base)": initial.startswith(_CHANGES_BASE),
    }
    for what, there in reasons.items():
        if there:
            raise InputError(
                f"{folder.path}: an adapter with {what} has no GGUF form; merge it and export the model"
            )


def _pairs(folder: Folder) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Module name to A (r, in) and B (out, r)."""
    halves: dict[str, dict[str, NDArray[np.float32]]] = {}
    for source in folder.tensors:
        match = re.fullmatch(re.escape(_PREFIX) + r"(.+)\.lora_([AB])\.weight", source)
        if match is None:
            raise InputError(f"{folder.path}: {source} has no GGUF form; only LoRA of linear layers has")
        halves.setdefault(match[1], {})[match[2]] = folder.tensor(source)
    for name, pair in halves.items():
        if set(pair) != {"A", "B"} or pair["A"].shape[0] != pair["B"].shape[1]:
            raise InputError(f"{folder.path}: A and B of {name} don't fit together")
    return {name: (pair["A"], pair["B"]) for name, pair in halves.items()}


def scale_of(told: Mapping[str, Any], name: str, rank: int) -> float:
    """What peft multiplies B·A of the module by; patterns match as in peft's `get_pattern_key`."""
    patterns = told.get("alpha_pattern") or {}
    found = next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", name)), None)
    alpha = float(told["lora_alpha"] if found is None else found)
    return alpha / math.sqrt(rank) if told.get("use_rslora") else alpha / rank


class BaseHead:
    """What of a base GGUF an adapter must fit: architecture, heads, the shape of each matrix."""

    def __init__(self, path: Path) -> None:
        """Raises InputError when the file is no GGUF."""
        try:
            reader = gguf.GGUFReader(path)
            self.architecture = str(reader.fields["general.architecture"].contents())
            self.layers = self._number(reader, "block_count")
            self.heads = self._number(reader, "attention.head_count")
            self.kv_heads = self._number(reader, "attention.head_count_kv")
            width = self._number(reader, "embedding_length")
            told = f"{self.architecture}.attention.key_length" in reader.fields
            self.head_dim = self._number(reader, "attention.key_length") if told else width // self.heads
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise InputError(f"{path} can't be read as a GGUF model: {error}") from None
        # ggml counts dimensions from the fastest: (in, out)
        self.shapes = {t.name: tuple(int(n) for n in t.shape[::-1]) for t in reader.tensors}
        self.path = path

    def _number(self, reader: gguf.GGUFReader, key: str) -> int:
        return int(reader.fields[f"{self.architecture}.{key}"].contents())

    def target(self, folder: Folder, name: str, a: NDArray[np.float32], b: NDArray[np.float32]) -> str:
        """The base's tensor that the module `name` is; InputError when it has none of that shape."""
        found = name_map(self.architecture, self.layers).get_name(name)
        shape = self.shapes.get(f"{found}.weight")
        if shape != (b.shape[0], a.shape[1]):
            raise InputError(
                f"{folder.path} was trained on another base: {name} is {(b.shape[0], a.shape[1])},"
                f" in {self.path.name} {shape or 'missing'}"
            )
        return f"{found}.weight"
