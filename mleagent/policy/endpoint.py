"""One HTTP endpoint: its address, key, clients, failures and repeated attempts.

Below `openai_api` and without knowledge of chat: it turns statuses and client
exceptions into the errors of `endpoint_errors`, repeats what may pass, and runs
coroutines that a stop event can end at once. The key is read from the
environment at each call and appears in no message, repr or log.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from threading import Event
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from ..errors import InputError
from .endpoint_errors import EndpointError, Passing, from_exception, is_overflow, overflow, said
from .proxies import proxies_named
from .retry import RETRIED_STATUS, Backoff, retry_after_s

KEY_ENV = "MLEAGENT_API_KEY"
OPENAI_KEY_ENV = "OPENAI_API_KEY"

_STOP_POLL_S = 0.05
_AT_ONCE = 8
"""Attempts allowed beyond the bound that need no waiting (a refused parameter left out)."""

T = TypeVar("T")


class Endpoint:
    """An address with its key; `where` is the form that is shown."""

    def __init__(self, base_url: str, api_key_env: str = "", backoff: Backoff | None = None) -> None:
        """Raises InputError for an address that is none."""
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                f"model {base_url!r} is not an endpoint's address; write e.g. http://localhost:8080/v1"
            )
        self.url = base_url.split("?")[0].rstrip("/").removesuffix("/chat/completions")
        self.host: str = parts.hostname
        self.key_env = api_key_env or _key_env(self.host)
        self.backoff = backoff or Backoff(rng=random.Random(os.getpid()))
        self._tls: ssl.SSLContext | None = None

    @property
    def where(self) -> str:
        """The address without user and password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def local(self) -> bool:
        """Whether the address is this machine: nothing leaves it."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def client(self, timeout: httpx.Timeout) -> httpx.AsyncClient:
        """A client for one call; redirects are not followed, proxies not used for this machine.

        Raises UnavailableError for a proxy that can't be used.
        """
        key = os.environ.get(self.key_env, "").strip()
        if self.url.startswith("https") and self._tls is None:
            self._tls = httpx.create_ssl_context()
        with proxies_named():
            return httpx.AsyncClient(
                timeout=timeout,
                headers={"Authorization": f"Bearer {key}"} if key else {},
                verify=self._tls or False,
                trust_env=not self.local,
            )

    def scrub(self, text: str) -> str:
        """Text from the server without the key, should it echo it."""
        key = os.environ.get(self.key_env, "").strip()
        return text.replace(key, "<key>") if key else text

    def refusal(self, response: httpx.Response) -> Exception:
        """The error for a status that is not 200; the body has been read."""
        status, words = response.status_code, self.scrub(said(response.text))
        if is_overflow(status, response.text):
            return overflow(words)
        if status in (401, 403):
            have = "does not accept the key in" if os.environ.get(self.key_env) else "wants a key; set"
            return EndpointError(f"{self.where} {have} {self.key_env} ({status}: {words})")
        error = EndpointError(f"{self.where} answered {status}: {words or 'nothing'}")
        if status in RETRIED_STATUS:
            return Passing(error, retry_after_s(response.headers))
        return error

    async def attempts(
        self, attempt: Callable[[], Awaitable[T]], retries: int, silence_s: float | None = None
    ) -> T:
        """Await `attempt` until it works, at most `retries` more times with back-off.

        `silence_s` is the read time-out, for the message. Raises the failure's final error.
        """
        failures = single = at_once = 0
        while True:
            try:
                return await attempt()
            except httpx.HTTPError as error:
                found = from_exception(error, self.where, silence_s or 0.0)
                if not isinstance(found, Passing):
                    raise found from None
                failure = found
            except Passing as passing:
                failure = passing
            if failure.at_once and at_once < _AT_ONCE:
                at_once += 1
                continue
            failures += 1
            single += failure.once
            if failures > retries or single > 1:
                raise failure.final from None
            await asyncio.sleep(self.backoff.delay_s(failures, failure.retry_after_s))


def run(work: Coroutine[Any, Any, T], stop: Event | None = None) -> T | None:
    """Run a coroutine to its end in a loop of its own; None when `stop` was set before."""

    async def watched() -> T | None:
        task = asyncio.ensure_future(work)
        while not task.done():
            if stop is not None and stop.is_set():
                task.cancel()
            await asyncio.wait([task], timeout=_STOP_POLL_S if stop is not None else None)
        return None if task.cancelled() else task.result()

    return asyncio.run(watched())


def _key_env(host: str) -> str:
    """A key made for OpenAI is not sent to other hosts unless OPENAI_BASE_URL names them."""
    own = urlsplit(os.environ.get("OPENAI_BASE_URL", "")).hostname
    fits = host == "api.openai.com" or (own is not None and host == own)
    return OPENAI_KEY_ENV if fits and not os.environ.get(KEY_ENV) else KEY_ENV
