"""LoRA adapters over a loaded model: set, swapped, cleared, and each time probed.

Used in the model process only. An adapter counts only when a fixed prompt's logits differ
from the base model's with it; clearing counts only when they are the base's again, bit for
bit. Whatever fails, the adapter set before stays.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, PolicyError
from .llama_engine import LlamaEngine
from .llama_library import last_words

_PROBE = 24
"""Tokens of the probe: spread evenly over the vocabulary, so any adapted weight is likely to be felt."""


class Adapters:
    """The one adapter that may be set."""

    def __init__(self, engine: LlamaEngine) -> None:
        self._engine, self._lib = engine, engine.lib
        self._adapter: Any = None
        self._scale = 1.0
        self._base: NDArray[np.float32] | None = None

    def set(self, path: str, scale: float) -> None:
        """Use the adapter in this file, or none with an empty path; all that was held is forgotten.

        Raises InputError for a file llama.cpp refuses or that changes nothing, PolicyError
        when clearing does not bring the base model back.
        """
        if self._base is None:
            self._base = self._probe()
        before, before_scale = self._adapter, self._scale
        if not path:
            self._apply(None, 1.0)
            if not np.array_equal(self._probe(), self._base):
                raise PolicyError("the model is not what it was after its adapter was cleared; start it anew")
            self._free(before)
            return
        fresh = self._lib.llama_adapter_lora_init(self._engine.model, path.encode())
        if not fresh:
            raise InputError(f"adapter file {path} can't be used: {last_words()}")
        self._apply(fresh, scale)
        if np.array_equal(self._probe(), self._base):
            self._apply(before, before_scale)
            self._free(fresh)
            raise InputError(
                f"adapter file {path} changes nothing at scale {scale:g}; it is empty or not trained"
            )
        self._free(before)

    def _apply(self, adapter: Any, scale: float) -> None:
        """Replace the context's whole set of adapters."""
        if adapter is None:
            code = self._engine.use(None, None, 0)
        else:
            adapters = (self._lib.llama_adapter_lora_p_ctypes * 1)(adapter)
            code = self._engine.use(adapters, (ctypes.c_float * 1)(scale), 1)
        if code:
            raise PolicyError(f"llama.cpp could not set the adapter (code {code}): {last_words('')}")
        self._adapter, self._scale = adapter, scale

    def _free(self, adapter: Any) -> None:
        """Only once it is no longer set."""
        if adapter is not None:
            self._lib.llama_adapter_lora_free(adapter)

    def _probe(self) -> NDArray[np.float32]:
        """Logits after the fixed prompt, from an empty context; shape (vocabulary,)."""
        size = self._engine.vocab.size
        self._engine.clear()
        self._engine.prefill([int(at) for at in np.linspace(0, size - 1, _PROBE)])
        logits = self._engine.logits().copy()
        self._engine.clear()
        return logits
