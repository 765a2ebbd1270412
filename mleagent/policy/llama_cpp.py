"""Any GGUF model on this machine as a policy.

Takes chat messages (or exact token ids), renders and tokenises them itself, and gives
replies with the exact ids and log-probabilities that training needs. The model lives in a
process of its own (`llama_process`): llama.cpp may crash, the session does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Lock

import numpy as np
from numpy.typing import NDArray

from ..config import user_path
from ..errors import ContextOverflowError, PolicyError
from ..protocols import Prompt
from ..records import Completion, Message, Sampling, Usage
from .llama_model import LlamaModel, Sampled
from .llama_prompt import ChatTokens
from .llama_wire import Generate

_LEAST_ROOM = 64
"""Tokens that a prompt must leave for the reply (less if fewer are asked for)."""


class LlamaCppPolicy:
    """A local model. One call at a time; others wait."""

    def __init__(
        self,
        path: Path | str,
        n_ctx: int = 0,
        *,
        n_threads: int = 0,
        n_gpu_layers: int = -1,
        n_batch: int = 512,
        k_max: int = 1,
        seed: int = 0,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        """Load the model; 0 and -1 let llama.cpp and the machine decide (see `LlamaEngine`).

        `n_ctx` is the length of one sequence in tokens; `k_max` replies to one prompt are decoded
        together. `notice` gets a line when the model process died and was started anew.
        Raises InputError for a file that can't be used, UnavailableError without llama-cpp-python.
        """
        self._path = user_path(path)
        self.model = LlamaModel(self._path, n_ctx, n_threads, n_gpu_layers, n_batch, max(k_max, 1), notice)
        self._seed, self._calls = seed, 0
        self._lock, self._closed = Lock(), False
        self._adapter = ""
        self._evaluated = self._reused = 0
        try:
            self._chats = ChatTokens(self.model)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self._path.stem

    @property
    def context_tokens(self) -> int | None:
        """Length of the context as it was made."""
        return self.model.n_ctx

    @property
    def prompt_style(self) -> str:
        """`full` or `compact`, as the model file says: which prompts the model was made for."""
        return self.model.head.prompt_style

    @property
    def adapter(self) -> str:
        """Name of the LoRA adapter in use; empty for none."""
        return self._adapter

    @property
    def evaluated(self) -> int:
        """Prompt tokens evaluated since the policy was made, over all calls."""
        return self._evaluated

    @property
    def reused(self) -> int:
        """Prompt tokens that needed no evaluation since the policy was made, over all calls."""
        return self._reused

    def prompt_ids(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """The exact tokens of a chat, ready for the reply; see `ChatTokens`."""
        return self._chats.ids(messages)

    def remember(self, messages: Sequence[Message], reply: Completion) -> None:
        """Go on from the exact tokens of a chat of an earlier sitting; see `Remembering`."""
        ids = reply.prompt_ids + reply.token_ids
        mine = reply.model == self.name and bool(ids) and max(ids) < self.model.n_vocab
        if mine and messages and messages[-1] == Message(role="assistant", content=reply.text):
            self._chats.remember(tuple(messages), ids)

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits after the last of these tokens, from an empty context; shape (vocabulary,)."""
        with self._lock:
            return self.model.logits(ids)

    # --- replies ----------------------------------------------------------------------

    def complete(
        self,
        prompt: Prompt,
        sampling: Sampling,
        n: int = 1,
        on_text: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> list[Completion]:
        """`n` replies from one evaluation of the prompt; see `Policy.complete`.

        `token_ids` holds all that was sampled, the token that ended the reply or
        completed a stop string included; `text` is cut before it. Each `duration_s`
        runs from the call's start to that reply's end.
        """
        with self._lock:
            if self._closed:
                raise PolicyError(f"model {self.name} is closed")
            ids = prompt.token_ids or self.prompt_ids(prompt.messages)
            room = self.model.n_ctx - len(ids)
            if room < min(sampling.max_tokens, _LEAST_ROOM):
                raise ContextOverflowError(
                    f"the prompt of {len(ids)} tokens does not fit the {self.model.n_ctx} of {self.name}"
                )
            self._calls += 1
            wish = self._wish(sampling, n, on_text is not None)
            reused, replies = self.model.generate(ids, wish, on_text, stop)
            if reused is None:
                return [Completion(text="", prompt_ids=ids, model=self.name, adapter=self._adapter)]
            self._evaluated += len(ids) - reused
            self._reused += reused + len(ids) * (len(replies) - 1)
            completions = [
                self._completion(ids, reply, len(ids) if k else reused) for k, reply in enumerate(replies)
            ]
            for reply in reversed(completions):  # of two that read the same, the first is gone on from
                chat = (*prompt.messages, Message(role="assistant", content=reply.text))
                self._chats.remember(chat, reply.prompt_ids + reply.token_ids)
            return completions

    def _wish(self, sampling: Sampling, n: int, stream: bool) -> Generate:
        """Chance of reply k: from the given seed, else from the policy's seed and the call's number."""
        own = [self._seed, self._calls] if sampling.seed is None else [sampling.seed]
        return Generate(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seeds=tuple((*map(abs, own), k) for k in range(n)),
            stops=sampling.stop,
            stream=stream,
        )

    def _completion(self, ids: tuple[int, ...], reply: Sampled, reused: int) -> Completion:
        return Completion(
            text=reply.text,
            finish_reason="length" if reply.length else "stop",
            usage=Usage(prompt_tokens=len(ids), completion_tokens=len(reply.token_ids), cached_tokens=reused),
            prompt_ids=ids,
            token_ids=reply.token_ids,
            logprobs=reply.logprobs,
            model=self.name,
            adapter=self._adapter,
            duration_s=reply.duration_s,
        )

    def count_tokens(self, text: str) -> int:
        """Exact, for text of a message."""
        return len(self.model.tokenize(text, special=False))

    # --- adapter, GPU, end ------------------------------------------------------------

    def set_adapter(self, path: Path | str | None, scale: float = 1.0) -> None:
        """Use the LoRA adapter of this GGUF file from now on, or none; whatever fails, the one before stays.

        Raises InputError for a file that is no adapter of this model or changes nothing,
        PolicyError when llama.cpp fails on it.
        """
        file = None if path is None else user_path(path)
        with self._lock:
            self.model.set_adapter(file, scale)
            self._adapter = file.stem if file is not None else ""

    def park(self) -> None:
        """Free the model's memory on the GPU (nothing where it is not there); twice is harmless."""
        with self._lock:
            if self.model.offloads:
                self.model.end()

    def restore(self) -> None:
        """Load it again after `park`; it answers as it would have."""
        with self._lock:
            if not self._closed:
                self.model.start()

    def close(self) -> None:
        """End the model process; twice is harmless."""
        self._closed = True
        self.model.close()
