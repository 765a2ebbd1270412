"""llama.cpp through its low-level interface: one model, one context, several sequences.

Takes and gives token ids only, and lives in the model process (`llama_child`). Sequence 0
holds the prompt, which is evaluated only beyond the longest prefix it shares with what is
held already; sequences 1..k branch off it, share its keys and values (one unified cache)
and are decoded together. Logits are had for the last position only.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, PolicyError
from .llama_library import cores, last_words, library
from .llama_vocab import Vocabulary
from .llama_wire import Load

DEFAULT_CONTEXT = 8192
"""Tokens of context where neither the user nor the model asks for less."""

_BRANCH_CELLS = 1024
"""Tokens of cache reserved for each branch beside the prompt's own context."""

_SMALL_BYTES = 256 * 2**20
"""Below this size one thread generates fastest (meeting at a barrier for each layer costs more than it
saves), and attention is summed in 32 bits."""

_TINY_BYTES = 32 * 2**20
"""Below this size that holds for prompts too, and what a group costs is attention, not the weights."""
_TINY_TOGETHER = 4
"""Replies of a tiny model decoded at once: each row attends over the others' cells too, masked. Measured with
4.9 M weights, a token of eight replies cost 0.55 of one alone by fours, 0.7 all together."""

_ABORTED = 2
"""What `llama_decode` returns when the abort callback said so."""

Stopped = Callable[[], bool]


class LlamaEngine:
    """A loaded model with its context. Not thread-safe."""

    def __init__(self, wish: Load) -> None:
        """`wish.n_ctx` 0: what the model was trained for, at most DEFAULT_CONTEXT; -1 layers: all on a GPU.

        Raises InputError for a file llama.cpp can't use, UnavailableError without llama-cpp-python.
        """
        self.path = Path(wish.path)
        self.lib = lib = library()
        self._ctx: Any = None
        self._batch: Any = None
        params = lib.llama_model_default_params()
        params.n_gpu_layers = wish.n_gpu_layers if wish.n_gpu_layers >= 0 else 0x7FFFFFFF
        self.model = lib.llama_model_load_from_file(str(self.path).encode(), params)
        if not self.model:
            raise InputError(f"model file {self.path} can't be loaded: {last_words()}{self._on_gpu(wish)}")
        self.vocab = Vocabulary(lib, self.model)
        if lib.llama_model_has_encoder(self.model) or self.vocab.none:
            self.close()
            raise InputError(f"model file {self.path} is no text generator")
        self.offloads = wish.n_gpu_layers != 0 and bool(lib.llama_supports_gpu_offload())
        self._tiny = wish.bytes < _TINY_BYTES
        self.k_max = min(wish.k_max, _TINY_TOGETHER) if self._tiny else wish.k_max
        self._n_batch = max(wish.n_batch, wish.k_max)
        self.n_ctx = self._context(wish)
        self._batch = lib.llama_batch_init(self._n_batch, 0, 1)
        self._row = ctypes.c_float * self.vocab.size
        self.held: list[int] = []
        """Token ids whose keys and values sequence 0 holds."""
        self._branches: dict[int, int] = {}
        """Tokens held by each branch, the prompt included."""

    def _context(self, wish: Load) -> int:
        """Make the context; returns the length of one sequence in tokens."""
        lib = self.lib
        trained = int(lib.llama_model_n_ctx_train(self.model)) or DEFAULT_CONTEXT
        length = wish.n_ctx or min(trained, DEFAULT_CONTEXT)
        self.cells = length + (self.k_max * min(length, _BRANCH_CELLS) if self.k_max > 1 else 0)
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch = self.cells, self._n_batch
        params.n_seq_max = params.n_outputs_max = self.k_max + 1 if self.k_max > 1 else 1
        params.kv_unified = True  # branches share the prompt's cells, and copying a sequence copies nothing
        small = wish.bytes < _SMALL_BYTES
        if small and not self.offloads:
            # On the CPU flash attention sums in 16 bits, in the order of the cells: log-probabilities would
            # differ by up to 0.01 between a batch and a single row, where 32 bits leave 0.0003. In a model of
            # gigabytes the room that it saves counts for more.
            params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._threads = (
            wish.n_threads or (1 if small else cores()),
            wish.n_threads or (1 if self._tiny else cores()),
        )
        params.n_threads, params.n_threads_batch = self._threads
        self._ctx = lib.llama_init_from_model(self.model, params)
        if not self._ctx:
            self.close()
            raise InputError(
                f"a context of {length} tokens for {self.path.name} can't be made "
                f"({last_words('out of memory?')}); set a smaller n_ctx{self._on_gpu(wish)}"
            )
        # llama.cpp rounds the length up to its block size: what was asked for is what counts
        return min(int(lib.llama_n_ctx(self._ctx)), length)

    def _on_gpu(self, wish: Load) -> str:
        """The mend where all layers were to go to a GPU, which may be too small for them."""
        if wish.n_gpu_layers >= 0 or not self.lib.llama_supports_gpu_offload():
            return ""
        return "; if the GPU is too small, mleagent config gpu_layers N puts only N layers on it (0: none)"

    # --- sequence 0 -------------------------------------------------------------------

    def prefill(self, ids: Sequence[int], stopped: Stopped | None = None) -> int | None:
        """Evaluate a prompt of at least one token; returns how many of its tokens were reused.

        None when `stopped` said so before it was done. Raises PolicyError when llama.cpp fails.
        """
        common = 0
        for mine, theirs in zip(self.held, ids[:-1], strict=False):
            if mine != theirs:
                break
            common += 1
        common = self.rewind(common)
        stopped = stopped or _never
        abort = self.lib.ggml_abort_callback(lambda _data: stopped())
        self.lib.llama_set_abort_callback(self._ctx, abort, None)
        self.lib.llama_set_n_threads(self._ctx, *self._threads)
        try:
            for at in range(common, len(ids), self._n_batch):
                if stopped() or not self._extend(ids[at : at + self._n_batch]):
                    return None
        finally:
            # per-token steps run without it: the call back into Python costs more than they do
            self.lib.llama_set_abort_callback(self._ctx, self.lib.ggml_abort_callback(0), None)
        return common

    def rewind(self, length: int) -> int:
        """Forget all but the first `length` tokens and every branch; returns how many tokens are left.

        That is 0 for architectures whose memory can't be cut (recurrent, hybrid).
        """
        for branch in tuple(self._branches):
            self.drop(branch)
        if length < len(self.held):
            del self.held[length:]
            self._cut_memory()
        return len(self.held)

    def clear(self) -> None:
        """Forget everything, as after the weights changed."""
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self._ctx), True)
        self.held.clear()
        self._branches.clear()

    def _cut_memory(self) -> None:
        """Make sequence 0 hold what `held` says, or nothing where it can't be cut there."""
        memory = self.lib.llama_get_memory(self._ctx)
        if not self.lib.llama_memory_seq_rm(memory, 0, len(self.held), -1):
            self.clear()

    def _extend(self, tokens: Sequence[int]) -> bool:
        """Evaluate tokens after those held; False when aborted (then none of them is held)."""
        start, last = len(self.held), len(tokens) - 1
        rows = [(0, token, start + i, i == last) for i, token in enumerate(tokens)]
        if code := self._decode(rows):
            self._cut_memory()
            if code != _ABORTED:
                raise self._failure(code)
            return False
        self.held.extend(tokens)
        return True

    # --- branches ---------------------------------------------------------------------

    def branch(self, count: int) -> None:
        """Make sequences 1..count go on from the end of sequence 0, which keeps what it holds."""
        memory = self.lib.llama_get_memory(self._ctx)
        self.lib.llama_set_n_threads(self._ctx, self._threads[0], self._threads[0])
        for at in range(1, count + 1):
            self.lib.llama_memory_seq_cp(memory, 0, at, -1, -1)
            self._branches[at] = len(self.held)

    def drop(self, branch: int) -> None:
        """Give a branch's memory back."""
        self._branches.pop(branch, None)
        self.lib.llama_memory_seq_rm(self.lib.llama_get_memory(self._ctx), branch, -1, -1)

    def step(self, tokens: Sequence[tuple[int, int]]) -> list[NDArray[np.float32]]:
        """One more token for each (sequence, token), all together; the logits after each.

        The logits are views that the next evaluation overwrites. Raises PolicyError when llama.cpp fails.
        """
        at = {0: len(self.held), **self._branches}
        if code := self._decode([(sequence, token, at[sequence], True) for sequence, token in tokens]):
            self.clear()
            raise self._failure(code)
        for sequence, token in tokens:
            if sequence:
                self._branches[sequence] += 1
            else:
                self.held.append(token)
        return [self.logits(row) for row in range(len(tokens))]

    def logits(self, row: int = -1) -> NDArray[np.float32]:
        """Logits at a row of the last batch (default: its last), shape (vocabulary,); a view."""
        pointer = self.lib.llama_get_logits_ith(self._ctx, row)
        view = memoryview(self._row.from_address(ctypes.addressof(pointer.contents)))
        return np.asarray(view, dtype=np.float32)

    def together(self, prompt: int, limit: int) -> int:
        """How many replies of at most `limit` tokens have room beside a prompt of `prompt` tokens."""
        return max(1, min(self.k_max, (self.cells - prompt) // max(limit, 1)))

    # --- llama.cpp --------------------------------------------------------------------

    def _decode(self, rows: Sequence[tuple[int, int, int, bool]]) -> int:
        """Evaluate (sequence, token, position, whether its logits are wanted); llama.cpp's code."""
        batch = self._batch
        batch.n_tokens = len(rows)
        for i, (sequence, token, position, wanted) in enumerate(rows):
            batch.token[i], batch.pos[i] = token, position
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
            batch.logits[i] = wanted
        return int(self.lib.llama_decode(self._ctx, batch))

    def _failure(self, code: int) -> PolicyError:
        return PolicyError(f"llama.cpp failed on {self.path.name} (code {code}): {last_words('')}")

    def use(self, adapters: Any, scales: Any, count: int) -> int:
        """Set the context's LoRA adapters (ctypes arrays); llama.cpp's code. Everything held is forgotten."""
        code = int(self.lib.llama_set_adapters_lora(self._ctx, adapters, count, scales))
        self.clear()
        return code

    def close(self) -> None:
        """Free context and model; twice is harmless."""
        if self._batch is not None:
            self.lib.llama_batch_free(self._batch)
        if self._ctx:
            self.lib.llama_free(self._ctx)
        if self.model:
            self.lib.llama_model_free(self.model)
        self._batch = self._ctx = self.model = None


def _never() -> bool:
    return False
