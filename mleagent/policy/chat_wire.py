"""The chat-completions format: a prompt becomes a request body, chunks become drafts.

One `Draft` a choice collects text, finish reason, ids, log-probabilities and
usage as they arrive, so that a reply that is ended early keeps what there is.
Parsing takes anything a server may send and raises ValueError for what is no
chunk at all.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from ..protocols import Prompt
from ..records import Sampling, Usage
from .stopping import StopFilter

OPTIONAL = ("n", "logprobs", "stream_options", "seed", "max_tokens", "top_p", "temperature", "stop")
"""Parameters that some servers refuse; what was refused is left out from then on."""

MAX_STOPS = 4
"""Stop strings servers take; the rest is cut here."""


@dataclass
class Draft:
    """One choice of a completion while it is being received."""

    stops: StopFilter
    finish: Literal["stop", "length", "error"] | None = None
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def take(self, choice: dict[str, Any]) -> str:
        """Add one choice of a chunk (or of a whole answer); returns the new text."""
        message = choice.get("delta") or choice.get("message") or {}
        text = self.stops.feed(message.get("content") or "") if isinstance(message, dict) else ""
        logprobs = choice.get("logprobs")
        for token in (logprobs.get("content") or []) if isinstance(logprobs, dict) else []:
            self.logprobs.append(float(token.get("logprob", 0.0)))
            if isinstance(token.get("id"), int):
                self.token_ids.append(token["id"])
        reason = choice.get("finish_reason")
        if reason:
            self.finish = (
                "length" if reason == "length" else "error" if reason == "content_filter" else "stop"
            )
        if self.finish:
            text += self.stops.finish()
        return text


@dataclass
class Reply:
    """Everything received of one request."""

    stops: tuple[str, ...]
    drafts: dict[int, Draft] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    model: str = ""

    def take(self, payload: str) -> str:
        """Add a chunk or a whole answer; returns the new text of choice 0. ValueError if it is neither."""
        data = json.loads(payload)
        if not isinstance(data, dict) or not isinstance(data.get("choices"), list):
            raise ValueError("no choices")
        self.model = str(data.get("model") or self.model)
        if isinstance(data.get("usage"), dict):
            self.usage = usage_of(data["usage"])
        first = ""
        for choice in data["choices"]:
            index = int(choice.get("index") or 0)
            text = self.draft(index).take(choice)
            first += text if index == 0 else ""
        return first

    def draft(self, index: int) -> Draft:
        """The draft of a choice, begun if need be."""
        return self.drafts.setdefault(index, Draft(StopFilter(self.stops)))

    @property
    def complete(self) -> bool:
        """Every choice that began has ended (by the server, or by a stop string here)."""
        return bool(self.drafts) and all(draft.finish or draft.stops.hit for draft in self.drafts.values())

    @property
    def cut(self) -> bool:
        """Every choice that began met a stop string here, whatever the server goes on to send."""
        return bool(self.drafts) and all(draft.stops.hit for draft in self.drafts.values())


def usage_of(data: dict[str, Any]) -> Usage:
    """Token counts as the common servers name them."""
    details = data.get("prompt_tokens_details")
    cached = (
        details.get("cached_tokens") if isinstance(details, dict) else data.get("prompt_cache_hit_tokens")
    )
    return Usage(
        prompt_tokens=data.get("prompt_tokens"),
        completion_tokens=data.get("completion_tokens"),
        cached_tokens=cached,
    )


def body_of(
    prompt: Prompt,
    sampling: Sampling,
    model: str,
    n: int,
    refused: Collection[str] = (),
    streamed: bool = True,
) -> dict[str, Any]:
    """The request; parameters in `refused` are left out (`max_tokens` under its newer name)."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [message.model_dump() for message in prompt.messages],
        "stream": streamed,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "logprobs": True,
    }
    if streamed:
        body["stream_options"] = {"include_usage": True}
    if n > 1:
        body["n"] = n
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.stop:
        body["stop"] = list(sampling.stop[:MAX_STOPS])
    for name in refused:
        value = body.pop(name, None)
        if name == "max_tokens" and value is not None:
            body["max_completion_tokens"] = value
    return body


def refused_parameter(body: dict[str, Any], words: str) -> str | None:
    """Which optional parameter of `body` a refusal complains about; None if none."""
    words = words.lower()
    for name in sorted(set(OPTIONAL) & set(body), key=len, reverse=True):
        quoted = (
            f"'{name}'",
            f'"{name}"',
            f"`{name}`",
            f"{name} is not",
            f"{name} must",
            f"parameter: {name}",
        )
        if any(form in words for form in quoted) or (len(name) > 4 and name in words):
            return name
    return None
