"""A loaded model's vocabulary: text into token ids and back. Used in the model process only."""

from __future__ import annotations

import ctypes
from typing import Any

_CONTROL = 1 << 3
"""llama.cpp's token attribute for control tokens."""


class Vocabulary:
    """Tokenises and spells; adds no BOS and no spaces of its own."""

    def __init__(self, lib: Any, model: Any) -> None:
        self._lib = lib
        self._vocab = lib.llama_model_get_vocab(model)
        self.size = int(lib.llama_vocab_n_tokens(self._vocab))
        self._bytes: dict[int, bytes] = {}

    @property
    def none(self) -> bool:
        """Whether the model has no vocabulary at all."""
        return bool(self._lib.llama_vocab_type(self._vocab) == 0)

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Token ids; control tokens are parsed only with `special`."""
        raw = text.encode("utf-8", "replace")
        size = len(raw) + 8
        buffer = (self._lib.llama_token * size)()
        count = self._lib.llama_tokenize(self._vocab, raw, len(raw), buffer, size, False, special)
        if count < 0:
            size = -count
            buffer = (self._lib.llama_token * size)()
            count = self._lib.llama_tokenize(self._vocab, raw, len(raw), buffer, size, False, special)
        return list(buffer[:count])

    def piece(self, token: int, special: bool = False) -> bytes:
        """Bytes of one token; nothing for a control token unless `special`."""
        if not special and token in self._bytes:
            return self._bytes[token]
        buffer = ctypes.create_string_buffer(64)
        count = self._lib.llama_token_to_piece(self._vocab, token, buffer, 64, 0, special)
        if count < 0:
            buffer = ctypes.create_string_buffer(-count)
            count = self._lib.llama_token_to_piece(self._vocab, token, buffer, -count, 0, special)
        data = buffer.raw[:count]
        if not special:
            self._bytes[token] = data
        return data

    def controls(self) -> list[int]:
        """Ids of the control tokens (`<|im_start|>` and the like)."""
        of = self._lib.llama_vocab_get_attr
        return [token for token in range(self.size) if of(self._vocab, token) & _CONTROL]

    def enders(self) -> list[int]:
        """Ids of the tokens that end a reply."""
        return [token for token in range(self.size) if self._lib.llama_vocab_is_eog(self._vocab, token)]

    @property
    def bos(self) -> int | None:
        """The token every prompt begins with, where the model wants one."""
        token = int(self._lib.llama_vocab_bos(self._vocab))
        return token if token >= 0 and self._lib.llama_vocab_get_add_bos(self._vocab) else None

    def text_of(self, which: str) -> str:
        """Text of the `bos` or `eos` token; empty where there is none."""
        token = int(getattr(self._lib, f"llama_vocab_{which}")(self._vocab))
        return self.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""
