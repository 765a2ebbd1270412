"""A GGUF model as the policy sees it: a vocabulary, replies, an adapter, whichever process it lives in.

Starts the model process, starts it anew when it was ended or died, and brings it to where
it was: same settings, same adapter. A request on which the process died is made once more;
when it dies on it again, that is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, RLock

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, PolicyError, UnavailableError
from .gguf_check import GgufHead, check_adapter, check_gguf
from .llama_process import LlamaProcess, ModelDiedError
from .llama_wire import (
    Adapt,
    Answer,
    Generate,
    Generated,
    Load,
    Request,
    Score,
    Spell,
    Tokenize,
    Tokens,
    pack_ids,
    unpack_ids,
)


class Sampled:
    """One reply: its text, exact ids and their log-probabilities; `length` if its limit ended it."""

    __slots__ = ("duration_s", "length", "logprobs", "text", "token_ids")

    def __init__(
        self,
        text: str,
        token_ids: tuple[int, ...],
        logprobs: tuple[float, ...],
        length: bool,
        duration_s: float,
    ) -> None:
        self.text, self.token_ids, self.logprobs = text, token_ids, logprobs
        self.length, self.duration_s = length, duration_s


class LlamaModel:
    """A model that answers whenever it is asked, until `close`."""

    def __init__(
        self,
        path: Path,
        n_ctx: int = 0,
        n_threads: int = 0,
        n_gpu_layers: int = -1,
        n_batch: int = 512,
        k_max: int = 1,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        """Check the file and load it; see `LlamaEngine` for 0 and -1.

        `notice` gets one line when the process died and was started anew. Raises
        InputError for a file that can't be used, UnavailableError without llama-cpp-python.
        """
        self.head: GgufHead = check_gguf(path)
        self._wish = Load(
            path=str(path.absolute()), bytes=self.head.bytes, n_ctx=n_ctx, n_threads=n_threads,
            n_gpu_layers=n_gpu_layers, n_batch=n_batch, k_max=k_max,
        )  # fmt: skip
        self._notice = notice or (lambda _text: None)
        self._lock, self._closed = RLock(), False
        self._adapter, self._scale = "", 1.0
        self._process: LlamaProcess | None = LlamaProcess(self._wish)
        loaded, ids = self._process.loaded, unpack_ids(self._process.ids)
        self.n_vocab, self.n_ctx, self.bos = loaded.n_vocab, loaded.n_ctx, loaded.bos
        self.bos_text, self.eos_text = loaded.bos_text, loaded.eos_text
        self.offloads = loaded.offloads
        self._controls, self._enders = frozenset(ids[: loaded.controls]), frozenset(ids[loaded.controls :])

    # --- vocabulary -------------------------------------------------------------------

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Token ids; control tokens are parsed only with `special`. Adds no BOS."""
        return self.tokenize_all([(text, special)])[0]

    def tokenize_all(self, texts: Sequence[tuple[str, bool]]) -> list[list[int]]:
        """The same for several texts at once, each with its own `special`."""
        if not texts:
            return []
        answer, data = self._ask(Tokenize(texts=tuple(texts)))
        assert isinstance(answer, Tokens)
        ids, parts, at = unpack_ids(data), [], 0
        for count in answer.counts:
            parts.append(ids[at : at + count])
            at += count
        return parts

    def piece(self, token: int, special: bool = False) -> bytes:
        """Bytes of one token; nothing for a control token unless `special`."""
        return self._ask(Spell(token=token, special=special))[1]

    def is_control(self, token: int) -> bool:
        """Whether the token is a control token (`<|im_start|>` and the like)."""
        return token in self._controls

    def ends(self, token: int) -> bool:
        """Whether the token ends a reply."""
        return token in self._enders

    # --- evaluation -------------------------------------------------------------------

    def generate(
        self,
        ids: Sequence[int],
        wish: Generate,
        on_text: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> tuple[int | None, list[Sampled]]:
        """Replies to the prompt `ids` and how many of its tokens were not evaluated again.

        None and no replies when stopped before the prompt was evaluated. Raises
        PolicyError when llama.cpp fails or the process dies on this prompt twice.
        """
        answer, data = self._ask(wish, pack_ids(ids), on_text, stop)
        assert isinstance(answer, Generated)
        return answer.reused, _replies(answer, data)

    def logits(self, ids: Sequence[int], fresh: bool = True) -> NDArray[np.float32]:
        """Logits after the last of these tokens, shape (vocabulary,); `fresh`: nothing held is reused."""
        data = self._ask(Score(fresh=fresh), pack_ids(ids))[1]
        return np.frombuffer(data, dtype=np.float32)

    # --- adapter ----------------------------------------------------------------------

    def set_adapter(self, path: Path | None, scale: float = 1.0) -> None:
        """Use the LoRA adapter of this file from now on, or none; whatever fails, the one before stays.

        Raises InputError for a file that is no adapter of this model or changes nothing,
        PolicyError when llama.cpp fails on it.
        """
        if path is not None:
            made_for = check_adapter(path).architecture
            if made_for != self.head.architecture:
                raise InputError(
                    f"adapter file {path} is for {made_for} models and {self.head.path.name} is "
                    f"{self.head.architecture}; name an adapter that was trained on this model"
                )
        text = "" if path is None else str(path.absolute())
        try:
            self._ask(Adapt(path=text, scale=scale))
        except ModelDiedError as error:
            raise PolicyError(f"adapter file {text or 'none'} can't be set: {error}") from None
        self._adapter, self._scale = text, scale

    # --- process ----------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """Of the model process; None while there is none."""
        return self._process.pid if self._process is not None and self._process.alive else None

    def start(self) -> None:
        """Have a process with the model and its adapter loaded, which may take a while."""
        with self._lock:
            if self._closed:
                raise PolicyError(f"model {self.head.path.stem} is closed")
            if self._process is not None and self._process.alive:
                return
            try:
                process = LlamaProcess(self._wish)
            except (InputError, UnavailableError) as error:  # it was there when the session began
                raise PolicyError(f"{self.head.path.stem} can't be started anew: {error}") from None
            try:
                if self._adapter:
                    process.call(Adapt(path=self._adapter, scale=self._scale))
            except InputError as error:
                process.end()
                raise PolicyError(f"{self.head.path.stem} can't be started anew: {error}") from None
            self._process = process

    def end(self) -> None:
        """End the process and free its memory, the GPU's too; the next call starts it anew."""
        with self._lock:
            if self._process is not None:
                self._process.end()
            self._process = None

    def close(self) -> None:
        """End it for good; twice is harmless."""
        self._closed = True
        if self._process is not None:
            self._process.end()

    def _ask(
        self,
        request: Request,
        data: bytes = b"",
        on_text: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> tuple[Answer, bytes]:
        """Raises ModelDiedError when the process died twice on it, else what `LlamaProcess.call` does."""
        shown = 0

        def show(text: str) -> None:
            nonlocal shown
            shown += len(text)
            if on_text is not None:
                on_text(text)

        try:
            return self._ask_once(request, data, show, stop)
        except ModelDiedError as error:
            if not self._closed:
                self._notice(f"{error}; it is started anew")
        try:
            return self._ask_once(request, data, _after(shown, show), stop)
        except ModelDiedError as error:
            raise ModelDiedError(f"twice on the same request, {error}") from None

    def _ask_once(
        self, request: Request, data: bytes, on_text: Callable[[str], None], stop: Event | None
    ) -> tuple[Answer, bytes]:
        with self._lock:
            self.start()
            assert self._process is not None
            return self._process.call(request, data, on_text, stop)


def _after(count: int, show: Callable[[str], None]) -> Callable[[str], None]:
    """Shows what comes after the first `count` characters: those were shown before, from the same seed."""
    left = count

    def rest(text: str) -> None:
        nonlocal left
        new, left = text[left:], max(0, left - len(text))
        if new:
            show(new)

    return rest


def _replies(answer: Generated, data: bytes) -> list[Sampled]:
    total = sum(reply.tokens for reply in answer.replies)
    ids = unpack_ids(data[: 4 * total])
    logprobs: list[float] = np.frombuffer(data[4 * total :], dtype="<f8").tolist()
    replies, at = [], 0
    for reply in answer.replies:
        end = at + reply.tokens
        replies.append(
            Sampled(reply.text, tuple(ids[at:end]), tuple(logprobs[at:end]), reply.length, reply.duration_s)
        )
        at = end
    return replies
