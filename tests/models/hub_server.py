"""A real HTTP server that speaks a hub's API over files in memory, and misbehaves as told."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """`repos` maps a name to its files; the switches say what goes wrong."""

    def __init__(self, **repos: dict[str, bytes]):
        self.repos = {name.replace("__", "/"): files for name, files in repos.items()}
        self.licence = "apache-2.0"
        self.gated: set[str] = set()
        self.token = "secret-token"
        self.cut_after: list[int] = []
        """Bytes after which the next downloads break off, one entry a download."""
        self.no_range = False
        self.lie_hash = False
        self.failures = 0
        """Downloads that are answered HTTP 503 first."""
        self.chunk = 1 << 16
        self.gate: threading.Event | None = None
        """Where set, a download stops in its middle until the event is."""
        self.reached = threading.Event()
        """The middle has been reached."""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.url = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((path, dict(self.headers)))
        if path.startswith("/api/models/"):
            return self.info(path.removeprefix("/api/models/").partition("/revision/")[0])
        if path.startswith("/cdn/"):
            repo, _, name = path.removeprefix("/cdn/").partition("::")
            return self.bytes(self.hub.repos[repo][name])
        repo, _, rest = path.strip("/").partition("/resolve/")
        name = rest.partition("/")[2]
        files = self.hub.repos.get(repo)
        if files is None or name not in files or not rest.startswith(COMMIT):
            return self.answer(404, b"not found")
        if not self.allowed(repo):
            return self.answer(401, b"gated", {"X-Error-Code": "GatedRepo"})
        return self.answer(302, b"", {"Location": f"{self.hub.url}/cdn/{repo}::{name}"})

    def allowed(self, repo: str) -> bool:
        return repo not in self.hub.gated or self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    def info(self, repo: str):
        if repo not in self.hub.repos:
            return self.answer(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        if not self.allowed(repo):
            return self.answer(401, b"{}", {"X-Error-Code": "GatedRepo"})
        rows = [self.sibling(name, data) for name, data in self.hub.repos[repo].items()]
        data = {"id": repo, "sha": COMMIT, "gated": "manual" if repo in self.hub.gated else False,
                "cardData": {"license": self.hub.licence}, "siblings": rows}  # fmt: skip
        return self.answer(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def sibling(self, name: str, data: bytes) -> dict:
        wrong = b"?" if self.hub.lie_hash else b""
        row = {"rfilename": name, "size": len(data)}
        if name.endswith((".gguf", ".safetensors")):
            return {**row, "lfs": {"sha256": hashlib.sha256(data + wrong).hexdigest(), "size": len(data)}}
        return {**row, "blobId": hashlib.sha1(b"blob %d\0" % len(data) + data + wrong).hexdigest()}

    def bytes(self, data: bytes):
        if self.hub.failures:
            self.hub.failures -= 1
            return self.answer(503, b"busy")
        start = 0
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes=") and not self.hub.no_range:
            start = int(asked[6:].rstrip("-"))
            if start >= len(data):
                return self.answer(416, b"")
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        stop = start + self.hub.cut_after.pop(0) if self.hub.cut_after else len(data)
        for at in range(start, min(stop, len(data)), self.hub.chunk):
            self.wfile.write(data[at : min(at + self.hub.chunk, stop)])
            if self.hub.gate is not None and at + self.hub.chunk >= len(data) // 2:
                self.wfile.flush()
                self.hub.reached.set()
                self.hub.gate.wait(60)
        if stop < len(data):
            self.close_connection = True
            self.connection.close()

    def answer(self, status: int, data: bytes, headers: dict[str, str] | None = None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def handle(self):
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError, ValueError):
            self.close_connection = True

    def log_message(self, *_):
        pass


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("H", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        if hub.gate is not None:
            hub.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
