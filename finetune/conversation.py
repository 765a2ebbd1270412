"""Conversations to train on: messages of a session, each reply marked as trained on or as context only.

One JSON object a line, appended one by one, so that a killed writer loses at most the line at hand. Mistakes
stay in a conversation as context; their tokens stay out of the loss.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from mleagent.records import Message, Record


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


def append(path: Path, conversation: Conversation) -> None:
    """Add one line; the folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(conversation.model_dump_json() + "\n")


def read(path: Path) -> Iterator[Conversation]:
    """Every whole line; a torn last one is left out. A missing file holds none."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            try:
                yield Conversation.model_validate(json.loads(line))
            except ValueError:
                continue
