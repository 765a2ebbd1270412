"""The exact tokens of a chat: stored ids + sampled ids + template delta.

Takes messages and a model's vocabulary. A chat that goes on after a reply that was
remembered keeps that one's ids and the sampled ones as they were, so a prompt's prefix
never changes by a token. Only the template's own text is parsed for control tokens.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence

from ..errors import InputError
from ..records import Message
from .chat_template import CHATML, ChatTemplate, Piece
from .llama_model import LlamaModel

_REMEMBERED = 64
"""Chats whose exact ids are kept: the branches of a session."""


class ChatTokens:
    """Renders and tokenises chats for one model, and remembers those that it replied to."""

    def __init__(self, model: LlamaModel) -> None:
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
