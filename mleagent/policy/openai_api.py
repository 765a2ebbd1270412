"""Any OpenAI-compatible endpoint as a policy: llama-server, vLLM, Ollama, LM Studio, hosted ones.

Takes chat messages and gives streamed completions, `n` of them where the server
can and one after the other where it can't. Parameters a server refuses are left
out from then on. One event loop and one client live for one call, so that a
stop event ends a request at once and nothing is shared between threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

import httpx

from ..clock import monotonic
from ..errors import ContextOverflowError, PolicyError
from ..protocols import Prompt
from ..records import Completion, Sampling
from . import sse
from .chat_wire import Reply, body_of, refused_parameter
from .endpoint import Endpoint, run
from .endpoint_errors import EndpointError, Passing, context_limit, is_overflow, nonsense, overflow, said
from .endpoint_probe import Found, look
from .retry import Backoff

_PROBE_RETRIES = 2


@dataclass
class _Ask:
    """One request and what came of it so far."""

    prompt: Prompt
    sampling: Sampling
    n: int
    on_text: Callable[[str], None]
    reply: Reply
    streamed: bool = True


class OpenAIPolicy:
    """A model behind an OpenAI-compatible endpoint."""

    def __init__(
        self,
        base_url: str,
        model: str = "",
        *,
        api_key_env: str = "",
        timeout_s: float = 600.0,
        connect_timeout_s: float = 10.0,
        probe_timeout_s: float = 10.0,
        backoff: Backoff | None = None,
    ) -> None:
        """`timeout_s` bounds each silence of the server, not the whole reply.

        `api_key_env` names the variable that holds the key; empty: MLEAGENT_API_KEY,
        and for api.openai.com or the host of OPENAI_BASE_URL also OPENAI_API_KEY.
        An empty `model` is the first one listed. Raises InputError for an address that is none.
        """
        self.endpoint = Endpoint(base_url, api_key_env, backoff)
        self._model = model
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._probe_timeout_s = probe_timeout_s
        self._context: int | None = None
        self._refused: set[str] = set()
        self._one_choice = False
        self._bytes_per_token = 3.0

    def __repr__(self) -> str:
        return f"OpenAIPolicy({self.endpoint.where!r}, model={self._model!r})"

    @property
    def name(self) -> str:
        """The model's name; before it is known, the endpoint's address."""
        return self._model or self.endpoint.where

    @property
    def context_tokens(self) -> int | None:
        """What the server told of the context length, if it did."""
        return self._context

    # --- before the session ---------------------------------------------------------

    def probe(self) -> None:
        """Ask what the server has, with a short time-out; picks the model where none is named.

        Raises EndpointError (exit code 2) when there is no server, it refuses the
        key, lacks the model or speaks something else.
        """
        found = run(self._look())
        assert found is not None
        self.endpoint.url = found.url
        if not self._model and not found.models:
            raise EndpointError(
                f"{self.endpoint.where} lists no model; name one: endpoint_model in config.toml"
            )
        if self._model and found.models and self._model not in found.models:
            raise self._no_model(found.models)
        self._model = self._model or found.models[0]
        self._context = found.context_of(self._model)

    async def _look(self) -> Found:
        async with self.endpoint.client(httpx.Timeout(self._probe_timeout_s)) as client:
            return await self.endpoint.attempts(
                lambda: look(client, self.endpoint), _PROBE_RETRIES, self._probe_timeout_s
            )

    def _no_model(self, models: tuple[str, ...]) -> EndpointError:
        listed = ", ".join(models[:8]) + (f" and {len(models) - 8} more" if len(models) > 8 else "")
        return EndpointError(
            f"{self.endpoint.where} has no model {self._model!r}; it has: {listed} (setting endpoint_model)"
        )

    # --- replies ----------------------------------------------------------------------

    def complete(
        self,
        prompt: Prompt,
        sampling: Sampling,
        n: int = 1,
        on_text: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> list[Completion]:
        """`n` replies; see `Policy.complete`. A key, model or address that fails is an EndpointError."""
        if not self._model:
            self.probe()
        started = monotonic()
        asks: list[_Ask] = []
        try:
            run(self._ask_all(prompt, sampling, n, on_text or _ignore, asks), stop)
        except ContextOverflowError as error:
            self._context = context_limit(str(error)) or self._context
            raise
        self._learn_ratio(asks)
        return self._completions(asks, n, monotonic() - started)

    async def _ask_all(
        self, prompt: Prompt, sampling: Sampling, n: int, on_text: Callable[[str], None], asks: list[_Ask]
    ) -> None:
        """Fill `asks`: one request for all choices, then one for each choice that did not come."""
        timeout = httpx.Timeout(self._timeout_s, connect=self._connect_timeout_s)
        async with self.endpoint.client(timeout) as client:
            first = _Ask(prompt, sampling, 1 if self._one_choice else n, on_text, Reply(sampling.stop))
            asks.append(first)
            await self._ask(client, first)
            missing = n - len(first.reply.drafts)
            if missing <= 0:
                return
            self._one_choice = True
            for i in range(missing):
                seed = None if sampling.seed is None else sampling.seed + i + 1
                other = sampling.model_copy(update={"seed": seed})
                asks.append(_Ask(prompt, other, 1, _ignore, Reply(sampling.stop)))
            await asyncio.gather(*(self._ask(client, ask) for ask in asks[1:]))

    async def _ask(self, client: httpx.AsyncClient, ask: _Ask) -> None:
        """One request, repeated where that may help; `ask.reply` holds what came from the first byte on."""

        async def attempt() -> None:
            if ask.reply.drafts:
                ask.on_text("\n[the reply broke off; asking again]\n")
            ask.reply = Reply(ask.sampling.stop)
            await self._stream(client, ask)

        await self.endpoint.attempts(attempt, self.endpoint.backoff.retries, self._timeout_s)

    async def _stream(self, client: httpx.AsyncClient, ask: _Ask) -> None:
        body = body_of(ask.prompt, ask.sampling, self._model, ask.n, self._refused, ask.streamed)
        url = f"{self.endpoint.url}/chat/completions"
        async with client.stream("POST", url, json=body) as response:
            if response.status_code != 200:
                await response.aread()
                self._leave_out(refused_parameter(body, said(response.text)), response)
                raise await self._refusal(client, response)
            if "text/event-stream" in response.headers.get("content-type", ""):
                await self._events(response, ask)
            else:
                await response.aread()
                self._take(ask, response.text)
        if not ask.reply.drafts:
            empty = nonsense(self.endpoint.where, "", "the reply")
            if not ask.streamed:
                raise empty
            ask.streamed = False  # some servers fail silently once the stream has begun: ask for the reason
            raise Passing(empty, at_once=True)

    async def _events(self, response: httpx.Response, ask: _Ask) -> None:
        async for payload in sse.payloads(response.aiter_lines()):
            if payload.strip() == sse.DONE:
                return
            self._take(ask, payload)
            if ask.reply.cut and len(ask.reply.drafts) >= ask.n:
                return  # the server ignores stop strings: it need not go on
        if ask.reply.drafts and not ask.reply.complete:
            raise Passing(EndpointError(f"{self.endpoint.where} cut the connection in the middle of a reply"))

    def _take(self, ask: _Ask, payload: str) -> None:
        try:
            text = ask.reply.take(payload)
        except (ValueError, TypeError, AttributeError):
            raise self._misfit(payload) from None
        if text:
            ask.on_text(text)

    # --- failures -----------------------------------------------------------------------

    def _misfit(self, payload: str) -> Exception:
        """The error for a payload that is no chunk: an error the server reports late, or nonsense."""
        where, words = self.endpoint.where, self.endpoint.scrub(said(payload))
        if is_overflow(200, payload):
            return overflow(words)
        if '"error"' in payload or payload.startswith('{"code"'):
            return Passing(EndpointError(f"{where} failed: {words}"))
        return Passing(nonsense(where, self.endpoint.scrub(payload), "the reply"), once=True)

    def _leave_out(self, parameter: str | None, response: httpx.Response) -> None:
        """Raise Passing when the refusal is about an optional parameter; it is not sent again."""
        status = response.status_code
        if parameter is None or status not in (400, 422, 501) or is_overflow(status, response.text):
            return
        self._refused.add(parameter)
        self._one_choice = self._one_choice or parameter == "n"
        final = EndpointError(f"{self.endpoint.where} refuses the parameter {parameter}")
        raise Passing(final, at_once=True)

    async def _refusal(self, client: httpx.AsyncClient, response: httpx.Response) -> Exception:
        """The error for a refused request; where the model may be unknown, with the list of those there."""
        error = self.endpoint.refusal(response)
        if not isinstance(error, EndpointError) or response.status_code not in (400, 404):
            return error
        if "model" not in said(response.text).lower():
            return error
        try:
            found = await look(client, self.endpoint)
        except (httpx.HTTPError, PolicyError, Passing):
            return error
        return error if self._model in found.models else self._no_model(found.models)

    # --- results ------------------------------------------------------------------------

    def _completions(self, asks: list[_Ask], n: int, duration_s: float) -> list[Completion]:
        """What came, at least one; `asks` holds partial replies when the call was stopped."""
        replies = [ask.reply for ask in asks] or [Reply(())]
        replies[0].draft(0)
        return [
            Completion(
                text=draft.stops.text,
                finish_reason=draft.finish or "stop",
                usage=reply.usage,
                token_ids=tuple(draft.token_ids),
                logprobs=tuple(draft.logprobs),
                model=reply.model or self._model,
                duration_s=duration_s,
            )
            for reply in replies
            for _, draft in sorted(reply.drafts.items())
        ][:n]

    def _learn_ratio(self, asks: list[_Ask]) -> None:
        """Bytes a token, from what the server counted; kept 10 % on the safe side."""
        counted = asks[0].reply.usage.prompt_tokens if asks else None
        size = sum(len(message.content.encode()) for message in asks[0].prompt.messages) if asks else 0
        if counted and size > 200:
            self._bytes_per_token = min(self._bytes_per_token, 0.9 * size / counted)

    def count_tokens(self, text: str) -> int:
        """An estimate from above: bytes over the smallest bytes-a-token ratio seen (3 at first)."""
        return int(len(text.encode()) / self._bytes_per_token) + 1

    def close(self) -> None:
        """Connections live for one call only; nothing to free."""


def _ignore(text: str) -> None:
    """Listener of replies that are not shown."""
