"""llama.cpp through its low-level interface: one model, one context, one sequence.

Takes and gives token ids only, so that it can move into a child process. Kept
apart from chat and sampling. The prompt is evaluated only beyond the longest
prefix it shares with what the context already holds; logits are had for the
last position only, whatever the context length.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, PolicyError, UnavailableError
from .gguf_check import check_gguf

DEFAULT_CONTEXT = 8192
"""Tokens of context where neither the user nor the model asks for less."""

_SMALL_BYTES = 256 * 2**20
"""Below this size one thread generates fastest: meeting at a barrier for each layer costs more than it saves,
many times more where other programs run."""

_CONTROL = 1 << 3
"""llama.cpp's token attribute for control tokens."""

_ABORTED = 2
"""What `llama_decode` returns when the abort callback said so."""

_log: list[str] = []
_keep: list[Any] = []


def _library() -> Any:
    """Import llama_cpp once; its log goes to a list whose end explains a failure."""
    try:
        import llama_cpp.llama_cpp as lib
    except ImportError:
        raise UnavailableError(
            "a .gguf model needs llama-cpp-python, which is not installed: pip install 'mleagent[local]'"
        ) from None
    if not _keep:

        @lib.llama_log_callback  # type: ignore[untyped-decorator]
        def note(level: int, text: bytes, _data: Any) -> None:
            if level >= 4:
                _log.append(text.decode("utf-8", "replace").strip())
                del _log[:-20]

        lib.llama_log_set(note, ctypes.c_void_p(0))
        lib.llama_backend_init()
        _keep.append(note)  # the library keeps the pointer only
    return lib


class LlamaEngine:
    """A loaded model with its context. Not thread-safe."""

    def __init__(
        self, path: Path, n_ctx: int = 0, n_threads: int = 0, n_gpu_layers: int = -1, n_batch: int = 512
    ) -> None:
        """`n_ctx` 0: what the model was trained for, at most DEFAULT_CONTEXT; -1 layers: all on a GPU.

        Raises InputError for a file llama.cpp can't use, UnavailableError without llama-cpp-python.
        """
        self.head = check_gguf(path)
        self.lib = lib = _library()
        self._ctx: Any = None
        self._batch: Any = None
        params = lib.llama_model_default_params()
        params.n_gpu_layers = n_gpu_layers if n_gpu_layers >= 0 else 0x7FFFFFFF
        self._model = lib.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise InputError(
                f"model file {path} can't be loaded: {_log[-1] if _log else 'llama.cpp refused'}"
            )
        self.vocab = lib.llama_model_get_vocab(self._model)
        if lib.llama_model_has_encoder(self._model) or lib.llama_vocab_type(self.vocab) == 0:
            self.close()
            raise InputError(f"model file {path} ({self.head.architecture}) is no text generator")
        self.n_vocab = int(lib.llama_vocab_n_tokens(self.vocab))
        self.n_ctx = self._context(path, n_ctx, n_threads, n_batch)
        self._batch = lib.llama_batch_init(n_batch, 0, 1)
        self._n_batch = n_batch
        self.held: list[int] = []
        """Token ids whose keys and values the context holds."""
        self._bytes: dict[int, bytes] = {}

    def _context(self, path: Path, n_ctx: int, n_threads: int, n_batch: int) -> int:
        """Make the context; returns its length in tokens."""
        lib = self.lib
        trained = int(lib.llama_model_n_ctx_train(self._model)) or DEFAULT_CONTEXT
        params = lib.llama_context_default_params()
        params.n_ctx = n_ctx or min(trained, DEFAULT_CONTEXT)
        params.n_batch = n_batch
        params.n_threads_batch = n_threads or _cores()
        params.n_threads = n_threads or (1 if self.head.bytes < _SMALL_BYTES else _cores())
        self._ctx = lib.llama_init_from_model(self._model, params)
        if not self._ctx:
            self.close()
            raise InputError(
                f"a context of {params.n_ctx} tokens for {path.name} can't be made "
                f"({_log[-1] if _log else 'out of memory?'}); set a smaller n_ctx"
            )
        # llama.cpp rounds the length up to its block size: what was asked for is what counts
        return min(int(lib.llama_n_ctx(self._ctx)), int(params.n_ctx))

    # --- tokens -----------------------------------------------------------------------

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Token ids; control tokens are parsed only with `special`. Adds no BOS."""
        raw = text.encode("utf-8", "replace")
        size = len(raw) + 8
        buffer = (self.lib.llama_token * size)()
        count = self.lib.llama_tokenize(self.vocab, raw, len(raw), buffer, size, False, special)
        if count < 0:
            size = -count
            buffer = (self.lib.llama_token * size)()
            count = self.lib.llama_tokenize(self.vocab, raw, len(raw), buffer, size, False, special)
        return list(buffer[:count])

    def piece(self, token: int, special: bool = False) -> bytes:
        """Bytes of one token; nothing for a control token unless `special`."""
        if not special and token in self._bytes:
            return self._bytes[token]
        buffer = ctypes.create_string_buffer(64)
        count = self.lib.llama_token_to_piece(self.vocab, token, buffer, 64, 0, special)
        if count < 0:
            buffer = ctypes.create_string_buffer(-count)
            count = self.lib.llama_token_to_piece(self.vocab, token, buffer, -count, 0, special)
        data = buffer.raw[:count]
        if not special:
            self._bytes[token] = data
        return data

    def is_control(self, token: int) -> bool:
        """Whether the token is a control token (`<|im_start|>` and the like)."""
        return bool(self.lib.llama_vocab_get_attr(self.vocab, token) & _CONTROL)

    def ends(self, token: int) -> bool:
        """Whether the token ends a reply."""
        return bool(self.lib.llama_vocab_is_eog(self.vocab, token))

    @property
    def bos(self) -> int | None:
        """The token every prompt begins with, where the model wants one."""
        token = int(self.lib.llama_vocab_bos(self.vocab))
        return token if token >= 0 and self.lib.llama_vocab_get_add_bos(self.vocab) else None

    def token_text(self, which: str) -> str:
        """Text of the `bos` or `eos` token; empty where there is none."""
        token = int(getattr(self.lib, f"llama_vocab_{which}")(self.vocab))
        return self.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    # --- evaluation -------------------------------------------------------------------

    def prefill(self, ids: Sequence[int], stop: Event | None = None) -> int | None:
        """Evaluate a prompt of at least one token; returns how many of its tokens were reused.

        None when `stop` was set before it was done. Raises PolicyError when llama.cpp fails.
        """
        common = 0
        for mine, theirs in zip(self.held, ids[:-1], strict=False):
            if mine != theirs:
                break
            common += 1
        common = self.rewind(common)
        abort = self.lib.ggml_abort_callback(lambda _data: stop is not None and stop.is_set())
        self.lib.llama_set_abort_callback(self._ctx, abort, None)
        try:
            for at in range(common, len(ids), self._n_batch):
                if (stop is not None and stop.is_set()) or not self._decode(ids[at : at + self._n_batch]):
                    return None
        finally:
            # per-token steps run without it: the call back into Python costs more than they do
            self.lib.llama_set_abort_callback(self._ctx, self.lib.ggml_abort_callback(0), None)
        return common

    def step(self, token: int) -> None:
        """Evaluate one more token. Raises PolicyError when llama.cpp fails."""
        self._decode([token])

    def rewind(self, length: int) -> int:
        """Forget all but the first `length` tokens; returns how many are left.

        That is 0 for architectures whose memory can't be cut (recurrent, hybrid).
        """
        if length < len(self.held):
            del self.held[length:]
            self._cut_memory()
        return len(self.held)

    def _cut_memory(self) -> None:
        """Make the context hold what `held` says, or nothing where it can't be cut there."""
        memory = self.lib.llama_get_memory(self._ctx)
        if not self.lib.llama_memory_seq_rm(memory, 0, len(self.held), -1):
            self.lib.llama_memory_clear(memory, True)
            self.held.clear()

    def logits(self) -> NDArray[np.float32]:
        """A copy of the logits after the last evaluated token, shape (vocabulary,)."""
        pointer = self.lib.llama_get_logits_ith(self._ctx, -1)
        return np.ctypeslib.as_array(pointer, shape=(self.n_vocab,)).copy()

    def _decode(self, tokens: Sequence[int]) -> bool:
        """Evaluate tokens after those held; False when aborted (then none of them is held)."""
        batch, start = self._batch, len(self.held)
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i] = token, start + i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            batch.logits[i] = i == len(tokens) - 1
        code = self.lib.llama_decode(self._ctx, batch)
        if code == 0:
            self.held.extend(tokens)
            return True
        self._cut_memory()
        if code == _ABORTED:
            return False
        raise PolicyError(f"llama.cpp failed on {self.head.path.name} (code {code}): {' '.join(_log[-1:])}")

    def close(self) -> None:
        """Free context and model; twice is harmless."""
        if self._batch is not None:
            self.lib.llama_batch_free(self._batch)
        if self._ctx:
            self.lib.llama_free(self._ctx)
        if self._model:
            self.lib.llama_model_free(self._model)
        self._batch = self._ctx = self._model = None


def _cores() -> int:
    """Cores worth using: all of a small machine, half of one with many (hyper-)threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if cores <= 4 else cores // 2
