"""A fixed list of replies as a policy: for tests and for replaying a session exactly.

Takes the replies in order, whatever is asked; when they are used up it raises
PolicyError, or says the last one again with `repeat`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event

from ..errors import PolicyError
from ..protocols import Prompt
from ..records import Completion, Sampling, Usage


class ScriptedPolicy:
    """Says `replies` one after the other; `prompts` keeps what it was asked."""

    def __init__(
        self,
        replies: Sequence[str],
        *,
        name: str = "scripted",
        context_tokens: int | None = None,
        repeat: bool = False,
    ) -> None:
        self._replies = list(replies)
        self._name = name
        self._context_tokens = context_tokens
        self._repeat = repeat
        self._next = 0
        self.prompts: list[Prompt] = []

    @property
    def name(self) -> str:
        """As given."""
        return self._name

    @property
    def context_tokens(self) -> int | None:
        """As given."""
        return self._context_tokens

    def complete(
        self,
        prompt: Prompt,
        sampling: Sampling,
        n: int = 1,
        on_text: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> list[Completion]:
        """The next `n` replies. Raises PolicyError when there are none left."""
        self.prompts.append(prompt)
        replies = [self._take() for _ in range(n)]
        if on_text is not None:
            on_text(replies[0])
        asked = sum(self.count_tokens(message.content) for message in prompt.messages)
        return [
            Completion(
                text=reply,
                model=self._name,
                usage=Usage(prompt_tokens=asked, completion_tokens=self.count_tokens(reply)),
            )
            for reply in replies
        ]

    def _take(self) -> str:
        if self._next >= len(self._replies):
            if not (self._repeat and self._replies):
                raise PolicyError(f"the script of {len(self._replies)} replies is used up")
            return self._replies[-1]
        self._next += 1
        return self._replies[self._next - 1]

    def count_tokens(self, text: str) -> int:
        """A token for every three bytes, rounded up."""
        return -(-len(text.encode()) // 3)

    def close(self) -> None:
        """Holds nothing."""
