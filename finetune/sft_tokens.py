"""Lessons become token sequences with a loss mask, in the very tokens that the base sees when it is used.

Takes `Lesson`s and the base's GGUF file, of which only the vocabulary is read; gives `Sequence`s. Exact ids
that a session stored are used as they are when they are this base's; else messages are rendered by the
base's own chat template, text never parsed for control tokens. Lessons whose prompts begin with all of an
earlier sequence are laid onto it, so a session is one sequence as long as its prompt only grew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from pathlib import Path

from mleagent.errors import InputError
from mleagent.policy.gguf_check import check_gguf
from mleagent.policy.llama_library import last_words, library
from mleagent.policy.llama_prompt import ChatTokens
from mleagent.policy.llama_vocab import Vocabulary
from mleagent.records import Message

from .own_steps import Lesson


class Words:
    """A base's vocabulary without its weights, in this process."""

    def __init__(self, path: Path) -> None:
        """Raises InputError for a file that is no model, UnavailableError without llama-cpp-python."""
        self.head = check_gguf(path)
        self._lib = lib = library()
        params = lib.llama_model_default_params()
        params.vocab_only = True
        self._model = lib.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise InputError(f"model file {path} can't be loaded: {last_words()}")
        self._vocabulary = Vocabulary(lib, self._model)
        self.size, self.bos = self._vocabulary.size, self._vocabulary.bos
        self.bos_text, self.eos_text = self._vocabulary.text_of("bos"), self._vocabulary.text_of("eos")
        self._controls = frozenset(self._vocabulary.controls())
        self._enders = frozenset(self._vocabulary.enders())

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Token ids; control tokens are parsed only with `special`."""
        return self._vocabulary.tokenize(text, special)

    def tokenize_all(self, texts: Many[tuple[str, bool]]) -> list[list[int]]:
        """The same for several texts."""
        return [self._vocabulary.tokenize(text, special) for text, special in texts]

    def piece(self, token: int, special: bool = False) -> bytes:
        """Bytes of one token; nothing for a control token unless `special`."""
        return self._vocabulary.piece(token, special)

    def is_control(self, token: int) -> bool:
        """Whether the token is a control token."""
        return token in self._controls

    def ends(self, token: int) -> bool:
        """Whether the token ends a reply."""
        return token in self._enders

    def spell(self, ids: Iterable[int]) -> bytes:
        """Text of the tokens, control tokens left out."""
        return b"".join(self.piece(token) for token in ids)

    def close(self) -> None:
        """Free the vocabulary."""
        if self._model:
            self._lib.llama_model_free(self._model)
        self._model = None


@dataclass
class Sequence:
    """Tokens, and 1 where one is to be learnt."""

    source: str
    ids: list[int]
    mask: list[int]

    @property
    def learnt(self) -> int:
        """Tokens to be learnt."""
        return sum(self.mask)


@dataclass
class Sequences:
    """All that is trained on, with how the tokens came about."""

    found: list[Sequence] = field(default_factory=list)
    exact: int = 0
    """Replies whose stored ids were used as they are."""
    rendered: int = 0
    too_long: int = 0
    """Replies left out because prompt and reply exceed the limit."""

    @property
    def tokens(self) -> int:
        """All tokens."""
        return sum(len(one.ids) for one in self.found)

    @property
    def learnt(self) -> int:
        """Tokens to be learnt."""
        return sum(one.learnt for one in self.found)

    def digest(self) -> str:
        """Hash of the data, 16 characters."""
        whole = hashlib.sha256()
        for one in self.found:
            whole.update(repr((one.ids, one.mask)).encode())
        return whole.hexdigest()[:16]


def sequences(lessons: Iterable[Lesson], words: Words, model: str, longest: int) -> Sequences:
    """Lay out the lessons in at most `longest` tokens each; `model` is what completions call the base."""
    made = Sequences()
    last_source, chats, own = None, ChatTokens(words), list[Sequence]()
    for lesson in lessons:
        if lesson.source != last_source:
            last_source, chats, own = lesson.source, ChatTokens(words), []
        exact = _is_exact(lesson, words, model)
        prompt = list(lesson.prompt_ids if exact else _prompt(lesson, chats, words))
        reply = list(lesson.token_ids) if exact else words.tokenize(lesson.reply, False)
        if not exact:
            reply += _ending(lesson, chats, words)
        chat = (*lesson.prompt, Message(role="assistant", content=lesson.reply))
        chats.remember(chat, (*prompt, *reply))
        if len(prompt) + len(reply) > longest:
            made.too_long += 1
            continue
        made.exact, made.rendered = made.exact + exact, made.rendered + (not exact)
        _lay(own, made, lesson.source, prompt, reply)
    return made


def _lay(own: list[Sequence], made: Sequences, source: str, prompt: list[int], reply: list[int]) -> None:
    """Onto the longest sequence of this source that the prompt begins with, else as a new one."""
    fitting = [one for one in own if one.ids == prompt[: len(one.ids)]]
    onto = max(fitting, key=lambda one: len(one.ids), default=None)
    if onto is None:
        onto = Sequence(source, [], [])
        own.append(onto)
        made.found.append(onto)
    onto.mask += [0] * (len(prompt) - len(onto.ids)) + [1] * len(reply)
    onto.ids += prompt[len(onto.ids) :] + reply


def _is_exact(lesson: Lesson, words: Words, model: str) -> bool:
    """Whether the stored ids are this base's: by its name, and because they spell the reply."""
    ids = (*lesson.prompt_ids, *lesson.token_ids)
    if lesson.model != model or not lesson.prompt_ids or not lesson.token_ids or max(ids) >= words.size:
        return False
    return words.spell(lesson.token_ids).startswith(lesson.reply.encode())


def _prompt(lesson: Lesson, chats: ChatTokens, words: Words) -> tuple[int, ...]:
    """The prompt's tokens; every reply in it has tokens of its own, as it had when it was sampled."""
    for at, message in enumerate(lesson.prompt):
        if message.role == "assistant":
            chat = lesson.prompt[: at + 1]
            if not chats.knows(chat):
                ids = words.tokenize(message.content, False)
                earlier = Lesson(lesson.source, chat[:-1], message.content)
                ending = _ending(earlier, chats, words)
                chats.remember(chat, (*chats.ids(chat[:-1]), *ids, *ending))
    return chats.ids(lesson.prompt)


def _ending(lesson: Lesson, chats: ChatTokens, words: Words) -> list[int]:
    """The token that ends a reply, as the template writes it; none where it writes none."""
    chat = (*lesson.prompt, Message(role="assistant", content=lesson.reply))
    after = chats.after_reply(chat)
    return after[:1] if after and words.ends(after[0]) else []
