"""Server-sent events: lines of a streamed HTTP response become the payloads of its events.

Only what language-model servers use: `data:` lines (several of one event are
joined), comments and other fields are skipped, an empty line ends an event.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

DONE = "[DONE]"
"""The payload with which OpenAI-compatible servers end a stream."""


async def payloads(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """The `data` of each event, in order; a last event without its empty line still counts."""
    data: list[str] = []
    async for line in lines:
        line = line.rstrip("\r")
        if not line:
            if data:
                yield "\n".join(data)
            data = []
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif line.startswith("error:"):  # as older llama.cpp servers name it
            data.append(line[6:].removeprefix(" "))
    if data:
        yield "\n".join(data)
