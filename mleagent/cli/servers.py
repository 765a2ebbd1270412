"""Model servers that run on this machine now: the usual ports asked at once, within a bound.

A plain request for `/v1/models` from one thread a port; who has not answered in time is not there.
"""

from __future__ import annotations

import http.client
import json
import threading
from typing import NamedTuple

from .. import clock

PORTS = {11434: "Ollama", 8080: "llama-server", 8000: "vLLM", 1234: "LM Studio"}
"""Port to the program that usually listens there."""


class Server(NamedTuple):
    """One that answered."""

    address: str
    models: tuple[str, ...]
    usual: str


def running(within_s: float = 0.3) -> list[Server]:
    """All that answer within `within_s` seconds altogether."""
    answers: dict[int, tuple[str, ...]] = {}
    threads = [threading.Thread(target=_ask, args=(port, within_s, answers), daemon=True) for port in PORTS]
    for thread in threads:
        thread.start()
    end = clock.monotonic() + within_s
    for thread in threads:
        thread.join(max(0.0, end - clock.monotonic()))
    return [
        Server(f"http://localhost:{port}/v1", models, PORTS[port])
        for port in PORTS
        if (models := answers.get(port)) is not None
    ]


def _ask(port: int, within_s: float, answers: dict[int, tuple[str, ...]]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=within_s)
    try:
        connection.request("GET", "/v1/models")
        response = connection.getresponse()
        if response.status == 200:
            rows = json.loads(response.read(1_000_000))["data"]
            answers[port] = tuple(str(row["id"]) for row in rows)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return  # nothing, or something else, listens there
    finally:
        connection.close()
