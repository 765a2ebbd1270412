"""Conversations to train on: messages of a session, each reply marked as trained on or as context only.

One JSON object a line, a task's lines in one write, so that a killed writer loses at most those. Mistakes
stay in a conversation as context; their tokens stay out of the loss.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from mleagent.records import Message, Record

from . import jsonl


class Turn(Record):
    """A message; `train` only ever marks replies."""

    role: str
    content: str
    train: bool = False


class Conversation(Record):
    """One trajectory as text."""

    source: str
    """What it was made from: `synth:SEED` or a session's id."""
    turns: tuple[Turn, ...]
    kind: str = ""
    """`draft`, `session` or `compacted`."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """As a prompt holds them."""
        return tuple(Message.model_validate({"role": t.role, "content": t.content}) for t in self.turns)


def append(path: Path, conversations: Iterable[Conversation]) -> None:
    """Add a line each, in one write; the folder is made if need be."""
    jsonl.append(path, [one.model_dump_json() for one in conversations])


def read(path: Path) -> Iterator[Conversation]:
    """Every whole line; a torn one is left out. A missing file holds none."""
    for line in jsonl.lines(path):
        try:
            yield Conversation.model_validate(json.loads(line))
        except ValueError:
            continue
