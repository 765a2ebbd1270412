"""A real HTTP server in a thread that answers as told: streams, cuts, refuses, waits, babbles."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """`script` holds one handler a chat request (the last one stays); `requests` what came in."""

    def __init__(
        self, *script: Callable[["Handler", dict], None], models=("tiny",), context: int | None = None
    ):
        self.script = list(script) or [stream("hello")]
        self.models = models
        self.context = context
        self.models_answer: Callable[[Handler, dict], None] | None = None
        self.requests: list[dict] = []
        self.headers: list[dict] = []
        self.url = ""
        self.released = threading.Event()

    def next(self) -> Callable[["Handler", dict], None]:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Server

    def do_GET(self):
        if self.state.models_answer is not None:
            return self.state.models_answer(self, {})
        if self.path == "/v1/models":
            rows = [
                {"id": name, "object": "model", "max_model_len": self.state.context}
                for name in self.state.models
            ]
            return self.json(200, {"object": "list", "data": rows})
        return self.json(404, {"error": {"message": "not found"}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.state.requests.append(body)
        self.state.headers.append(dict(self.headers))
        self.state.next()(self, body)

    def json(self, status: int, data: object, headers: dict | None = None):
        self.raw(status, json.dumps(data), "application/json", headers)

    def raw(self, status: int, text: str, kind: str = "text/html", headers: dict | None = None):
        payload = text.encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(payload)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def start_stream(self, chunked: bool = True):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.chunked = chunked

    def event(self, data: object):
        text = data if isinstance(data, str) else "data: " + json.dumps(data)
        payload = (text + "\n\n").encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(payload), payload) if self.chunked else payload)
        self.wfile.flush()

    def end_stream(self):
        if self.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args):
        pass


def chunk(text: str | None = None, finish: str | None = None, index: int = 0, **more) -> dict:
    delta = {} if text is None else {"content": text}
    return {"model": "tiny", "choices": [{"index": index, "delta": delta, "finish_reason": finish, **more}]}


USAGE = {
    "choices": [],
    "usage": {"prompt_tokens": 120, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 100}},
}


def stream(*pieces: str, finish: str = "stop", choices: int = 1, logprobs: bool = False):
    def answer(handler: Handler, body: dict) -> None:
        handler.start_stream()
        for piece in pieces:
            for index in range(choices):
                more = (
                    {"logprobs": {"content": [{"token": piece, "logprob": -0.5, "id": 7}]}}
                    if logprobs
                    else {}
                )
                text = piece if choices == 1 else f"{piece}{index}"
                handler.event(chunk(text, index=index, **more))
        for index in range(choices):
            handler.event(chunk(finish=finish, index=index))
        handler.event(USAGE)
        handler.event("data: [DONE]")
        handler.end_stream()

    return answer


def status(code: int, message: object = "no", headers: dict | None = None):
    return lambda handler, body: handler.json(code, {"error": {"message": message}}, headers)


def text(body_text: str, code: int = 200, kind: str = "text/html"):
    return lambda handler, body: handler.raw(code, body_text, kind)


def cut(*pieces: str, chunked: bool = True):
    """Begins a stream and drops the connection."""

    def answer(handler: Handler, body: dict) -> None:
        handler.start_stream(chunked)
        for piece in pieces:
            handler.event(chunk(piece))
        handler.close_connection = True

    return answer


def hang(state_s: float = 30.0, first: str = ""):
    """Says nothing (after `first`) until the server ends."""

    def answer(handler: Handler, body: dict) -> None:
        if first:
            handler.start_stream()
            handler.event(chunk(first))
        handler.state.released.wait(state_s)
        handler.close_connection = True

    return answer


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    handler = type("Bound", (Handler,), {"state": server})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=lambda: httpd.serve_forever(0.02), daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{httpd.server_address[1]}/v1"
    try:
        yield server
    finally:
        server.released.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
