"""Replies sampled from one prompt: evaluated once, then decoded together. Used in the model process only.

A reply's chance is its own generator, so the k-th of many is what it would be alone, up to
the rounding of a batched multiplication against that of a single row. Finished replies
drop out; more than the context has room for are done in turns.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..clock import monotonic
from ..errors import PolicyError
from .llama_engine import LlamaEngine, Stopped
from .llama_wire import Generate, Reply
from .sampler import draw
from .stopping import StopFilter


class Draft:
    """A reply in the making."""

    def __init__(
        self, wish: Generate, k: int, limit: int, enders: frozenset[int], show: Callable[[str], None] | None
    ) -> None:
        self._wish, self._limit, self._enders, self._show = wish, limit, enders, show
        self._rng = np.random.default_rng(wish.seeds[k])
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = StopFilter(wish.stops)
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.ended = False
        """By the model or a stop string."""
        self._done_at = 0.0

    def add(self, logits: NDArray[np.float32], piece: Callable[[int], bytes]) -> None:
        """Draw the next token. Raises PolicyError where the model computes no numbers."""
        token, logprob = draw(logits, self._wish.temperature, self._wish.top_p, self._rng)
        if math.isnan(logprob):
            raise PolicyError(
                "the model's output is not a number: its file or adapter is damaged, get it anew"
            )
        self.tokens.append(token)
        self.logprobs.append(logprob)
        last = token in self._enders
        self._let(self._stops.feed(self._decoder.decode(b"" if last else piece(token))))
        self.ended = last or self._stops.hit

    @property
    def over(self) -> bool:
        """Whether it takes no more tokens."""
        return self.ended or len(self.tokens) >= self._limit

    def finish(self) -> None:
        """It is over, or given up: what was held back of its text is let through."""
        self._let(self._stops.feed(self._decoder.decode(b"", final=True)) + self._stops.finish())
        self._done_at = monotonic()

    def reply(self, started: float) -> Reply:
        """The reply, once finished."""
        return Reply(
            text=self._stops.text,
            tokens=len(self.tokens),
            length=not self.ended and len(self.tokens) >= self._limit,
            duration_s=self._done_at - started,
        )

    def _let(self, text: str) -> None:
        if text and self._show is not None:
            self._show(text)


def generate(
    engine: LlamaEngine,
    enders: frozenset[int],
    ids: Sequence[int],
    wish: Generate,
    show: Callable[[str], None] | None,
    stopped: Stopped,
) -> tuple[int | None, list[Draft]]:
    """Replies to the prompt `ids`, and how many of its tokens were not evaluated again.

    None and no replies when `stopped` before the prompt was evaluated; stopped later, fewer
    and shorter ones. Raises PolicyError when llama.cpp fails.
    """
    reused = engine.prefill(ids, stopped)
    if reused is None:
        return None, []
    first = engine.logits().copy()
    limit = min(wish.max_tokens, engine.n_ctx - len(ids))
    at_once = engine.together(len(ids), limit)
    drafts: list[Draft] = []
    for start in range(0, len(wish.seeds), at_once):
        if drafts and stopped():
            break
        if engine.rewind(len(ids)) < len(ids):
            engine.prefill(ids)
        these = [
            Draft(wish, k, limit, enders, None if k else show)
            for k in range(start, min(start + at_once, len(wish.seeds)))
        ]
        _decode(engine, these, first, stopped)
        drafts += these
    return reused, drafts


def _decode(engine: LlamaEngine, drafts: list[Draft], first: NDArray[np.float32], stopped: Stopped) -> None:
    """Sample until all are over; a single one goes on in sequence 0, where the next prompt finds it."""
    alone = len(drafts) == 1
    if not alone:
        engine.branch(len(drafts))
    rows = [(0 if alone else at, draft) for at, draft in enumerate(drafts, 1)]
    logits = [first] * len(rows)
    while rows:
        for (_, draft), row in zip(rows, logits, strict=True):
            draft.add(row, engine.vocab.piece)
        halt, going = stopped(), []
        for sequence, draft in rows:
            if not halt and not draft.over:
                going.append((sequence, draft))
                continue
            draft.finish()
            if sequence:
                engine.drop(sequence)
        rows = going
        if rows:
            logits = engine.step([(sequence, draft.tokens[-1]) for sequence, draft in rows])
