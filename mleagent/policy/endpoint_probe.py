"""What a server says of itself: its models and their context lengths.

One `GET /models`, and where that is silent on the context length llama.cpp's
`/props`. An address without `/v1` is mended on the way, as people write it.
"""

from __future__ import annotations

from typing import Any

import httpx

from ..records import Record
from .endpoint import Endpoint
from .endpoint_errors import nonsense

_CONTEXT_KEYS = (
    "max_model_len",
    "loaded_context_length",
    "context_length",
    "context_window",
    "max_context_length",
)


class Found(Record):
    """The answer of `look`."""

    url: str
    """The base that worked."""
    models: tuple[str, ...] = ()
    contexts: tuple[tuple[str, int], ...] = ()
    """(model, tokens) as listed."""
    loaded_context: int | None = None
    """llama.cpp: the context the server really runs with."""

    def context_of(self, model: str) -> int | None:
        """Context length of a model in tokens; None where the server does not tell."""
        return self.loaded_context or dict(self.contexts).get(model)


async def look(client: httpx.AsyncClient, endpoint: Endpoint) -> Found:
    """Ask the server; changes nothing.

    Raises what `endpoint.refusal` makes of a refused answer, EndpointError for
    nonsense, httpx.HTTPError when nothing answers.
    """
    url = endpoint.url
    response = await client.get(f"{url}/models")
    if response.status_code in (301, 302, 307, 308, 404, 405) and not url.endswith("/v1"):
        second = await client.get(f"{url}/v1/models")
        if second.status_code == 200:
            response, url = second, f"{url}/v1"
    if response.status_code in (404, 405, 501) and _json(response) is not None:
        return Found(url=url)  # a server without a list: the model must be named
    if response.status_code != 200:
        raise endpoint.refusal(response)
    data = _json(response)
    if isinstance(data, list):
        data = {"data": data}
    if not isinstance(data, dict) or not isinstance(data.get("data"), list):
        raise nonsense(endpoint.where, response.text, "the list of models")
    rows = [row for row in data["data"] if isinstance(row, dict) and row.get("id")]
    contexts = tuple((str(row["id"]), size) for row in rows if (size := _listed(row)))
    llama = any(row.get("owned_by") == "llamacpp" for row in rows)
    return Found(
        url=url,
        models=tuple(str(row["id"]) for row in rows),
        contexts=contexts,
        loaded_context=await _props(client, url) if llama or not contexts else None,
    )


def _listed(row: dict[str, Any]) -> int | None:
    for key in _CONTEXT_KEYS:
        if isinstance(row.get(key), int) and row[key] > 0:
            return int(row[key])
    return None


async def _props(client: httpx.AsyncClient, url: str) -> int | None:
    """llama.cpp's n_ctx of a slot; None where there is no such page."""
    try:
        response = await client.get(f"{url.removesuffix('/v1')}/props")
    except httpx.HTTPError:
        return None
    data = _json(response) if response.status_code == 200 else None
    if not isinstance(data, dict):
        return None
    settings = data.get("default_generation_settings")
    size = settings.get("n_ctx") if isinstance(settings, dict) else data.get("n_ctx")
    return size if isinstance(size, int) and size > 0 else None


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
