"""A hub of models, asked over its documented HTTP API: which files a repository has, their bytes.

Speaks what Hugging Face and its mirrors speak (`HF_ENDPOINT` names another address, `HF_TOKEN` opens
gated repositories, `HF_HUB_OFFLINE=1` forbids asking). Nothing here is downloaded without being asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from ..errors import InputError, UnavailableError
from ..policy.proxies import proxies_named
from ..records import Record

ENDPOINT = "https://huggingface.co"
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


class RemoteFile(Record):
    """A file of a repository."""

    path: str
    bytes: int
    sha256: str = ""
    """Of large files; small ones have their git hash only."""
    git_sha1: str = ""


class Repo(Record):
    """A repository at one commit."""

    name: str
    commit: str
    licence: str = ""
    gated: bool = False
    files: tuple[RemoteFile, ...] = ()


class Hub:
    """One hub; close it after use."""

    def __init__(self, endpoint: str = "", token: str = "") -> None:
        """`endpoint` and `token` default to HF_ENDPOINT and HF_TOKEN. Raises UnavailableError."""
        self.endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
        if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
            raise UnavailableError(
                "HF_HUB_OFFLINE is set, so no hub is asked; add a file that is here instead"
            )
        if not self.endpoint.startswith(("http://", "https://")):
            raise InputError(f"HF_ENDPOINT {self.endpoint!r} is no address; it begins with https://")
        token = token or os.environ.get("HF_TOKEN", "").strip()
        headers = {"user-agent": "mleagent", "accept-encoding": "identity"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        with proxies_named():
            self._client = httpx.Client(headers=headers, timeout=_TIMEOUT, follow_redirects=True)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def look(self, repo: str, revision: str = "main") -> Repo:
        """What a repository holds. Raises InputError (no such thing, gated), UnavailableError."""
        url = f"{self.endpoint}/api/models/{quote(repo)}/revision/{quote(revision, safe='')}"
        try:
            response = self._client.get(url, params={"blobs": "true"})
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        if response.status_code != 200:
            raise self.refusal(response, repo)
        try:
            return _repo(repo, response.json())
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UnavailableError(
                f"{self.endpoint} answers, but not as a hub of models; check HF_ENDPOINT"
            ) from None

    @contextmanager
    def open(self, repo: Repo, file: RemoteFile, start: int) -> Iterator[httpx.Response]:
        """The bytes of a file from `start` on; the status is the caller's to judge. Raises HTTPError."""
        url = f"{self.endpoint}/{quote(repo.name)}/resolve/{quote(repo.commit)}/{quote(file.path)}"
        headers = {"range": f"bytes={start}-"} if start else {}
        with self._client.stream("GET", url, headers=headers) as response:
            yield response

    def refusal(self, response: httpx.Response, repo: str) -> InputError | UnavailableError:
        """What a refused answer means, in one line."""
        code, status = response.headers.get("x-error-code", ""), response.status_code
        if code == "GatedRepo" or status == 403:
            return InputError(
                f"{repo} is gated: accept its terms at {self.endpoint}/{repo}, then set HF_TOKEN to a token "
                "of that account"
            )
        if code == "RevisionNotFound":
            return InputError(f"{repo} has no such revision; leave out what follows @")
        if status in (401, 404):
            return InputError(f"{self.endpoint} has no model {repo} (or it is private: set HF_TOKEN)")
        if status == 429:
            return UnavailableError(f"{self.endpoint} asks for patience (HTTP 429); try again later")
        return UnavailableError(f"{self.endpoint} answers HTTP {status} for {repo}; try again later")

    def _unreachable(self, error: httpx.HTTPError) -> UnavailableError:
        why = " ".join(str(error).split()) or type(error).__name__
        return UnavailableError(
            f"{self.endpoint} can't be reached ({why}); offline, mleagent models add PATH takes a file"
        )


def _repo(name: str, data: dict[str, Any]) -> Repo:
    card = data.get("cardData") or {}
    tags = [str(tag) for tag in data.get("tags") or ()]
    tagged = next((tag.partition(":")[2] for tag in tags if tag.startswith("license:")), "")
    licence = card.get("license_name") or card.get("license") or tagged
    return Repo(
        name=str(data.get("id") or name),
        commit=str(data["sha"]),
        licence=", ".join(map(str, licence)) if isinstance(licence, list) else str(licence),
        gated=bool(data.get("gated")),
        files=tuple(_file(row) for row in data["siblings"] if row.get("size") is not None),
    )


def _file(row: dict[str, Any]) -> RemoteFile:
    large = row.get("lfs") or {}
    return RemoteFile(
        path=str(row["rfilename"]),
        bytes=int(large.get("size", row["size"])),
        sha256=str(large.get("sha256") or ""),
        git_sha1="" if large else str(row.get("blobId") or ""),
    )
