"""A model's own chat template, rendered so that text from data never becomes control tokens.

Takes chat messages and gives pieces: text of the template (whose control tokens
are meant) and text of messages (where `<|im_end|>` is just characters). Each
content is rendered as a marker that can't occur in it and put back afterwards.
The template comes with the model file, so it runs in jinja2's sandbox.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from typing import Any

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..errors import InputError
from ..records import Message, Record

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content']"
    " + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""For models that know ChatML's tokens but carry no template."""


class Piece(Record):
    """A stretch of the prompt; `message` is its index, None for text of the template."""

    text: str
    message: int | None = None


class _Generation(jinja2.ext.Extension):
    """Hugging Face's `{% generation %}` marks what is trained on; rendering ignores it."""

    tags = {"generation"}  # noqa: RUF012  (declared so by jinja2)

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        parser.stream.skip(1)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """Renders messages as `source` says, with the model's `bos` and `eos` texts."""

    def __init__(self, source: str, bos: str = "", eos: str = "") -> None:
        """Raises InputError for a template that jinja2 can't read."""
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = _no_clock
        self._tokens = {"bos_token": bos, "eos_token": eos}
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise InputError(f"the model's chat template can't be read: {error}") from None

    def pieces(self, messages: Sequence[Message], generation: bool = True) -> list[Piece]:
        """The prompt in pieces; with `generation` it ends where the reply begins.

        A template that refuses the system role gets its text at the head of the
        first user message. Raises InputError when it refuses the chat altogether.
        """
        try:
            return self._pieces(list(messages), generation)
        except jinja2.TemplateError as error:
            folded = _without_system(messages)
            if folded is None:
                raise InputError(f"the model's chat template refuses the chat: {error}") from None
        try:
            pieces = self._pieces(folded, generation)
        except jinja2.TemplateError as error:
            raise InputError(f"the model's chat template refuses the chat: {error}") from None
        return [p if p.message is None else Piece(text=p.text, message=p.message + 1) for p in pieces]

    def _pieces(self, messages: list[Message], generation: bool) -> list[Piece]:
        marker = f"\ue000{secrets.token_hex(8)}"
        marked = [f"{marker}-{i}\ue001" for i in range(len(messages))]
        text = self._render([(m.role, mark) for m, mark in zip(messages, marked, strict=True)], generation)
        plain = self._render([(m.role, m.content) for m in messages], generation)
        contents = [m.content for m in messages]
        parts = re.split(f"{marker}-(\\d+)\ue001", text)
        if _filled(parts, contents) != plain:
            stripped = [content.strip() for content in contents]
            if _filled(parts, stripped) == plain:
                contents = stripped
        pieces = []
        for at, part in enumerate(parts):
            piece = Piece(text=contents[int(part)], message=int(part)) if at % 2 else Piece(text=part)
            if piece.text or piece.message is not None:  # an empty reply has its place too
                pieces.append(piece)
        return pieces

    def _render(self, chat: list[tuple[str, str]], generation: bool) -> str:
        messages = [{"role": role, "content": content} for role, content in chat]
        return self._template.render(
            messages=messages, add_generation_prompt=generation, tools=None, **self._tokens
        )


def _filled(parts: list[str], contents: list[str]) -> str:
    return "".join(contents[int(part)] if at % 2 else part for at, part in enumerate(parts))


def _without_system(messages: Sequence[Message]) -> list[Message] | None:
    """The chat with its system text at the head of the first user message; None if it has neither."""
    if len(messages) < 2 or messages[0].role != "system" or messages[1].role != "user":
        return None
    head = Message(role="user", content=f"{messages[0].content}\n\n{messages[1].content}")
    return [head, *messages[2:]]


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _no_clock(form: str) -> str:
    """A date in the prompt would make its prefix change overnight: it is always the same one."""
    return "01 Jan 2025" if "%b" in form or "%B" in form else "2025-01-01"


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **more: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **more)
