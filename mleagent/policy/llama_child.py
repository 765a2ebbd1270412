"""The model process: llama.cpp in a process of its own, so that a crash in it ends no session.

Started by `llama_process` with one end of a socket pair; takes requests and gives answers
until the other end is gone. A second thread reads the socket, so that a request can be
stopped while it is worked on and the process ends with the one that started it, whatever
it is doing at that moment.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import sys
import threading

import numpy as np

from ..clock import monotonic
from ..errors import InputError, MleagentError, PolicyError, UnavailableError
from .llama_engine import LlamaEngine
from .llama_generate import Draft, generate
from .llama_lora import Adapters
from .llama_wire import (
    Adapt,
    Answer,
    Done,
    Failed,
    Generate,
    Generated,
    Load,
    Loaded,
    Request,
    Said,
    Score,
    Spell,
    Stop,
    Tokenize,
    Tokens,
    Wire,
    pack_ids,
    unpack_ids,
)


class Inbox:
    """Requests as they come; `stopped` is the number of the last one that is to end early."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.requests: queue.SimpleQueue[tuple[Request | Answer, bytes]] = queue.SimpleQueue()
        self.stopped = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                message, data = self._wire.receive()
            except (EOFError, OSError):
                os._exit(0)  # the main thread may be deep inside llama.cpp
            if isinstance(message, Stop):
                self.stopped = max(self.stopped, message.number)
            else:
                self.requests.put((message, data))


class Server:
    """Answers requests, one after the other."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._inbox = wire, Inbox(wire)
        self._engine: LlamaEngine | None = None
        self._adapters: Adapters | None = None
        self._enders: frozenset[int] = frozenset()

    def serve(self) -> None:
        """Until the process ends."""
        while True:
            request, data = self._inbox.requests.get()
            try:
                answer, beside = self._answer(request, data)
            except MleagentError as error:
                answer, beside = _failed(error), b""
            self._wire.send(answer.model_copy(update={"number": request.number}), beside)

    def _answer(self, request: Request | Answer, data: bytes) -> tuple[Answer, bytes]:
        if isinstance(request, Load):
            return self._load(request)
        if self._engine is None or self._adapters is None:
            raise PolicyError("the model process was asked before it had loaded a model")
        if isinstance(request, Generate | Score) and not data:
            raise PolicyError("the prompt is empty: a model needs at least one token")
        match request:
            case Tokenize(texts=texts):
                ids = [self._engine.vocab.tokenize(text, special) for text, special in texts]
                return Tokens(counts=tuple(map(len, ids))), pack_ids(
                    [token for part in ids for token in part]
                )
            case Spell(token=token, special=special):
                return Done(), self._engine.vocab.piece(token, special)
            case Generate():
                return self._generate(self._engine, request, unpack_ids(data))
            case Score(fresh=fresh):
                if fresh:
                    self._engine.clear()
                self._engine.prefill(unpack_ids(data))
                return Done(), self._engine.logits().tobytes()
            case Adapt(path=path, scale=scale):
                self._adapters.set(path, scale)
                return Done(), b""
        raise PolicyError(f"the model process does not know the request {request.kind}")

    def _load(self, wish: Load) -> tuple[Answer, bytes]:
        self._engine = engine = LlamaEngine(wish)
        self._adapters = Adapters(engine)
        controls, enders = engine.vocab.controls(), engine.vocab.enders()
        self._enders = frozenset(enders)
        loaded = Loaded(
            n_vocab=engine.vocab.size, n_ctx=engine.n_ctx, bos=engine.vocab.bos,
            bos_text=engine.vocab.text_of("bos"), eos_text=engine.vocab.text_of("eos"),
            controls=len(controls), offloads=engine.offloads,
        )  # fmt: skip
        return loaded, pack_ids(controls + enders)

    def _generate(self, engine: LlamaEngine, wish: Generate, ids: list[int]) -> tuple[Answer, bytes]:
        started = monotonic()

        def show(text: str) -> None:
            self._wire.send(Said(number=wish.number, text=text))

        def stopped() -> bool:
            return self._inbox.stopped >= wish.number

        reused, drafts = generate(engine, self._enders, ids, wish, show if wish.stream else None, stopped)
        answer = Generated(reused=reused, replies=tuple(draft.reply(started) for draft in drafts))
        return answer, _beside(drafts)


def _beside(drafts: list[Draft]) -> bytes:
    """All ids of all replies, then all log-probabilities."""
    logprobs = np.asarray([value for draft in drafts for value in draft.logprobs], dtype="<f8")
    return pack_ids([token for draft in drafts for token in draft.tokens]) + logprobs.tobytes()


def _failed(error: MleagentError) -> Failed:
    if isinstance(error, InputError):
        return Failed(error="InputError", text=str(error))
    if isinstance(error, UnavailableError):
        return Failed(error="UnavailableError", text=str(error))
    return Failed(error="PolicyError", text=str(error))


def main() -> None:
    """Serve on the socket whose descriptor is the last argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Server(Wire(socket.socket(fileno=int(sys.argv[-1])))).serve()
