"""Any GGUF model in this process as a policy.

Takes chat messages (or exact token ids), renders and tokenises them itself, and
gives replies with the exact ids and log-probabilities that training needs. A
prompt that goes on after a reply of this policy is built as stored ids + sampled
ids + template delta, so the prefix never changes by a token.
"""

from __future__ import annotations

import codecs
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Lock

import numpy as np
from numpy.typing import NDArray

from ..clock import monotonic
from ..errors import ContextOverflowError, InputError, PolicyError
from ..protocols import Prompt
from ..records import Completion, Message, Sampling, Usage
from .chat_template import CHATML, ChatTemplate, Piece
from .llama_engine import LlamaEngine
from .sampler import draw
from .stopping import StopFilter

_REMEMBERED = 64
"""Chats whose exact ids are kept: the branches of a session."""

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
        seed: int = 0,
    ) -> None:
        """Load the model; 0 and -1 let llama.cpp and the machine decide (see `LlamaEngine`).

        Raises InputError for a file that can't be used, UnavailableError without llama-cpp-python.
        """
        self._path = Path(path).expanduser()
        self.engine = LlamaEngine(self._path, n_ctx, n_threads, n_gpu_layers, n_batch)
        self._seed, self._calls = seed, 0
        self._lock = Lock()
        self._known: OrderedDict[tuple[Message, ...], tuple[int, ...]] = OrderedDict()
        self._closed = False
        source = self.engine.head.chat_template
        if not source:
            if len(self.engine.tokenize("<|im_start|>", special=True)) != 1:
                self.close()
                raise InputError(f"model file {path} has no chat template; take an instruct (chat) model")
            source = CHATML
        self._template = ChatTemplate(source, self.engine.token_text("bos"), self.engine.token_text("eos"))

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self._path.stem

    @property
    def context_tokens(self) -> int | None:
        """Length of the context as it was made."""
        return self.engine.n_ctx

    # --- prompt -----------------------------------------------------------------------

    def prompt_ids(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """The exact tokens of a chat, ready for the reply.

        Where its beginning is a chat this policy replied to, that one's ids and the
        sampled ones are taken as they were.
        """
        chat = tuple(messages)
        pieces = self._template.pieces(chat)
        for end in range(len(chat), 0, -1):
            known = self._known.get(chat[:end])
            places = [at for at, piece in enumerate(pieces) if piece.message == end - 1]
            if known is None or not places:
                continue
            delta = self._tokens(pieces[places[-1] + 1 :])
            if known and delta[:1] == [known[-1]] and self.engine.ends(known[-1]):
                del delta[0]  # the model ended its turn itself
            return known + tuple(delta)
        ids = self._tokens(pieces)
        bos = self.engine.bos
        return tuple(ids if bos is None or ids[:1] == [bos] else [bos, *ids])

    def _tokens(self, pieces: Sequence[Piece]) -> list[int]:
        """Control tokens are taken from the template's text only; what lies between is one text."""
        ids: list[int] = []
        plain = ""
        for piece in pieces:
            if piece.message is not None:
                plain += piece.text
                continue
            for at, part in enumerate(self._split_controls(piece.text)):
                if at % 2 == 0:
                    plain += part
                    continue
                ids += self.engine.tokenize(plain, special=False) if plain else []
                ids += self.engine.tokenize(part, special=True)
                plain = ""
        return ids + (self.engine.tokenize(plain, special=False) if plain else [])

    def _split_controls(self, text: str) -> list[str]:
        """Text of the template cut at its control tokens: plain, control, plain, ..."""
        found = {token for token in self.engine.tokenize(text, special=True) if self.engine.is_control(token)}
        names = {self.engine.piece(token, special=True).decode("utf-8", "replace") for token in found}
        pattern = "|".join(re.escape(name) for name in sorted(names - {""}, key=len, reverse=True))
        return re.split(f"({pattern})", text) if pattern else [text]

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
        completed a stop string included; `text` is cut before it.
        """
        with self._lock:
            if self._closed:
                raise PolicyError(f"model {self.name} is closed")
            ids = prompt.token_ids or self.prompt_ids(prompt.messages)
            room = self.engine.n_ctx - len(ids)
            if room < min(sampling.max_tokens, _LEAST_ROOM):
                raise ContextOverflowError(
                    f"the prompt of {len(ids)} tokens does not fit the {self.engine.n_ctx} of {self.name}"
                )
            self._calls += 1
            started = monotonic()
            reused = self.engine.prefill(ids, stop)
            if reused is None:
                return [
                    Completion(text="", prompt_ids=ids, model=self.name, duration_s=monotonic() - started)
                ]
            first = self.engine.logits()
            replies: list[Completion] = []
            for k in range(n):
                if stop is not None and stop.is_set() and replies:
                    break
                if self.engine.rewind(len(ids)) < len(ids):
                    self.engine.prefill(ids)
                usage = Usage(prompt_tokens=len(ids), cached_tokens=reused if k == 0 else len(ids))
                shown = on_text if k == 0 else None
                reply = self._reply(ids, first, sampling, self._rng(sampling, k), room, usage, shown, stop)
                replies.append(reply.model_copy(update={"duration_s": monotonic() - started}))
                started = monotonic()
                self._remember((*prompt.messages, Message(role="assistant", content=reply.text)), reply)
            return replies

    def _reply(
        self,
        ids: tuple[int, ...],
        logits: NDArray[np.float32],
        sampling: Sampling,
        rng: np.random.Generator,
        room: int,
        usage: Usage,
        on_text: Callable[[str], None] | None,
        stop: Event | None,
    ) -> Completion:
        """Sample one reply after the evaluated prompt `ids`, whose last logits are given."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        stops = StopFilter(sampling.stop)
        tokens: list[int] = []
        logprobs: list[float] = []
        limit = min(sampling.max_tokens, room)
        ended = False
        while not ended and not stops.hit and len(tokens) < limit:
            if stop is not None and stop.is_set():
                break
            if tokens:
                self.engine.step(tokens[-1])
                logits = self.engine.logits()
            token, logprob = draw(logits, sampling.temperature, sampling.top_p, rng)
            tokens.append(token)
            logprobs.append(logprob)
            ended = self.engine.ends(token)
            _show(on_text, stops.feed(decoder.decode(b"" if ended else self.engine.piece(token))))
        stopped = ended or stops.hit
        _show(on_text, stops.feed(decoder.decode(b"", final=True)) + stops.finish())
        return Completion(
            text=stops.text,
            finish_reason="length" if not stopped and len(tokens) >= limit else "stop",
            usage=usage.model_copy(update={"completion_tokens": len(tokens)}),
            prompt_ids=ids,
            token_ids=tuple(tokens),
            logprobs=tuple(logprobs),
            model=self.name,
        )

    def _rng(self, sampling: Sampling, k: int) -> np.random.Generator:
        """Chance of reply `k`: from the given seed, else from the policy's seed and the call's number."""
        own = [self._seed, self._calls] if sampling.seed is None else [sampling.seed]
        return np.random.default_rng([abs(part) for part in own] + [k])

    def _remember(self, chat: tuple[Message, ...], reply: Completion) -> None:
        self._known[chat] = reply.prompt_ids + reply.token_ids
        self._known.move_to_end(chat)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def count_tokens(self, text: str) -> int:
        """Exact, for text of a message."""
        return len(self.engine.tokenize(text, special=False))

    def close(self) -> None:
        """Free the model; twice is harmless."""
        self._closed = True
        self.engine.close()


def _show(on_text: Callable[[str], None] | None, text: str) -> None:
    if on_text is not None and text:
        on_text(text)
