"""What the policy and its model process say to each other, and how it crosses the socket between them.

A frame is two lengths, a record as JSON and raw bytes (token ids as int32, log-probabilities
as float64, logits as float32): no pickle, so neither side can make the other run code. Each
request has a number which its answers repeat, so that answers to a call that was given up
are known and dropped.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, TypeAdapter

from ..records import Record

_LENGTHS = struct.Struct("<IQ")


class Note(Record):
    """Base of all messages."""

    number: int = 0
    """Of the request it is or answers."""


# --- requests -----------------------------------------------------------------


class Load(Note):
    """Load the model and make its context; the first request. Answer: `Loaded`."""

    kind: Literal["load"] = "load"
    path: str
    bytes: int
    n_ctx: int
    n_threads: int
    n_gpu_layers: int
    n_batch: int
    k_max: int


class Tokenize(Note):
    """Texts into ids, each with whether control tokens are parsed. Answer: `Tokens`."""

    kind: Literal["tokenize"] = "tokenize"
    texts: tuple[tuple[str, bool], ...]


class Spell(Note):
    """The bytes of one token, control tokens included with `special`. Answer: `Done`, the bytes beside it."""

    kind: Literal["spell"] = "spell"
    token: int
    special: bool


class Generate(Note):
    """Replies to the prompt whose ids lie beside it. Answers: `Said`, ..., `Generated`."""

    kind: Literal["generate"] = "generate"
    temperature: float
    top_p: float
    max_tokens: int
    seeds: tuple[tuple[int, ...], ...]
    """One for each reply."""
    stops: tuple[str, ...]
    stream: bool


class Score(Note):
    """Logits after the last of the ids beside it, from an empty context with `fresh`. Answer: `Done`."""

    kind: Literal["score"] = "score"
    fresh: bool


class Adapt(Note):
    """Set the LoRA adapter of this path, or none with an empty one. Answer: `Done`."""

    kind: Literal["adapt"] = "adapt"
    path: str
    scale: float


class Stop(Note):
    """End the request of this number early. No answer of its own."""

    kind: Literal["stop"] = "stop"


# --- answers ------------------------------------------------------------------


class Loaded(Note):
    """The model is ready; the ids of its control tokens and of those that end a reply lie beside it."""

    kind: Literal["loaded"] = "loaded"
    n_vocab: int
    n_ctx: int
    """Tokens of one sequence."""
    bos: int | None
    """The token every prompt begins with, where the model wants one."""
    bos_text: str
    eos_text: str
    controls: int
    """How many of the ids beside it are control tokens; the others end a reply."""
    offloads: bool
    """Whether llama.cpp was built for a GPU and was asked to use it."""


class Tokens(Note):
    """How many of the ids beside it belong to each text."""

    kind: Literal["tokens"] = "tokens"
    counts: tuple[int, ...]


class Said(Note):
    """A piece of the first reply's text."""

    kind: Literal["said"] = "said"
    text: str


class Reply(Record):
    """One reply; its `tokens` ids and log-probabilities lie beside the message, in the replies' order."""

    text: str
    tokens: int
    length: bool
    """Ended by its limit."""
    duration_s: float
    """From the start of the request, prefill included, to its last token."""


class Generated(Note):
    """All replies; `reused` is None where the request was stopped before the prompt was evaluated."""

    kind: Literal["generated"] = "generated"
    reused: int | None
    replies: tuple[Reply, ...]


class Done(Note):
    """The request is done."""

    kind: Literal["done"] = "done"


class Failed(Note):
    """The request failed; `error` is the class of errors.py that says so."""

    kind: Literal["failed"] = "failed"
    error: Literal["InputError", "PolicyError", "UnavailableError"]
    text: str


Request = Load | Tokenize | Spell | Generate | Score | Adapt | Stop
Answer = Loaded | Tokens | Said | Generated | Done | Failed
_ANY: TypeAdapter[Request | Answer] = TypeAdapter(Annotated[Request | Answer, Field(discriminator="kind")])


# --- the socket ---------------------------------------------------------------


class Wire:
    """One end of the socket. What was read of a frame is kept when the reading is interrupted."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self._read = bytearray()

    def send(self, message: Request | Answer, data: bytes = b"") -> None:
        """Send one frame. Raises OSError when the other side is gone."""
        head = message.model_dump_json().encode()
        self.socket.sendall(_LENGTHS.pack(len(head), len(data)) + head + data)

    def receive(self, wait_s: float | None = None) -> tuple[Request | Answer, bytes]:
        """The next frame. Raises EOFError when the other side is gone, TimeoutError after `wait_s`."""
        self._fill(_LENGTHS.size, wait_s)
        head, data = _LENGTHS.unpack_from(self._read)
        end = _LENGTHS.size + head + data
        self._fill(end, wait_s)
        text = bytes(self._read[_LENGTHS.size : _LENGTHS.size + head])
        beside = bytes(self._read[_LENGTHS.size + head : end])
        del self._read[:end]
        return _ANY.validate_json(text), beside

    def _fill(self, size: int, wait_s: float | None) -> None:
        while len(self._read) < size:
            try:
                if wait_s is not None and not select.select([self.socket], [], [], wait_s)[0]:
                    raise TimeoutError
                more = self.socket.recv(max(65536, size - len(self._read)))
            except TimeoutError:
                raise
            except (OSError, ValueError):  # reset by the other side, or closed by another thread of this one
                more = b""
            if not more:
                raise EOFError
            self._read += more

    def close(self) -> None:
        """Close this end; twice is harmless."""
        self.socket.close()


def pack_ids(ids: Sequence[int]) -> bytes:
    """Token ids as int32."""
    return np.asarray(ids, dtype=np.int32).tobytes()


def unpack_ids(data: bytes) -> list[int]:
    """The inverse of `pack_ids`."""
    return [int(token) for token in memoryview(data).cast("i")]
