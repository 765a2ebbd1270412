"""What went wrong at an endpoint, in one line for people.

Takes an HTTP status with its body, or an exception of the client, and gives the
error to raise: an `EndpointError` that names the address and the mend, a
`ContextOverflowError` when any of the common wordings says so, or a `Passing`
one that is worth another attempt. Nothing here ever sees the key.
"""

from __future__ import annotations

import json
import re
from typing import Any

import httpx

from ..errors import ContextOverflowError, PolicyError


class EndpointError(PolicyError):
    """The endpoint the user named can't be used: exit code 2, as any bad input."""

    exit_code = 2


class Passing(Exception):
    """A failure that may pass: `final` is raised when the attempts are used up."""

    def __init__(
        self,
        final: EndpointError,
        retry_after_s: float | None = None,
        *,
        once: bool = False,
        at_once: bool = False,
    ) -> None:
        super().__init__(str(final))
        self.final = final
        self.retry_after_s = retry_after_s
        self.once = once
        """One more attempt is enough: it cost a whole time-out, or is unlikely to pass."""
        self.at_once = at_once
        """The request was changed: ask again without waiting."""


_OVERFLOW = re.compile(
    r"context[_ ](length|window|size)|maximum context|exceeds? the (available )?context|prompt (is )?too long"
    r"|input (is )?too long|too many (input |prompt )?tokens|reduce the length|max_model_len"
    r"|exceed_context_size|request too large for the model|longer than the (model's )?maximum",
    re.IGNORECASE,
)
_LIMIT = re.compile(
    r"(?:maximum context length (?:is|of)|context (?:size|window|length)(?: is| of)?|n_ctx\"?)"
    r"\W{0,3}(\d{3,8})",
    re.IGNORECASE,
)


def is_overflow(status: int, text: str) -> bool:
    """Whether a refusal says that the prompt is longer than the model's context."""
    return status in (200, 400, 413, 422, 500) and bool(_OVERFLOW.search(text))


def overflow(text: str) -> ContextOverflowError:
    """The overflow as an error, with the server's own words."""
    return ContextOverflowError(f"the prompt no longer fits the model's context: {shorten(text)}")


def context_limit(text: str) -> int | None:
    """The context length a refusal names, in tokens."""
    match = _LIMIT.search(text)
    return int(match.group(1)) if match else None


def shorten(text: str, limit: int = 200) -> str:
    """One printable line of at most `limit` characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def said(body: str) -> str:
    """The message inside an error body: the usual JSON shapes, else the text itself."""
    try:
        data: Any = json.loads(body)
    except ValueError:
        return "an HTML page" if is_html(body) else shorten(body)
    for key in ("error", "detail", "message"):
        if isinstance(data, dict) and data.get(key):
            data = data[key]
            if isinstance(data, dict) and data.get("message"):
                data = data["message"]
            break
    return shorten(data if isinstance(data, str) else json.dumps(data))


def is_html(body: str) -> bool:
    """Whether a body is a web page."""
    return body.lstrip()[:15].lower().startswith(("<!doctype", "<html"))


def from_exception(error: httpx.HTTPError, where: str, waited_s: float) -> Passing | EndpointError:
    """A client-side failure: what it was, and whether another attempt may help."""
    text = shorten(str(error))
    if isinstance(error, httpx.ConnectTimeout):
        return Passing(EndpointError(f"{where} does not answer (connecting timed out); is the server up?"))
    if isinstance(error, httpx.TimeoutException):
        return Passing(
            EndpointError(
                f"{where} sent nothing for {waited_s:g} s; is the model still loading? "
                "MLEAGENT_REQUEST_TIMEOUT_S raises the limit"
            ),
            once=True,
        )
    if isinstance(error, httpx.ConnectError):
        if any(words in text.lower() for words in ("not known", "nodename", "no address", "name resolution")):
            unknown = EndpointError(f"{where}: no such host; check the spelling of the address")
            return Passing(unknown, once=True) if "temporary" in text.lower() else unknown
        if "certificate" in text.lower():
            return EndpointError(
                f"{where}: its TLS certificate is not trusted ({text}); SSL_CERT_FILE names a CA"
            )
        if "refused" in text.lower() or "attempts failed" in text.lower():
            return Passing(
                EndpointError(f"{where} refuses the connection; start the server or check the port")
            )
        return Passing(EndpointError(f"{where} can't be reached ({text}); check address and network"))
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects)):
        return EndpointError(f"{where}: {text}")
    return Passing(EndpointError(f"{where} cut the connection ({text or type(error).__name__})"))


def nonsense(where: str, body: str, what: str = "the answer") -> EndpointError:
    """The server answers, but not as an OpenAI-compatible one."""
    got = "an HTML page" if is_html(body) else f"{shorten(body, 80)!r}" if body.strip() else "nothing"
    return EndpointError(
        f"{where} does not speak the OpenAI protocol: {what} was {got}; the address usually ends in /v1"
    )
