"""A Hugging Face model folder as the GGUF export reads it: its config, its tensors one at a time.

Takes a folder (config.json and one or several .safetensors); gives `Folder`. Tensors stay on disk
until asked for, so that a model larger than the memory can be exported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mleagent.errors import InputError

ARCHITECTURES = {
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
}
"""What can be exported: the class in config.json and llama.cpp's name for it."""


@dataclass(frozen=True)
class Folder:
    """A model folder; every method raises InputError of one line when a file is missing or broken."""

    path: Path

    def json(self, name: str, needed: bool = False) -> dict[str, Any]:
        """The content of a JSON file; {} when it is not there and not needed."""
        path = self.path / name
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if needed:
                raise InputError(f"{path} is missing: is this a Hugging Face model folder?") from None
            return {}
        except (OSError, ValueError) as error:
            raise InputError(f"{path} can't be read: {error}") from None
        if not isinstance(content, dict):
            raise InputError(f"{path} holds no JSON object")
        return content

    def text(self, name: str) -> str:
        """A text file's content, "" when it is not there."""
        path = self.path / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json."""
        return self.json("config.json", needed=True)

    @cached_property
    def architecture(self) -> str:
        """llama.cpp's name; InputError for a model that can't be exported."""
        named = self.config.get("architectures") or ["none"]
        if named[0] not in ARCHITECTURES:
            known = ", ".join(sorted(ARCHITECTURES))
            raise InputError(f"{self.path}: {named[0]} can't be exported to GGUF; what can: {known}")
        return ARCHITECTURES[named[0]]

    @cached_property
    def tensors(self) -> dict[str, Path]:
        """The file that holds each tensor, in the order of files and of names."""
        from safetensors import SafetensorError, safe_open

        found: dict[str, Path] = {}
        for path in sorted(self.path.glob("*.safetensors")):
            try:
                with safe_open(path, framework="pt") as file:
                    found |= dict.fromkeys(sorted(file.keys()), path)
            except (OSError, SafetensorError) as error:
                raise InputError(f"{path} can't be read: {error}") from None
        if not found:
            raise InputError(f"{self.path} holds no .safetensors")
        return found

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, without reading it."""
        from safetensors import safe_open

        with safe_open(self.tensors[name], framework="pt") as file:
            return tuple(file.get_slice(name).get_shape())

    def tensor(self, name: str) -> NDArray[np.float32]:
        """A tensor in float32 (through torch, since numpy knows no bfloat16)."""
        from safetensors import safe_open

        with safe_open(self.tensors[name], framework="pt") as file:
            return file.get_tensor(name).float().numpy()  # type: ignore[no-any-return]


def rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """Rotary settings as one dict with `rope_type` and `rope_theta`, from new and old config files."""
    told = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = told.get("rope_type") or told.get("type") or "default"
    theta = told.get("rope_theta") or config.get("rope_theta") or 10000.0
    return {**told, "rope_type": kind, "rope_theta": float(theta)}
