"""Proxies that the HTTP client can't use: it says so with exceptions that name no variable; here they do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import UnavailableError

_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
_USABLE = ("http", "https")


@contextmanager
def proxies_named() -> Iterator[None]:
    """Around the making of a client. Raises UnavailableError where a proxy's variable is at fault."""
    try:
        yield
    except (ImportError, ValueError):
        found = _unusable()
        if found is None:
            raise
        name, scheme = found
        raise UnavailableError(
            f"{name} names a {scheme}:// proxy, which can't be used; unset it or name an http:// proxy "
            "(for socks5:// pip install 'httpx[socks]')"
        ) from None


def _unusable() -> tuple[str, str] | None:
    """The variable and its scheme; never its value, which may hold a password."""
    for name, value in sorted(os.environ.items()):
        scheme, found, _ = value.partition("://")
        if name.lower() in _VARIABLES and found and scheme.lower() not in _USABLE:
            return name, scheme
    return None
