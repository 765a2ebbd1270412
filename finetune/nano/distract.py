"""Words in a brief that mean nothing to the model: real tasks are described in words no synthetic one has.

A model of five million weights must not lose its form over them, so some briefs of the corpus get a sentence
of ordinary technical English (from the standard library's own documentation) in place of their hint.
"""

from __future__ import annotations

import importlib
import inspect
import re
from functools import lru_cache
from random import Random

from ..conversation import Conversation, Turn

SHARE = 0.2
"""Of the conversations that get one."""
_MODULES = (
    "argparse", "bisect", "calendar", "collections", "csv", "datetime", "decimal", "difflib", "email", "enum",
    "fractions", "functools", "heapq", "html", "http", "itertools", "json", "locale", "logging", "math",
    "os", "random", "re", "shutil", "socket", "statistics", "string", "tempfile", "textwrap", "threading",
    "time", "unittest", "urllib.parse", "uuid", "zipfile",
)  # fmt: skip
_HINT = re.compile(r"\nhint: .*")


@lru_cache(maxsize=1)
def sentences() -> tuple[str, ...]:
    """Sentences of 20 to 160 characters, in a fixed order for one version of Python."""
    found: dict[str, None] = {}
    for name in _MODULES:
        module = importlib.import_module(name)
        members = [getattr(module, member) for member in sorted(vars(module)) if not member.startswith("_")]
        for thing in (module, *members):
            text = " ".join((inspect.getdoc(thing) or "").split())
            for sentence in re.split(r"(?<=[.!?])\s+", text):
                if 20 <= len(sentence) <= 160 and sentence.isascii() and sentence[0].isupper():
                    found.setdefault(sentence)
    return tuple(found)


def distracted(conversation: Conversation, rng: Random) -> Conversation:
    """The conversation, its brief's hint replaced by words that mean nothing, or left as it is."""
    if rng.random() >= SHARE or len(conversation.turns) < 2:
        return conversation
    system, brief, *rest = conversation.turns
    said = "\nhint: " + rng.choice(sentences())
    if rng.random() < 0.3:
        said = (said + " " + rng.choice(sentences()))[:168]
    content, found = _HINT.subn(lambda _match: said, brief.content, count=1)
    if not found:
        head, user, tail = content.partition("\nuser: ")
        lines = head.split("\n")
        content = "\n".join([*lines[:4], said[1:], *lines[4:]]) + user + tail
    new = Turn(role=brief.role, content=content)
    return conversation.model_copy(update={"turns": (system, new, *rest)})
