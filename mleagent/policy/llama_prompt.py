"""The exact tokens of a chat: stored ids + sampled ids + template delta.

Takes messages and a model's vocabulary. A chat that goes on after a reply that was
remembered keeps that one's ids and the sampled ones as they were, so a prompt's prefix
never changes by a token. Only the template's own text is parsed for control tokens.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from ..errors import InputError
from ..records import Message
from .chat_template import CHATML, ChatTemplate, Piece
from .gguf_check import GgufHead

_REMEMBERED = 64
"""Chats whose exact ids are kept: the branches of a session."""


class Speller(Protocol):
    """What of a model is needed: its file's head and its vocabulary (see `LlamaModel`)."""

    head: GgufHead
    bos: int | None
    bos_text: str
    eos_text: str

    def tokenize(self, text: str, special: bool) -> list[int]: ...  # noqa: D102

    def tokenize_all(self, texts: Sequence[tuple[str, bool]]) -> list[list[int]]: ...  # noqa: D102

    def piece(self, token: int, special: bool = False) -> bytes: ...  # noqa: D102

    def is_control(self, token: int) -> bool: ...  # noqa: D102

    def ends(self, token: int) -> bool: ...  # noqa: D102


class ChatTokens:
    """Renders and tokenises chats for one model, and remembers those that it replied to."""

    def __init__(self, model: Speller) -> None:
        """Raises InputError for a model without a usable chat template."""
        source = model.head.chat_template
        if not source:
            if len(model.tokenize("<|im_start|>", special=True)) != 1:
                raise InputError(
                    f"model file {model.head.path} has no chat template; take an instruct (chat) model"
                )
            source = CHATML
        self._model = model
        self._template = ChatTemplate(source, model.bos_text, model.eos_text)
        self._known: OrderedDict[tuple[Message, ...], tuple[int, ...]] = OrderedDict()
        self._split: dict[str, list[str]] = {}

    def ids(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """The tokens of a chat, ready for the reply."""
        chat = tuple(messages)
        pieces = self._template.pieces(chat)
        for end in range(len(chat), 0, -1):
            known = self._known.get(chat[:end])
            places = [at for at, piece in enumerate(pieces) if piece.message == end - 1]
            if known is None or not places:
                continue
            delta = self._tokens(pieces[places[-1] + 1 :])
            if known and delta[:1] == [known[-1]] and self._model.ends(known[-1]):
                del delta[0]  # the model ended its turn itself
            return known + tuple(delta)
        ids = self._tokens(pieces)
        bos = self._model.bos
        return tuple(ids if bos is None or ids[:1] == [bos] else [bos, *ids])

    def remember(self, chat: tuple[Message, ...], ids: tuple[int, ...]) -> None:
        """The chat, which ends with the model's own reply, is made of exactly these tokens."""
        self._known[chat] = ids
        self._known.move_to_end(chat)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def knows(self, chat: tuple[Message, ...]) -> bool:
        """Whether the exact tokens of a chat that ends with a reply were remembered."""
        return chat in self._known

    def after_reply(self, chat: Sequence[Message]) -> list[int]:
        """What the template writes after the chat's last message, the token that ends a reply first."""
        pieces = self._template.pieces(tuple(chat), generation=False)
        places = [at for at, piece in enumerate(pieces) if piece.message == len(chat) - 1]
        return self._tokens(pieces[places[-1] + 1 :]) if places else []

    def _tokens(self, pieces: Sequence[Piece]) -> list[int]:
        """Control tokens are taken from the template's text only; what lies between is one text."""
        texts: list[tuple[str, bool]] = []
        plain = ""
        for piece in pieces:
            if piece.message is not None:
                plain += piece.text
                continue
            for at, part in enumerate(self._split_controls(piece.text)):
                if at % 2 == 0:
                    plain += part
                    continue
                texts += [(plain, False)] if plain else []
                texts.append((part, True))
                plain = ""
        texts += [(plain, False)] if plain else []
        return [token for ids in self._model.tokenize_all(texts) for token in ids]

    def _split_controls(self, text: str) -> list[str]:
        """Text of the template cut at its control tokens: plain, control, plain, ..."""
        if text not in self._split:
            tokens = self._model.tokenize(text, special=True)
            found = {token for token in tokens if self._model.is_control(token)}
            names = {self._model.piece(token, special=True).decode("utf-8", "replace") for token in found}
            pattern = "|".join(re.escape(name) for name in sorted(names - {""}, key=len, reverse=True))
            self._split[text] = re.split(f"({pattern})", text) if pattern else [text]
        return self._split[text]
